//! `[[virtual_server]]`: services, schedulers and everything but the real servers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use leasehold_model::{
    Damping, Family, Forward, Fwmark, Persistence, Protocol, Scheduler, SchedulerFlags, Script,
    Service, SorryServer, Tunnel, TunnelChecksum, TunnelKind, VirtualServer,
};
use toml::Spanned;

use super::group::socket;
use super::{At, Reader};
use crate::document::canonical::{self, flag_words};
use crate::document::checks;
use crate::document::{DEFAULT_GUE_PORT, MAX_LVS_TIMEOUT_S};

pub(super) const SOCKET: &str = "for example \"10.0.0.1:80\" or \"[fd00::1]:80\"";
/// Stands for an address that could not be read.
pub(super) const UNREAD: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

const KNOWN: [&str; 26] = [
    "address",
    "fwmark",
    "family",
    "group",
    "protocol",
    "instance",
    "lb_algo",
    "lb_kind",
    "flags",
    "ops",
    "persistence_timeout",
    "persistence_granularity",
    "persistence_engine",
    "virtualhost",
    "alpha",
    "omega",
    "inhibit_on_failure",
    "quorum",
    "hysteresis",
    "quorum_up",
    "quorum_down",
    "ha_suspend",
    "smtp_alert",
    "damping",
    "sorry_server",
    "real_server",
];

