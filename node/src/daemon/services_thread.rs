//! The thread that makes the kernel's virtual services what leases and health ask for.
//!
//! It may be slow, or stand still: a program that hangs, a table of ten thousand. The kernel
//! thread waits for it before it binds a new address, and only so long.

use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_dataplane::service::Health;
use leasehold_model::{Eligibility, GroupId};
use leasehold_raft::state::State;
use tokio::sync::watch;
use tokio::time::Instant;

use super::desired::Desired;
use super::virtual_servers::VirtualServers;

/// Verdicts come one by one, and a look takes in all that came: they may not fill this thread's
/// time.
const LOOK_APART: Duration = Duration::from_millis(50);
const LOOK_SHARE: u32 = 4;

pub(crate) struct Inputs {
    pub(crate) desired: watch::Receiver<Desired>,
    /// The serial of the wishes whose addresses are bound, and others unbound.
    pub(crate) programmed: watch::Receiver<u64>,
    pub(crate) health: watch::Receiver<Health>,
    pub(crate) eligibility: watch::Sender<Eligibility>,
    /// The serial of the wishes whose services are in the kernel, or can't be.
    pub(crate) put: watch::Sender<u64>,
    pub(crate) servers: VirtualServers,
}

/// Runs until the daemon drops the other ends.
pub(crate) async fn run(inputs: Inputs) {
    let mut thread = Services { serial: 0, retired: true, health_at: Instant::now(), inputs };
    thread.turn().await;
    thread.inputs.servers.end();
}

struct Services {
    inputs: Inputs,
    /// Of the last wishes that services were put for.
    serial: u64,
    /// What these do not name is gone too.
    retired: bool,
    /// When a change of health alone is worth a look.
    health_at: Instant,
}

impl Services {
    async fn turn(&mut self) {
        loop {
            let look_at = Instant::from_std(self.inputs.servers.look_at());
            let rested = Instant::now() >= self.health_at;
            tokio::select! {
                biased;
                changed = self.inputs.desired.changed() => {
                    if changed.is_err() { return }
                    self.look();
                }
                changed = self.inputs.programmed.changed() => {
                    if changed.is_err() { return }
                    self.retire();
                }
                changed = self.inputs.health.changed(), if rested => {
                    if changed.is_err() { return }
                    self.look();
                }
                () = tokio::time::sleep_until(self.health_at), if !rested => {}
                () = tokio::time::sleep_until(look_at) => self.look(),
            }
        }
    }

    /// Services come before the addresses of a takeover.
    fn look(&mut self) {
        let begun = Instant::now();
        let desired = self.inputs.desired.borrow_and_update().clone();
        let health = self.inputs.health.borrow_and_update().clone();
        self.inputs.servers.put(&desired, &health);
        self.serial = desired.serial;
        self.retired = false;
        self.inputs.put.send_replace(self.serial);
        self.report_impaired(&desired.state);
        self.retire();
        self.health_at = Instant::now() + LOOK_APART.max(begun.elapsed() * LOOK_SHARE);
    }

    /// They go after the addresses went.
    fn retire(&mut self) {
        if !self.retired && *self.inputs.programmed.borrow_and_update() >= self.serial {
            self.inputs.servers.retire();
            self.retired = true;
        }
    }

    /// Tells the leader what is served in part only.
    fn report_impaired(&self, state: &State) {
        let name = |group: GroupId| state.groups.iter().find(|(_, one)| **one == group);
        let now: BTreeMap<String, String> = self
            .inputs
            .servers
            .impaired()
            .filter_map(|(group, why)| Some((name(group)?.0.clone(), why.to_owned())))
            .collect();
        self.inputs.eligibility.send_if_modified(|one| {
            let differs = one.impaired != now;
            one.impaired = now;
            differs
        });
    }
}
