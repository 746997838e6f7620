//! The ruleset in every form that it can take, as the kernel reads it.

use std::fs::Permissions;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use leasehold_dataplane::fence::boot_now;
use leasehold_dataplane::service::{Drains, Health, Table, desired, ruleset};
use leasehold_dataplane::{Balancer, Failures, Wishes};
use leasehold_model::{
    Config, Dataplane, GroupId, Instance, Overrides, Persistence, Protocol, RealServer, Scheduler,
    Scope, Service, Vip, VirtualServer,
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

fn table(virtual_servers: Vec<VirtualServer>) -> Table {
    let vip = |address: &str| Vip {
        address: address.parse().expect("an address"),
        prefix: 24,
        dev: None,
        label: None,
        broadcast: None,
        scope: Scope::Global,
    };
    let instance =
        Instance { virtual_ipaddress: vec![vip("10.0.0.1")], ..Instance::new(1, "eth0") };
    let config = Config {
        instances: [("VI_1".to_owned(), instance)].into(),
        virtual_servers,
        ..Config::default()
    };
    let group = GroupId(1);
    let groups = [("VI_1".to_owned(), group)].into();
    desired(&config, &groups, &[group].into(), &Health::default(), &Overrides::new())
}

#[test]
fn the_kernel_takes_every_form() {
    unshare(CloneFlags::CLONE_NEWNET).expect("root");
    let table = table(all());
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

fn put(balancer: &mut Balancer, table: &Table) -> Failures {
    let owned = table.keys().copied().collect();
    let wishes = Wishes {
        table,
        owned: &owned,
        sync: None,
        end_sync: false,
        timeouts: None,
        drain_for: Duration::ZERO,
    };
    let done = balancer.put(&wishes, &mut Drains::default(), boot_now()).expect("nft");
    balancer.retire(table, &owned).expect("nft");
    done.failures
}

fn nft(words: &[&str]) -> String {
    let output = Command::new("nft").args(words).output().expect("nft");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn what_another_hand_changed_right_after_is_mended() {
    unshare(CloneFlags::CLONE_NEWNET).expect("root");
    let mut balancer = Balancer::open(Dataplane::Nftables).expect("nft");
    let table = table(all());
    let list = ["--stateless", "list", "table", "inet", "leasehold"];
    assert_eq!(put(&mut balancer, &table), Failures::new());
    let is = nft(&list);
    nft(&["flush", "chain", "inet", "leasehold", "prerouting"]);
    assert_ne!(nft(&list), is);
    put(&mut balancer, &table);
    assert_eq!(nft(&list), is);
}

/// With an `nft` that refuses whatever has a certain real server, as a kernel might.
#[test]
fn one_service_that_is_refused_stops_no_other() {
    const AGAIN: &str = "LEASEHOLD_TEST_NFT_REFUSES";
    if std::env::var_os(AGAIN).is_none() {
        let folder = tempfile::tempdir().expect("a directory");
        let nft = folder.path().join("nft");
        let script = "#!/bin/sh\nPATH=${PATH#*:}\ntext=$(cat)\ncase $text in\n\
                      *10.1.0.66*) echo 'no such luck' >&2; exit 1;; esac\n\
                      printf '%s\\n' \"$text\" | nft \"$@\"\n";
        std::fs::write(&nft, script).expect("a disk");
        std::fs::set_permissions(&nft, Permissions::from_mode(0o755)).expect("ours");
        let path = std::env::var("PATH").expect("a path");
        let path = format!("{}:{path}", folder.path().display());
        let mut again = Command::new(std::env::current_exe().expect("this test"));
        again.args(["--exact", "one_service_that_is_refused_stops_no_other", "--nocapture"]);
        assert!(again.env("PATH", path).env(AGAIN, "").status().expect("it runs").success());
        return;
    }
    unshare(CloneFlags::CLONE_NEWNET).expect("root");
    let mut balancer = Balancer::open(Dataplane::Nftables).expect("nft");
    let mut servers = all();
    servers.push(server("10.0.0.1:99", Protocol::Tcp, &[("10.1.0.66:80", 1)]));
    let failures = put(&mut balancer, &table(servers));
    let told: Vec<String> = failures.iter().map(|(key, why)| format!("{key}: {why}")).collect();
    assert_eq!(told, ["-t 10.0.0.1:99: nft refuses it: no such luck"]);
    let is = nft(&["list", "table", "inet", "leasehold"]);
    assert!(is.contains("dnat ip6 to [fd00::8]:8080"), "{is}");
    assert_eq!(put(&mut balancer, &table(all())), Failures::new());
}
