//! What a `virtual_server` block says, put together: defaults, and what keepalived corrects.

use std::net::{IpAddr, SocketAddr};

use leasehold_model::{
    Family, Forward, Persistence, Protocol, Scheduler, Service, SorryServer, VirtualServer,
};

use super::checker::Times;
use super::lex::{Pos, Word};
use super::lower::{At, Lower};
use super::parse::Statement;
use super::real::Real;
use super::server::Server;

/// What a block says, before it is put together: the order of lines decides nothing.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) times: Times,
    /// The file's, of checks that say nothing.
    pub(super) log_all_failures: bool,
    pub(super) weight: Option<At<u16>>,
    pub(super) family: Option<At<Family>>,
    pub(super) protocol: Option<At<Protocol>>,
    pub(super) lb_algo: Option<At<Scheduler>>,
    pub(super) lb_kind: Option<At<Forward>>,
    pub(super) flags: Vec<Word>,
    pub(super) persistence_timeout: Option<At<u32>>,
    pub(super) granularity: Option<At<u8>>,
    pub(super) engine: Option<At<String>>,
    pub(super) quorum: Option<At<u32>>,
    pub(super) hysteresis: Option<At<u32>>,
    pub(super) sorry: Option<At<(IpAddr, Option<u16>)>>,
    pub(super) sorry_inhibit: Option<At<bool>>,
    pub(super) sorry_kind: Option<At<Forward>>,
}

/// keepalived's, where persistence_timeout has no value.
pub(super) const DEFAULT_PERSISTENCE_S: u32 = 360;

