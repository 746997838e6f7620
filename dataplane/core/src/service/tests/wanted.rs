//! Only the holder has a service, and it has what is up.

use leasehold_model::{Family, Fwmark, GroupEntry, SorryServer, VirtualServerGroup};

use super::*;
use crate::service::Verdict;

/// The checks of its first real server say so.
fn say(health: &mut Health, server: &VirtualServer, verdict: Verdict) {
    let real = &server.real_servers[0];
    health.handle_finding(server, real, verdict.into(), &Overrides::new(), seconds(1));
}

#[test]
fn only_the_holder_of_the_address_has_the_service() {
    let config = config(vec![
        server("10.0.0.1:80", &["10.1.0.1:80"]),
        server("10.0.0.2:80", &["10.1.0.1:80"]),
    ]);
    let keys = |held: &[u32]| table(&config, held).into_keys().collect::<Vec<_>>();
    assert_eq!(keys(&[]), []);
    assert_eq!(keys(&[1]), [key("-t 10.0.0.1:80")]);
    assert_eq!(keys(&[2]), [key("-t 10.0.0.2:80")]);
    assert_eq!(keys(&[1, 2]), [key("-t 10.0.0.1:80"), key("-t 10.0.0.2:80")]);
}

#[test]
fn a_group_is_served_entrance_by_entrance_each_on_its_own_lease() {
    let mut one = server("10.0.0.1:80", &["10.1.0.1:80"]);
    one.service = Service::Group("web".to_owned());
    let mut config = config(vec![one]);
    let range = |first: &str, last: &str| GroupEntry::Range {
        first: first.parse().expect("an address"),
        last: last.parse().expect("an address"),
        port: 80,
    };
    let mark = GroupEntry::Fwmark(Fwmark { mark: 7, family: Family::Inet });
    let entries = vec![range("10.0.0.1", "10.0.0.2"), mark];
    config.groups.insert("web".to_owned(), VirtualServerGroup { entries });
    let keys = |held: &[u32]| table(&config, held).into_keys().collect::<Vec<_>>();
    assert_eq!(keys(&[1]), [key("-t 10.0.0.1:80"), key("-f 7")]);
    assert_eq!(keys(&[2]), [key("-t 10.0.0.2:80")]);
}

#[test]
fn an_instance_that_is_named_serves_any_address() {
    let mut one = server("10.9.9.9:80", &["10.1.0.1:80"]);
    assert_eq!(table(&config(vec![one.clone()]), &[1, 2]).len(), 0, "nobody's address");
    one.instance = Some("right".to_owned());
    assert_eq!(table(&config(vec![one.clone()]), &[1]).len(), 0);
    assert_eq!(table(&config(vec![one]), &[2]).len(), 1);
}

#[test]
fn a_real_server_that_is_down_leaves_or_stays_silent() {
    let mut config = config(vec![server("10.0.0.1:80", &["10.1.0.1:80", "10.1.0.2:80"])]);
    let weights = |config: &Config| {
        let mut health = Health::default();
        health.handle_config(config, &Findings::new(), &Overrides::new(), seconds(0));
        let server = &config.virtual_servers[0];
        say(&mut health, server, Verdict::Down);
        let table = desired(config, &groups(), &open(&[1]), &health, &Overrides::new());
        let service = &table[&key("-t 10.0.0.1:80")];
        let weights: Vec<_> = service.servers.iter().map(|one| one.weight).collect();
        (weights, service.failed.clone())
    };
    assert_eq!(weights(&config), (vec![1], vec![at("10.1.0.1:80")]));
    config.virtual_servers[0].real_servers[0].inhibit_on_failure = true;
    assert_eq!(weights(&config), (vec![0, 1], vec![]));
}

#[test]
fn the_sorry_server_serves_alone_when_nobody_else_can() {
    let mut one = server("10.0.0.1:80", &["10.1.0.1:80"]);
    let sorry = SorryServer { address: at("10.1.0.9:80"), lb_kind: None, inhibit: false };
    one.sorry_server = Some(sorry);
    let mut config = config(vec![one]);
    let servers = |config: &Config, verdict| {
        let mut health = Health::default();
        health.handle_config(config, &Findings::new(), &Overrides::new(), seconds(0));
        let server = &config.virtual_servers[0];
        say(&mut health, server, verdict);
        let table = desired(config, &groups(), &open(&[1]), &health, &Overrides::new());
        let servers = &table[&key("-t 10.0.0.1:80")].servers;
        servers.iter().map(|one| (one.address.to_string(), one.weight)).collect::<Vec<_>>()
    };
    let (real, sorry) = ("10.1.0.1:80".to_owned(), "10.1.0.9:80".to_owned());
    assert_eq!(servers(&config, Verdict::Up), [(real.clone(), 1)]);
    assert_eq!(servers(&config, Verdict::Down), [(sorry.clone(), 1)]);
    config.virtual_servers[0].sorry_server.as_mut().expect("it has one").inhibit = true;
    assert_eq!(servers(&config, Verdict::Up), [(real, 1), (sorry.clone(), 0)]);
    assert_eq!(servers(&config, Verdict::Down), [(sorry, 1)]);
}
