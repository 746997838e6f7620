//! The thread that owns this node's leases and every write to the fence.
//!
//! It renews, opens and closes, and does nothing else: no disk, log file, script, name lookup or
//! fork happens here, and nothing that does can hold it up. Addresses are bound by another thread
//! (`kernel_thread`), told by [`Desired`]; whether they are bound or not, what answers is decided
//! here, by the fence.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use leasehold_dataplane::fence::{Fence, FenceError, Gate, boot_now};
use leasehold_dataplane::plan::Binding;
use leasehold_model::{BootNanos, Eligibility, Epoch, GroupId, NodeId};
use leasehold_raft::group::Leadership;
use leasehold_raft::lease::{Holder, HolderCommand, Timing};
use leasehold_raft::state::{Cause, State};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::guard_line::GuardLine;
use super::to_leader::ToLeader;

/// The slot that never opens: for addresses this node must not answer for yet.
const CLOSED: GroupId = GroupId(0);

/// What the kernel should have, and why nothing more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Desired {
    /// Counts the changes; the other thread reports the last one that it has carried out.
    pub(crate) serial: u64,
    /// The addresses of the leases that are open.
    pub(crate) bindings: Vec<Binding>,
    /// Every address that is ours to remove where `bindings` lacks it.
    pub(crate) owned: BTreeSet<IpAddr>,
    /// The groups whose leases are open.
    pub(crate) open: BTreeSet<GroupId>,
    /// What these groups serve, among all else.
    pub(crate) state: Arc<State>,
}

/// One lease as this node sees it, for `status` and the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenLease {
    pub(crate) epoch: Epoch,
    pub(crate) until: BootNanos,
}

/// What stops this node's answers when a lease ends.
pub(crate) enum Fencing {
    /// The BPF program's deadlines.
    Program(Box<(Fence, Gate)>),
    /// The addresses' own lifetimes, which the kernel thread sets: an address that is bound
    /// answers, so nothing is given up before it is unbound.
    Lifetime,
    /// A witness answers for nothing.
    Nothing,
}

pub(crate) type OpenLeases = BTreeMap<GroupId, OpenLease>;

/// Orders to the thread.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// Give the group up, for this reason.
    Surrender(GroupId, Cause),
    /// Close everything, see it unbound, dismiss the guard and end.
    Stop,
}

pub(crate) struct Inputs {
    pub(crate) node: NodeId,
    pub(crate) name: String,
    pub(crate) incarnation: u64,
    pub(crate) timing: Timing,
    pub(crate) state: watch::Receiver<Arc<State>>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) eligibility: watch::Receiver<Eligibility>,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) fencing: Fencing,
    pub(crate) to_leader: ToLeader,
    pub(crate) guard: GuardLine,
    pub(crate) desired: watch::Sender<Desired>,
    pub(crate) open: watch::Sender<OpenLeases>,
    /// The serial of the last [`Desired`] that was carried out.
    pub(crate) programmed: watch::Receiver<u64>,
    /// The greatest lateness of a wake-up so far, in nanoseconds.
    pub(crate) lateness: watch::Sender<u64>,
}

/// Closing needs no answer from anyone; unbinding takes the kernel some milliseconds.
const UNBIND_WITHIN: Duration = Duration::from_secs(2);

/// Runs until it is ordered to stop.
pub(crate) async fn run(inputs: Inputs) {
    let now = boot_now();
    // What an earlier start left behind the fence may be bound still.
    let adopted = match &inputs.fencing {
        Fencing::Program(program) => program.1.vips().unwrap_or_else(|error| fatal(&error)),
        Fencing::Lifetime | Fencing::Nothing => BTreeMap::new(),
    };
    let mut thread = LeaseThread {
        holder: Holder::new(inputs.timing, now),
        mapped: adopted,
        lingering: BTreeMap::new(),
        deadlines: BTreeMap::new(),
        causes: BTreeMap::new(),
        renewals: JoinSet::new(),
        releases: JoinSet::new(),
        given_up: Vec::new(),
        fenced: Arc::default(),
        reflected: 0,
        suspended: suspended(),
        inputs,
    };
    thread.turn().await;
}

