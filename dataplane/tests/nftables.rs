//! The ruleset in every form that it can take, as the kernel reads it.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use leasehold_dataplane::service::{Health, desired, ruleset};
use leasehold_model::{
    Config, GroupId, Instance, Persistence, Protocol, RealServer, Scheduler, Scope, Service, Vip,
    VirtualServer,
};
use nix::sched::{CloneFlags, unshare};

fn server(address: &str, protocol: Protocol, real: &[(&str, u16)]) -> VirtualServer {
    let at = |text: &str| text.parse::<SocketAddr>().expect("an address and a port");
    VirtualServer {
        lb_algo: Scheduler::Wrr,
        real_servers: real
            .iter()
            .map(|(address, weight)| RealServer { weight: *weight, ..RealServer::new(at(address)) })
            .collect(),
        ..VirtualServer::new(Service::Address(at(address)), protocol)
    }
}

fn all() -> Vec<VirtualServer> {
    let sticky = Some(Persistence { timeout_s: 60, granularity: None, engine: None });
    let mut every_port =
        server("10.0.0.1:0", Protocol::Tcp, &[("10.1.0.1:0", 1), ("10.1.0.2:0", 5)]);
    every_port.persistence = sticky.clone();
    let mut every_port6 = server("[fd00::1]:0", Protocol::Udp, &[("[fd00::7]:0", 1)]);
    every_port6.persistence = sticky;
    vec![
        server("10.0.0.1:80", Protocol::Tcp, &[("10.1.0.1:8080", 3), ("10.1.0.2:80", 1)]),
        server("10.0.0.1:81", Protocol::Tcp, &[("10.1.0.1:80", 1999), ("10.1.0.2:80", 1)]),
        server("10.0.0.1:82", Protocol::Tcp, &[("10.1.0.1:80", 0)]),
        server("10.0.0.1:53", Protocol::Udp, &[("10.1.0.1:53", 1)]),
        server("10.0.0.1:84", Protocol::Sctp, &[("10.1.0.1:84", 1)]),
        server("[fd00::1]:80", Protocol::Tcp, &[("[fd00::7]:80", 2), ("[fd00::8]:8080", 1)]),
        every_port,
        every_port6,
    ]
}

#[test]
fn the_kernel_takes_every_form() {
    unshare(CloneFlags::CLONE_NEWNET).expect("root");
    let vip = |address: &str| Vip {
        address: address.parse().expect("an address"),
        prefix: 24,
        dev: None,
        label: None,
        broadcast: None,
        scope: Scope::Global,
    };
    let instance = Instance {
        virtual_router_id: 1,
        interface: "eth0".to_owned(),
        priority: None,
        advert_int_ms: 1000,
        authentication: None,
        preempt: true,
        preempt_delay_ms: 0,
        virtual_ipaddress: vec![vip("10.0.0.1")],
        directors: BTreeMap::new(),
    };
    let config = Config {
        instances: [("VI_1".to_owned(), instance)].into(),
        virtual_servers: all(),
        ..Config::default()
    };
    let group = GroupId(1);
    let groups = [("VI_1".to_owned(), group)].into();
    let table = desired(&config, &groups, &[group].into(), &Health::default());
    assert_eq!(table.len(), all().len());
    let text = ruleset("leasehold", &table);
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("apt-get install nftables");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("a reader");
    let output = child.wait_with_output().expect("a child");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n{text}");
    let listed = Command::new("nft").args(["list", "ruleset"]).output().expect("nft");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for wanted in ["dnat ip6 to [fd00::8]:8080", "dnat ip to 10.1.0.2", "seed 0x1ea5e401"] {
        assert!(listed.contains(wanted), "{wanted}: {listed}");
    }
}
