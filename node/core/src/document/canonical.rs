//! One form for everything that means the same, so that configurations can be compared.

use std::net::{Ipv4Addr, SocketAddr};

use leasehold_model::{
    Check, CheckKind, Family, Fwmark, Global, Instance, Protocol, Route, Scheduler, Service,
    SmtpHost, Source, TrackScript, Url, VirtualServer, VrrpVersion, Weight,
};

use super::checks::{self, Kind};

/// keepalived's.
const DEFAULT_SMTP_TIMEOUT_MS: u32 = 30_000;

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
        let host = real.virtualhost.as_deref().or(server.virtualhost.as_deref());
        for one in &mut real.checks {
            check(one, real.address, alpha || real.alpha, host);
        }
    }
}

/// `address` is the real server's, and `host` what its pages have that name none.
fn check(check: &mut Check, address: SocketAddr, alpha: bool, host: Option<&str>) {
    check.alpha &= !alpha;
    let every = check.delay_loop_ms;
    check.warmup_ms = check.warmup_ms.filter(|warmup| *warmup != every);
    mark(&mut check.source);
    match &mut check.kind {
        CheckKind::Tcp | CheckKind::Udp(_) | CheckKind::File(_) => {}
        CheckKind::Http(http) => http.urls.iter_mut().for_each(|one| url(one, host)),
        CheckKind::Smtp(smtp) => {
            smtp.hosts.iter_mut().for_each(|host| mark(&mut host.source));
            match smtp.hosts.as_slice() {
                [] => {}
                [SmtpHost { connect, source }] => {
                    (check.connect, check.source) = (Some(*connect), source.clone());
                    smtp.hosts.clear();
                }
                [..] => (check.connect, check.source) = (None, Source::default()),
            }
        }
        CheckKind::Dns(dns) => dns.name = checks::domain(&dns.name),
        CheckKind::Ping => {
            check.source.bind_port = None;
            let connect = check.connect.filter(|connect| connect.ip() != address.ip());
            check.connect = connect.map(|connect| SocketAddr::new(connect.ip(), 0));
        }
        CheckKind::Misc(misc) => {
            misc.timeout_ms = misc.timeout_ms.filter(|timeout| *timeout != every);
        }
    }
    check.connect = check.connect.filter(|connect| *connect != address);
    if !Kind::of(&check.kind).is_of_network() {
        // It sends nothing anywhere.
        let plain = Check::new(CheckKind::Tcp);
        (check.connect, check.source) = (plain.connect, plain.source);
        check.connect_timeout_ms = plain.connect_timeout_ms;
    }
}

/// No mark is what packets have anyway.
fn mark(source: &mut Source) {
    source.fwmark = source.fwmark.filter(|mark| *mark != 0);
}

fn url(url: &mut Url, host: Option<&str>) {
    if url.virtualhost.as_deref() == host {
        url.virtualhost = None;
    }
    url.status_code = merged(&url.status_code);
    if url.status_code == [(200, 299)] {
        url.status_code.clear();
    }
}

/// What is so without being said is left out.
pub(crate) fn weight(weight: &mut Weight, otherwise: i16) {
    weight.weight = weight.weight.filter(|weight| *weight != otherwise);
}

pub(crate) fn track_script(script: &mut TrackScript) {
    weight(&mut script.weight, 0);
    let interval = script.interval_ms;
    script.timeout_ms = script.timeout_ms.filter(|timeout| *timeout != interval);
}

pub(crate) fn global(global: &mut Global) {
    global.vrrp_version = global.vrrp_version.filter(|version| *version != VrrpVersion::V2);
    let timeout = &mut global.alerts.smtp_connect_timeout_ms;
    *timeout = timeout.filter(|timeout| *timeout != DEFAULT_SMTP_TIMEOUT_MS);
}

/// A director that runs what the instance does has nothing of its own to run.
pub(crate) fn instance(instance: &mut Instance) {
    instance.adverts.unicast_ttl = instance.adverts.unicast_ttl.filter(|ttl| *ttl != u8::MAX);
    let default = instance.default_vmac_name();
    if let Some(vmac) = &mut instance.use_vmac
        && vmac.name.as_ref() == Some(&default)
    {
        vmac.name = None;
    }
    let all = &instance.notify;
    for own in instance.directors.values_mut().map(|one| &mut one.notify) {
        for (own, (_, all)) in own.scripts_mut().into_iter().zip(all.scripts()) {
            *own = own.take().filter(|own| Some(own) != all.as_ref());
        }
        let (changes, alert) = (all.notify_priority_changes, all.smtp_alert);
        own.notify_priority_changes =
            own.notify_priority_changes.filter(|own| Some(*own) != changes);
        own.smtp_alert = own.smtp_alert.filter(|own| Some(*own) != alert);
    }
}

/// A route to every address is the default route, of the gateway's family.
pub(crate) fn route(route: &mut Route) {
    let v4 = route.via.is_none_or(|via| via.is_ipv4());
    route.to = route.to.filter(|to| to.prefix != 0 || to.address.is_ipv4() != v4);
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
