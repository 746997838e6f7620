//! `close` finishes what daemon and guard were both killed before they could.

use std::net::IpAddr;

use leasehold_lab::cluster::{Cluster, Plan, SOON, instance};
use leasehold_lab::{Result, find_binary};

#[test]
fn what_daemon_and_guard_left_is_closed_and_unbound_at_once() -> Result<()> {
    let mut cluster = Cluster::start(&Plan { directors: 1, ..Plan::new(find_binary()?) })?;
    let vip: IpAddr = "192.168.1.100".parse().expect("an address");
    cluster.apply("toml", &instance("VI_1", 88, &[vip]))?;
    let observer = cluster.lan.observe(&cluster.client, &[vip])?;
    observer.wait_for(vip, None, SOON)?;
    let refused = cluster.cli(0, &["close"]).unwrap_err().to_string();
    assert!(refused.contains("is in use by pid"), "{refused}");

    cluster.daemon(0)?.kill_tree()?;
    cluster.mark_down(0);
    let bound = |cluster: &Cluster| {
        let addresses = cluster.nodes()[0].host.ip("addr show dev eth0");
        addresses.expect("ip").contains("192.168.1.100")
    };
    assert!(bound(&cluster), "nobody was left to unbind it");
    assert_eq!(cluster.cli(0, &["close"])?.trim(), "ds1 answers for nothing");
    assert!(!bound(&cluster));
    cluster.run(0)?;
    observer.wait_for(vip, None, SOON)?;
    observer.stop()?;
    Ok(())
}
