//! What adverts, their addresses and virtual MAC addresses must fulfil.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use leasehold_model::{Config, Family, Global, Instance, VrrpVersion};

use super::Check;
use crate::diagnostic::some_of;

/// VRRPv3's 12 bits of centiseconds (RFC 9568, 5.2.7).
const ADVERT_INT_V3_MS: std::ops::RangeInclusive<u32> = 10..=40_950;
/// VRRPv2's one byte of seconds (RFC 3768, 5.3.7).
const MAX_ADVERT_INT_V2_MS: u32 = 255_000;
/// VRRPv2's authentication data (RFC 2338, 5.3.10).
const AUTH_PASS_BYTES: usize = 8;

impl Check {
    pub(super) fn adverts(&mut self, instance: &Instance, global: &Global) {
        let version = instance.version(global);
        self.version(instance);
        self.at("advert_int_ms", |check| check.advert_int(instance, version));
        self.authentication(instance, version);
        let v4 = instance.family() == Family::Inet;
        if instance.adverts.v3_checksum_as_v2 && (version == VrrpVersion::V2 || !v4) {
            self.at("v3_checksum_as_v2", |check| {
                check.warn("v3_checksum_as_v2 has no effect: it is VRRPv3's over IPv4", "");
            });
        }
        if let Some(group) = instance.adverts.mcast_dst_ip {
            self.at("mcast_dst_ip", |check| check.own_group(instance, group));
        }
        self.unicast(instance);
        self.sources(instance);
        self.vmac(instance);
    }

    fn version(&mut self, instance: &Instance) {
        if instance.adverts.version != Some(VrrpVersion::V2) {
            return;
        }
        self.at("version", |check| {
            if instance.family() == Family::Inet6 {
                check.error("VRRPv2 has no IPv6", "version = 3, or leave it out");
            }
            let every = instance.advert_int_ms;
            if !every.is_multiple_of(1000) {
                check.error(
                    format!("VRRPv2 counts whole seconds, and advert_int_ms is {every}"),
                    "version = 3, or leave it out; or a multiple of 1000",
                );
            }
        });
    }

    fn advert_int(&mut self, instance: &Instance, version: VrrpVersion) {
        let every = instance.advert_int_ms;
        match version {
            VrrpVersion::V3 => {
                if !every.is_multiple_of(10) {
                    self.error(
                        format!("advert_int_ms {every} is no multiple of 10"),
                        "VRRPv3 counts hundredths of a second (RFC 9568, 5.2.7)",
                    );
                }
                if !ADVERT_INT_V3_MS.contains(&every) {
                    self.error(
                        format!("advert_int_ms {every} is out of range for VRRPv3"),
                        "10 to 40950 (RFC 9568, 5.2.7)",
                    );
                }
            }
            VrrpVersion::V2 => {
                if !(1000..=MAX_ADVERT_INT_V2_MS).contains(&every) {
                    self.error(
                        format!("advert_int_ms {every} is out of range for VRRPv2"),
                        "1000 to 255000, in whole seconds",
                    );
                }
            }
        }
    }

    fn authentication(&mut self, instance: &Instance, version: VrrpVersion) {
        let Some(auth) = &instance.authentication else { return };
        self.at("authentication", |check| {
            if version == VrrpVersion::V3 {
                let why = if !instance.advert_int_ms.is_multiple_of(1000) {
                    "a fraction in advert_int_ms means VRRPv3"
                } else if instance.family() == Family::Inet6 {
                    "an IPv6 address means VRRPv3"
                } else {
                    "its version is 3"
                };
                check.warn(
                    format!("authentication has no effect: {why}, which has none"),
                    "remove it; the lease, not the advert, decides who holds the VIP",
                );
            }
            check.at("auth_pass", |check| {
                if auth.auth_pass.is_empty() {
                    check.error("auth_pass is empty", "1 to 8 bytes, or no authentication");
                } else if auth.auth_pass.len() > AUTH_PASS_BYTES {
                    check.warn("only the first 8 bytes of auth_pass count", "");
                }
            });
        });
    }

    fn own_group(&mut self, instance: &Instance, group: IpAddr) {
        if !group.is_multicast() {
            let hint = "one of 224.0.0.0/4 or ff00::/8; leave it out for the cluster's";
            self.error(format!("{group} is not a multicast address"), hint);
        } else {
            self.family_of_vips(instance, group);
        }
        if !instance.adverts.unicast_peer.is_empty() {
            let message = "mcast_dst_ip has no effect: adverts go to unicast_peer";
            self.warn(message, "remove one of them");
        }
    }

    fn family_of_vips(&mut self, instance: &Instance, address: IpAddr) {
        if let Some(vip) = instance.virtual_ipaddress.first()
            && vip.address.is_ipv4() != address.is_ipv4()
        {
            let vip = vip.address;
            let message = format!("{address} and the VIP {vip} are of different families");
            self.error(message, "adverts travel in the family of the VIPs");
        }
    }

