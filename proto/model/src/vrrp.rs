//! How an instance announces itself: VRRP adverts and gratuitous ARP.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The protocol's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VrrpVersion {
    /// RFC 3768: IPv4 and whole seconds.
    V2,
    /// RFC 9568: both families, and hundredths of a second.
    V3,
}

/// Where adverts go, and what is made of those that others send.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adverts {
    /// Absent: 2, or 3 where the family or the interval asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<VrrpVersion>,
    /// Absent: the cluster's group for the family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcast_dst_ip: Option<IpAddr>,
    /// Not empty: adverts go to each of these that is not the sender's, and nowhere else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unicast_peer: Vec<IpAddr>,
    /// Absent: 255 (RFC 9568, 5.1.1.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unicast_ttl: Option<u8>,
    /// The checksum of VRRPv3 over IPv4 leaves out the pseudo-header.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub v3_checksum_as_v2: bool,
    #[serde(skip_serializing_if = "ForeignMaster::is_warn")]
    pub foreign_master: ForeignMaster,
}

/// What to do about a virtual router of our number that is not ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForeignMaster {
    /// Say so, and go on.
    #[default]
    Warn,
    /// Behave to it as a VRRP router does: hold nothing while one of higher priority is heard.
    Yield,
}

impl ForeignMaster {
    fn is_warn(&self) -> bool {
        *self == Self::Warn
    }
}

/// When gratuitous ARP and unsolicited neighbour advertisements are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Garp {
    /// Seconds from the takeover to the second burst; 0: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_delay_s: Option<u32>,
    /// Announcements of each address in a burst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_repeat: Option<u32>,
    /// Seconds between announcements while it is held; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_refresh_s: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_refresh_repeat: Option<u32>,
    /// Seconds from an advert of lower priority to the second burst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lower_prio_delay_s: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lower_prio_repeat: Option<u32>,
}

impl Garp {
    /// What it says, and where it says nothing, what `other` says.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            master_delay_s: self.master_delay_s.or(other.master_delay_s),
            master_repeat: self.master_repeat.or(other.master_repeat),
            master_refresh_s: self.master_refresh_s.or(other.master_refresh_s),
            master_refresh_repeat: self.master_refresh_repeat.or(other.master_refresh_repeat),
            lower_prio_delay_s: self.lower_prio_delay_s.or(other.lower_prio_delay_s),
            lower_prio_repeat: self.lower_prio_repeat.or(other.lower_prio_repeat),
        }
    }
}

/// A MAC address that moves with the VIPs: 00:00:5e:00:01:VRID, or :02: for IPv6 (RFC 9568, 7.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Vmac {
    /// The macvlan's name. Absent: `vrrp.VRID`, or `vrrp6.VRID` for IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Adverts go out of the interface below, with its own MAC address.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub xmit_base: bool,
}
