//! Three machines become a cluster by the command line alone, and serve seed 003's VIP.

use std::net::IpAddr;

use leasehold_lab::cluster::{Cluster, Plan, SOON};
use leasehold_lab::{Result, Returns, find_binary};

/// The pair of a floating VIP: the same router, two priorities, an alias as label.
fn keepalived(router_id: &str, state: &str, priority: u8) -> String {
    format!(
        "! floating address\nglobal_defs {{\n    router_id {router_id}\n    \
         vrrp_mcast_group4 224.100.100.100\n}}\n\nvrrp_instance VI_1 {{\n    state {state}\n    \
         interface eth0\n    virtual_router_id 88\n    priority {priority}\n    advert_int 1\n    \
         authentication {{\n        auth_type PASS\n        auth_pass 123456\n    }}\n    \
         virtual_ipaddress {{\n        192.168.1.100/24 dev eth0 label eth0:1\n    }}\n}}\n"
    )
}

#[test]
fn a_pair_of_keepalived_files_becomes_one_configuration_with_its_priorities() -> Result<()> {
    let mut cluster = Cluster::start(&Plan::new(find_binary()?))?;
    let vip: IpAddr = "192.168.1.100".parse().expect("an address");
    let directory = cluster.nodes()[0].data_dir.parent().unwrap().to_owned();
    let files = [("ds1", "MASTER", 90), ("ds2", "BACKUP", 100)].map(|(name, state, priority)| {
        let file = directory.join(format!("{name}.conf"));
        std::fs::write(&file, keepalived(name, state, priority)).expect("a test directory");
        format!("{name}={}", file.display())
    });
    let toml = cluster.cli(0, &["import", &files[0], &files[1]])?;
    cluster.apply("toml", &toml)?;
    assert_eq!(cluster.wait_for_holder("VI_1")?, 1, "the higher priority holds");

    let observer = cluster.lan.observe(&cluster.client, &[vip])?;
    observer.wait_for(vip, Some(cluster.nodes()[1].port.mac), SOON)?;
    let addresses = cluster.nodes()[1].host.ip("addr show dev eth0")?;
    assert!(addresses.contains("192.168.1.100/24"), "{addresses}");
    assert!(addresses.contains("eth0:1"), "{addresses}");

    let export = cluster.cli(2, &["export"])?;
    assert_eq!(export.trim(), toml.trim(), "what went in comes out, on another node too");
    let why = cluster.cli(2, &["explain", "VI_1"])?;
    assert!(why.contains("ds2  priority 100"), "{why}");
    assert!(why.contains("ds1  priority 90"), "{why}");

    let status = cluster.status(2).expect("status --json");
    for key in ["id", "leader", "term", "revision"] {
        assert!(!status["cluster"][key].is_null(), "{status}");
    }
    assert_eq!(status["nodes"].as_array().map(Vec::len), Some(3), "{status}");
    assert_eq!(status["instances"][0]["holder"], "ds2", "{status}");

    // ds3 is a spare: it serves when nobody better can.
    cluster.cli(0, &["drain", "ds1"])?;
    cluster.daemon(1)?.kill_tree()?;
    cluster.mark_down(1);
    observer.wait_for(vip, Some(cluster.nodes()[2].port.mac), SOON)?;
    // And the priorities take it back.
    cluster.run(1)?;
    observer.wait_for(vip, Some(cluster.nodes()[1].port.mac), SOON)?;
    let seen = observer.stop()?;
    assert_eq!(seen.duplicates(vip, Returns::AtMost(1)), []);
    Ok(())
}

#[test]
fn an_apply_that_expects_another_revision_changes_nothing() -> Result<()> {
    let cluster = Cluster::start(&Plan { directors: 1, ..Plan::new(find_binary()?) })?;
    let vip: IpAddr = "192.168.1.100".parse().expect("an address");
    let first = cluster.apply("toml", &leasehold_lab::cluster::instance("a", 1, &[vip]))?;
    let before = cluster.cli(0, &["export"])?;
    let file = cluster.nodes()[0].data_dir.join("other.toml").display().to_string();
    std::fs::write(&file, leasehold_lab::cluster::instance("b", 2, &[vip]))
        .expect("a test directory");
    let refused = cluster.cli(0, &["apply", &file, "--if-revision", "1"]).unwrap_err().to_string();
    assert!(refused.contains("not 1: uid 0"), "{first} {refused}");
    let dry = cluster.cli(0, &["apply", &file, "--dry-run"])?;
    assert!(dry.contains("would replace"), "{dry}");
    assert_eq!(cluster.cli(0, &["export"])?, before);
    Ok(())
}
