//! How long a takeover of many services takes, beside `ipvsadm` in the same kernel.
//!
//! Needs root and IPVS: `leasehold-jepsen vm -- PROGRAM`.
#![expect(clippy::print_stdout, reason = "a benchmark's report is its output")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use leasehold_dataplane::ipvs::Ipvs;
use leasehold_dataplane::service::{Drains, Health, Table, desired};
use leasehold_dataplane::{Balancer, Wishes};
use leasehold_model::{
    BootNanos, Config, Dataplane, Forward, GroupId, Instance, Overrides, Protocol, RealServer,
    Scheduler, Scope, Service, Vip, VirtualServer,
};
use nix::sched::{CloneFlags, unshare};

const REAL: u8 = 10;

fn main() {
    unshare(CloneFlags::CLONE_NEWNET).expect("root");
    // Without a table of local addresses, the kernel takes none for a real server's.
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(up.expect("apt-get install iproute2").success());
    let mut balancer = Balancer::open(Dataplane::Ipvs).expect("IPVS: run it in the machine");
    println!("| what | ms | messages | system calls |");
    println!("| --- | --- | --- | --- |");
    let many = config(1000);
    let table = wanted(&many);
    put(&mut balancer, &Table::new(), "warm up");
    put(&mut balancer, &table, "1,000 services x 10 real servers, from empty");
    put(&mut balancer, &table, "the same again: read back, nothing to change");
    let mut lighter = many.clone();
    lighter.virtual_servers[500].real_servers[5].weight = 7;
    put(&mut balancer, &wanted(&lighter), "one weight of 10,000 changed, with the reading");
    retire(&mut balancer, &table, "all removed");
    let twice = config(2000);
    let more = wanted(&twice);
    put(&mut balancer, &more, "2,000 services x 10 real servers, from empty");
    retire(&mut balancer, &more, "all removed");
    let saved = saved(&table);
    let begun = Instant::now();
    feed(&["-R"], &saved);
    row("ipvsadm -R of 1,000 services x 10 real servers", begun, None);
    let begun = Instant::now();
    feed(&["-Ln"], "");
    row("ipvsadm -Ln of them", begun, None);
}

/// Services on the ports of one address, all on one lease.
fn config(services: u16) -> Config {
    let instance = Instance {
        virtual_ipaddress: vec![Vip {
            address: [10, 0, 0, 1].into(),
            prefix: 24,
            dev: None,
            label: None,
            broadcast: None,
            scope: Scope::Global,
        }],
        ..Instance::new(1, "eth0")
    };
    let server = |port: u16| VirtualServer {
        lb_algo: Scheduler::Wlc,
        lb_kind: Forward::Dr,
        real_servers: (1..=REAL)
            .map(|host| RealServer::new(SocketAddr::from(([10, 1, 0, host], port))))
            .collect(),
        ..VirtualServer::new(
            Service::Address(SocketAddr::from(([10, 0, 0, 1], port))),
            Protocol::Tcp,
        )
    };
    Config {
        instances: [("VI_1".to_owned(), instance)].into(),
        virtual_servers: (1..=services).map(|nth| server(1000 + nth)).collect(),
        ..Config::default()
    }
}

fn wanted(config: &Config) -> Table {
    let group = GroupId(1);
    let groups = [("VI_1".to_owned(), group)].into();
    desired(config, &groups, &[group].into(), &Health::default(), &Overrides::new())
}

fn put(balancer: &mut Balancer, table: &Table, what: &str) {
    let owned = BTreeSet::new();
    let wishes = Wishes {
        table,
        owned: &owned,
        sync: None,
        end_sync: false,
        timeouts: None,
        drain_for: Duration::ZERO,
    };
    let before = counters(balancer);
    let begun = Instant::now();
    let now = BootNanos::default();
    let done = balancer.put(&wishes, &mut Drains::default(), now).expect("a kernel that answers");
    assert_eq!(done.failures.values().next(), None);
    row(what, begun, Some((before, counters(balancer))));
}

fn retire(balancer: &mut Balancer, table: &Table, what: &str) {
    let owned = table.keys().cloned().collect();
    let before = counters(balancer);
    let begun = Instant::now();
    let left = balancer.retire(&Table::new(), &owned).expect("a kernel that answers");
    assert_eq!(left.values().next(), None);
    row(what, begun, Some((before, counters(balancer))));
}

/// Messages, and system calls for them.
fn counters(balancer: &mut Balancer) -> (u64, u64) {
    let Balancer::Ipvs(ipvs) = balancer else { return (0, 0) };
    let ipvs: &mut Ipvs = ipvs;
    let counters = ipvs.client().counters();
    (counters.messages, counters.sends + counters.receives)
}

fn row(what: &str, begun: Instant, counted: Option<((u64, u64), (u64, u64))>) {
    let ms = begun.elapsed().as_secs_f64() * 1e3;
    let (messages, calls) = counted.map_or_else(
        || ("-".to_owned(), "-".to_owned()),
        |(before, after)| ((after.0 - before.0).to_string(), (after.1 - before.1).to_string()),
    );
    println!("| {what} | {ms:.0} | {messages} | {calls} |");
}

fn saved(table: &Table) -> String {
    let mut text = String::new();
    for (key, service) in table {
        writeln!(text, "-A {key} -s {}", service.settings.scheduler).expect("a string");
        for one in &service.servers {
            writeln!(text, "-a {key} -r {} -g -w {}", one.address, one.weight).expect("a string");
        }
    }
    text
}

fn feed(arguments: &[&str], input: &str) {
    let mut child = Command::new("ipvsadm")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("apt-get install ipvsadm");
    let mut stdin = child.stdin.take().expect("it is a pipe");
    stdin.write_all(input.as_bytes()).expect("a reader");
    drop(stdin);
    assert!(child.wait().expect("a child").success());
}
