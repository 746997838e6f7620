//! Virtual servers, as LVS and keepalived know them: a service, a scheduler and real servers.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::check::Check;

/// A service that clients reach under a VIP, and the real servers behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VirtualServer {
    pub service: Service,
    /// Of no meaning to a firewall mark, nor to the marks of a group.
    #[serde(default)]
    pub protocol: Protocol,
    /// Whose holder serves it. Absent: the instance that has the address, or the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    #[serde(default)]
    pub lb_algo: Scheduler,
    /// How packets reach real servers that do not say.
    #[serde(default)]
    pub lb_kind: Forward,
    #[serde(default, skip_serializing_if = "SchedulerFlags::is_none")]
    pub flags: SchedulerFlags,
    /// Each packet is scheduled alone, and no connection is remembered. UDP only.
    #[serde(default, skip_serializing_if = "is_not")]
    pub ops: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Persistence>,
    /// Host header of checks that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtualhost: Option<String>,
    /// A real server is down until a check of it has passed.
    #[serde(default, skip_serializing_if = "is_not")]
    pub alpha: bool,
    /// `notify_down` and `quorum_down` run also when the service is given up.
    #[serde(default, skip_serializing_if = "is_not")]
    pub omega: bool,
    /// A real server that fails keeps its entry, with weight 0.
    #[serde(default, skip_serializing_if = "is_not")]
    pub inhibit_on_failure: bool,
    /// Weight that must be up for the service to be up; 1 or more.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub quorum: u32,
    /// The quorum is gained at `quorum + hysteresis` and lost below `quorum - hysteresis`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hysteresis: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum_up: Option<Script>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum_down: Option<Script>,
    /// Its checks pause at a director that does not hold the VIP (`ha_suspend`).
    #[serde(default, skip_serializing_if = "is_not")]
    pub ha_suspend: bool,
    /// Mail when the quorum is gained or lost. Absent: as [`crate::Alerts::smtp_alert_checker`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp_alert: Option<bool>,
    /// Keeps a real server down that comes and goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damping: Option<Damping>,
    /// Serves in place of all real servers while the quorum is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sorry_server: Option<SorryServer>,
    /// In the order of the file, which is the order they are given to the kernel in.
    #[serde(rename = "real_server")]
    pub real_servers: Vec<RealServer>,
}

/// When a real server that comes and goes is kept down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Damping {
    /// Failures (from up to down) that are borne within `window_ms`: one more is too many. 1 or
    /// more.
    pub flaps: u32,
    pub window_ms: u32,
    /// After the last failure it stays down for at least so long.
    pub hold_ms: u32,
}

/// What tells a virtual server's packets from others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// Port 0 is every port, which takes persistence.
    Address(SocketAddr),
    Fwmark(Fwmark),
    /// A `virtual_server_group`, by its name.
    Group(String),
}

/// Packets that the firewall marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fwmark {
    /// 1 or more.
    pub mark: u32,
    pub family: Family,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    #[default]
    Inet,
    Inet6,
}

/// Several addresses and marks that one virtual server serves alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VirtualServerGroup {
    /// In the order of the file.
    pub entries: Vec<GroupEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupEntry {
    /// From the first address to the last, both included.
    Range {
        first: IpAddr,
        last: IpAddr,
        port: u16,
    },
    Fwmark(Fwmark),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

/// The schedulers of Linux 6 (`net/netfilter/ipvs/ip_vs_*.c`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduler {
    Rr,
    Wrr,
    Lc,
    #[default]
    Wlc,
    Lblc,
    Lblcr,
    Sh,
    Mh,
    Dh,
    Fo,
    Ovf,
    Sed,
    Nq,
    Twos,
}

/// Three bits whose meaning is the scheduler's. `sh` and `mh`: 1 is fallback, 2 is port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SchedulerFlags {
    pub flag_1: bool,
    pub flag_2: bool,
    pub flag_3: bool,
}