impl Lower<'_> {
    pub(super) fn put_together(&mut self, draft: &Draft, server: &mut Server, port: u16) {
        let at = server.at;
        let value = &mut server.value;
        let protocol = draft.protocol.as_ref().map(|protocol| protocol.value);
        if protocol.is_none() && !matches!(value.service, Service::Fwmark(_)) {
            let message = "the virtual server has no protocol: UDP is meant, as in keepalived";
            self.report.warn(at, message, "protocol TCP, if that is meant");
        }
        value.protocol = protocol.unwrap_or(Protocol::Udp);
        value.lb_algo = draft.lb_algo.as_ref().map_or(Scheduler::Wlc, |one| one.value);
        value.lb_kind = draft.lb_kind.as_ref().map_or(Forward::Nat, |one| one.value);
        self.flags(draft, value);
        value.persistence = self.persistence(draft);
        self.quorum(draft, value);
        value.sorry_server = draft.sorry.as_ref().map(|sorry| SorryServer {
            address: SocketAddr::new(sorry.value.0, sorry.value.1.unwrap_or(port)),
            lb_kind: draft.sorry_kind.as_ref().map(|kind| kind.value),
            inhibit: draft.sorry_inhibit.as_ref().is_some_and(|flag| flag.value),
        });
        if draft.sorry.is_none() {
            let inhibit = draft.sorry_inhibit.as_ref().map(|flag| flag.at);
            let unused = [inhibit, draft.sorry_kind.as_ref().map(|kind| kind.at)];
            for at in unused.into_iter().flatten() {
                self.report.warn(at, "without sorry_server this has no effect", "remove it");
            }
        }
        if let (Some(sorry), Some(written)) = (&mut value.sorry_server, &draft.sorry) {
            let kind = sorry.lb_kind.unwrap_or(value.lb_kind);
            let own = sorry.address.port();
            if kind != Forward::Nat && own != port {
                self.other_port(written.at, own, port);
                sorry.address.set_port(port);
            }
        }
    }

    /// keepalived wants lb_algo above them; here the order does not matter.
    fn flags(&mut self, draft: &Draft, value: &mut VirtualServer) {
        for word in &draft.flags {
            let (scheduler, bit) = match word.text.as_str() {
                "sh-fallback" => (Some(Scheduler::Sh), 1),
                "sh-port" => (Some(Scheduler::Sh), 2),
                "mh-fallback" => (Some(Scheduler::Mh), 1),
                "mh-port" => (Some(Scheduler::Mh), 2),
                "flag-1" => (None, 1),
                "flag-2" => (None, 2),
                _ => (None, 3),
            };
            if scheduler.is_some_and(|scheduler| scheduler != value.lb_algo) {
                let message =
                    format!("{} is ignored with lb_algo {}", word.text, value.lb_algo.name());
                self.report.warn(word.at, message, "remove it");
                continue;
            }
            match bit {
                1 => value.flags.flag_1 = true,
                2 => value.flags.flag_2 = true,
                _ => value.flags.flag_3 = true,
            }
        }
    }

    fn persistence(&mut self, draft: &Draft) -> Option<Persistence> {
        let granularity = draft.granularity.as_ref();
        let timeout_s = match (&draft.persistence_timeout, granularity) {
            (Some(timeout), _) => timeout.value,
            (None, Some(granularity)) => {
                let message = "persistence_granularity alone means persistence_timeout 360, as in \
                               keepalived";
                self.report.warn(granularity.at, message, "write both");
                DEFAULT_PERSISTENCE_S
            }
            (None, None) => 0,
        };
        if timeout_s == 0 {
            let unused = [granularity.map(|one| one.at), draft.engine.as_ref().map(|one| one.at)];
            for at in unused.into_iter().flatten() {
                let message = "without persistence_timeout this has no effect";
                self.report.warn(at, message, "persistence_timeout 360");
            }
            return None;
        }
        Some(Persistence {
            timeout_s,
            granularity: granularity.map(|one| one.value),
            engine: draft.engine.as_ref().map(|one| one.value.clone()),
        })
    }

    fn quorum(&mut self, draft: &Draft, value: &mut VirtualServer) {
        value.quorum = draft.quorum.as_ref().map_or(1, |one| one.value);
        let Some(hysteresis) = &draft.hysteresis else { return };
        value.hysteresis = hysteresis.value;
        if hysteresis.value >= value.quorum {
            value.hysteresis = value.quorum - 1;
            let message = format!(
                "hysteresis {} is not below the quorum: {} is used, as in keepalived",
                hysteresis.value, value.hysteresis
            );
            self.report.warn(hysteresis.at, message, "a hysteresis below the quorum");
        }
    }

    /// Packets that are not translated keep their port: keepalived sets the service's.
    pub(super) fn port(
        &mut self,
        one: &Statement,
        real: &mut Real,
        server: &VirtualServer,
        port: Option<u16>,
    ) {
        let kind = real.value.lb_kind.unwrap_or(server.lb_kind);
        let service = port.unwrap_or(0);
        let own = real.value.address.port();
        if kind == Forward::Nat || own == service {
            return;
        }
        if real.has_port {
            self.other_port(one.keyword.at, own, service);
        }
        real.value.address.set_port(service);
    }

    fn other_port(&mut self, at: Pos, own: u16, service: u16) {
        let (message, hint) = match service {
            0 => (
                format!("port {own} counts for checks at most: DR and TUN keep each packet's port"),
                "only NAT changes the port",
            ),
            _ => (
                format!("port {own} is not the service's: {service} is used, as in keepalived"),
                "only NAT changes the port; the checks keep theirs",
            ),
        };
        self.report.warn(at, message, hint);
    }

    /// A mark has no address to tell the family by.
    pub(super) fn family(&mut self, draft: &Draft, reals: &[Real], value: &mut VirtualServer) {
        let kind = value.lb_kind;
        let untunnelled =
            |real: &&Real| !matches!(real.value.lb_kind.unwrap_or(kind), Forward::Tun(_));
        let told = reals.iter().find(untunnelled).or(reals.first());
        let told = told.map(|real| Family::of(real.value.address.ip()));
        match &mut value.service {
            Service::Fwmark(mark) => {
                let given = draft.family.as_ref().map(|family| family.value);
                mark.family = given.or(told).unwrap_or_default();
            }
            Service::Address(address) => {
                if let Some(family) = &draft.family
                    && family.value != Family::of(address.ip())
                {
                    let message = format!("ip_family is not that of {}", address.ip());
                    self.report.error(family.at, message, "remove it: the address says it");
                }
            }
            Service::Group(_) => {
                if let Some(family) = &draft.family {
                    let message = "ip_family has no effect: the entries of the group say it";
                    self.report.warn(family.at, message, "remove it");
                }
            }
        }
    }
}
