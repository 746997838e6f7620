//! `--fence address-lifetime`: without BPF, slower, and still one answerer.

use std::net::IpAddr;

use leasehold_lab::cluster::{Cluster, Fault, Plan, instance, try_fault};
use leasehold_lab::{Result, find_binary};

const INSTANCE: &str = "VI_1";

#[test]
fn an_address_that_ends_by_itself_has_one_answerer() -> Result<()> {
    let vip: IpAddr = "192.168.1.100".parse().expect("an address");
    let run = vec!["--fence", "address-lifetime"];
    let mut cluster = Cluster::start(&Plan { profile: "wan", run, ..Plan::new(find_binary()?) })?;
    cluster.apply("toml", &instance(INSTANCE, 88, &[vip]))?;
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
fn a_cluster_that_is_too_quick_for_it_is_refused() -> Result<()> {
    let mut cluster = Cluster::start(&Plan { directors: 1, ..Plan::new(find_binary()?) })?;
    cluster.daemon(0)?.kill_tree()?;
    cluster.mark_down(0);
    let refused = cluster.wait_for("the guard to be gone, and then a refusal", |this| {
        let refused = this.cli(0, &["run", "--fence", "address-lifetime"]).err()?.to_string();
        refused.contains("needs a ttl").then_some(refused)
    })?;
    assert!(refused.contains("`leasehold init --profile wan`"), "{refused}");
    // A start with the program works as before.
    cluster.run(0)?;
    cluster.wait_for_voters()?;
    Ok(())
}
