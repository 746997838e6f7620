//! The routes and rules of instances: what should be there, what is, and the difference.
//!
//! The kernel fills in what a configuration leaves out. Here it is filled in beforehand, so that
//! what is read back can be compared.

use std::collections::BTreeSet;
use std::net::IpAddr;

use leasehold_model::{Family, Instance, Network, Route, RouteKind, Rule, Scope};

use super::scope_number;

/// The main table, where a route names none (`RT_TABLE_MAIN`).
const MAIN: u32 = 254;
/// What the kernel makes of an IPv6 route without a metric (`IP6_RT_PRIO_USER`).
const METRIC_V6: u32 = 1024;

/// What an instance wants of the kernel's routing; what of it is there, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// In the order of the configuration: the way to a gateway comes before what leads over it.
    pub routes: Vec<KernelRoute>,
    pub rules: Vec<KernelRule>,
}

/// A route as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelRoute {
    pub family: Family,
    /// Absent: the default route.
    pub to: Option<Network>,
    pub kind: RouteKind,
    pub via: Option<IpAddr>,
    /// Absent in a wish: the interface that `via` is on.
    pub dev: Option<String>,
    pub src: Option<IpAddr>,
    pub table: u32,
    pub metric: u32,
    /// `rt_scope_t`; IPv6 has the widest only.
    pub scope: u8,
    pub mtu: Option<u32>,
    pub onlink: bool,
}

/// A rule as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelRule {
    pub family: Family,
    pub from: Option<Network>,
    pub to: Option<Network>,
    pub iif: Option<String>,
    pub oif: Option<String>,
    pub fwmark: Option<u32>,
    /// Absent in a wish: whichever the kernel picks.
    pub priority: Option<u32>,
    pub table: u32,
}

/// Two lists of requests: what goes, and what comes. Everything that goes, goes first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutingOps {
    pub remove: Routing,
    pub add: Routing,
}

impl Routing {
    /// What `instance` wants at the director called `director`.
    #[must_use]
    pub fn of(instance: &Instance, director: &str) -> Self {
        let name = |written: &String| -> String {
            // The instance's interface, which this director may call otherwise.
            let own = *written == instance.interface;
            if own { instance.interface_at(director).to_owned() } else { written.clone() }
        };
        let routes = instance.virtual_routes.iter().map(|one| KernelRoute::of(one, &name));
        let rules = instance.virtual_rules.iter().map(|one| KernelRule::of(one, &name));
        Self { routes: routes.collect(), rules: rules.collect() }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.rules.is_empty()
    }

    pub fn extend(&mut self, other: Self) {
        self.routes.extend(other.routes);
        self.rules.extend(other.rules);
    }
}

impl KernelRoute {
    fn of(route: &Route, name: &impl Fn(&String) -> String) -> Self {
        let some = route.to.map(|to| to.address).or(route.via).or(route.src);
        // As `ip route` has it.
        let family = some.map_or(Family::Inet, Family::of);
        let scope = match (route.scope, route.kind) {
            (Some(scope), _) => scope,
            (None, RouteKind::Unicast) if route.via.is_none() => Scope::Link,
            (None, _) => Scope::Global,
        };
        Self {
            family,
            to: route.to.filter(|to| to.prefix > 0),
            kind: route.kind,
            via: route.via,
            // The kernel forgets the interface of a route that leads nowhere.
            dev: route.dev.as_ref().filter(|_| route.kind == RouteKind::Unicast).map(name),
            src: route.src,
            table: route.table.unwrap_or(MAIN),
            metric: match (family, route.metric) {
                (Family::Inet, metric) => metric.unwrap_or(0),
                (Family::Inet6, None | Some(0)) => METRIC_V6,
                (Family::Inet6, Some(metric)) => metric,
            },
            scope: match family {
                Family::Inet => scope_number(scope),
                Family::Inet6 => 0,
            },
            mtu: route.mtu,
            onlink: route.onlink,
        }
    }

    /// The kernel has one route of each place.
    #[must_use]
    pub fn place(&self) -> (Family, Option<Network>, u32, u32) {
        (self.family, self.to, self.table, self.metric)
    }

    /// Whether `actual` is this route, and nothing about it is to be changed.
    fn is(&self, actual: &Self) -> bool {
        let dev = self.dev.clone().or_else(|| actual.dev.clone());
        Self { dev, ..self.clone() } == *actual
    }
}

impl KernelRule {
    fn of(rule: &Rule, name: &impl Fn(&String) -> String) -> Self {
        let some = rule.from.or(rule.to).map(|one| one.address);
        let limited = |network: Option<Network>| network.filter(|one| one.prefix > 0);
        Self {
            family: some.map_or(Family::Inet, Family::of),
            from: limited(rule.from),
            to: limited(rule.to),
            iif: rule.iif.as_ref().map(name),
            oif: rule.oif.as_ref().map(name),
            // The kernel has no rule for packets without a mark.
            fwmark: rule.fwmark.filter(|mark| *mark != 0),
            priority: rule.priority,
            table: rule.table,
        }
    }

    /// Whether `actual` is this rule.
    fn is(&self, actual: &Self) -> bool {
        let priority = self.priority.or(actual.priority);
        Self { priority, ..self.clone() } == *actual
    }
}

