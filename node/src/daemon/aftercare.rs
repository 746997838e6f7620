//! What is looked at after a takeover, and may take its time: settings that make VIPs misbehave,
//! and others on this machine or its links that stand in their way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use leasehold_dataplane::fence::Fence;
use leasehold_dataplane::plan::Binding;
use leasehold_dataplane::{probe, sysctl};
use tokio::sync::{mpsc, watch};

use super::desired::Desired;

/// A machine on the link answers a question at once.
const RIVALS_ANSWER_WITHIN: Duration = Duration::from_millis(300);

/// Fences of other nodes, each told once a takeover.
const OBSTRUCTIONS: usize = 16;

/// Addresses that can't be served here, and why.
type Obstructed = (Vec<IpAddr>, String);

pub(crate) struct Aftercare {
    desired: watch::Receiver<Desired>,
    /// Where this node's fence is pinned, if it has one.
    pin_dir: Option<PathBuf>,
    /// Interfaces whose settings were looked at.
    judged: BTreeSet<String>,
    obstruct: mpsc::Sender<Obstructed>,
    obstructed: mpsc::Receiver<Obstructed>,
}

impl Aftercare {
    pub(crate) fn new(desired: watch::Receiver<Desired>, pin_dir: Option<PathBuf>) -> Self {
        let (obstruct, obstructed) = mpsc::channel(OBSTRUCTIONS);
        Self { desired, pin_dir, judged: BTreeSet::new(), obstruct, obstructed }
    }

    pub(crate) fn begin(&mut self, taken: &[Binding]) {
        self.judge_settings(taken);
        self.look_for_rivals(taken);
        self.look_for_other_fences(taken);
    }

    /// Resolves when something stands in the way of addresses.
    pub(crate) async fn obstructed(&mut self) -> Option<Obstructed> {
        self.obstructed.recv().await
    }

    /// Says once what makes VIPs on an interface misbehave.
    fn judge_settings(&mut self, taken: &[Binding]) {
        for one in taken {
            if self.judged.insert(one.interface.clone()) {
                for sysctl::Finding { name, is, should_be, why } in sysctl::check(&one.interface) {
                    tracing::warn!("{name} is {is}, better {should_be}: {why}");
                }
            }
        }
    }

    /// The fence of a node that is no more, of this machine's, would go on dropping our VIPs.
    fn look_for_other_fences(&self, taken: &[Binding]) {
        let Some(pin_dir) = self.pin_dir.clone() else { return };
        let taken: BTreeSet<IpAddr> = taken.iter().map(|one| one.address).collect();
        let obstruct = self.obstruct.clone();
        // It asks the kernel for every program that is loaded.
        tokio::task::spawn_blocking(move || match Fence::obstructing(&pin_dir, &taken) {
            Ok(others) => {
                for (path, addresses) in others {
                    let why = format!(
                        "the fence of another node, {}, hangs here and drops it; if that node is \
                         no more: leasehold doctor --remove-fence {}",
                        path.display(),
                        path.display()
                    );
                    tracing::error!(?addresses, "{why}");
                    // Where so many wait already, the rest is told after the next takeover.
                    let _ = obstruct.try_send((addresses, why));
                }
            }
            Err(error) => tracing::warn!(%error, "other fences could not be looked for"),
        });
    }

    /// Nobody else in the cluster answers now. A machine outside of it may, and the fence can't
    /// stop that one: all there is to do is to say so.
    fn look_for_rivals(&self, taken: &[Binding]) {
        let mut by_interface: BTreeMap<String, Vec<Ipv4Addr>> = BTreeMap::new();
        for one in taken {
            if let IpAddr::V4(address) = one.address {
                by_interface.entry(one.interface.clone()).or_default().push(address);
            }
        }
        for (interface, addresses) in by_interface {
            let desired = self.desired.clone();
            tokio::task::spawn_blocking(move || {
                let heard = probe::who_answers(&interface, &addresses, RIVALS_ANSWER_WITHIN);
                // A copy: whoever reads the log may be slow, and the lease thread writes here.
                let desired = desired.borrow().clone();
                for (address, rivals) in heard.unwrap_or_default() {
                    // It may be another director's by now.
                    if desired.bindings.iter().any(|one| one.address == address) {
                        let rivals: Vec<_> = rivals.iter().map(ToString::to_string).collect();
                        tracing::error!(
                            "{address} on {interface} is answered for by {} too, which is no \
                             director: take it from that machine",
                            rivals.join(" and ")
                        );
                    }
                }
            });
        }
    }
}
