//! What an instance's adverts say at one director, and how they leave: the configuration, and what
//! of it only this machine knows. The daemon speaks by it, and the guard says farewell by it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use leasehold_dataplane::plan::Macvlan;
use leasehold_dataplane::vrrp::wire::{
    self, Advert, Audience, Expected, GROUP4, GROUP6, Settings, TTL,
};
use leasehold_dataplane::vrrp::{Manner, source_of};
use leasehold_model::{Auth, AuthType, Family, ForeignMaster, Global, Instance, VrrpVersion};
use leasehold_node_core::placement;
use serde::{Deserialize, Serialize};

/// A director that the configuration does not name speaks with the lowest priority there is; 0
/// means that nobody does (RFC 9568, 5.2.4).
const LOWEST: u8 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spoken {
    /// Where adverts are heard.
    pub(crate) interface: String,
    /// Where they leave: they have the virtual MAC address, if there is one (RFC 9568, 7.3).
    pub(crate) leaves_by: String,
    pub(crate) family: Family,
    /// Where adverts are heard; absent with `unicast_peer`.
    pub(crate) group: Option<IpAddr>,
    pub(crate) source: Option<IpAddr>,
    /// The group, or each peer that is not this director.
    pub(crate) to: Vec<IpAddr>,
    pub(crate) manner: Manner,
    vrid: u8,
    version: VrrpVersion,
    interval_ms: u32,
    addresses: Vec<IpAddr>,
    auth: Option<Auth>,
    priority: u8,
    peers: BTreeSet<IpAddr>,
    policy: ForeignMaster,
    /// The interface was up when the source was looked for.
    up: bool,
}

impl Spoken {
    /// `vips` are the addresses of all instances: no advert comes from one. `known` is what was
    /// spoken before, whose source is kept as long as nothing suggests another.
    pub(crate) fn new(
        global: &Global,
        instance: &Instance,
        director: &str,
        delta: i16,
        vips: &BTreeSet<IpAddr>,
        interfaces_up: &BTreeSet<String>,
        known: Option<&Self>,
    ) -> Self {
        let interface = instance.interface_at(director).to_owned();
        let family = instance.family();
        let up = interfaces_up.contains(&interface);
        let named = instance.directors.get(director).and_then(|one| one.src_ip);
        let kept = known.filter(|one| {
            one.source.is_some_and(|source| !vips.contains(&source))
                && (&one.interface, one.family, one.up) == (&interface, family, up)
        });
        let source = named
            .or_else(|| kept.and_then(|one| one.source))
            .or_else(|| source_of(&interface, family, vips));
        let default = match family {
            Family::Inet => global.vrrp_mcast_group4.unwrap_or(GROUP4).into(),
            Family::Inet6 => global.vrrp_mcast_group6.unwrap_or(GROUP6).into(),
        };
        let peers: BTreeSet<IpAddr> = instance.adverts.unicast_peer.iter().copied().collect();
        let group = peers.is_empty().then(|| instance.adverts.mcast_dst_ip.unwrap_or(default));
        let others = peers.iter().copied().filter(|peer| Some(*peer) != source);
        let to = group.map_or_else(|| others.collect(), |group| vec![group]);
        let version = instance.version(global);
        let base = instance.use_vmac.as_ref().is_none_or(|vmac| vmac.xmit_base);
        let macvlan = Macvlan::of(instance, director).filter(|_| !base);
        let leaves_by = macvlan.map_or_else(|| interface.clone(), |one| one.name);
        Self {
            interface,
            leaves_by,
            family,
            group,
            source,
            to,
            manner: Manner {
                ttl: if peers.is_empty() {
                    TTL
                } else {
                    instance.adverts.unicast_ttl.unwrap_or(TTL)
                },
                checksum_as_v2: instance.adverts.v3_checksum_as_v2,
            },
            vrid: instance.virtual_router_id,
            version,
            interval_ms: instance.advert_int_ms,
            addresses: instance.virtual_ipaddress.iter().map(|vip| vip.address).collect(),
            auth: instance.authentication.clone().filter(|_| version == VrrpVersion::V2),
            priority: placement::effective(instance.priority_of(director), delta).max(LOWEST),
            peers,
            policy: instance.adverts.foreign_master,
            up,
        }
    }

    /// `heard` is the highest authentication sequence number so far.
    pub(crate) fn settings(&self, heard: u32) -> Settings {
        let audience = match self.group {
            Some(group) => Audience::Group(group),
            None => Audience::Peers(self.peers.clone()),
        };
        Settings {
            expected: Expected {
                version: self.version,
                vrid: self.vrid,
                auth: wire_auth(self.auth.as_ref(), heard),
                interval_ms: self.interval_ms,
                addresses: self.addresses.iter().copied().collect(),
                audience,
                checksum_as_v2: self.manner.checksum_as_v2,
            },
            priority: self.priority,
            source: self.source,
            policy: self.policy,
        }
    }

    pub(crate) fn advert(&self, priority: u8, sequence: u32) -> Advert {
        Advert {
            version: self.version,
            vrid: self.vrid,
            priority,
            interval_ms: self.interval_ms,
            addresses: self.addresses.clone(),
            auth: wire_auth(self.auth.as_ref(), sequence),
        }
    }

    /// What the guard needs to say that this director has stopped.
    pub(crate) fn farewell(&self, sequence: u32) -> Option<Farewell> {
        Some(Farewell {
            interface: self.leaves_by.clone(),
            source: self.source?,
            to: self.to.clone(),
            vrid: self.vrid,
            version: self.version,
            interval_ms: self.interval_ms,
            addresses: self.addresses.clone(),
            auth: self.auth.clone(),
            sequence,
            ttl: self.manner.ttl,
            checksum_as_v2: self.manner.checksum_as_v2,
        })
    }
}

/// An advert of priority 0 that is still to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Farewell {
    pub(crate) interface: String,
    pub(crate) source: IpAddr,
    pub(crate) to: Vec<IpAddr>,
    vrid: u8,
    version: VrrpVersion,
    interval_ms: u32,
    addresses: Vec<IpAddr>,
    auth: Option<Auth>,
    /// Of the last advert that is known of.
    sequence: u32,
    ttl: u8,
    checksum_as_v2: bool,
}

impl Farewell {
    /// The same but for the sequence number.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let sequence = self.sequence;
        *self == Self { sequence, ..other.clone() }
    }

    pub(crate) fn advert(&self, unix_seconds: u64) -> Advert {
        let mut sequence = wire::Sequence::default();
        sequence.hear(self.sequence);
        // One above what may have been sent in this second.
        let next = sequence.next(unix_seconds.saturating_add(1)).unwrap_or(u32::MAX);
        Advert {
            version: self.version,
            vrid: self.vrid,
            priority: 0,
            interval_ms: self.interval_ms,
            addresses: self.addresses.clone(),
            auth: wire_auth(self.auth.as_ref(), next),
        }
    }

    pub(crate) fn manner(&self) -> Manner {
        Manner { ttl: self.ttl, checksum_as_v2: self.checksum_as_v2 }
    }
}

fn wire_auth(auth: Option<&Auth>, sequence: u32) -> wire::Auth {
    match auth {
        None => wire::Auth::None,
        Some(Auth { auth_type: AuthType::Pass, auth_pass }) => {
            wire::Auth::Pass(wire::Auth::padded(auth_pass))
        }
        Some(Auth { auth_type: AuthType::Ah, auth_pass }) => {
            wire::Auth::Ah { key: wire::Auth::padded(auth_pass), sequence }
        }
    }
}
