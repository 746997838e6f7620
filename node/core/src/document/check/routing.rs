//! What routes and rules must fulfil for the kernel to take them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use leasehold_model::{Config, Instance, Network, Route, RouteKind, Rule};

use super::Check;

/// The main table, where a route names none.
const MAIN: u32 = 254;

impl Check {
    pub(super) fn routing(&mut self, instance: &Instance) {
        self.at("virtual_routes", |check| {
            for (index, route) in instance.virtual_routes.iter().enumerate() {
                check.at(&index.to_string(), |check| check.route(route));
            }
        });
        self.at("virtual_rules", |check| {
            for (index, rule) in instance.virtual_rules.iter().enumerate() {
                check.at(&index.to_string(), |check| check.rule(rule));
            }
        });
    }

    fn route(&mut self, route: &Route) {
        let to = route.to.map(|to| to.address);
        if let Some(to) = &route.to {
            self.at("to", |check| check.network(to));
        }
        let addresses = [("via", route.via), ("src", route.src)];
        let family = to.or(route.via).or(route.src);
        for (name, address) in addresses {
            let (Some(address), Some(family)) = (address, family) else { continue };
            if address.is_ipv4() != family.is_ipv4() {
                self.at(name, |check| {
                    let message = format!("{address} and {family} are of different families");
                    check.error(message, "a route has one family");
                });
            }
        }
        if let Some(dev) = &route.dev {
            self.at("dev", |check| check.interface_name(dev));
        }
        match route.kind {
            RouteKind::Unicast if route.via.is_none() && route.dev.is_none() => {
                self.error("the route has neither via nor dev", "a gateway, or an interface");
            }
            RouteKind::Unicast => {}
            RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit => {
                if route.via.is_some() || route.onlink {
                    let message = "a route that leads nowhere has no gateway";
                    self.error(message, "remove via, or blackhole, unreachable or prohibit");
                }
            }
        }
        if route.onlink && (route.via.is_none() || route.dev.is_none()) {
            self.at("onlink", |check| check.error("onlink takes via and dev", "give both"));
        }
    }

    fn rule(&mut self, rule: &Rule) {
        for (name, network) in [("from", &rule.from), ("to", &rule.to)] {
            if let Some(network) = network {
                self.at(name, |check| check.network(network));
            }
        }
        if let (Some(from), Some(to)) = (&rule.from, &rule.to)
            && from.address.is_ipv4() != to.address.is_ipv4()
        {
            let (from, to) = (from.address, to.address);
            let message = format!("{from} and {to} are of different families");
            self.error(message, "a rule has one family: make two");
        }
        for (name, interface) in [("iif", &rule.iif), ("oif", &rule.oif)] {
            if let Some(interface) = interface {
                self.at(name, |check| check.interface_name(interface));
            }
        }
    }

    /// The kernel refuses bits beyond the prefix.
    fn network(&mut self, network: &Network) {
        let Network { address, prefix } = *network;
        let longest: u8 = if address.is_ipv4() { 32 } else { 128 };
        if prefix > longest {
            let hint = format!("0 to {longest}");
            return self.error(format!("prefix {prefix} is out of range"), &hint);
        }
        let start = first(address, prefix);
        if start != address {
            self.error(
                format!("{address}/{prefix} has bits beyond its prefix"),
                &format!("{start}/{prefix}, or the whole address"),
            );
        }
    }

    /// The kernel has one route to a network in a table with a metric.
    pub(super) fn routes_once(&mut self, config: &Config) {
        let mut seen: BTreeMap<_, &str> = BTreeMap::new();
        for (name, instance) in &config.instances {
            for (index, route) in instance.virtual_routes.iter().enumerate() {
                let v6 =
                    route.via.or(route.to.map(|to| to.address)).is_some_and(|one| one.is_ipv6());
                let place = (route.to, v6, route.table.unwrap_or(MAIN), route.metric);
                let Some(first) = seen.insert(place, name) else { continue };
                self.at_path(&[name, "virtual_routes", &index.to_string()], |check| {
                    if first == name {
                        check.error("this route is given twice", "one, or another metric");
                    } else {
                        let message = format!("{first} has a route to there too");
                        let hint = "where one director holds both, only one of them is set up";
                        check.warn(message, hint);
                    }
                });
            }
        }
    }
}

fn first(address: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(v4) => {
            let hosts = u32::MAX.checked_shr(prefix).unwrap_or(0);
            std::net::Ipv4Addr::from_bits(v4.to_bits() & !hosts).into()
        }
        IpAddr::V6(v6) => {
            let hosts = u128::MAX.checked_shr(prefix).unwrap_or(0);
            std::net::Ipv6Addr::from_bits(v6.to_bits() & !hosts).into()
        }
    }
}
