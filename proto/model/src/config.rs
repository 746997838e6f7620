//! The configuration that the group replicates: what the operator wrote, checked and typed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::load::{Dataplane, LvsTimeouts, SyncDaemon};
use crate::virtual_server::{
    Family, Fwmark, GroupEntry, Service, VirtualServer, VirtualServerGroup,
};

/// The whole of it. Canonical: two configurations that mean the same are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub global: Global,
    /// By instance name.
    #[serde(rename = "instance", skip_serializing_if = "BTreeMap::is_empty")]
    pub instances: BTreeMap<String, Instance>,
    /// By group name.
    #[serde(rename = "virtual_server_group", skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, VirtualServerGroup>,
    /// In the order of [`VirtualServer::key`], which no two share.
    #[serde(rename = "virtual_server", skip_serializing_if = "Vec::is_empty")]
    pub virtual_servers: Vec<VirtualServer>,
}

/// Settings of no single instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Global {
    /// keepalived's `router_id`, per director: a name for humans, in logs and mail.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub router_id: BTreeMap<String, String>,
    /// Where VRRPv2 and IPv4 VRRPv3 adverts go; 224.0.0.18 where absent (RFC 9568, 5.1.1.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vrrp_mcast_group4: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Dataplane::is_auto")]
    pub dataplane: Dataplane,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lvs_sync_daemon: Option<SyncDaemon>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lvs_timeouts: Option<LvsTimeouts>,
    /// How long a real server that left the configuration keeps its connections, in
    /// milliseconds. Absent: a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_timeout_ms: Option<u32>,
}

/// A virtual router: one VRID, one interface and the VIPs that move together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// 1 to 255 (RFC 9568, 5.2.3).
    pub virtual_router_id: u8,
    /// Where the VIPs live, unless a VIP or a director names another.
    pub interface: String,
    /// Priority of directors that `director` does not name, 1 to 254. Absent: a spare, below
    /// every priority that is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// Time between adverts, in milliseconds: 10 to 40950 for VRRPv3 (RFC 9568, 5.2.7), whole
    /// seconds for VRRPv2.
    #[serde(default = "advert_int_ms", skip_serializing_if = "is_default_advert_int_ms")]
    pub advert_int_ms: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Auth>,
    /// A director of higher priority takes the instance from a healthy holder.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub preempt: bool,
    /// How long a director of higher priority must have been eligible before it preempts, in
    /// milliseconds, 0 to 1000000.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub preempt_delay_ms: u32,
    /// In the order of the file: the first is the primary address.
    pub virtual_ipaddress: Vec<Vip>,
    /// What one director has of its own, by its name.
    #[serde(default, rename = "director", skip_serializing_if = "BTreeMap::is_empty")]
    pub directors: BTreeMap<String, Candidate>,
}

/// One director's part in one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Candidate {
    /// 1 to 255; absent: the instance's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// This director's name for the instance's interface; absent: the instance's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

/// A virtual IP address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vip {
    pub address: IpAddr,
    /// 32 or 128 where the file gives none.
    pub prefix: u8,
    /// Absent: the instance's interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dev: Option<String>,
    /// IPv4 only; at most 15 bytes, begins with the interface's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// IPv4 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broadcast: Option<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Scope::is_global")]
    pub scope: Scope,
}

/// How far an address reaches (`rt_scope_t`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    #[default]
    Global,
    Site,
    Link,
    Host,
}

impl Scope {
    fn is_global(&self) -> bool {
        *self == Self::Global
    }
}

/// VRRPv2 authentication, as keepalived has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    pub auth_type: AuthType,
    /// Only the first eight bytes go on the wire.
    pub auth_pass: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AuthType {
    Pass,
    Ah,
}

/// One thing that the kernel tells a virtual server's packets by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entrance {
    Address { address: IpAddr, port: u16 },
    Fwmark { mark: u32, family: Family },
}

