//! The configuration that the group replicates: what the operator wrote, checked and typed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::load::{Dataplane, LvsTimeouts, SyncDaemon};
use crate::notify::{Alerts, Notify};
use crate::route::{Route, Rule};
use crate::track::{SyncGroup, TrackFile, TrackProcess, TrackScript, Tracking};
use crate::virtual_server::{Family, VirtualServer, VirtualServerGroup};
use crate::vrrp::{Adverts, Garp, Vmac, VrrpVersion};

/// The whole of it. Canonical: two configurations that mean the same are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub global: Global,
    /// By instance name.
    #[serde(rename = "instance", skip_serializing_if = "BTreeMap::is_empty")]
    pub instances: BTreeMap<String, Instance>,
    /// By name.
    #[serde(rename = "sync_group", skip_serializing_if = "BTreeMap::is_empty")]
    pub sync_groups: BTreeMap<String, SyncGroup>,
    /// By name.
    #[serde(rename = "script", skip_serializing_if = "BTreeMap::is_empty")]
    pub scripts: BTreeMap<String, TrackScript>,
    /// By name.
    #[serde(rename = "process", skip_serializing_if = "BTreeMap::is_empty")]
    pub processes: BTreeMap<String, TrackProcess>,
    /// By name.
    #[serde(rename = "file", skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, TrackFile>,
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
    /// Where IPv6 adverts go; ff02::12 where absent (RFC 9568, 5.1.2.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vrrp_mcast_group6: Option<Ipv6Addr>,
    /// The version of instances that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vrrp_version: Option<VrrpVersion>,
    /// What instances do that say nothing.
    #[serde(skip_serializing_if = "is_default")]
    pub garp: Garp,
    /// Between two announcements out of one interface, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub garp_interval_us: Option<u32>,
    /// The same for IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gna_interval_us: Option<u32>,
    #[serde(skip_serializing_if = "is_default")]
    pub alerts: Alerts,
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
    /// VIPs that adverts do not list, of either family.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub virtual_ipaddress_excluded: Vec<Vip>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub virtual_routes: Vec<Route>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub virtual_rules: Vec<Rule>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub adverts: Adverts,
    #[serde(default, skip_serializing_if = "is_default")]
    pub garp: Garp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_vmac: Option<Vmac>,
    #[serde(default, skip_serializing_if = "Tracking::is_empty")]
    pub tracking: Tracking,
    /// The instance's own interface may be down.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dont_track_primary: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub notify: Notify,
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
    /// Where its adverts come from; absent: the interface's first address that is no VIP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_ip: Option<IpAddr>,
    /// What this director runs instead of the instance's: see [`Instance::notify_at`].
    #[serde(skip_serializing_if = "is_default")]
    pub notify: Notify,
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

/// What one lease covers: a sync group, or an instance that is in none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit<'a> {
    /// The sync group's name, or the lone instance's.
    pub name: &'a str,
    pub sync_group: Option<&'a SyncGroup>,
    /// In the order of the sync group; never empty.
    pub members: Vec<(&'a str, &'a Instance)>,
}

impl Config {
    /// Sync groups first, then lone instances, each by name.
    #[must_use]
    pub fn units(&self) -> Vec<Unit<'_>> {
        let mut grouped = BTreeSet::new();
        let mut units = Vec::new();
        for (name, group) in &self.sync_groups {
            let members: Vec<_> = group
                .members
                .iter()
                .filter(|member| grouped.insert(member.as_str()))
                .filter_map(|member| self.instances.get_key_value(member))
                .map(|(member, instance)| (member.as_str(), instance))
                .collect();
            if !members.is_empty() {
                units.push(Unit { name, sync_group: Some(group), members });
            }
        }
        let lone = self.instances.iter().filter(|(name, _)| !grouped.contains(name.as_str()));
        units.extend(lone.map(|(name, instance)| Unit {
            name,
            sync_group: None,
            members: vec![(name.as_str(), instance)],
        }));
        units
    }
}

impl Instance {
    /// One without addresses, and otherwise as it is where the file says nothing.
    #[must_use]
    pub fn new(virtual_router_id: u8, interface: &str) -> Self {
        Self {
            virtual_router_id,
            interface: interface.to_owned(),
            priority: None,
            advert_int_ms: advert_int_ms(),
            authentication: None,
            preempt: true,
            preempt_delay_ms: 0,
            virtual_ipaddress: Vec::new(),
            virtual_ipaddress_excluded: Vec::new(),
            virtual_routes: Vec::new(),
            virtual_rules: Vec::new(),
            adverts: Adverts::default(),
            garp: Garp::default(),
            use_vmac: None,
            tracking: Tracking::default(),
            dont_track_primary: false,
            notify: Notify::default(),
            directors: BTreeMap::new(),
        }
    }

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

    /// Every VIP: those that adverts list, then the others.
    pub fn vips(&self) -> impl Iterator<Item = &Vip> {
        self.virtual_ipaddress.iter().chain(&self.virtual_ipaddress_excluded)
    }

    /// The interface that adverts of the director called `director` leave by.
    #[must_use]
    pub fn interface_at<'a>(&'a self, director: &str) -> &'a str {
        let own = self.directors.get(director).and_then(|one| one.interface.as_deref());
        own.unwrap_or(&self.interface)
    }

    /// What the director called `director` runs: its own, and where it has none, the instance's.
    #[must_use]
    pub fn notify_at(&self, director: &str) -> Notify {
        let own = self.directors.get(director).map(|one| one.notify.clone()).unwrap_or_default();
        own.or(&self.notify)
    }

    /// That of its adverts and of the addresses which these list: one instance has one.
    #[must_use]
    pub fn family(&self) -> Family {
        self.virtual_ipaddress.first().map_or(Family::Inet, |vip| Family::of(vip.address))
    }

    /// What its macvlan is called where nothing else is said.
    #[must_use]
    pub fn default_vmac_name(&self) -> String {
        let prefix = match self.family() {
            Family::Inet => "vrrp",
            Family::Inet6 => "vrrp6",
        };
        format!("{prefix}.{}", self.virtual_router_id)
    }

    /// The version of its adverts: IPv6 and fractions of a second are VRRPv3's.
    #[must_use]
    pub fn version(&self, global: &Global) -> VrrpVersion {
        if self.family() == Family::Inet6 || !self.advert_int_ms.is_multiple_of(1000) {
            return VrrpVersion::V3;
        }
        self.adverts.version.or(global.vrrp_version).unwrap_or(VrrpVersion::V2)
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
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
fn is_zero(value: &u32) -> bool {
    *value == 0
}
