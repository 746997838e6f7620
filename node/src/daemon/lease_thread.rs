//! The thread that owns this node's leases and every write to the fence.
//!
//! It renews, opens and closes, and does nothing else: no disk, log file, script, name lookup or
//! fork happens here, and nothing that does can hold it up. Addresses are bound by another thread
//! (`kernel_thread`), told by [`Desired`]; whether they are bound or not, what answers is decided
//! here, by the fence.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use leasehold_dataplane::fence::{Fence, FenceError, Gate, boot_now};
use leasehold_model::{BootNanos, Eligibility, Epoch, GroupId, NodeId};
use leasehold_raft::group::Leadership;
use leasehold_raft::lease::{Holder, HolderCommand, Timing};
use leasehold_raft::state::{Cause, State};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::desired::{Desired, Lingering};
use super::guard_line::GuardLine;
use super::lateness::Lateness;
use super::to_leader::ToLeader;
use crate::paced::REST;
use crate::spoken::Farewell;

/// The slot that never opens: for addresses this node must not answer for yet.
const CLOSED: GroupId = GroupId(0);

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
    pub(crate) lateness: watch::Sender<Lateness>,
    /// What the guard says to the neighbours in this node's place.
    pub(crate) farewells: watch::Receiver<Arc<Vec<Farewell>>>,
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
        lingering: Lingering::default(),
        deadlines: BTreeMap::new(),
        causes: BTreeMap::new(),
        renewals: JoinSet::new(),
        releases: JoinSet::new(),
        given_up: GivenUp::default(),
        fenced: Arc::default(),
        reflected: 0,
        followed: BTreeMap::new(),
        published: BootNanos::default(),
        behind: None,
        suspended: suspended(),
        inputs,
    };
    thread.turn().await;
}

/// Releases that wait until the serial of their unbinding is carried out. The holder repeats them,
/// and while the kernel thread stands still none is said, nor kept more than once.
#[derive(Debug, Default)]
struct GivenUp(BTreeMap<(GroupId, Epoch), u64>);

impl GivenUp {
    /// What is repeated waits no longer for that: nothing of this epoch is bound again.
    fn add(&mut self, group: GroupId, epoch: Epoch, serial: u64) {
        self.0.entry((group, epoch)).or_insert(serial);
    }

    /// Those whose unbinding is among the first `done` changes.
    fn take(&mut self, done: u64) -> Vec<(GroupId, Epoch)> {
        self.0.extract_if(.., |_, serial| *serial <= done).map(|(lease, _)| lease).collect()
    }
}

/// When a renewal was sent, and what was confirmed, if anything was.
type Answered = (BootNanos, Option<Vec<(GroupId, Epoch)>>);

struct LeaseThread {
    inputs: Inputs,
    holder: Holder,
    /// Addresses behind the fence, and whose deadline each waits for.
    mapped: BTreeMap<IpAddr, GroupId>,
    /// Those of them that left the configuration.
    lingering: Lingering,
    deadlines: OpenLeases,
    /// Why a surrendered group is given up.
    causes: BTreeMap<GroupId, Cause>,
    renewals: JoinSet<Answered>,
    releases: JoinSet<()>,
    given_up: GivenUp,
    /// The state that the fence reflects. Nothing newer is published: an address that is not
    /// behind the fence yet must not be bound.
    fenced: Arc<State>,
    /// The index up to which what this node answers for follows the log.
    reflected: u64,
    /// The index that the wishes of each serial follow, of those not known to be carried out.
    followed: BTreeMap<u64, u64>,
    /// When other threads were last told something.
    published: BootNanos,
    /// When they are to be told what is new behind the addresses, if anything is.
    behind: Option<BootNanos>,
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
                    self.inputs.lateness.send_modify(|all| all.count(late));
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
        // Before anything lets the kernel thread bind a VIP that is new: a kill in between would
        // leave one that the guard has not heard of.
        self.tell_guard();
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
        while let Some(oldest) = self.followed.first_entry().filter(|one| *one.key() <= done) {
            self.reflected = oldest.remove();
            self.holder.handle_programmed(self.reflected);
        }
        for (group, epoch) in self.given_up.take(done) {
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
            for vip in instance.vips() {
                let elsewhere = state.is_retiring_elsewhere(vip.address, self.inputs.node);
                vips.insert(vip.address, if elsewhere { CLOSED } else { group });
            }
        }
        let done = *self.inputs.programmed.borrow_and_update();
        let next = self.inputs.desired.borrow().serial + 1;
        self.lingering.follow(self.mapped.keys(), &vips, next, done);
        vips.extend(self.lingering.addresses().map(|address| (*address, CLOSED)));
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
        if changed || self.behind.is_some_and(|due| due <= boot_now()) {
            self.publish();
        }
        let serial = self.inputs.desired.borrow().serial;
        for (group, epoch) in given_up {
            self.given_up.add(group, epoch, serial);
        }
        self.handle_unbound();
        self.tell_guard();
        let beat = self.inputs.guard.beaten().after(self.inputs.timing.renew_interval);
        let due = self.holder.poll_timeout().map_or(beat, |(due, _)| due.min(beat));
        self.behind.map_or(due, |behind| due.min(behind))
    }

    /// A beat, with whatever has changed of what the guard is to finish.
    fn tell_guard(&mut self) {
        let leading = self.inputs.leadership.borrow().is_leader;
        let farewells = self.inputs.farewells.borrow().clone();
        let guard = &mut self.inputs.guard;
        if !guard.charge(&self.fenced, self.mapped.keys(), leading, &farewells) {
            guard.beat(boot_now(), self.inputs.timing.renew_interval / 2);
        }
    }

    fn renew(&mut self, sent: BootNanos, leases: Vec<(GroupId, Epoch)>) {
        let eligibility = self.inputs.eligibility.borrow_and_update().clone();
        let call = self.inputs.to_leader.renew(leases, self.reflected, eligibility);
        self.renewals.spawn(async move { (sent, call.await) });
    }

    /// Tells the other threads what belongs in the kernel: at once where addresses come or go, and
    /// after a rest where only what is behind them changed.
    fn publish(&mut self) {
        let wishes = Desired::of(
            &self.fenced,
            (self.inputs.node, &self.inputs.name),
            &self.deadlines,
            &self.lingering,
        );
        let (now, rested) = (boot_now(), self.published.after(REST));
        self.behind = None;
        let told = self.inputs.desired.send_if_modified(|desired| {
            let same = desired.binds_as(&wishes) && desired.serial >= wishes.awaited;
            if same && desired.serves_as(&wishes.state) {
                return false;
            }
            if same && now < rested {
                self.behind = Some(rested);
                return false;
            }
            *desired = Desired { serial: desired.serial + 1, ..wishes };
            true
        });
        if told {
            self.published = now;
        }
        // Wishes that are the same as before follow this state as well.
        let serial = self.inputs.desired.borrow().serial;
        self.followed.insert(serial, self.fenced.applied);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_that_is_repeated_while_it_waits_is_said_once() {
        let mut given_up = GivenUp::default();
        let (group, epoch) = (GroupId(1), Epoch(7));
        given_up.add(group, epoch, 3);
        given_up.add(group, epoch, 5);
        given_up.add(group, Epoch(9), 6);
        assert_eq!(given_up.take(2), []);
        assert_eq!(given_up.take(3), [(group, epoch)]);
        assert_eq!(given_up.take(5), []);
        // What the log has not heard by then is said again.
        given_up.add(group, epoch, 5);
        assert_eq!(given_up.take(6), [(group, epoch), (group, Epoch(9))]);
    }
}
