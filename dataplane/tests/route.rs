//! Routes and rules on the real kernel: ours come and go, and nobody else's is touched.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail it too")]

mod bed;

use bed::{Bed, VIP, VIP6, ip, run};
use leasehold_dataplane::plan::{Routing, RoutingOps, routing_diff};
use leasehold_dataplane::route::Routes;
use leasehold_dataplane::strip;
use leasehold_model::{Instance, Network, Route, RouteKind, Rule, Scope};

fn network(text: &str) -> Option<Network> {
    let (address, prefix) = text.split_once('/').unwrap();
    Some(Network { address: address.parse().unwrap(), prefix: prefix.parse().unwrap() })
}

fn to(text: &str) -> Route {
    Route { to: network(text), ..Route::default() }
}

fn all_kinds() -> Vec<Route> {
    let dev = Some("eth0".to_owned());
    let via = |text: &str| Some(text.parse().unwrap());
    vec![
        Route { via: via("10.77.0.254"), src: Some(VIP.into()), ..Route::default() },
        Route { dev: dev.clone(), table: Some(1000), mtu: Some(1400), ..to("10.1.0.0/16") },
        Route { dev: dev.clone(), scope: Some(Scope::Global), ..to("10.2.0.0/16") },
        Route { via: via("10.99.0.1"), dev: dev.clone(), onlink: true, ..to("10.3.0.0/16") },
        Route { via: via("10.77.0.254"), metric: Some(7), ..to("10.3.0.0/16") },
        Route { kind: RouteKind::Blackhole, table: Some(5), ..to("10.4.0.0/16") },
        Route { kind: RouteKind::Unreachable, ..to("10.5.0.0/16") },
        Route { kind: RouteKind::Prohibit, ..to("10.6.0.0/16") },
        Route { via: via("fd77::fe"), src: Some(VIP6.into()), ..Route::default() },
        Route { dev: dev.clone(), table: Some(1000), mtu: Some(1400), ..to("fd01::/32") },
        Route { dev: dev.clone(), metric: Some(7), ..to("fd02::/32") },
        Route { via: via("fd99::1"), dev, onlink: true, ..to("fd03::/32") },
        Route { kind: RouteKind::Blackhole, ..to("fd04::/32") },
        Route { kind: RouteKind::Unreachable, ..to("fd05::/32") },
        Route { kind: RouteKind::Prohibit, ..to("fd06::/32") },
    ]
}

fn rules() -> Vec<Rule> {
    let table = |table: u32| Rule { table, ..Rule::default() };
    let eth0 = || Some("eth0".to_owned());
    vec![
        Rule { from: network("10.77.0.100/32"), priority: Some(100), ..table(1000) },
        Rule { to: network("10.8.0.0/16"), iif: eth0(), ..table(5) },
        Rule { oif: eth0(), fwmark: Some(3), ..table(5) },
        Rule { from: network("fd77::100/128"), to: network("fd08::/32"), ..table(1000) },
    ]
}

fn wishes(routes: Vec<Route>, rules: Vec<Rule>) -> Routing {
    let instance =
        Instance { virtual_routes: routes, virtual_rules: rules, ..Instance::new(1, "eth0") };
    Routing::of(&instance, "d1")
}

async fn ops(routes: &Routes, desired: &Routing) -> RoutingOps {
    routing_diff(desired, &routes.read().await.unwrap())
}