    fn unicast(&mut self, instance: &Instance) {
        let peers = &instance.adverts.unicast_peer;
        if peers.is_empty() {
            if instance.adverts.unicast_ttl.is_some() {
                self.at("unicast_ttl", |check| {
                    check.warn("unicast_ttl has no effect: there is no unicast_peer", "");
                });
            }
            return;
        }
        self.at("unicast_peer", |check| {
            for peer in peers {
                check.at(&peer.to_string(), |check| {
                    check.family_of_vips(instance, *peer);
                    check.own_address(instance, *peer, "a peer");
                });
            }
            let far = peers.iter().any(|peer| !is_link_local(*peer) && peer.is_ipv6());
            let without: Vec<&str> = instance
                .directors
                .iter()
                .filter(|(_, one)| one.src_ip.is_none())
                .map(|(name, _)| name.as_str())
                .collect();
            if far
                && instance.family() == Family::Inet6
                && (!without.is_empty() || instance.directors.is_empty())
            {
                let whose = match without.as_slice() {
                    [] => "no director has".to_owned(),
                    names => format!("{} has none", some_of(names.iter())),
                };
                check.error(
                    format!("IPv6 unicast needs the src_ip of every director: {whose}"),
                    "director.NAME.src_ip, or link-local peers (fe80::/10)",
                );
            }
        });
    }

    /// Where adverts come from, director by director.
    fn sources(&mut self, instance: &Instance) {
        let mut seen: BTreeMap<IpAddr, &str> = BTreeMap::new();
        let peers = &instance.adverts.unicast_peer;
        for (director, own) in &instance.directors {
            let Some(source) = own.src_ip else { continue };
            self.at_path(&["director", director, "src_ip"], |check| {
                check.family_of_vips(instance, source);
                check.own_address(instance, source, "src_ip");
                if let Some(first) = seen.insert(source, director) {
                    let message = format!("{source} is the src_ip of {first} already");
                    check.error(message, "an address that this director alone has");
                }
                if !peers.is_empty() && !peers.contains(&source) {
                    check.warn(
                        format!("{source} is not in unicast_peer: the others send it no advert"),
                        "list the src_ip of every director; nobody sends to itself",
                    );
                }
            });
        }
    }

    /// An address that a director has, whoever holds the VIPs.
    fn own_address(&mut self, instance: &Instance, address: IpAddr, what: &str) {
        if address.is_multicast() || address.is_unspecified() || address.is_loopback() {
            self.error(format!("{address} can't be {what}"), "an address of one director");
        } else if instance.vips().any(|vip| vip.address == address) {
            let message = format!("{address} is a VIP of this instance, and can't be {what}");
            self.error(message, "the address that the director always has");
        }
    }

    fn vmac(&mut self, instance: &Instance) {
        let Some(vmac) = &instance.use_vmac else { return };
        self.at("use_vmac", |check| {
            if let Some(name) = &vmac.name {
                check.at("name", |check| check.interface_name(name));
            }
            if !vmac.xmit_base && !instance.adverts.unicast_peer.is_empty() {
                check.error(
                    "unicast adverts can't leave by a virtual MAC address",
                    "use_vmac = { xmit_base = true }",
                );
            }
        });
    }

    /// Two virtual routers of one number on one wire would answer each other's adverts.
    pub(super) fn routers_once(&mut self, config: &Config) {
        let mut seen: BTreeMap<Router<'_>, &str> = BTreeMap::new();
        for (name, instance) in &config.instances {
            let own = instance.directors.values().filter_map(|one| one.interface.as_deref());
            let wires: std::collections::BTreeSet<&str> =
                own.chain([instance.interface.as_str()]).collect();
            let vrid = instance.virtual_router_id;
            let clash = wires.iter().find_map(|wire| {
                let router = Router {
                    wire,
                    v6: instance.family() == Family::Inet6,
                    vrid,
                    to: destinations(instance, &config.global),
                };
                Some((wire, seen.insert(router, name)?))
            });
            if let Some((wire, first)) = clash {
                self.at_path(&[name, "virtual_router_id"], |check| {
                    check.error(
                        format!("{first} has virtual_router_id {vrid} on {wire} already"),
                        "numbers are unique per interface and address family, unless adverts go \
                         to different groups",
                    );
                });
            }
        }
        self.vmacs_once(config);
    }

    fn vmacs_once(&mut self, config: &Config) {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for (name, instance) in &config.instances {
            let Some(vmac) = &instance.use_vmac else { continue };
            let interface = vmac.name.clone().unwrap_or_else(|| instance.default_vmac_name());
            if let Some(first) = seen.insert(interface.clone(), name) {
                self.at_path(&[name, "use_vmac"], |check| {
                    let message = format!("{first} has a macvlan called {interface} already");
                    check.error(message, "use_vmac = { name = \"NAME\" }");
                });
            }
        }
    }
}

/// What adverts are told apart by.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Router<'a> {
    wire: &'a str,
    v6: bool,
    vrid: u8,
    to: Vec<IpAddr>,
}

/// Where adverts go. With a virtual MAC address that is all the same: the address is the number's.
fn destinations(instance: &Instance, global: &Global) -> Vec<IpAddr> {
    let adverts = &instance.adverts;
    if instance.use_vmac.is_some() {
        return Vec::new();
    }
    if !adverts.unicast_peer.is_empty() {
        return adverts.unicast_peer.clone();
    }
    let of_cluster = match instance.family() {
        Family::Inet => global.vrrp_mcast_group4.unwrap_or([224, 0, 0, 18].into()).into(),
        Family::Inet6 => {
            let vrrp = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
            global.vrrp_mcast_group6.unwrap_or(vrrp).into()
        }
    };
    vec![adverts.mcast_dst_ip.unwrap_or(of_cluster)]
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
