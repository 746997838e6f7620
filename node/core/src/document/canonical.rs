//! One form for everything that means the same, so that configurations can be compared.

use std::net::Ipv4Addr;

use leasehold_model::{
    CheckKind, Family, Fwmark, Protocol, RealServer, Scheduler, Service, VirtualServer,
};

/// Leaves out what is said twice, or says what would be so anyway.
pub(crate) fn virtual_server(server: &mut VirtualServer) {
    let family = match server.service {
        Service::Address(address) => Some(Family::of(address.ip())),
        Service::Fwmark(Fwmark { family, .. }) => Some(family),
        Service::Group(_) => None,
    };
    if matches!(server.service, Service::Fwmark(_)) {
        server.protocol = Protocol::default();
    }
    if let (Some(persistence), Some(family)) = (&mut server.persistence, family) {
        persistence.granularity = persistence.granularity.filter(|one| *one != longest(family));
    }
    let (kind, alpha, inhibit) = (server.lb_kind, server.alpha, server.inhibit_on_failure);
    if let Some(sorry) = &mut server.sorry_server {
        sorry.lb_kind = sorry.lb_kind.filter(|own| *own != kind);
    }
    for real in &mut server.real_servers {
        real.lb_kind = real.lb_kind.filter(|own| *own != kind);
        real.alpha &= !alpha;
        real.inhibit_on_failure &= !inhibit;
        if real.virtualhost == server.virtualhost {
            real.virtualhost = None;
        }
        checks(real, server.virtualhost.as_deref());
    }
}

fn checks(real: &mut RealServer, virtualhost: Option<&str>) {
    let host = real.virtualhost.as_deref().or(virtualhost);
    for check in &mut real.checks {
        check.connect = check.connect.filter(|connect| *connect != real.address);
        let CheckKind::Http { urls } = &mut check.kind else { continue };
        for url in urls {
            if url.virtualhost.as_deref() == host {
                url.virtualhost = None;
            }
            url.status_code = merged(&url.status_code);
            if url.status_code == [(200, 299)] {
                url.status_code.clear();
            }
        }
    }
}

/// Sorted, with ranges that touch made one.
fn merged(ranges: &[(u16, u16)]) -> Vec<(u16, u16)> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (first, last) in sorted {
        match merged.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            Some(_) | None => merged.push((first, last)),
        }
    }
    merged
}

/// The prefix length of an address that is one client.
pub(crate) fn longest(family: Family) -> u8 {
    match family {
        Family::Inet => 32,
        Family::Inet6 => 128,
    }
}

/// 24 for `255.255.255.0`.
pub(crate) fn prefix_of_mask(text: &str) -> Option<u8> {
    let mask = text.parse::<Ipv4Addr>().ok()?.to_bits();
    let ones = mask.leading_ones();
    let solid = ones > 0 && mask.count_ones() == ones;
    u8::try_from(ones).ok().filter(|_| solid)
}

/// What the three bits are called with a scheduler (`ip_vs_sh.c`, `ip_vs_mh.c`).
pub(crate) fn flag_words(scheduler: Scheduler) -> [&'static str; 3] {
    match scheduler {
        Scheduler::Sh => ["sh-fallback", "sh-port", "flag-3"],
        Scheduler::Mh => ["mh-fallback", "mh-port", "flag-3"],
        Scheduler::Rr
        | Scheduler::Wrr
        | Scheduler::Lc
        | Scheduler::Wlc
        | Scheduler::Lblc
        | Scheduler::Lblcr
        | Scheduler::Dh
        | Scheduler::Fo
        | Scheduler::Ovf
        | Scheduler::Sed
        | Scheduler::Nq
        | Scheduler::Twos => ["flag-1", "flag-2", "flag-3"],
    }
}