impl Reader<'_> {
    pub(super) fn virtual_servers(&mut self, root: &At<'_, '_>) -> Vec<VirtualServer> {
        let mut servers = Vec::new();
        for (index, span, table) in self.tables(root, "virtual_server") {
            let at = At { table, span, path: vec!["virtual_server", &index] };
            servers.push((servers.len(), self.virtual_server(&at)));
        }
        // Faults are about places in the sorted list.
        servers.sort_by_key(|(_, server)| server.key());
        let order: Vec<usize> = servers.iter().map(|(index, _)| *index).collect();
        self.places.reorder("virtual_server", &order);
        servers.into_iter().map(|(_, server)| server).collect()
    }

    fn virtual_server(&mut self, at: &At<'_, '_>) -> VirtualServer {
        self.known(at, "a virtual server", &KNOWN);
        let service = self.service(at);
        let protocols = Protocol::ALL.map(|one| (one.name(), one));
        let protocol = self.choice(at, "protocol", &protocols).unwrap_or_default();
        if matches!(service, Service::Fwmark(_)) && at.get("protocol").is_some() {
            let message = "protocol has no effect: a firewall mark has every protocol";
            self.warn(at, "protocol", message, "remove it");
        }
        let mut server = VirtualServer::new(service, protocol);
        server.instance = self.owned(at, "instance");
        let algorithms = Scheduler::ALL.map(|one| (one.name(), one));
        server.lb_algo = self.choice(at, "lb_algo", &algorithms).unwrap_or_default();
        server.lb_kind = self.forward(at, "lb_kind").unwrap_or_default();
        server.flags = self.flags(at, server.lb_algo);
        server.ops = self.boolean(at, "ops").unwrap_or(false);
        server.persistence = self.persistence(at);
        server.virtualhost = self.owned(at, "virtualhost");
        server.alpha = self.boolean(at, "alpha").unwrap_or(false);
        server.omega = self.boolean(at, "omega").unwrap_or(false);
        server.inhibit_on_failure = self.boolean(at, "inhibit_on_failure").unwrap_or(false);
        let any = i64::from(u32::MAX);
        server.quorum = self.integer(at, "quorum", 1..=any).unwrap_or(1);
        server.hysteresis = self.integer(at, "hysteresis", 0..=any).unwrap_or(0);
        server.quorum_up = self.script(at, "quorum_up");
        server.quorum_down = self.script(at, "quorum_down");
        server.ha_suspend = self.boolean(at, "ha_suspend").unwrap_or(false);
        server.smtp_alert = self.boolean(at, "smtp_alert");
        server.damping = self.damping(at);
        server.sorry_server = self.sorry_server(at);
        server.real_servers = self.real_servers(at);
        canonical::virtual_server(&mut server);
        server
    }

    fn service(&mut self, at: &At<'_, '_>) -> Service {
        let names = ["address", "fwmark", "group"];
        let given: Vec<&str> = names.into_iter().filter(|name| at.get(name).is_some()).collect();
        let unread = Service::Address(UNREAD);
        let name = match given.as_slice() {
            [one] => *one,
            [] => {
                let message = "the virtual server has no address, fwmark or group".to_owned();
                self.unread(&at.path_to("address"), &at.span, message, SOCKET);
                return unread;
            }
            [..] => {
                let message = format!("{} exclude each other", given.join(" and "));
                self.unread(&at.path_to("address"), &at.span, message, "keep one of them");
                return unread;
            }
        };
        let families = [("inet", Family::Inet), ("inet6", Family::Inet6)];
        let family = self.choice(at, "family", &families);
        if family.is_some() && name != "fwmark" {
            let message = format!("family has no effect: the {name} says it");
            self.warn(at, "family", &message, "it is for fwmark");
        }
        let service = match name {
            "address" => self.socket(at, "address").map(Service::Address),
            "group" => self.owned(at, "group").map(Service::Group),
            _ => {
                let mark = self.integer(at, "fwmark", 1..=i64::from(u32::MAX));
                let family = family.unwrap_or_default();
                mark.map(|mark| Service::Fwmark(Fwmark { mark, family }))
            }
        };
        // The stand-in is an address, whatever stands in the text.
        service.unwrap_or_else(|| {
            self.places.put_unread(&at.path_to("address"));
            unread
        })
    }

    pub(super) fn socket(&mut self, at: &At<'_, '_>, name: &str) -> Option<SocketAddr> {
        let text = self.string(at, name)?;
        let address = socket(text);
        if address.is_none() {
            let span = at.get(name).map_or(0..0, Spanned::span);
            let message = format!("{text:?} is no address with a port");
            self.unread(&at.path_to(name), &span, message, SOCKET);
        }
        address
    }

    /// A word, or a table for tunnels that are not plain IPIP.
    pub(super) fn forward(&mut self, at: &At<'_, '_>, name: &str) -> Option<Forward> {
        if at.get(name)?.get_ref().as_table().is_some() {
            let table = self.table(at, name)?;
            return self.tunnel(&table).map(Forward::Tun);
        }
        let kinds =
            [("NAT", Forward::Nat), ("DR", Forward::Dr), ("TUN", Forward::Tun(Tunnel::default()))];
        self.choice(at, name, &kinds)
    }

    fn tunnel(&mut self, at: &At<'_, '_>) -> Option<Tunnel> {
        self.known(at, "a tunnel", &["tunnel", "port", "checksum"]);
        self.required(at, &["tunnel"]);
        let gue = TunnelKind::Gue { port: DEFAULT_GUE_PORT };
        let kinds = [("ipip", TunnelKind::Ipip), ("gue", gue), ("gre", TunnelKind::Gre)];
        let checksums = [
            ("nocsum", TunnelChecksum::Nocsum),
            ("csum", TunnelChecksum::Csum),
            ("remcsum", TunnelChecksum::Remcsum),
        ];
        let checksum = self.choice(at, "checksum", &checksums).unwrap_or_default();
        let port = self.integer(at, "port", 1..=65535);
        let kind = match (self.choice(at, "tunnel", &kinds)?, port) {
            (TunnelKind::Gue { .. }, Some(port)) => TunnelKind::Gue { port },
            (kind @ (TunnelKind::Ipip | TunnelKind::Gre), Some(_)) => {
                self.warn(at, "port", "port has no effect: only gue has one", "remove it");
                kind
            }
            (kind, None) => kind,
        };
        Some(Tunnel { kind, checksum })
    }

    fn flags(&mut self, at: &At<'_, '_>, scheduler: Scheduler) -> SchedulerFlags {
        let mut flags = SchedulerFlags::default();
        let words = flag_words(scheduler);
        for (index, value) in self.array(at, "flags").into_iter().flatten().enumerate() {
            let index = index.to_string();
            let mut path = at.path_to("flags");
            path.push(&index);
            let Some(word) = value.get_ref().as_str() else {
                self.mistyped(&path, value, "a string");
                continue;
            };
            if word == words[0] || word == "flag-1" {
                flags.flag_1 = true;
            } else if word == words[1] || word == "flag-2" {
                flags.flag_2 = true;
            } else if word == words[2] {
                flags.flag_3 = true;
            } else {
                let message = format!("{word:?} is no flag of {}", scheduler.name());
                let hint = format!("one of {}", words.join(", "));
                self.unread(&path, &value.span(), message, &hint);
            }
        }
        flags
    }

    fn persistence(&mut self, at: &At<'_, '_>) -> Option<Persistence> {
        let range = 0..=i64::from(MAX_LVS_TIMEOUT_S);
        let timeout_s = self.integer(at, "persistence_timeout", range);
        let granularity = self.granularity(at);
        let engine = self.owned(at, "persistence_engine");
        if timeout_s.unwrap_or(0) == 0 && !self.is_unread(at, "persistence_timeout") {
            for name in ["persistence_granularity", "persistence_engine"] {
                if at.get(name).is_some() {
                    let message = format!("{name} has no effect without persistence_timeout");
                    self.warn(at, name, &message, "persistence_timeout = 360");
                }
            }
        }
        let timeout_s = timeout_s.filter(|seconds| *seconds > 0)?;
        Some(Persistence { timeout_s, granularity, engine })
    }

    fn is_unread(&self, at: &At<'_, '_>, name: &str) -> bool {
        let path: Vec<String> = at.path_to(name).iter().map(|step| (*step).to_owned()).collect();
        !self.places.was_read(&path)
    }

    /// A prefix length, or an IPv4 netmask.
    fn granularity(&mut self, at: &At<'_, '_>) -> Option<u8> {
        let name = "persistence_granularity";
        let Some(text) = at.get(name)?.get_ref().as_str() else {
            return self.integer(at, name, 1..=128);
        };
        let prefix = canonical::prefix_of_mask(text);
        if prefix.is_none() {
            let span = at.get(name).map_or(0..0, Spanned::span);
            let message = format!("{text:?} is no netmask");
            self.unread(&at.path_to(name), &span, message, "for example 24 or \"255.255.255.0\"");
        }
        prefix
    }

    pub(super) fn script(&mut self, at: &At<'_, '_>, name: &str) -> Option<Script> {
        if at.get(name)?.get_ref().as_table().is_none() {
            let command = self.owned(at, name)?;
            return Some(Script { command, user: None, group: None });
        }
        let table = self.table(at, name)?;
        self.known(&table, "a script", &["command", "user", "group"]);
        self.required(&table, &["command"]);
        let user = self.owned(&table, "user");
        let group = self.owned(&table, "group");
        Some(Script { command: self.owned(&table, "command")?, user, group })
    }

    fn damping(&mut self, at: &At<'_, '_>) -> Option<Damping> {
        let table = self.table(at, "damping")?;
        let names = ["flaps", "window_ms", "hold_ms"];
        self.known(&table, "damping", &names);
        self.required(&table, &names);
        let flaps = self.limited(&table, "flaps", checks::FLAPS);
        let window_ms = self.limited(&table, "window_ms", checks::WINDOW_MS);
        let hold_ms = self.limited(&table, "hold_ms", checks::HOLD_MS);
        Some(Damping { flaps: flaps?, window_ms: window_ms?, hold_ms: hold_ms? })
    }

    fn sorry_server(&mut self, at: &At<'_, '_>) -> Option<SorryServer> {
        let name = "sorry_server";
        if at.get(name)?.get_ref().as_table().is_none() {
            let address = self.socket(at, name)?;
            return Some(SorryServer { address, lb_kind: None, inhibit: false });
        }
        let table = self.table(at, name)?;
        self.known(&table, "a sorry server", &["address", "lb_kind", "inhibit"]);
        self.required(&table, &["address"]);
        let lb_kind = self.forward(&table, "lb_kind");
        let inhibit = self.boolean(&table, "inhibit").unwrap_or(false);
        Some(SorryServer { address: self.socket(&table, "address")?, lb_kind, inhibit })
    }
}
