//! `virtual_server_group` and `virtual_server`. keepalived serves them on every node.

use std::net::{IpAddr, Ipv4Addr};

use leasehold_model::{
    CheckKind, Family, Forward, Fwmark, GroupEntry, Protocol, Service, Tunnel, TunnelChecksum,
    TunnelKind, VirtualServer,
};

use super::{Writer, words};
use crate::document::canonical::flag_words;
use crate::document::checks;

impl Writer<'_> {
    pub(super) fn groups(&mut self) {
        for (name, group) in &self.config.groups {
            let head = format!("virtual_server_group {}", self.name(name));
            self.block(&head, |writer| {
                group.entries.iter().for_each(|one| writer.line(&entry(one)));
            });
        }
    }

    pub(super) fn servers(&mut self) {
        for (index, server) in self.config.virtual_servers.iter().enumerate() {
            let what = match &server.service {
                Service::Address(at) if at.port() == 0 => at.ip().to_string(),
                Service::Address(at) => format!("{} {}", at.ip(), at.port()),
                Service::Fwmark(one) => format!("fwmark {}", one.mark),
                Service::Group(name) => format!("group {}", self.name(name)),
            };
            let shown = format!("virtual_server {}", server.name());
            self.at_item("virtual_server", index, shown, |writer| {
                writer.block(&format!("virtual_server {what}"), |writer| writer.server(server));
            });
        }
    }

    fn server(&mut self, server: &VirtualServer) {
        if server.instance.is_some() {
            self.leave_out("instance", "keepalived serves it on every node, whoever has the VIP");
        }
        if let Service::Fwmark(one) = &server.service {
            self.line(match one.family {
                Family::Inet => "ip_family inet",
                Family::Inet6 => "ip_family inet6",
            });
        }
        let every = delay_loop_ms(server);
        if every != checks::default_delay_loop_ms() {
            self.line(&format!("delay_loop {}", words::seconds(every)));
        }
        self.scheduling(server);
        self.flag("ha_suspend", server.ha_suspend);
        self.text_of("virtualhost", "virtualhost", server.virtualhost.as_deref());
        self.flag("alpha", server.alpha);
        self.flag("omega", server.omega);
        self.flag("inhibit_on_failure", server.inhibit_on_failure);
        self.number("quorum", (server.quorum != 1).then_some(server.quorum));
        self.number("hysteresis", (server.hysteresis != 0).then_some(server.hysteresis));
        self.script("quorum_up", "quorum_up", server.quorum_up.as_ref());
        self.script("quorum_down", "quorum_down", server.quorum_down.as_ref());
        self.switch("smtp_alert", server.smtp_alert);
        if server.damping.is_some() {
            self.leave_out("damping", "keepalived takes a real server back as soon as it is up");
        }
        self.sorry_server(server);
        for (index, real) in server.real_servers.iter().enumerate() {
            let shown = format!("real_server {}", real.address);
            self.at_item("real_server", index, shown, |writer| {
                let head = format!("real_server {} {}", real.address.ip(), real.address.port());
                writer.block(&head, |writer| writer.real_server(real, every));
            });
        }
    }

    fn scheduling(&mut self, server: &VirtualServer) {
        self.line(&format!("lb_algo {}", server.lb_algo.name()));
        let flags = [server.flags.flag_1, server.flags.flag_2, server.flags.flag_3];
        for (word, is_set) in flag_words(server.lb_algo).into_iter().zip(flags) {
            self.flag(word, is_set);
        }
        self.forward("lb_kind", "lb_kind", server.lb_kind);
        self.flag("ops", server.ops);
        if let Some(persistence) = &server.persistence {
            self.number("persistence_timeout", Some(persistence.timeout_s));
            let family = self.family(server);
            let granularity = persistence.granularity.map(|prefix| match family {
                Family::Inet => mask(prefix),
                Family::Inet6 => prefix.to_string(),
            });
            self.number("persistence_granularity", granularity);
            let engine = persistence.engine.as_deref();
            self.text_of("persistence_engine", "persistence_engine", engine);
        }
        // A mark has every protocol.
        if !matches!(server.service, Service::Fwmark(_)) {
            self.line(match server.protocol {
                Protocol::Tcp => "protocol TCP",
                Protocol::Udp => "protocol UDP",
                Protocol::Sctp => "protocol SCTP",
            });
        }
    }

    /// Of a group, that of its first entry: the rest of it must be alike for keepalived.
    fn family(&self, server: &VirtualServer) -> Family {
        match &server.service {
            Service::Address(at) => Family::of(at.ip()),
            Service::Fwmark(one) => one.family,
            Service::Group(name) => {
                let entries = self.config.groups.get(name).map(|group| group.entries.as_slice());
                match entries.and_then(<[GroupEntry]>::first) {
                    Some(GroupEntry::Range { first, .. }) => Family::of(*first),
                    Some(GroupEntry::Fwmark(one)) => one.family,
                    None => Family::Inet,
                }
            }
        }
    }

    pub(super) fn forward(&mut self, key: &str, word: &str, kind: Forward) {
        let Tunnel { kind, checksum } = match kind {
            Forward::Nat => return self.line(&format!("{word} NAT")),
            Forward::Dr => return self.line(&format!("{word} DR")),
            Forward::Tun(tunnel) => tunnel,
        };
        let mut line = match kind {
            TunnelKind::Ipip => format!("{word} TUN"),
            TunnelKind::Gre => format!("{word} TUN type gre"),
            TunnelKind::Gue { port } => format!("{word} TUN type gue port {port}"),
        };
        let refused = match (kind, checksum) {
            (_, TunnelChecksum::Nocsum) | (TunnelKind::Gue { .. }, _) => None,
            (TunnelKind::Gre, TunnelChecksum::Csum) => None,
            (TunnelKind::Gre, TunnelChecksum::Remcsum) => Some("keepalived's GRE has no remcsum"),
            (TunnelKind::Ipip, TunnelChecksum::Csum | TunnelChecksum::Remcsum) => {
                Some("IPIP has no checksum")
            }
        };
        match (refused, checksum) {
            (Some(why), _) => self.at(key, |writer| writer.leave_out("checksum", why)),
            (None, TunnelChecksum::Nocsum) => {}
            (None, TunnelChecksum::Csum) => line.push_str(" csum"),
            (None, TunnelChecksum::Remcsum) => line.push_str(" remcsum"),
        }
        self.line(&line);
    }

    fn sorry_server(&mut self, server: &VirtualServer) {
        let Some(sorry) = &server.sorry_server else { return };
        self.line(&format!("sorry_server {} {}", sorry.address.ip(), sorry.address.port()));
        self.flag("sorry_server_inhibit", sorry.inhibit);
        if let Some(kind) = sorry.lb_kind {
            self.at("sorry_server", |writer| {
                writer.forward("lb_kind", "sorry_server_lvs_method", kind);
            });
        }
    }
}

