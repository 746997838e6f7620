//! What tells the packets of virtual servers apart: addresses, marks and groups, each once, and
//! the instance whose holder serves them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use leasehold_model::{
    Config, Entrance, GroupEntry, Homes, Protocol, Service, VirtualServer, VirtualServerGroup,
};

use super::Check;
use crate::diagnostic::some_of;

/// Services of the kernel, with every address of every group.
pub const MAX_SERVICES: usize = 16384;
/// Real servers of the kernel, each counted once per service.
pub const MAX_DESTINATIONS: usize = 65536;
/// Addresses of one range.
pub const MAX_RANGE: u128 = 1024;

/// What no two services of the kernel share; a mark has no protocol.
type Key = (Entrance, Option<Protocol>);

impl Check {
    pub(super) fn virtual_servers(&mut self, config: &Config) {
        // Said first: what is wrong with each may be more than is told.
        let mut fit = true;
        self.at("virtual_server", |check| fit = check.count(config));
        self.at("virtual_server_group", |check| {
            for (name, group) in &config.groups {
                check.at(name, |check| check.group(group));
            }
        });
        self.at("virtual_server", |check| {
            if !fit {
                return;
            }
            let homes = config.homes();
            let mut seen = BTreeMap::new();
            for (index, server) in config.virtual_servers.iter().enumerate() {
                check.at(&index.to_string(), |check| {
                    let entrances = entrances(config, server);
                    check.at(field(server), |check| {
                        check.service(config, server);
                        check.once(server, &entrances, &mut seen);
                    });
                    check.home(config, server, &entrances, &homes);
                    check.virtual_server(config, server, &entrances);
                });
            }
        });
    }

    fn group(&mut self, group: &VirtualServerGroup) {
        self.at("entries", |check| {
            if group.entries.is_empty() {
                check.error("the group is empty", "give at least one entry, or remove the group");
            }
            for (index, entry) in group.entries.iter().enumerate() {
                check.at(&index.to_string(), |check| check.entry(entry));
            }
        });
    }

    fn entry(&mut self, entry: &GroupEntry) {
        match entry {
            GroupEntry::Fwmark(one) if one.mark == 0 => self.mark_0(),
            GroupEntry::Fwmark(_) => {}
            GroupEntry::Range { first, last, .. } => match size(*first, *last) {
                Size::Mixed => self.error(
                    format!("{first} and {last} are of different families"),
                    "a range has one family",
                ),
                Size::Backwards => self.error(
                    format!("the range begins at {first} and ends before it, at {last}"),
                    "the lower address first",
                ),
                Size::Of(addresses) if addresses > MAX_RANGE => self.error(
                    format!("a range of {addresses} addresses: {MAX_RANGE} is the limit"),
                    "use a firewall mark for so many",
                ),
                Size::Of(_) => {
                    let unusable = [*first, *last].into_iter().find_map(unusable);
                    if let Some((address, why)) = unusable {
                        self.error(format!("{address} {why}"), "a service has unicast addresses");
                    }
                }
            },
        }
    }

    fn mark_0(&mut self) {
        self.error("fwmark 0 is every packet without a mark", "1 or more");
    }

    /// Whether so many can be looked at one by one.
    fn count(&mut self, config: &Config) -> bool {
        let (mut services, mut destinations) = (0u128, 0u128);
        for server in &config.virtual_servers {
            let own = match &server.service {
                Service::Address(_) | Service::Fwmark(_) => 1,
                Service::Group(name) => config.groups.get(name).map_or(0, addresses_of),
            };
            let sorry = usize::from(server.sorry_server.is_some());
            services = services.saturating_add(own);
            let reals = (server.real_servers.len() + sorry) as u128;
            destinations = destinations.saturating_add(own.saturating_mul(reals));
        }
        let limits = [
            (services, MAX_SERVICES, "services"),
            (destinations, MAX_DESTINATIONS, "real servers, each counted once per service"),
        ];
        let mut fit = true;
        for (count, limit, what) in limits {
            if count > limit as u128 {
                self.error(format!("{count} {what}: {limit} is the limit"), "");
                fit = false;
            }
        }
        fit
    }

    fn service(&mut self, config: &Config, server: &VirtualServer) {
        match &server.service {
            Service::Address(address) => {
                if let Some((address, why)) = unusable(address.ip()) {
                    self.error(format!("{address} {why}"), "a service has a unicast address");
                }
                if address.port() == 0 && server.persistence.is_none() {
                    self.port_0();
                }
            }
            Service::Fwmark(one) if one.mark == 0 => self.mark_0(),
            Service::Fwmark(_) => {}
            Service::Group(name) => match config.groups.get(name) {
                None => {
                    let hint = match config.groups.is_empty() {
                        true => "there is none".to_owned(),
                        false => format!("groups are: {}", some_of(config.groups.keys())),
                    };
                    self.error(format!("no virtual_server_group is called {name}"), &hint);
                }
                Some(group) => {
                    let zero =
                        |entry: &GroupEntry| matches!(entry, GroupEntry::Range { port: 0, .. });
                    if server.persistence.is_none() && group.entries.iter().any(zero) {
                        self.port_0();
                    }
                }
            },
        }
    }

    fn port_0(&mut self) {
        self.error(
            "port 0 is every port, which takes persistence",
            "give persistence_timeout, or a port",
        );
    }

