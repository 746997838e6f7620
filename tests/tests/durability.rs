//! Acknowledged is durable: every process of every member killed at once, again and again, and a
//! disk that lost what it was to write.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use leasehold_lab::cluster::{Cluster, Plan, instance};
use leasehold_lab::disk::{Make, Syncs, Unsynced};
use leasehold_lab::{LabError, Result, Signal, find_binary};

/// For a daemon to find that its disk fails.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn what_was_acknowledged_is_there_after_all_were_killed_at_once() -> Result<()> {
    let mut cluster = Cluster::start(&Plan::new(find_binary()?))?;
    let mut expected = String::new();
    for round in 0..3_u8 {
        for step in 0..5_u8 {
            let vip = IpAddr::from([192, 168, 1, 100 + round * 10 + step]);
            cluster.apply("toml", &instance("VI_1", 88, &[vip]))?;
            expected = vip.to_string();
        }
        for index in 0..3 {
            cluster.daemon(index)?.kill_tree()?;
        }
        for index in 0..3 {
            cluster.mark_down(index);
            cluster.run(index)?;
        }
        cluster.wait_for_voters()?;
        let export = cluster.cli(2, &["export"])?;
        assert!(export.contains(&expected), "round {round}: {expected} is not in {export}");
        cluster.wait_for("every member to catch up", |this| {
            let has = |index| {
                let export = this.cli(index, &["export", "--local"]);
                export.is_ok_and(|export| export.contains(&expected))
            };
            (0..3).all(has).then_some(())
        })?;
    }
    Ok(())
}

/// A configuration of many pages, so that later ones leave its pages as they are.
fn apply(cluster: &Cluster, last: u8) -> Result<String> {
    let vip = IpAddr::from([192, 168, 1, last]);
    let mut text = instance("VI_1", 88, &[vip]);
    for port in 1000..1200 {
        text.push_str(&format!(
            "[[virtual_server]]\naddress = \"{vip}:{port}\"\nlb_algo = \"rr\"\n\
             real_server = [{{ address = \"192.168.1.7:{port}\" }}]\n"
        ));
    }
    cluster.apply("toml", &text)?;
    Ok(vip.to_string())
}

/// As Linux: what a failed sync was to write is read as before, and gone when the power goes.
#[test]
fn what_a_failed_sync_left_is_not_built_upon() -> Result<()> {
    let plan = Plan { disk: Some((Make::Layer, 64)), ..Plan::new(find_binary()?) };
    let mut cluster = Cluster::start(&plan)?;
    for round in 0..6_u8 {
        let victim = usize::from(round % 3);
        set_syncs(&cluster, victim, Syncs::FailForGood)?;
        cluster.wait_longer_for("a daemon to find that its disk fails", SOON, || {
            // In doubt where the victim leads; all that matters is that the victim is to write it.
            let _ = apply(&cluster, 100 + round * 10);
            cluster.daemon(victim).ok()?.ended()
        })?;
        set_syncs(&cluster, victim, Syncs::Work)?;
        cluster.mark_down(victim);
        cluster.run(victim)?;
        cluster.wait_for_voters()?;
        let mut expected = String::new();
        for step in 1..5 {
            // Who is back may be given the leadership, and a change on its way is in doubt then.
            expected = cluster.wait_longer_for("a change", SOON, || {
                apply(&cluster, 100 + round * 10 + step).ok()
            })?;
        }
        cluster.crash_disk(victim, Unsynced::Lost)?;
        cluster.mark_down(victim);
        cluster.run(victim)?;
        cluster.wait_for("the victim to catch up", |this| {
            let export = this.cli(victim, &["export", "--local"]);
            export.is_ok_and(|export| export.contains(&expected)).then_some(())
        })?;
        cluster.wait_for_voters()?;
    }
    Ok(())
}

#[test]
fn a_log_that_was_closed_in_good_order_is_not_written_anew() -> Result<()> {
    let mut cluster = Cluster::start(&Plan::new(find_binary()?))?;
    apply(&cluster, 100)?;
    let log = cluster.nodes()[0].data_dir.join("store/raft/log.redb");
    let file = || std::fs::metadata(&log).expect("a log").ino();
    let first = file();
    for (signal, anew) in [(Signal::SIGTERM, false), (Signal::SIGKILL, true)] {
        cluster.daemon(0)?.kill(signal)?;
        cluster.daemon(0)?.wait(SOON)?;
        cluster.mark_down(0);
        cluster.run(0)?;
        assert_eq!(file() != first, anew, "{signal}");
    }
    cluster.wait_for_voters()
}

fn set_syncs(cluster: &Cluster, member: usize, syncs: Syncs) -> Result<()> {
    let none = || LabError::Argument("the plan gave it no disk".to_owned());
    cluster.nodes()[member].disk().ok_or_else(none)?.fail_syncs(syncs).map(drop)
}