/// How often its checks are made that say nothing: as the first, and as one of a file, which can't
/// say it itself.
fn delay_loop_ms(server: &VirtualServer) -> u32 {
    let checks = || server.real_servers.iter().flat_map(|real| &real.checks);
    let of_file = checks().find(|check| matches!(check.kind, CheckKind::File(_)));
    let first = of_file.or_else(|| checks().next());
    first.map_or_else(checks::default_delay_loop_ms, |check| check.delay_loop_ms)
}

fn entry(entry: &GroupEntry) -> String {
    match entry {
        GroupEntry::Fwmark(Fwmark { mark, family: Family::Inet }) => format!("fwmark {mark} inet"),
        GroupEntry::Fwmark(Fwmark { mark, family: Family::Inet6 }) => {
            format!("fwmark {mark} inet6")
        }
        GroupEntry::Range { first, last, port: 0 } => range(*first, *last),
        GroupEntry::Range { first, last, port } => format!("{} {port}", range(*first, *last)),
    }
}

/// The short form that every version knows, where only the last number differs.
fn range(first: IpAddr, last: IpAddr) -> String {
    if first == last {
        return first.to_string();
    }
    match (first, last) {
        (IpAddr::V4(v4), IpAddr::V4(end)) if v4.octets()[..3] == end.octets()[..3] => {
            format!("{v4}-{}", end.octets()[3])
        }
        (IpAddr::V6(v6), IpAddr::V6(end)) if v6.segments()[..7] == end.segments()[..7] => {
            format!("{v6}-{:x}", end.segments()[7])
        }
        (IpAddr::V4(_) | IpAddr::V6(_), _) => format!("{first}-{last}"),
    }
}

fn mask(prefix: u8) -> String {
    let hosts = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
    Ipv4Addr::from_bits(!hosts).to_string()
}