    fn once(
        &mut self,
        server: &VirtualServer,
        entrances: &[Entrance],
        seen: &mut BTreeMap<Key, Service>,
    ) {
        let mut told = false;
        for entrance in entrances {
            let protocol = match entrance {
                Entrance::Address { .. } => Some(server.protocol),
                Entrance::Fwmark { .. } => None,
            };
            let Some(first) = seen.insert((*entrance, protocol), server.service.clone()) else {
                continue;
            };
            if !told {
                let what = match entrance {
                    Entrance::Address { address, port } => {
                        format!("{address} port {port}, {},", server.protocol.name())
                    }
                    Entrance::Fwmark { mark, .. } => format!("fwmark {mark}"),
                };
                self.error(
                    format!("{what} belongs to virtual_server {first} already"),
                    "one virtual server for each address, port and protocol",
                );
            }
            told = true;
        }
    }

    /// Who serves it. Without an instance nobody would.
    fn home(
        &mut self,
        config: &Config,
        server: &VirtualServer,
        entrances: &[Entrance],
        homes: &Homes<'_>,
    ) {
        if let Some(name) = &server.instance
            && !config.instances.contains_key(name)
        {
            return self.at("instance", |check| check.unknown_instance(config, name));
        }
        if config.instances.is_empty() {
            return self.at(field(server), |check| {
                let message = "nobody serves it: there is no instance";
                check.warn(message, "make an instance with its address");
            });
        }
        let named = server.instance.as_deref();
        let only = config.instances.keys().next().filter(|_| config.instances.len() == 1);
        let addresses = entrances.iter().filter_map(|one| match one {
            Entrance::Address { address, .. } => {
                Some(*address).filter(|address| unusable(*address).is_none())
            }
            Entrance::Fwmark { .. } => None,
        });
        let homeless: Vec<IpAddr> =
            addresses.clone().filter(|address| homes.of(*address).is_none()).collect();
        let elsewhere = addresses.clone().find_map(|address| {
            let home = homes.of(address)?;
            (named.is_some_and(|named| named != home)).then_some((address, home))
        });
        if let Some((address, home)) = elsewhere {
            return self.at("instance", |check| {
                check.error(
                    format!("{address} is a virtual address of instance {home}"),
                    "leave instance out: the holder of the address serves it",
                );
            });
        }
        let has_address = addresses.clone().any(|address| homes.of(address).is_some());
        let server_of = named.or(only.map(String::as_str));
        self.at(field(server), |check| match (server_of, homeless.first()) {
            (Some(name), Some(first)) => check.warn(
                format!(
                    "{} no virtual address of any instance: the holder of {name} serves it, and \
                     answers no ARP for it",
                    are(*first, homeless.len())
                ),
                "add it to virtual_ipaddress, unless it is routed to the directors",
            ),
            (None, Some(first)) => check.error(
                format!("{} no virtual address of any instance", are(*first, homeless.len())),
                "add it to virtual_ipaddress, or say whose holder serves it: instance = \"NAME\"",
            ),
            (None, None) if !has_address && !entrances.is_empty() => check.error(
                "a firewall mark tells no instance",
                "say whose holder serves it: instance = \"NAME\"",
            ),
            (Some(_) | None, None) => {}
        });
    }
}

fn are(first: IpAddr, count: usize) -> String {
    match count {
        1 => format!("{first} is"),
        _ => format!("{first} and {} more are", count - 1),
    }
}

/// The name of what the virtual server is known by.
pub(super) fn field(server: &VirtualServer) -> &'static str {
    match server.service {
        Service::Address(_) => "address",
        Service::Fwmark(_) => "fwmark",
        Service::Group(_) => "group",
    }
}

/// What the kernel tells it by; nothing of a group that has a fault, as it may be too large to
/// write out.
pub(crate) fn entrances(config: &Config, server: &VirtualServer) -> Vec<Entrance> {
    let sound = |group: &VirtualServerGroup| {
        group.entries.iter().all(|entry| match entry {
            GroupEntry::Fwmark(_) => true,
            GroupEntry::Range { first, last, .. } => {
                matches!(size(*first, *last), Size::Of(1..=MAX_RANGE))
            }
        })
    };
    match &server.service {
        Service::Group(name) if !config.groups.get(name).is_some_and(sound) => Vec::new(),
        Service::Address(_) | Service::Fwmark(_) | Service::Group(_) => config.entrances(server),
    }
}

/// A range that is too long counts as its limit: that fault is told elsewhere.
fn addresses_of(group: &VirtualServerGroup) -> u128 {
    let entries = group.entries.iter().map(|entry| match entry {
        GroupEntry::Fwmark(_) => 1,
        GroupEntry::Range { first, last, .. } => match size(*first, *last) {
            Size::Of(addresses) => addresses.min(MAX_RANGE),
            Size::Mixed | Size::Backwards => 0,
        },
    });
    entries.sum()
}

enum Size {
    Of(u128),
    Backwards,
    Mixed,
}

fn size(first: IpAddr, last: IpAddr) -> Size {
    let (first, last) = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            (u128::from(first.to_bits()), u128::from(last.to_bits()))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => (first.to_bits(), last.to_bits()),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return Size::Mixed,
    };
    let gap = last.checked_sub(first);
    gap.map_or(Size::Backwards, |gap| Size::Of(gap.saturating_add(1)))
}

/// Why nothing can be served at an address, or by one.
pub(super) fn unusable(address: IpAddr) -> Option<(IpAddr, &'static str)> {
    let why = match address {
        IpAddr::V4(v4) if v4.is_broadcast() => "is the broadcast address",
        _ if address.is_unspecified() => "is the unspecified address",
        _ if address.is_multicast() => "is a multicast address",
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "is an IPv4 address in IPv6",
        IpAddr::V4(_) | IpAddr::V6(_) => return None,
    };
    Some((address, why))
}
