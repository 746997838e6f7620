//! Names that operators write, and directors that do not see alike.

use std::sync::Arc;

use leasehold_model::{
    Config, Down, Family, Fwmark, Instance, Protocol, RealName, RealServer, Scope, Service, Vip,
    VirtualServer,
};

use super::{NotThere, Sight, Witness, disagreements, find, sight, text};

fn server(service: Service, protocol: Protocol, real: &[&str]) -> VirtualServer {
    let mut server = VirtualServer::new(service, protocol);
    server.real_servers = real.iter().map(|at| RealServer::new(at.parse().unwrap())).collect();
    server
}

fn address(text: &str) -> Service {
    Service::Address(text.parse().unwrap())
}

fn config() -> Config {
    let mark = |mark, family| Service::Fwmark(Fwmark { mark, family });
    let real = ["10.0.0.9:80", "10.0.0.10:8080"];
    let virtual_servers = vec![
        server(address("192.168.1.100:80"), Protocol::Tcp, &real),
        server(address("192.168.1.100:53"), Protocol::Udp, &["10.0.0.9:53"]),
        server(address("192.168.1.100:54"), Protocol::Tcp, &["10.0.0.9:54"]),
        server(address("192.168.1.100:54"), Protocol::Udp, &["10.0.0.9:54"]),
        server(address("192.168.1.100:132"), Protocol::Sctp, &["10.0.0.9:132"]),
        server(address("[fd00::100]:80"), Protocol::Tcp, &["[fd00::9]:80"]),
        server(mark(7, Family::Inet), Protocol::Udp, &["10.0.0.9:0"]),
        server(mark(8, Family::Inet6), Protocol::Tcp, &["[fd00::9]:0"]),
        server(Service::Group("web".to_owned()), Protocol::Tcp, &["10.0.0.9:80"]),
        server(Service::Group("dns".to_owned()), Protocol::Udp, &["10.0.0.9:53"]),
        server(address("192.168.1.101:80"), Protocol::Tcp, &[]),
    ];
    Config { virtual_servers, ..Config::default() }
}

fn found(server: &str, real: &str) -> String {
    find(&config(), server, real).map_or_else(|why| format!("! {why}"), |one| one.to_string())
}

#[test]
fn the_name_that_status_shows_is_read_back() {
    let config = config();
    for server in &config.virtual_servers {
        for real in &server.real_servers {
            let name = find(&config, &server.name(), &real.address.to_string()).unwrap();
            assert_eq!(name, RealName::new(server, real.address));
            assert_eq!(config.real_server(&name), Some((server, real)));
        }
    }
}

#[test]
fn virtual_servers_are_named_in_the_ways_that_keepalived_and_ipvsadm_know() {
    let http = "10.0.0.9:80 of 192.168.1.100:80";
    for name in ["192.168.1.100:80/tcp", "tcp://192.168.1.100:80", "192.168.1.100 80"] {
        assert_eq!(found(name, "10.0.0.9:80"), http);
    }
    let dns = "10.0.0.9:53 of 192.168.1.100:53/udp";
    for name in ["192.168.1.100:53/udp", "udp://192.168.1.100:53", "192.168.1.100 53/udp"] {
        assert_eq!(found(name, "10.0.0.9:53"), dns);
    }
    let sctp = found("sctp://192.168.1.100:132", "10.0.0.9:132");
    assert_eq!(sctp, "10.0.0.9:132 of 192.168.1.100:132/sctp");
    assert_eq!(found("fd00::100 80", "[fd00::9]:80"), "[fd00::9]:80 of [fd00::100]:80");
    // One way of writing an address is as good as another.
    assert_eq!(found("[fd00:0::100]:80", "[fd00:0::9]:80"), "[fd00::9]:80 of [fd00::100]:80");
    assert_eq!(found("fwmark 7", "10.0.0.9:0"), "10.0.0.9:0 of fwmark 7");
    assert_eq!(found("fwmark 8 inet6", "[fd00::9]:0"), "[fd00::9]:0 of fwmark 8 inet6");
    assert_eq!(found("web", "10.0.0.9:80"), "10.0.0.9:80 of group web");
    assert_eq!(found("dns/udp", "10.0.0.9:53"), "10.0.0.9:53 of group dns/udp");
}

#[test]
fn of_two_protocols_the_one_that_is_named_is_meant() {
    assert_eq!(found("192.168.1.100:54", "10.0.0.9:54"), "10.0.0.9:54 of 192.168.1.100:54");
    let udp = "10.0.0.9:54 of 192.168.1.100:54/udp";
    assert_eq!(found("192.168.1.100:54/udp", "10.0.0.9:54"), udp);
}

#[test]
fn what_is_not_there_is_told_with_the_nearest() {
    let far = |server, real| found(server, real);
    let no_server = "! no virtual server is called";
    assert_eq!(
        far("192.168.1.100:81", "10.0.0.9:80"),
        format!("{no_server} 192.168.1.100:81; the nearest is 192.168.1.100:80")
    );
    assert_eq!(
        far("192.168.1.100:53", "10.0.0.9:53"),
        format!("{no_server} 192.168.1.100:53; the nearest is 192.168.1.100:53/udp")
    );
    assert_eq!(far("wep", "10.0.0.9:80"), format!("{no_server} wep; the nearest is group web"));
    assert_eq!(
        far("fwmark 8", "[fd00::9]:0"),
        format!("{no_server} fwmark 8; the nearest is fwmark 7")
    );
    let no_real = "is no real server of 192.168.1.100:80; the nearest is";
    assert_eq!(far("192.168.1.100:80", "10.0.0.9"), format!("! 10.0.0.9 {no_real} 10.0.0.9:80"));
    assert_eq!(
        far("192.168.1.100:80", "10.0.0.10:80"),
        format!("! 10.0.0.10:80 {no_real} 10.0.0.10:8080")
    );
    assert_eq!(far("192.168.1.100:80", "x"), format!("! x {no_real} 10.0.0.9:80"));
    assert_eq!(far("192.168.1.101:80", "x"), "! 192.168.1.101:80 has no real servers");
    assert_eq!(find(&Config::default(), "x", "y"), Err(NotThere::Nothing));
}