/// When a renewal was sent, and what was confirmed, if anything was.
type Answered = (BootNanos, Option<Vec<(GroupId, Epoch)>>);

struct LeaseThread {
    inputs: Inputs,
    holder: Holder,
    /// Addresses behind the fence, and whose deadline each waits for.
    mapped: BTreeMap<IpAddr, GroupId>,
    /// Those of them that left the configuration, and the serial of the change that unbinds them.
    lingering: BTreeMap<IpAddr, u64>,
    deadlines: OpenLeases,
    /// Why a surrendered group is given up.
    causes: BTreeMap<GroupId, Cause>,
    renewals: JoinSet<Answered>,
    releases: JoinSet<()>,
    /// Releases that wait until the serial of their unbinding is carried out.
    given_up: Vec<(u64, GroupId, Epoch)>,
    /// The state that the fence reflects. Nothing newer is published: an address that is not
    /// behind the fence yet must not be bound.
    fenced: Arc<State>,
    /// The index up to which what this node answers for follows the log.
    reflected: u64,
    /// How long this machine has been suspended since boot.
    suspended: Duration,
}

impl LeaseThread {
    async fn turn(&mut self) {
        self.handle_state();
        loop {
            let due = self.drain();
            let pause = due.since(boot_now());
            let (state, leadership) = (&mut self.inputs.state, &mut self.inputs.leadership);
            // A witness has no kernel thread to hear from.
            let binds = !matches!(self.inputs.fencing, Fencing::Nothing);
            tokio::select! {
                biased;
                Some(answer) = self.renewals.join_next() => {
                    self.handle_clock();
                    // A task that panicked has no instant to report: the timer renews.
                    if let Ok((sent, good)) = answer {
                        match good {
                            Some(good) => self.holder.handle_confirmed(sent, &good, boot_now()),
                            None => self.holder.handle_failed(sent, boot_now()),
                        }
                    }
                }
                changed = state.changed() => {
                    if changed.is_err() { return }
                    self.handle_state();
                }
                changed = leadership.changed() => {
                    if changed.is_err() { return }
                    leadership.mark_unchanged();
                    self.holder.handle_leader_changed(boot_now());
                }
                changed = self.inputs.eligibility.changed() => {
                    if changed.is_err() { return }
                    self.holder.handle_leader_changed(boot_now());
                }
                order = self.inputs.orders.recv() => match order {
                    Some(Order::Surrender(group, cause)) => {
                        self.causes.insert(group, cause);
                        self.holder.handle_surrender(group, boot_now());
                    }
                    Some(Order::Stop) | None => return self.stop().await,
                },
                Some(_) = self.releases.join_next() => {}
                changed = self.inputs.programmed.changed(), if binds => {
                    if changed.is_err() { return }
                    self.map_addresses(&self.fenced.clone());
                    self.handle_unbound();
                }
                () = tokio::time::sleep(pause) => {
                    let late = boot_now().since(due);
                    let late = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
                    self.inputs.lateness.send_if_modified(|worst| {
                        let worse = late > *worst;
                        *worst = late.max(*worst);
                        worse
                    });
                    self.handle_clock();
                    self.holder.handle_timeout(boot_now());
                }
            }
        }
    }

    /// The log went on: leases came or went, addresses moved.
    fn handle_state(&mut self) {
        let state = self.inputs.state.borrow_and_update().clone();
        self.map_addresses(&state);
        self.fenced = state.clone();
        let node = self.inputs.node;
        // Until the log knows of this start, leases recorded for this node are an earlier start's.
        let started = state.members.get(&node).map(|member| member.incarnation);
        let held =
            if started == Some(self.inputs.incarnation) { state.held_by(node) } else { vec![] };
        let leases: Vec<_> = held.iter().map(|one| (one.group, one.epoch)).collect();
        let now = boot_now();
        self.holder.handle_applied(&leases, now);
        for one in &held {
            if one.handover.is_some() {
                self.holder.handle_surrender(one.group, now);
            }
        }
        // Before anything says how far this node follows the log.
        self.publish();
        self.drain();
    }

