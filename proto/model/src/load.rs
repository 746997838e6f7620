//! Settings of load balancing that belong to no single virtual server.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What forwards packets to real servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dataplane {
    /// IPVS where the kernel has it, nftables where it has not.
    #[default]
    Auto,
    Ipvs,
    Nftables,
}

impl Dataplane {
    #[must_use]
    pub fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// The kernel's copying of connections to the other directors (`lvs_sync_daemon`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncDaemon {
    pub interface: String,
    /// Whose holder sends. Absent: whoever holds anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Directors with another number do not listen.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub id: u8,
    /// Bytes of a message. Absent: what the interface takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maxlen: Option<u16>,
    /// Absent: 8848.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u8>,
    /// Absent: 224.0.0.81.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<IpAddr>,
}

/// How long IPVS remembers an idle connection, in seconds; absent: as it is (`lvs_timeouts`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LvsTimeouts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<u32>,
    /// After the connection was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcpfin: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp: Option<u32>,
}

fn is_zero(value: &u8) -> bool {
    *value == 0
}