/// With an instance for each of the two virtual servers.
fn site() -> Config {
    let mut config = Config {
        virtual_servers: vec![
            server(address("192.168.1.100:80"), Protocol::Tcp, &["10.0.0.9:80", "10.0.0.8:80"]),
            server(address("192.168.1.101:80"), Protocol::Tcp, &["10.0.0.9:80"]),
        ],
        ..Config::default()
    };
    for (name, vip) in [("web", "192.168.1.100"), ("mail", "192.168.1.101")] {
        let mut instance = Instance::new(1, "eth0");
        instance.virtual_ipaddress = vec![Vip {
            address: vip.parse().unwrap(),
            prefix: 24,
            dev: None,
            label: None,
            broadcast: None,
            scope: Scope::Global,
        }];
        config.instances.insert(name.to_owned(), instance);
    }
    config
}

fn down(names: &[&RealName], unnamed: u32) -> Option<Down> {
    let named = names.iter().map(|name| ((*name).clone(), "no route".to_owned())).collect();
    Some(Down { named: Arc::new(named), unnamed })
}

fn explained(config: &Config, reports: &[(&'static str, Option<Down>)]) -> String {
    let witnesses: Vec<_> =
        reports.iter().map(|(name, down)| Witness { name, down: down.clone() }).collect();
    text(&disagreements(config, &witnesses, Some("ds1"), |instance| instance == "web"))
}

#[test]
fn a_disagreement_is_told_with_the_holder_and_where_to_look() {
    let config = site();
    let nine = find(&config, "192.168.1.100:80", "10.0.0.9:80").unwrap();
    let said = explained(
        &config,
        &[("ds1", down(&[&nine], 0)), ("ds2", down(&[], 0)), ("ds3", down(&[], 0))],
    );
    assert_eq!(
        said,
        "  192.168.1.100:80: real server 10.0.0.9:80 is down for ds1 (holder) and up for ds2 and \
         ds3: look at the path from ds1 (ds1: no route)\n"
    );
    let said = explained(
        &config,
        &[("ds1", down(&[], 0)), ("ds2", down(&[&nine], 0)), ("ds3", down(&[&nine], 0))],
    );
    assert_eq!(
        said,
        "  192.168.1.100:80: real server 10.0.0.9:80 is down for ds2 and ds3 and up for ds1: \
         look at the path from ds2 and ds3 (ds2: no route)\n"
    );
}

#[test]
fn where_all_that_are_heard_agree_nothing_is_told() {
    let config = site();
    let nine = find(&config, "192.168.1.100:80", "10.0.0.9:80").unwrap();
    let all = || down(&[&nine], 0);
    assert_eq!(explained(&config, &[("ds1", all()), ("ds2", all())]), "");
    assert_eq!(explained(&config, &[("ds1", all()), ("ds2", None)]), "", "one is not heard");
    assert_eq!(
        explained(&config, &[("ds1", all()), ("ds2", down(&[], 9))]),
        "",
        "it can't name it"
    );
    let other = find(&config, "192.168.1.101:80", "10.0.0.9:80").unwrap();
    let elsewhere = [("ds1", down(&[&other], 0)), ("ds2", down(&[], 0))];
    assert_eq!(explained(&config, &elsewhere), "", "another instance");
    let mut suspended = config.clone();
    suspended.virtual_servers[0].ha_suspend = true;
    assert_eq!(explained(&suspended, &[("ds1", all()), ("ds2", down(&[], 0))]), "", "ds2 asleep");
    let mut without = config;
    without.virtual_servers[0].real_servers.remove(0);
    assert_eq!(explained(&without, &[("ds1", all()), ("ds2", down(&[], 0))]), "", "removed");
}

#[test]
fn a_director_that_can_not_name_all_is_not_quoted_on_the_rest() {
    let config = site();
    let nine = find(&config, "192.168.1.100:80", "10.0.0.9:80").unwrap();
    let eight = find(&config, "192.168.1.100:80", "10.0.0.8:80").unwrap();
    let some = down(&[&nine], 1);
    assert_eq!(sight(some.as_ref(), &nine), Sight::Down("no route"));
    assert_eq!(sight(some.as_ref(), &eight), Sight::Unknown);
    assert_eq!(sight(down(&[&nine], 0).as_ref(), &eight), Sight::Up);
    assert_eq!(sight(None, &eight), Sight::Unknown);
}

#[test]
fn many_disagreements_do_not_fill_the_screen() {
    let mut config = site();
    let real = (1..=30).map(|nth| RealServer::new(([10, 0, 1, nth], 80).into()));
    config.virtual_servers[0].real_servers = real.collect();
    let server = &config.virtual_servers[0];
    let names: Vec<_> =
        server.real_servers.iter().map(|one| RealName::new(server, one.address)).collect();
    let all = down(&names.iter().collect::<Vec<_>>(), 0);
    let said = explained(&config, &[("ds1", all), ("ds2", down(&[], 0))]);
    assert_eq!(said.lines().count(), 11);
    let last = "  and 20 more that directors see differently: --json names them\n";
    assert!(said.ends_with(last), "{said}");
}