#[test]
fn every_kind_is_read_back_as_it_was_asked_for_and_removed() {
    let bed = Bed::new();
    for vip in [VIP.into(), VIP6.into()] {
        bed.bind(vip);
    }
    let director = bed.director.clone();
    bed::block_in_ns(&bed.director, || async move {
        let before = shown(&director);
        let routes = Routes::open().unwrap();
        let desired = wishes(all_kinds(), rules());
        let refused = routes.add(&ops(&routes, &desired).await.add).await.unwrap();
        assert!(refused.is_empty(), "{refused:?}");
        assert_eq!(ops(&routes, &desired).await, RoutingOps::default());
        let table = run("ip", &format!("-n {director} route show table 1000"));
        assert!(table.contains("10.1.0.0/16 dev eth0 proto 76 scope link mtu 1400"), "{table}");

        // By another's hand: what goes is missing, and the rest is not.
        ip(&format!("-n {director} route del 10.1.0.0/16 table 1000"));
        ip(&format!("-n {director} -6 rule del from fd77::100 to fd08::/32"));
        let missing = ops(&routes, &desired).await;
        assert_eq!((missing.add.routes.len(), missing.add.rules.len()), (1, 1));
        assert!(missing.remove.is_empty());

        routes.clear().await.unwrap();
        assert_eq!(shown(&director), before);
    });
}

#[test]
fn what_others_made_stays_and_keeps_its_place() {
    let bed = Bed::new();
    let director = bed.director.clone();
    bed::block_in_ns(&bed.director, || async move {
        for theirs in [
            "route add 10.1.0.0/16 dev eth0 table 1000",
            "route add 10.2.0.0/16 dev eth0 proto keepalived",
            "-6 route add fd01::/32 dev eth0 table 1000",
            "rule add from 10.77.0.100 table 1000 priority 100",
            "rule add from 10.77.0.101 table 1000 priority 101 protocol static",
        ] {
            ip(&format!("-n {director} {theirs}"));
        }
        let before = shown(&director);
        let routes = Routes::open().unwrap();
        assert!(routes.read().await.unwrap().is_empty());
        let dev = || Some("eth0".to_owned());
        let taken = ["10.1.0.0/16", "fd01::/32"].map(|net| Route {
            dev: dev(),
            table: Some(1000),
            mtu: Some(1400),
            ..to(net)
        });
        let free = Route { dev: dev(), ..to("10.3.0.0/16") };
        let nowhere = Route { dev: Some("none0".to_owned()), ..to("10.4.0.0/16") };
        let some = [taken.to_vec(), vec![nowhere, free]].concat();
        let desired = wishes(some, rules()[..1].to_vec());
        let refused = routes.add(&desired).await.unwrap();
        let words: Vec<String> = refused.iter().map(ToString::to_string).collect();
        // A rule of ours goes beside one that says the same.
        assert_eq!(words.len(), 3, "{words:?}");
        assert!(words[0].starts_with("cannot add the route 10.1.0.0/16 dev eth0 "), "{words:?}");
        assert!(words[2].contains("there is no interface none0"), "{words:?}");
        // To remove what another has in that place does not reach it.
        let refused = routes.remove(&desired).await.unwrap();
        assert!(refused.is_empty(), "{refused:?}");
        assert_eq!(shown(&director), before);
    });
}

#[test]
fn strip_removes_routes_and_rules() {
    let bed = Bed::new();
    let director = bed.director.clone();
    bed::block_in_ns(&bed.director, || async move {
        let before = shown(&director);
        bed_bind(&director);
        let routes = Routes::open().unwrap();
        routes.add(&wishes(all_kinds(), rules())).await.unwrap();
        assert_ne!(shown(&director), before);
        strip(None, &[VIP.into(), VIP6.into()].into()).await.unwrap();
        assert_eq!(shown(&director), before);
    });
}

fn bed_bind(director: &str) {
    ip(&format!("-n {director} addr add {VIP}/24 dev eth0"));
    ip(&format!("-n {director} addr add {VIP6}/64 dev eth0 nodad"));
}

/// All routes but the kernel's own, and all rules.
fn shown(director: &str) -> String {
    let mut all = String::new();
    for family in ["-4", "-6"] {
        let routes = run("ip", &format!("-n {director} {family} route show table all"));
        let kept = |line: &&str| !line.contains("proto kernel");
        all.extend(routes.lines().filter(kept).map(|line| format!("{line}\n")));
        all += &run("ip", &format!("-n {director} {family} rule show"));
    }
    all
}