/// The requests that make `actual`, which is all ours, what `desired` says.
#[must_use]
pub fn routing_diff(desired: &Routing, actual: &Routing) -> RoutingOps {
    let mut places = BTreeSet::new();
    // A place has one route: the first that asks for it.
    let wanted = desired.routes.iter().filter(|one| places.insert(one.place()));
    let (gone, new) = parted(wanted, &actual.routes, KernelRoute::is);
    let mut rules = BTreeSet::new();
    let wanted = desired.rules.iter().filter(|one| rules.insert(*one));
    let (gone_rules, new_rules) = parted(wanted, &actual.rules, KernelRule::is);
    RoutingOps {
        remove: Routing { routes: gone, rules: gone_rules },
        add: Routing { routes: new, rules: new_rules },
    }
}

/// Those of `actual` that nobody wants, and those wanted that are not there.
fn parted<'a, T: Clone + 'a>(
    wanted: impl Iterator<Item = &'a T>,
    actual: &[T],
    is: impl Fn(&T, &T) -> bool,
) -> (Vec<T>, Vec<T>) {
    let mut left = actual.to_vec();
    let mut new = Vec::new();
    for one in wanted {
        match left.iter().position(|there| is(one, there)) {
            // One that is there is one wish's.
            Some(index) => drop(left.remove(index)),
            None => new.push(one.clone()),
        }
    }
    (left, new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Option<Network> {
        let (address, prefix) = text.split_once('/').unwrap();
        Some(Network { address: address.parse().unwrap(), prefix: prefix.parse().unwrap() })
    }

    fn instance(routes: Vec<Route>, rules: Vec<Rule>) -> Instance {
        let own =
            leasehold_model::Candidate { interface: Some("ens3".into()), ..Default::default() };
        Instance {
            virtual_routes: routes,
            virtual_rules: rules,
            directors: [("d2".to_owned(), own)].into(),
            ..Instance::new(1, "eth0")
        }
    }

    fn wish(route: Route) -> KernelRoute {
        Routing::of(&instance(vec![route], vec![]), "d1").routes.remove(0)
    }

    fn over(via: &str) -> Route {
        Route { via: Some(via.parse().unwrap()), ..Route::default() }
    }

    #[test]
    fn what_is_left_out_is_what_the_kernel_makes_of_it() {
        let v4 = wish(over("10.0.0.1"));
        assert_eq!((v4.family, v4.table, v4.metric, v4.scope), (Family::Inet, MAIN, 0, 0));
        let on_link = wish(Route { dev: Some("eth9".into()), ..Route::default() });
        assert_eq!((on_link.scope, on_link.dev.as_deref()), (253, Some("eth9")));
        let v6 = wish(Route { to: network("::/0"), dev: Some("eth9".into()), ..Route::default() });
        assert_eq!((v6.family, v6.to, v6.metric, v6.scope), (Family::Inet6, None, METRIC_V6, 0));
        let hole = Route { kind: RouteKind::Blackhole, dev: Some("lo".into()), ..Route::default() };
        assert_eq!((wish(hole.clone()).dev, wish(hole).scope), (None, 0));
    }

    #[test]
    fn a_directors_own_name_for_the_interface_counts_in_routes_and_rules() {
        let route = Route { dev: Some("eth0".into()), ..over("10.0.0.1") };
        let rule = |iif: &str| Rule { iif: Some(iif.into()), table: 5, ..Rule::default() };
        let routing = Routing::of(&instance(vec![route], vec![rule("eth0"), rule("eth1")]), "d2");
        assert_eq!(routing.routes[0].dev.as_deref(), Some("ens3"));
        let names: Vec<_> = routing.rules.iter().map(|one| one.iif.as_deref()).collect();
        assert_eq!(names, [Some("ens3"), Some("eth1")]);
    }

    #[test]
    fn what_is_there_stays_and_only_the_difference_is_asked_for() {
        let route = wish(over("10.0.0.1"));
        let there = KernelRoute { dev: Some("eth0".into()), ..route.clone() };
        let rule = KernelRule::of(&Rule { table: 7, ..Rule::default() }, &String::clone);
        let ruled = KernelRule { priority: Some(32765), ..rule.clone() };
        let desired = Routing { routes: vec![route.clone()], rules: vec![rule] };
        let actual = Routing { routes: vec![there.clone()], rules: vec![ruled.clone()] };
        assert_eq!(routing_diff(&desired, &actual), RoutingOps::default());
        // Twice the same by another's hand: one is too many.
        let twice = KernelRule { priority: Some(9), ..ruled.clone() };
        let doubled = Routing { rules: vec![ruled, twice.clone()], ..actual.clone() };
        assert_eq!(routing_diff(&desired, &doubled).remove.rules, [twice]);
        let changed = KernelRoute { mtu: Some(1400), ..route };
        let desired = Routing { routes: vec![changed.clone()], ..desired };
        let ops = routing_diff(&desired, &actual);
        assert_eq!((ops.remove.routes, ops.add.routes), (vec![there], vec![changed]));
        assert_eq!(routing_diff(&Routing::default(), &actual).remove, actual);
    }

    #[test]
    fn a_place_is_given_to_the_first_that_asks() {
        let (first, second) = (wish(over("10.0.0.1")), wish(over("10.0.0.2")));
        let third = wish(Route { metric: Some(5), ..over("10.0.0.2") });
        let routes = vec![first.clone(), second, third.clone()];
        let ops = routing_diff(&Routing { routes, rules: vec![] }, &Routing::default());
        assert_eq!(ops.add.routes, [first, third]);
    }
}
