//! `--fence address-lifetime`: without BPF, slower, and still one answerer.

use std::net::IpAddr;
use std::time::Duration;

use leasehold_lab::cluster::{Cluster, Fault, Plan, SOON, instance, try_fault};
use leasehold_lab::{Result, find_binary};

const INSTANCE: &str = "VI_1";

/// A cluster slow enough for it.
const PROFILE: &str = "lifetime";

#[test]
fn an_address_that_ends_by_itself_has_one_answerer() -> Result<()> {
    let vip: IpAddr = "192.168.1.100".parse().expect("an address");
    let run = vec!["--fence", "address-lifetime"];
    let mut cluster = Cluster::start(&Plan { profile: PROFILE, run, ..Plan::new(find_binary()?) })?;
    cluster.apply("toml", &instance(INSTANCE, 88, &[vip]))?;
    let loss = try_fault(&mut cluster, Fault::KillLeader, INSTANCE, vip)?;
    assert_eq!((&loss.before, loss.duplicates), (&loss.after, 0), "{loss:?}");
    assert!(loss.outage_ms() < 1000.0, "a leader's loss costs no holder its address: {loss:?}");
    for fault in [Fault::Move, Fault::KillDaemon, Fault::KillAll, Fault::Partition] {
        let trial = try_fault(&mut cluster, fault, INSTANCE, vip)?;
        assert_eq!(trial.duplicates, 0, "{trial:?}");
        assert_ne!(trial.before, trial.after, "{trial:?}");
    }
    let programs = std::fs::read_dir("/sys/fs/bpf/leasehold").into_iter().flatten().flatten();
    let settings =
        std::fs::read_to_string(cluster.nodes()[0].data_dir.join("node.json")).expect("node.json");
    let ours = programs.filter(|one| {
        let name = one.file_name();
        let cluster = name.to_string_lossy().split('-').next().map(str::to_owned);
        cluster.is_some_and(|cluster| settings.contains(&cluster))
    });
    assert_eq!(ours.count(), 0, "no program is loaded");
    Ok(())
}

#[test]
fn the_program_of_an_earlier_start_does_not_outlive_it() -> Result<()> {
    let vip: IpAddr = "192.168.1.100".parse().expect("an address");
    let plan = Plan { directors: 1, profile: PROFILE, ..Plan::new(find_binary()?) };
    let mut cluster = Cluster::start(&plan)?;
    cluster.apply("toml", &instance(INSTANCE, 88, &[vip]))?;
    let mac = Some(cluster.nodes()[0].port.mac);
    let observer = cluster.lan.observe(&cluster.client, &[vip])?;
    observer.wait_for(vip, mac, SOON)?;
    cluster.daemon(0)?.kill_tree()?;
    cluster.mark_down(0);
    assert!(cluster.pin_dir(0)?.exists(), "the fence is left");
    observer.wait_for_silence(vip, Duration::from_secs(1), SOON)?;
    cluster.run_with(0, &["--fence", "address-lifetime"])?;
    assert!(!cluster.pin_dir(0)?.exists(), "the fence is taken down");
    observer.wait_for(vip, mac, SOON)?;
    drop(observer.stop()?);
    Ok(())
}

#[test]
fn what_is_left_is_unbound_by_close_whatever_became_of_the_pins() -> Result<()> {
    let vip: IpAddr = "192.168.1.100".parse().expect("an address");
    let mut cluster = Cluster::start(&Plan { directors: 1, ..Plan::new(find_binary()?) })?;
    cluster.apply("toml", &instance(INSTANCE, 88, &[vip]))?;
    cluster.wait_for_holder(INSTANCE)?;
    cluster.daemon(0)?.kill_tree()?;
    cluster.mark_down(0);
    // As a process that was killed while it pinned leaves it.
    let pins = cluster.pin_dir(0)?;
    let layouts = std::fs::read_dir(&pins).expect("pins");
    let layout = layouts.flatten().find(|one| one.path().is_dir()).expect("a layout").path();
    let maps = std::fs::read_dir(&layout).expect("maps").flatten();
    for map in maps.filter(|one| one.path().is_file()) {
        std::fs::remove_file(map.path()).expect("an unpinned map");
    }
    let host = &cluster.nodes()[0].host;
    let bound = format!("{vip}/24");
    host.run("ip", &["addr", "replace", &bound, "dev", "eth0"])?;
    cluster.cli(0, &["close"])?;
    let left = host.run("ip", &["addr", "show", "dev", "eth0"])?;
    assert!(!left.contains(&bound), "{left}");
    Ok(())
}

#[test]
fn a_cluster_that_is_too_quick_for_it_is_refused() -> Result<()> {
    let mut cluster = Cluster::start(&Plan { directors: 1, ..Plan::new(find_binary()?) })?;
    cluster.daemon(0)?.kill_tree()?;
    cluster.mark_down(0);
    let refused = cluster.wait_for("the guard to be gone, and then a refusal", |this| {
        let refused = this.cli(0, &["run", "--fence", "address-lifetime"]).err()?.to_string();
        refused.contains("needs a ttl of at least").then_some(refused)
    })?;
    assert!(refused.contains("`leasehold init --profile lifetime`"), "{refused}");
    // A start with the program works as before.
    cluster.run(0)?;
    cluster.wait_for_voters()?;
    Ok(())
}
