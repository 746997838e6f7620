//! A machine made a real server and unmade, among what other hands do to it meanwhile.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use leasehold_dataplane::real::{Mode, Use};
use leasehold_dataplane::realserver::RealServers;
use leasehold_lab::vm::with_module;
use nix::sched::{CloneFlags, unshare};

fn vip() -> IpAddr {
    "10.88.0.100".parse().expect("an address")
}

fn nat(gateway: &str) -> Use {
    Use { mode: Mode::Nat, gateway: Some(gateway.parse().expect("an address")) }
}

const DR: Use = Use { mode: Mode::Dr, gateway: None };

fn ip(words: &str) -> String {
    let output = Command::new("ip").args(words.split_whitespace()).output().expect("ip");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {words}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn routes() -> Vec<String> {
    ip("-4 route show default").lines().map(|line| line.trim().to_owned()).collect()
}

/// A network namespace with two wires, and a directory to remember in.
fn machine() -> tempfile::TempDir {
    unshare(CloneFlags::CLONE_NEWNET).expect("root");
    for (number, wire) in ["eth0", "eth1"].into_iter().enumerate() {
        ip(&format!("link add {wire} type veth peer name far{number}"));
        ip(&format!("link set {wire} up"));
        ip(&format!("link set far{number} up"));
        ip(&format!("addr add 10.{}.0.7/24 dev {wire}", 88 + number));
    }
    ip("link set lo up");
    tempfile::tempdir().expect("a directory")
}

fn open(state: &Path) -> RealServers {
    RealServers::open(state).expect("a directory of ours")
}

#[test]
fn old_routes_come_back_before_ours_goes() {
    let state = machine();
    ip("route add default via 10.88.0.1 dev eth0");
    ip("route add default via 10.89.0.1 dev eth1 metric 100");
    let before = routes();
    let mut servers = open(state.path());
    servers.up(vip(), nat("10.88.0.254")).expect("it can be");
    assert_eq!(routes(), ["default via 10.88.0.254 dev eth0"]);
    let told = servers.down(vip()).expect("it can be");
    assert_eq!(routes(), before);
    assert!(told.last().expect("commands").contains("route del default via 10.88.0.254"));
}

#[test]
fn what_can_not_be_given_back_is_refused_before_anything_is_changed() {
    let state = machine();
    ip("route add default nexthop via 10.88.0.1 dev eth0 nexthop via 10.89.0.1 dev eth1");
    let before = routes();
    let refused = open(state.path()).up(vip(), nat("10.88.0.254"));
    let why = refused.expect_err("several ways").to_string();
    assert!(why.contains("could not be given back as it is"), "{why}");
    assert_eq!(routes(), before);
    assert_eq!(open(state.path()).memory().done, []);
}

#[test]
fn a_route_over_a_dead_wire_comes_back() {
    let state = machine();
    ip("route add default via 10.88.0.1 dev eth0");
    ip("route add default via 10.89.0.1 dev eth1 metric 100");
    ip("link set far1 down");
    let dead = || routes().iter().any(|route| route.ends_with("linkdown"));
    assert!(dead(), "{:?}", routes());
    let mut servers = open(state.path());
    servers.up(vip(), nat("10.88.0.254")).expect("it can be");
    servers.down(vip()).expect("it can be");
    assert!(dead() && routes().len() == 2, "{:?}", routes());
}

#[test]
fn what_can_not_be_given_back_yet_is_remembered() {
    let state = machine();
    ip("route add default via 10.89.0.1 dev eth1");
    let mut servers = open(state.path());
    servers.up(vip(), nat("10.88.0.254")).expect("it can be");
    ip("link set eth1 down");
    servers.down(vip()).expect_err("there is no way to the old gateway");
    assert_eq!(routes(), ["default via 10.88.0.254 dev eth0"], "not without any");
    ip("link set eth1 up");
    drop(servers);
    open(state.path()).down(vip()).expect("now it can be");
    assert_eq!(routes(), ["default via 10.89.0.1 dev eth1"]);
}

#[test]
fn a_second_gateway_is_refused() {
    let state = machine();
    let mut servers = open(state.path());
    servers.up(vip(), nat("10.88.0.254")).expect("it can be");
    let other = "10.88.0.101".parse().expect("an address");
    let why = servers.up(other, nat("10.88.0.253")).expect_err("another").to_string();
    assert!(why.contains("10.88.0.100 has the gateway 10.88.0.254"), "{why}");
    assert_eq!(routes(), ["default via 10.88.0.254 dev eth0"]);
    servers.up(other, nat("10.88.0.254")).expect("the same one");
}

fn setting(name: &str) -> std::path::PathBuf {
    Path::new("/proc/sys/net/ipv4/conf").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(setting(name)).expect("a setting").trim().to_owned()
}

#[test]
fn stricter_settings_stay_and_what_changed_since_comes_back() {
    let state = machine();
    std::fs::write(setting("all/arp_ignore"), "8").expect("root");
    std::fs::write(setting("lo/arp_announce"), "1").expect("root");
    let mut servers = open(state.path());
    servers.up(vip(), DR).expect("it can be");
    assert_eq!((read("all/arp_ignore"), read("lo/arp_announce")), ("8".into(), "2".into()));
    // Another hand, and then up again: what it did is what comes back.
    std::fs::write(setting("lo/arp_announce"), "0").expect("root");
    servers.up(vip(), DR).expect("it can be");
    assert_eq!(read("lo/arp_announce"), "2");
    servers.down(vip()).expect("it can be");
    assert_eq!((read("all/arp_ignore"), read("lo/arp_announce")), ("8".into(), "0".into()));
}

const TUN: Use = Use { mode: Mode::Tun, gateway: None };

#[test]
fn a_tunnel_weakens_no_other_filter_and_may_vanish() -> leasehold_lab::Result<()> {
    with_module("ipip", "a_tunnel_weakens_no_other_filter_and_may_vanish", || {
        let state = machine();
        let mut servers = open(state.path());
        for (all, own, made) in [("1", "0", "2"), ("1", "1", "2"), ("0", "0", "0"), ("2", "1", "1")]
        {
            std::fs::write(setting("all/rp_filter"), all).expect("root");
            std::fs::write(setting("tunl0/rp_filter"), own).expect("root");
            servers.up(vip(), TUN).expect("it can be");
            assert_eq!((read("all/rp_filter"), read("tunl0/rp_filter")), (all.into(), made.into()));
            assert_eq!(servers.up(vip(), TUN).expect("it is so"), Vec::<String>::new());
            servers.down(vip()).expect("it can be");
            assert_eq!((read("all/rp_filter"), read("tunl0/rp_filter")), (all.into(), own.into()));
        }
        servers.up(vip(), TUN).expect("it can be");
        let unload = Command::new("modprobe").args(["-r", "ipip"]).status().expect("modprobe");
        assert!(unload.success() && !setting("tunl0/rp_filter").exists());
        servers.down(vip()).expect("what is gone is undone");
        assert_eq!(servers.memory().done, []);
        Ok(())
    })
}