    /// What was given up is not answered for any more: now it may be said.
    fn handle_unbound(&mut self) {
        let done = self.settled();
        if done >= self.inputs.desired.borrow().serial {
            self.reflected = self.fenced.applied;
        }
        for (_, group, epoch) in self.given_up.extract_if(.., |one| one.0 <= done) {
            let cause = self.causes.get(&group).copied().unwrap_or(Cause::Stopped);
            self.releases.spawn(self.inputs.to_leader.release(group, epoch, cause));
        }
    }

    /// The last serial whose wishes this node has stopped answering for. The fence stops at once.
    fn settled(&self) -> u64 {
        match self.inputs.fencing {
            Fencing::Program(_) | Fencing::Nothing => u64::MAX,
            Fencing::Lifetime => *self.inputs.programmed.borrow(),
        }
    }

    /// Puts every address of the configuration behind its group's deadline, and addresses that
    /// somebody else may still answer for behind one that never comes. An address that left the
    /// configuration stays fenced until the kernel is known not to have it.
    fn map_addresses(&mut self, state: &State) {
        if matches!(self.inputs.fencing, Fencing::Nothing) {
            return;
        }
        let mut vips = BTreeMap::new();
        for (_, group, instance, _) in state.instances() {
            for vip in &instance.virtual_ipaddress {
                let elsewhere = state.is_retiring_elsewhere(vip.address, self.inputs.node);
                vips.insert(vip.address, if elsewhere { CLOSED } else { group });
            }
        }
        let done = *self.inputs.programmed.borrow_and_update();
        let serial = self.inputs.desired.borrow().serial;
        self.lingering.retain(|address, unbound| *unbound > done && !vips.contains_key(address));
        for address in self.mapped.keys().filter(|address| !vips.contains_key(address)) {
            self.lingering.entry(*address).or_insert(serial + 1);
        }
        self.lingering.retain(|_, unbound| *unbound > done);
        vips.extend(self.lingering.keys().map(|address| (*address, CLOSED)));
        if vips != self.mapped {
            if let Fencing::Program(program) = &mut self.inputs.fencing {
                program.0.set_vips(&vips).unwrap_or_else(|error| fatal(&error));
            }
            self.mapped = vips;
        }
    }

    /// Carries out what the holder wants. Says when to call again.
    fn drain(&mut self) -> BootNanos {
        let mut changed = false;
        let mut given_up = Vec::new();
        while let Some(command) = self.holder.poll_command() {
            match command {
                HolderCommand::Renew { sent, leases } => self.renew(sent, leases),
                HolderCommand::OpenUntil { group, epoch, deadline, first } => {
                    changed |= first;
                    self.deadlines.insert(group, OpenLease { epoch, until: deadline });
                    if let Fencing::Program(program) = &mut self.inputs.fencing {
                        let opened = program.1.open_until(group, deadline);
                        opened.unwrap_or_else(|error| fatal(&error));
                    }
                }
                HolderCommand::Close { group, .. } => {
                    changed = true;
                    self.deadlines.remove(&group);
                    if let Fencing::Program(program) = &mut self.inputs.fencing {
                        program.1.close(group).unwrap_or_else(|error| fatal(&error));
                    }
                }
                HolderCommand::Release { group, epoch } => {
                    given_up.push((group, epoch));
                }
            }
        }
        // First until when, then what: whoever binds asks how long it may.
        self.inputs.open.send_if_modified(|open| {
            let differs = *open != self.deadlines;
            open.clone_from(&self.deadlines);
            differs
        });
        if changed {
            self.publish();
        }
        let serial = self.inputs.desired.borrow().serial;
        self.given_up.extend(given_up.into_iter().map(|(group, epoch)| (serial, group, epoch)));
        self.handle_unbound();
        let beat = boot_now().after(self.inputs.timing.renew_interval);
        let leading = self.inputs.leadership.borrow().is_leader;
        self.inputs.guard.beat(&self.fenced, self.mapped.keys(), leading);
        self.holder.poll_timeout().map_or(beat, |(due, _)| due.min(beat))
    }

