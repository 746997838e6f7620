//! The holder's loop: the product's `Holder`, and every write to this host's fence.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use leasehold_model::{BootNanos, Epoch, GroupId, Vip};
use leasehold_raft::lease::{Holder, HolderCommand};
use leasehold_raft::state::State;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::calls::{Leases, ToLeader};
use super::governor::Request;
use super::{Parts, Raft};
use crate::plant::Plant;
use crate::sys::boot_now;
use crate::world::CLOSED;

struct Holding {
    parts: Parts,
    state: watch::Receiver<Arc<State>>,
    to_leader: ToLeader,
    holder: Holder,
    renewals: JoinSet<(BootNanos, Option<Leases>)>,
    releases: JoinSet<()>,
    open: BTreeMap<GroupId, Epoch>,
    fenced: Arc<State>,
}

pub(super) async fn run(parts: Parts, group: Raft, governor: mpsc::Sender<Request>) {
    let (node, timing) = (parts.node, parts.timing);
    let mut leadership = group.leadership();
    let mut this = Holding {
        state: group.state(),
        to_leader: ToLeader { node, group, governor, limit: timing.ttl },
        holder: Holder::new(timing, boot_now()),
        renewals: JoinSet::new(),
        releases: JoinSet::new(),
        open: BTreeMap::new(),
        fenced: Arc::default(),
        parts,
    };
    let mut state = this.state.clone();
    this.follow();
    loop {
        let due = this.drain();
        let pause = due.since(boot_now());
        tokio::select! {
            biased;
            Some(answer) = this.renewals.join_next() => {
                if let Ok((sent, good)) = answer {
                    match good {
                        Some(good) => this.holder.handle_confirmed(sent, &good, boot_now()),
                        None => this.holder.handle_failed(sent, boot_now()),
                    }
                }
            }
            changed = state.changed() => {
                if changed.is_err() { return }
                this.follow();
            }
            changed = leadership.changed() => {
                if changed.is_err() { return }
                this.holder.handle_leader_changed(boot_now());
            }
            Some(_) = this.releases.join_next() => {}
            () = tokio::time::sleep(pause) => this.holder.handle_timeout(boot_now()),
        }
    }
}

impl Holding {
    /// The log went on: leases came or went, addresses moved.
    fn follow(&mut self) {
        let state = self.state.borrow().clone();
        self.fence_addresses(&state);
        let (node, now) = (self.parts.node, boot_now());
        let started = state.members.get(&node).map(|member| member.incarnation);
        let held = if started == Some(self.parts.life.1) { state.held_by(node) } else { vec![] };
        let leases: Vec<_> = held.iter().map(|one| (one.group, one.epoch)).collect();
        self.holder.handle_programmed(state.applied);
        self.holder.handle_applied(&leases, now);
        for one in held.iter().filter(|one| one.handover.is_some()) {
            self.holder.handle_surrender(one.group, now);
        }
        self.fenced = Arc::clone(&state);
        self.bind();
        self.drain();
    }

    /// Puts every address behind its group's deadline, or behind one that never comes where
    /// somebody else may answer for it still.
    fn fence_addresses(&self, state: &State) {
        let mut vips = BTreeMap::new();
        for (_, group, instance, _) in state.instances() {
            for vip in instance.vips() {
                let elsewhere = self.may_be_elsewhere(state, vip);
                vips.insert(vip.address, if elsewhere { CLOSED } else { group });
            }
        }
        self.parts.world.lock().set_vips(self.parts.life.0, vips);
    }

    /// Whether another may answer for it still.
    fn may_be_elsewhere(&self, state: &State, vip: &Vip) -> bool {
        let waits = self.parts.plant != Some(Plant::MovedAddressEarly);
        waits && state.is_retiring_elsewhere(vip.address, self.parts.node)
    }

    /// Unbinds what is not open, and binds what is.
    fn bind(&self) {
        let held = self.fenced.held_by(self.parts.node);
        let open = held.iter().filter(|one| self.open.get(&one.group) == Some(&one.epoch));
        let vips = open.flat_map(|one| one.instance.vips());
        let served = vips.filter(|vip| !self.may_be_elsewhere(&self.fenced, vip));
        let bound: BTreeSet<IpAddr> = served.map(|vip| vip.address).collect();
        self.parts.world.lock().bind(self.parts.life.0, bound);
    }

    /// Carries out what the holder wants. Says when to call again.
    fn drain(&mut self) -> BootNanos {
        let host = self.parts.life.0;
        let mut released = Vec::new();
        while let Some(command) = self.holder.poll_command() {
            match command {
                HolderCommand::Renew { sent, leases } => {
                    let call = self.to_leader.renew(leases, self.fenced.applied);
                    self.renewals.spawn(async move { (sent, call.await) });
                }
                HolderCommand::OpenUntil { group, epoch, deadline, first } => {
                    self.open.insert(group, epoch);
                    let deadline = self.planted(deadline);
                    self.parts.world.lock().open_until(host, (group, epoch), deadline, first);
                }
                HolderCommand::Close { group, why, .. } => {
                    self.open.remove(&group);
                    let skipped = self.parts.plant == Some(Plant::FenceSkipped);
                    let expired = why == leasehold_raft::lease::Closed::Expired;
                    if !(skipped && expired) {
                        self.parts.world.lock().close(host, group, &format!("{why:?}"));
                    }
                }
                HolderCommand::Release { group, epoch } => released.push((group, epoch)),
            }
        }
        self.bind();
        for (group, epoch) in released {
            self.releases.spawn(self.to_leader.release(group, epoch));
        }
        self.holder.poll_timeout().map_or(boot_now(), |(due, _)| due)
    }

    fn planted(&self, deadline: BootNanos) -> BootNanos {
        if self.parts.plant == Some(Plant::DeadlineFromReceipt) {
            self.parts.timing.holder_deadline(boot_now())
        } else {
            deadline
        }
    }
}