/// The forwarding method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Forward {
    #[default]
    Nat,
    Dr,
    Tun(Tunnel),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tunnel {
    pub kind: TunnelKind,
    pub checksum: TunnelChecksum,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TunnelKind {
    #[default]
    Ipip,
    Gue {
        port: u16,
    },
    Gre,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TunnelChecksum {
    #[default]
    Nocsum,
    Csum,
    Remcsum,
}

/// A client that came once comes to the same real server again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persistence {
    /// Seconds since its last connection ended; 1 or more.
    pub timeout_s: u32,
    /// Clients that share a prefix of this length count as one. Absent: each address alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granularity: Option<u8>,
    /// `sip`: by the call's identifier instead of the client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SorryServer {
    pub address: SocketAddr,
    /// Absent: the virtual server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lb_kind: Option<Forward>,
    /// It keeps its entry, with weight 0, while it does not serve.
    #[serde(default, skip_serializing_if = "is_not")]
    pub inhibit: bool,
}

/// A program to run, as a line of words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    pub command: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealServer {
    /// Port 0: the port that the client asked for.
    pub address: SocketAddr,
    /// 0 to 65535; 0 takes no new connection.
    #[serde(default = "weight_one", skip_serializing_if = "is_weight_one")]
    pub weight: u16,
    /// Absent: the virtual server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lb_kind: Option<Forward>,
    /// Connections above which it takes no new one; 0: no limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uthreshold: u32,
    /// Connections below which it takes new ones again; 0: three quarters of `uthreshold`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lthreshold: u32,
    #[serde(default, skip_serializing_if = "is_not")]
    pub inhibit_on_failure: bool,
    #[serde(default, skip_serializing_if = "is_not")]
    pub alpha: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtualhost: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify_up: Option<Script>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify_down: Option<Script>,
    /// Mail when it comes or goes. Absent: as [`crate::Alerts::smtp_alert_checker`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp_alert: Option<bool>,
    /// All must pass for it to be up. None: it is up.
    #[serde(default, rename = "check", skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

impl Scheduler {
    pub const ALL: [Self; 14] = [
        Self::Rr,
        Self::Wrr,
        Self::Lc,
        Self::Wlc,
        Self::Lblc,
        Self::Lblcr,
        Self::Sh,
        Self::Mh,
        Self::Dh,
        Self::Fo,
        Self::Ovf,
        Self::Sed,
        Self::Nq,
        Self::Twos,
    ];

    /// The kernel's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Lblc => "lblc",
            Self::Lblcr => "lblcr",
            Self::Sh => "sh",
            Self::Mh => "mh",
            Self::Dh => "dh",
            Self::Fo => "fo",
            Self::Ovf => "ovf",
            Self::Sed => "sed",
            Self::Nq => "nq",
            Self::Twos => "twos",
        }
    }
}

impl Protocol {
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl Family {
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::Inet } else { Self::Inet6 }
    }
}

impl SchedulerFlags {
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl RealServer {
    /// One of weight 1 that is never checked.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            weight: 1,
            lb_kind: None,
            uthreshold: 0,
            lthreshold: 0,
            inhibit_on_failure: false,
            alpha: false,
            virtualhost: None,
            notify_up: None,
            notify_down: None,
            smtp_alert: None,
            checks: Vec::new(),
        }
    }
}

impl VirtualServer {
    /// One with every setting at its default.
    #[must_use]
    pub fn new(service: Service, protocol: Protocol) -> Self {
        Self {
            service,
            protocol,
            instance: None,
            lb_algo: Scheduler::default(),
            lb_kind: Forward::default(),
            flags: SchedulerFlags::default(),
            ops: false,
            persistence: None,
            virtualhost: None,
            alpha: false,
            omega: false,
            inhibit_on_failure: false,
            quorum: 1,
            hysteresis: 0,
            quorum_up: None,
            quorum_down: None,
            ha_suspend: false,
            smtp_alert: None,
            damping: None,
            sorry_server: None,
            real_servers: Vec::new(),
        }
    }

    /// What no two virtual servers may share.
    #[must_use]
    pub fn key(&self) -> (Service, Protocol) {
        let protocol = match self.service {
            Service::Fwmark(_) => Protocol::Tcp,
            Service::Address(_) | Service::Group(_) => self.protocol,
        };
        (self.service.clone(), protocol)
    }
}

/// As keepalived writes it behind `virtual_server`.
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{} {}", address.ip(), address.port()),
            Self::Fwmark(Fwmark { mark, family: Family::Inet }) => write!(f, "fwmark {mark}"),
            Self::Fwmark(Fwmark { mark, family: Family::Inet6 }) => {
                write!(f, "fwmark {mark} inet6")
            }
            Self::Group(name) => write!(f, "group {name}"),
        }
    }
}

pub(crate) fn one() -> u32 {
    1
}
fn weight_one() -> u16 {
    1
}
// serde's `skip_serializing_if` hands over a reference.
pub(crate) fn is_one(value: &u32) -> bool {
    *value == 1
}
fn is_weight_one(value: &u16) -> bool {
    *value == 1
}
pub(crate) fn is_zero(value: &u32) -> bool {
    *value == 0
}
pub(crate) fn is_not(value: &bool) -> bool {
    !*value
}
