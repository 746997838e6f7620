//! One answerer, whatever becomes of the holder: judged by a client on the wire.
//!
//! Duplicates are asserted exactly. Outages are asserted loosely: a loaded machine of two cores
//! must pass; the figures are the benchmark's.

use std::net::IpAddr;
use std::time::Duration;

use leasehold_lab::cluster::{Cluster, Fault, Plan, SOON, instance, try_fault};
use leasehold_lab::{Result, Returns, find_binary};

const INSTANCE: &str = "VI_1";

/// Well above a ttl, an election and a loaded machine; far below keepalived's forever.
const LOOSELY_MS: f64 = 5000.0;

fn serving() -> Result<(Cluster, IpAddr)> {
    let vip: IpAddr = "192.168.1.100".parse().expect("an address");
    let cluster = Cluster::start(&Plan::new(find_binary()?))?;
    cluster.apply("toml", &instance(INSTANCE, 88, &[vip]))?;
    cluster.wait_for_holder(INSTANCE)?;
    Ok((cluster, vip))
}

fn all_hold(faults: &[Fault]) -> Result<()> {
    let (mut cluster, vip) = serving()?;
    for fault in faults {
        let trial = try_fault(&mut cluster, *fault, INSTANCE, vip)?;
        assert_eq!(trial.duplicates, 0, "{trial:?}");
        assert!(trial.outage_ms() < LOOSELY_MS, "{trial:?}");
        assert_eq!(trial.before != trial.after, fault.moves(), "{trial:?}");
    }
    Ok(())
}

#[test]
fn one_answerer_when_processes_die_or_freeze() -> Result<()> {
    all_hold(&[Fault::KillDaemon, Fault::KillAll, Fault::Freeze(Duration::from_secs(4))])
}

#[test]
fn one_answerer_when_the_network_breaks() -> Result<()> {
    all_hold(&[Fault::CutLink, Fault::Partition, Fault::PartitionOut, Fault::PartitionIn])
}

#[test]
fn one_answerer_in_every_planned_handover() -> Result<()> {
    all_hold(&[Fault::Move, Fault::Terminate, Fault::Drain])
}

#[test]
fn the_vip_does_not_move_when_the_leader_dies_and_another_holds() -> Result<()> {
    all_hold(&[Fault::KillLeader, Fault::KillLeader])
}

#[test]
fn a_minority_holds_nothing_and_a_majority_takes_it_up_again() -> Result<()> {
    let (mut cluster, vip) = serving()?;
    let holder = cluster.wait_for_holder(INSTANCE)?;
    let observer = cluster.lan.observe(&cluster.client, &[vip])?;
    observer.wait_for(vip, None, SOON)?;
    let others: Vec<usize> = (0..3).filter(|index| *index != holder).collect();
    for index in &others {
        cluster.daemon(*index)?.kill_tree()?;
    }
    observer.wait_for_silence(vip, Duration::from_secs(1), SOON)?;
    cluster.mark_down(others[0]);
    cluster.run(others[0])?;
    observer.wait_for(vip, None, SOON)?;
    let seen = observer.stop()?;
    assert_eq!(seen.duplicates(vip, Returns::AtMost(1)), []);
    Ok(())
}

/// As machines do that share a host which stands still. Guards wake with their daemons, and by any
/// clock those were silent for long.
#[test]
fn a_pause_of_all_ends_no_daemon() -> Result<()> {
    let (cluster, vip) = serving()?;
    for _ in 0..3 {
        // Each round by itself: who leads afterwards may give the lease to another, and back.
        let observer = cluster.lan.observe(&cluster.client, &[vip])?;
        observer.wait_for(vip, None, SOON)?;
        for index in 0..3 {
            cluster.daemon(index)?.freeze_tree()?;
        }
        // The kernel's fence alone; then well past what a guard waits for.
        observer.wait_for_silence(vip, Duration::from_secs(1), SOON)?;
        for index in 0..3 {
            cluster.daemon(index)?.thaw_tree();
        }
        observer.wait_for(vip, None, SOON)?;
        cluster.wait_for_voters()?;
        for index in 0..3 {
            assert!(cluster.is_up(index), "{:?}", cluster.daemon(index)?.output());
        }
        let seen = observer.stop()?;
        assert_eq!(seen.duplicates(vip, Returns::AtMost(1)), []);
    }
    Ok(())
}

