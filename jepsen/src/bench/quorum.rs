//! Two of three directors lost, one back; and a witness's worth.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use leasehold_lab::cluster::{Cluster, Plan, SOON, instance};
use leasehold_lab::{LabError, Result, Returns, now_ns};

const INSTANCE: &str = "VI_1";

/// How long the last director's VIP went on after its quorum was gone, how long after one member
/// came back it was answered for again, both in ms, and duplicates.
///
/// # Errors
/// Where a wait fails: the VIP was not silent, or not back, in time.
pub fn lose_and_regain(binary: PathBuf) -> Result<(f64, f64, usize)> {
    let vip: IpAddr =
        "192.168.1.100".parse().map_err(|error| LabError::Argument(format!("{error}")))?;
    let mut cluster = Cluster::start(&Plan::new(binary))?;
    cluster.apply("toml", &instance(INSTANCE, 88, &[vip]))?;
    let holder = cluster.wait_for_holder(INSTANCE)?;
    let observer = cluster.lan.observe(&cluster.client, &[vip])?;
    observer.wait_for(vip, None, SOON)?;
    let others: Vec<usize> = (0..3).filter(|index| *index != holder).collect();
    let lost = now_ns();
    for index in &others {
        cluster.daemon(*index)?.kill_tree()?;
    }
    observer.wait_for_silence(vip, Duration::from_millis(500), SOON)?;
    let last = observer.snapshot().last_answer(vip).map_or(lost, |answer| answer.received_ns);
    cluster.mark_down(others[0]);
    let back = now_ns();
    cluster.run(others[0])?;
    let answer = observer.wait_for(vip, None, SOON)?;
    let seen = observer.stop()?;
    let ms = |ns: u64| ns as f64 / 1e6;
    Ok((
        ms(last.saturating_sub(lost)),
        ms(answer.received_ns.saturating_sub(back)),
        seen.duplicates(vip, Returns::AtMost(1)).len(),
    ))
}