    fn renew(&mut self, sent: BootNanos, leases: Vec<(GroupId, Epoch)>) {
        let eligibility = self.inputs.eligibility.borrow_and_update().clone();
        let call = self.inputs.to_leader.renew(leases, self.reflected, eligibility);
        self.renewals.spawn(async move { (sent, call.await) });
    }

    /// Tells the other thread which addresses belong in the kernel.
    fn publish(&mut self) {
        let state = self.fenced.clone();
        let mut bindings = Vec::new();
        let mut groups = BTreeSet::new();
        let open = state.held_by(self.inputs.node);
        for held in open.iter().filter(|one| {
            self.deadlines.get(&one.group).is_some_and(|lease| lease.epoch == one.epoch)
        }) {
            groups.insert(held.group);
            for vip in &held.vips {
                let interface = held.instance.interface_of(vip, &self.inputs.name);
                bindings.push(Binding {
                    address: vip.address,
                    prefix: vip.prefix,
                    interface: interface.to_owned(),
                    label: held.instance.label_of(vip, &self.inputs.name),
                    broadcast: vip.broadcast,
                    scope: vip.scope,
                    group: held.group,
                });
            }
        }
        let all = state.config.instances.values().flat_map(|one| &one.virtual_ipaddress);
        let mut owned: BTreeSet<IpAddr> = all.map(|vip| vip.address).collect();
        owned.extend(self.lingering.keys());
        let awaited = self.lingering.values().copied().max().unwrap_or(0);
        self.inputs.desired.send_if_modified(|desired| {
            let same = desired.bindings == bindings
                && desired.owned == owned
                && desired.open == groups
                && desired.state.revision == state.revision;
            if same && desired.serial >= awaited {
                return false;
            }
            *desired = Desired { serial: desired.serial + 1, bindings, owned, open: groups, state };
            true
        });
    }

    /// A machine that slept holds nothing: close first, renew second.
    fn handle_clock(&mut self) {
        let suspended = suspended();
        if suspended > self.suspended + Duration::from_millis(10) {
            tracing::warn!(slept = ?(suspended - self.suspended), "this machine was suspended");
            self.suspended = suspended;
            self.holder.handle_clock_jump(boot_now());
            self.drain();
        }
    }

    async fn stop(&mut self) {
        let groups: Vec<_> = self.deadlines.keys().copied().collect();
        for group in groups {
            self.holder.handle_surrender(group, boot_now());
        }
        self.drain();
        let serial = self.inputs.desired.borrow().serial;
        let unbound = self.inputs.programmed.wait_for(|done| *done >= serial);
        if !matches!(self.inputs.fencing, Fencing::Nothing)
            && !matches!(tokio::time::timeout(UNBIND_WITHIN, unbound).await, Ok(Ok(_)))
        {
            // Without a goodbye, the guard unbinds what is left.
            tracing::warn!("addresses may be bound still: leaving them to the guard");
            return;
        }
        self.inputs.guard.goodbye();
    }
}

/// A fence that can't be written can't be trusted. Ending the process leaves it to close by its
/// deadline, and the guard to release what this node holds.
fn fatal(error: &FenceError) -> ! {
    tracing::error!(%error, "the fence can't be written: ending, so that the guard takes over");
    std::process::abort();
}

/// BOOTTIME less MONOTONIC: they part only while the machine is suspended.
fn suspended() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    let read = |clock| clock_gettime(clock).map_or(Duration::ZERO, Duration::from);
    let monotonic = read(ClockId::CLOCK_MONOTONIC);
    read(ClockId::CLOCK_BOOTTIME).saturating_sub(monotonic)
}