impl Config {
    /// Every entrance of a virtual server: one, or those of its group.
    #[must_use]
    pub fn entrances(&self, server: &VirtualServer) -> Vec<Entrance> {
        let fwmark = |one: Fwmark| Entrance::Fwmark { mark: one.mark, family: one.family };
        match &server.service {
            Service::Address(one) => {
                vec![Entrance::Address { address: one.ip(), port: one.port() }]
            }
            Service::Fwmark(one) => vec![fwmark(*one)],
            Service::Group(name) => {
                let entries = self.groups.get(name).map_or(&[][..], |group| &group.entries);
                let all = entries.iter().flat_map(|entry| match entry {
                    GroupEntry::Fwmark(one) => vec![fwmark(*one)],
                    GroupEntry::Range { first, last, port } => addresses(*first, *last)
                        .map(|address| Entrance::Address { address, port: *port })
                        .collect(),
                });
                all.collect()
            }
        }
    }

    /// The instance whose holder serves this entrance of a virtual server.
    #[must_use]
    pub fn instance_for<'a>(&'a self, server: &'a VirtualServer, at: Entrance) -> Option<&'a str> {
        let named = server.instance.as_deref().filter(|name| self.instances.contains_key(*name));
        let by_address = || match at {
            Entrance::Address { address, .. } => self.instance_with(address),
            // The marks of a group belong where its addresses do.
            Entrance::Fwmark { .. } => self.entrances(server).iter().find_map(|one| match one {
                Entrance::Address { address, .. } => self.instance_with(*address),
                Entrance::Fwmark { .. } => None,
            }),
        };
        let only = || match self.instances.len() {
            1 => self.instances.keys().next().map(String::as_str),
            _ => None,
        };
        named.or_else(by_address).or_else(only)
    }

    fn instance_with(&self, address: IpAddr) -> Option<&str> {
        let has = |one: &Instance| one.virtual_ipaddress.iter().any(|vip| vip.address == address);
        self.instances.iter().find(|(_, one)| has(one)).map(|(name, _)| name.as_str())
    }
}

/// From the first address to the last; none where they differ in family.
fn addresses(first: IpAddr, last: IpAddr) -> impl Iterator<Item = IpAddr> {
    let (v4, v6) = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => (Some(first.to_bits()..=last.to_bits()), None),
        (IpAddr::V6(first), IpAddr::V6(last)) => (None, Some(first.to_bits()..=last.to_bits())),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => (None, None),
    };
    let v4 = v4.into_iter().flatten().map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
    let v6 = v6.into_iter().flatten().map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)));
    v4.chain(v6)
}

impl Instance {
    /// The interface that `vip` lives on at the director called `director`.
    #[must_use]
    pub fn interface_of<'a>(&'a self, vip: &'a Vip, director: &str) -> &'a str {
        let own = self.directors.get(director).and_then(|one| one.interface.as_deref());
        match (vip.dev.as_deref(), own) {
            // A VIP's `dev` is the instance's interface written twice, as a rule; then a
            // director that names its own interface means the VIP too.
            (Some(dev), Some(own)) if dev == self.interface => own,
            (Some(dev), _) => dev,
            (None, Some(own)) => own,
            (None, None) => &self.interface,
        }
    }

    /// The label of `vip` at the director called `director`: what follows the interface's name in
    /// the configuration follows the director's own name for it there.
    #[must_use]
    pub fn label_of(&self, vip: &Vip, director: &str) -> Option<String> {
        let label = vip.label.as_deref()?;
        let written = vip.dev.as_deref().unwrap_or(&self.interface);
        let rest = label.strip_prefix(written);
        let own = self.interface_of(vip, director);
        Some(rest.map_or_else(|| label.to_owned(), |rest| format!("{own}{rest}")))
    }

    /// The configured priority of the director called `director`; 0 for a spare.
    #[must_use]
    pub fn priority_of(&self, director: &str) -> u8 {
        let own = self.directors.get(director).and_then(|one| one.priority);
        own.or(self.priority).unwrap_or(0)
    }
}

fn advert_int_ms() -> u32 {
    1000
}
// serde's `skip_serializing_if` hands over a reference.
fn is_default_advert_int_ms(value: &u32) -> bool {
    *value == advert_int_ms()
}
fn yes() -> bool {
    true
}
fn is_yes(value: &bool) -> bool {
    *value
}
fn is_zero(value: &u32) -> bool {
    *value == 0
}
