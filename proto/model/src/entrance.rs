//! What the kernel tells a virtual server's packets by, and whose holder serves it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::Config;
use crate::virtual_server::{Family, Fwmark, GroupEntry, Service, VirtualServer};

/// One thing that the kernel tells a virtual server's packets by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entrance {
    Address { address: IpAddr, port: u16 },
    Fwmark { mark: u32, family: Family },
}

/// The instance of every virtual address.
#[derive(Clone, Debug)]
pub struct Homes<'a> {
    config: &'a Config,
    by_address: BTreeMap<IpAddr, &'a str>,
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

    /// Who is at home where.
    #[must_use]
    pub fn homes(&self) -> Homes<'_> {
        let vips = self
            .instances
            .iter()
            .flat_map(|(name, one)| one.vips().map(move |vip| (vip.address, name.as_str())));
        Homes { config: self, by_address: vips.collect() }
    }
}

impl<'a> Homes<'a> {
    /// The instance that has this address.
    #[must_use]
    pub fn of(&self, address: IpAddr) -> Option<&'a str> {
        self.by_address.get(&address).copied()
    }

    /// Every entrance of a virtual server, and the instance whose holder serves it.
    #[must_use]
    pub fn of_server(&self, server: &VirtualServer) -> Vec<(Entrance, Option<&'a str>)> {
        let entrances = self.config.entrances(server);
        let homes = self.of_entrances(server, &entrances);
        entrances.into_iter().zip(homes).collect()
    }

    /// The instance whose holder serves each of a virtual server's `entrances`.
    #[must_use]
    pub fn of_entrances(
        &self,
        server: &VirtualServer,
        entrances: &[Entrance],
    ) -> Vec<Option<&'a str>> {
        let config = self.config;
        let named = server.instance.as_deref();
        let named = named.and_then(|name| config.instances.get_key_value(name));
        let at_home = |at: &Entrance| match at {
            Entrance::Address { address, .. } => self.of(*address),
            Entrance::Fwmark { .. } => None,
        };
        // The marks of a group belong where its addresses do.
        let of_group = entrances.iter().find_map(at_home);
        let only = match config.instances.len() {
            1 => config.instances.keys().next().map(String::as_str),
            _ => None,
        };
        let home = |at: &Entrance| match at {
            Entrance::Address { address, .. } => self.of(*address),
            Entrance::Fwmark { .. } => of_group,
        };
        let named = named.map(|(name, _)| name.as_str());
        entrances.iter().map(|at| named.or_else(|| home(at)).or(only)).collect()
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
