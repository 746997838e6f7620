//! The comparison's baseline: what keepalived does under faults, by the same judge.

use std::net::IpAddr;
use std::time::Duration;

use leasehold_lab::peers::keepalived::{Keepalived, Vrrp};
use leasehold_lab::{End, Host, Lan, Observer, Port, Result, Returns, Signal, now_ns};

const LIMIT: Duration = Duration::from_secs(30);

struct Pair {
    lan: Lan,
    vip: IpAddr,
    ds1: Host,
    ds2: Host,
    port1: Port,
    port2: Port,
    master: Keepalived,
    _backup: Keepalived,
    observer: Observer,
}

impl Pair {
    /// ds1 is master, and both have settled.
    fn start(advert_int: f64) -> Result<Pair> {
        let lan = Lan::new("pair", "10.81.0.0/24", None)?;
        let (ds1, ds2, witness) = (Host::new("ds1")?, Host::new("ds2")?, Host::new("witness")?);
        let (port1, port2) = (lan.attach(&ds1, "eth0", 11)?, lan.attach(&ds2, "eth0", 12)?);
        lan.attach(&witness, "eth0", 50)?;
        let vip = IpAddr::from([10, 81, 0, 100]);
        let config = |priority| {
            Vrrp { interface: "eth0", version: 3, advert_int, priority, vips: &[vip] }.config()
        };
        let master = Keepalived::start(&ds1, &config(150))?;
        master.process().wait_for_line("Entering MASTER STATE", LIMIT)?;
        let backup = Keepalived::start(&ds2, &config(100))?;
        backup.process().wait_for_line("Entering BACKUP STATE", LIMIT)?;
        let observer = lan.observe(&witness, &[vip])?;
        observer.wait_for(vip, Some(port1.mac), LIMIT)?;
        Ok(Pair { lan, vip, ds1, ds2, port1, port2, master, _backup: backup, observer })
    }
}

#[test]
fn kill_of_all_processes_of_the_master_leaves_two_answerers() -> Result<()> {
    let pair = Pair::start(0.1)?;
    let fault = now_ns();
    pair.master.process().kill_tree()?;
    pair.observer.wait_for(pair.vip, Some(pair.port2.mac), LIMIT)?;
    // Nobody is left to remove the address of the dead master.
    pair.observer.wait_for(pair.vip, Some(pair.port1.mac), LIMIT)?;
    let seen = pair.observer.stop()?;
    assert!(!seen.duplicates(pair.vip, Returns::AtMost(0)).is_empty());
    println!("kill -9: {:?}", seen.outage(pair.vip, fault));
    Ok(())
}

#[test]
fn a_frozen_master_leaves_two_answerers() -> Result<()> {
    let pair = Pair::start(0.1)?;
    pair.master.process().freeze_tree()?;
    pair.observer.wait_for(pair.vip, Some(pair.port2.mac), LIMIT)?;
    pair.observer.wait_for(pair.vip, Some(pair.port1.mac), LIMIT)?;
    assert!(pair.observer.stop()?.duplicates_total(Returns::AtMost(0)) > 0);
    Ok(())
}

#[test]
fn a_partition_of_the_directors_leaves_two_answerers() -> Result<()> {
    let pair = Pair::start(0.1)?;
    pair.lan.partition(&[&pair.ds1], &[&pair.ds2])?;
    pair.observer.wait_for(pair.vip, Some(pair.port2.mac), LIMIT)?;
    pair.observer.wait_for(pair.vip, Some(pair.port1.mac), LIMIT)?;
    assert!(pair.observer.stop()?.duplicates_total(Returns::AtMost(0)) > 0);
    Ok(())
}

#[test]
fn a_cut_link_moves_the_address_with_one_outage_and_no_duplicate() -> Result<()> {
    let pair = Pair::start(0.1)?;
    let fault = now_ns();
    pair.lan.link_down(&pair.ds1, End::Bridge)?;
    pair.observer.wait_for(pair.vip, Some(pair.port2.mac), LIMIT)?;
    let seen = pair.observer.stop()?;
    let outage = seen.outage(pair.vip, fault).unwrap();
    println!("link cut, advert_int 0.1: {outage}");
    assert_eq!(seen.duplicates(pair.vip, Returns::AtMost(0)), []);
    assert_eq!(outage.after, Some(pair.port2.mac));
    Ok(())
}

#[test]
fn a_planned_stop_moves_the_address_with_one_outage_and_no_duplicate() -> Result<()> {
    let pair = Pair::start(0.1)?;
    let fault = now_ns();
    pair.master.process().kill(Signal::SIGTERM)?;
    pair.observer.wait_for(pair.vip, Some(pair.port2.mac), LIMIT)?;
    let seen = pair.observer.stop()?;
    println!("SIGTERM, advert_int 0.1: {}", seen.outage(pair.vip, fault).unwrap());
    assert_eq!(seen.duplicates(pair.vip, Returns::AtMost(0)), []);
    Ok(())
}

#[test]
fn its_checker_alone_removes_and_adds_with_or_without_ipvs() -> Result<()> {
    let host = Host::new("checker")?;
    let keepalived = Keepalived::check(
        &host,
        "virtual_server 10.81.0.100 80 {\n delay_loop 1\n lb_algo rr\n lb_kind NAT\n protocol TCP\n \
         real_server 127.0.0.1 8080 {\n TCP_CHECK {\n connect_timeout 1\n retry 0\n }\n }\n}\n",
    )?;
    keepalived.process().wait_for_line("Removing service [127.0.0.1]:tcp:8080", LIMIT)?;
    let listener = host.enter(|| std::net::TcpListener::bind("127.0.0.1:8080"))?;
    assert!(listener.is_ok(), "{listener:?}");
    keepalived.process().wait_for_line("Adding service [127.0.0.1]:tcp:8080", LIMIT)?;
    Ok(())
}