#[test]
fn two_directors_and_a_witness_survive_the_loss_of_any_one() -> Result<()> {
    let vip: IpAddr = "192.168.1.100".parse().expect("an address");
    let plan = Plan { directors: 2, witness: true, ..Plan::new(find_binary()?) };
    let mut cluster = Cluster::start(&plan)?;
    cluster.apply("toml", &instance(INSTANCE, 88, &[vip]))?;
    cluster.wait_for_holder(INSTANCE)?;
    let observer = cluster.lan.observe(&cluster.client, &[vip])?;
    for lost in 0..3 {
        cluster.daemon(lost)?.kill_tree()?;
        cluster.mark_down(lost);
        // The kernel may answer for the rest of the ttl: what counts is who does afterwards.
        let holder = cluster.wait_for("a holder that is up", |this| {
            this.holder(INSTANCE).filter(|holder| *holder != lost)
        })?;
        assert_ne!(cluster.nodes()[holder].name, "w1", "a witness never holds");
        observer.wait_for(vip, Some(cluster.nodes()[holder].port.mac), SOON)?;
        cluster.run(lost)?;
        cluster.wait_for_voters()?;
    }
    let seen = observer.stop()?;
    assert_eq!(seen.duplicates(vip, Returns::AtMost(2)), []);
    Ok(())
}

#[test]
fn an_address_that_changes_groups_has_one_answerer() -> Result<()> {
    let vip: IpAddr = "192.168.1.100".parse().expect("an address");
    let other: IpAddr = "192.168.1.101".parse().expect("an address");
    let cluster = Cluster::start(&Plan::new(find_binary()?))?;
    let pair =
        |first: &[IpAddr], second: &[IpAddr]| instance("a", 1, first) + &instance("b", 2, second);
    let (third, fourth) =
        ("192.168.1.102".parse().expect("an address"), "192.168.1.103".parse().unwrap());
    cluster.apply("toml", &pair(&[vip, third], &[other, fourth]))?;
    let (a, b) = (cluster.wait_for_holder("a")?, cluster.wait_for_holder("b")?);
    assert_ne!(a, b, "equal priorities are spread");
    let observer = cluster.lan.observe(&cluster.client, &[vip, other])?;
    observer.wait_for(vip, Some(cluster.nodes()[a].port.mac), SOON)?;
    // The two addresses trade places, so each moves to the other's holder.
    cluster.apply("toml", &pair(&[other, third], &[vip, fourth]))?;
    observer.wait_for(vip, Some(cluster.nodes()[b].port.mac), SOON)?;
    observer.wait_for(other, Some(cluster.nodes()[a].port.mac), SOON)?;
    let seen = observer.stop()?;
    for address in [vip, other] {
        assert_eq!(seen.duplicates(address, Returns::AtMost(0)), []);
    }
    Ok(())
}

#[test]
fn an_ipv6_vip_moves_like_any_other() -> Result<()> {
    let vip: IpAddr = "fd77::100".parse().expect("an address");
    let plan = Plan { subnet6: Some("fd77::/64"), ..Plan::new(find_binary()?) };
    let mut cluster = Cluster::start(&plan)?;
    cluster.apply("toml", &instance(INSTANCE, 6, &[vip]).replace("/24", "/64"))?;
    cluster.wait_for_holder(INSTANCE)?;
    for fault in [Fault::KillDaemon, Fault::KillAll, Fault::Move] {
        let trial = try_fault(&mut cluster, fault, INSTANCE, vip)?;
        assert_eq!(trial.duplicates, 0, "{trial:?}");
        assert!(trial.outage_ms() < LOOSELY_MS, "{trial:?}");
    }
    Ok(())
}
