//! One fault, seen by a client from well before it to well after it was healed.

use std::net::IpAddr;
use std::time::Duration;

use super::{Cluster, Fault, SOON};
use crate::{Outage, Result, Returns, now_ns, until};

/// How long is watched after a fault was healed: whoever wakes must not answer.
const AFTERMATH: Duration = Duration::from_millis(1500);

/// What the client saw of one fault.
#[derive(Clone, Debug)]
pub struct Trial {
    pub fault: Fault,
    pub before: String,
    pub after: String,
    pub outage: Outage,
    /// Answers by two at a time, or by one after another's took over.
    pub duplicates: usize,
}

impl Trial {
    pub fn outage_ms(&self) -> f64 {
        // Milliseconds with a fraction: nothing here is near 2^52 ns.
        self.outage.length_ns as f64 / 1e6
    }
}

/// Injects the fault into the holder of `instance`, heals it, brings every member back, and waits
/// until the cluster is whole again.
pub fn try_fault(
    cluster: &mut Cluster,
    fault: Fault,
    instance: &str,
    vip: IpAddr,
) -> Result<Trial> {
    let holder = cluster.wait_for_holder(instance)?;
    if fault == Fault::KillLeader {
        cluster.wait_for("somebody else to lead", |this| {
            this.leader().filter(|leader| *leader != holder)
        })?;
    }
    let mac = cluster.nodes()[holder].port.mac;
    let observer = cluster.lan.observe(&cluster.client, &[vip])?;
    observer.wait_for(vip, Some(mac), SOON)?;
    let from = now_ns();
    fault.inject(cluster, instance, holder)?;
    if fault.moves() {
        let moved = observer.wait_for_other(vip, mac, SOON);
        moved.map_err(|error| cluster.told(&fault.name(), error))?;
    }
    linger(from, fault.lasts())?;
    fault.heal(cluster, holder)?;
    linger(now_ns(), AFTERMATH)?;
    revive(cluster)?;
    let seen = observer.stop()?;
    let name =
        |mac: Option<crate::Mac>| mac.map_or_else(|| "nobody".to_owned(), |m| cluster.named(m));
    let outage = seen.worst_outage(from).unwrap_or(Outage {
        vip,
        from_ns: from,
        until_ns: None,
        length_ns: seen.ended_ns.saturating_sub(from),
        before: None,
        after: None,
        unasked_ns: 0,
    });
    Ok(Trial {
        fault,
        before: cluster.nodes()[holder].name.clone(),
        after: name(seen.last_answer(vip).map(|answer| answer.mac)),
        outage,
        duplicates: seen.duplicates(vip, Returns::AtMost(0)).len(),
    })
}

/// Watches on until `span` after `from`.
fn linger(from: u64, span: Duration) -> Result<()> {
    let end = from + u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    until("time to pass", span + SOON, || (now_ns() >= end).then_some(()))
}

fn revive(cluster: &mut Cluster) -> Result<()> {
    for index in 0..cluster.nodes().len() {
        if !cluster.is_up(index) {
            cluster.mark_down(index);
            cluster.run(index)?;
        }
    }
    cluster.wait_for_voters()
}
