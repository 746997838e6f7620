//! The grantor's half of the lease protocol: the leader's memory of what it approved.
//!
//! Every member has one; it approves nothing, and calls nothing over, unless told that its node
//! leads. Call the `handle_*` methods as events come, then carry out every [`GrantorCommand`],
//! then arm one timer with [`poll_timeout`](Grantor::poll_timeout).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use leasehold_model::{BootNanos, Epoch, GroupId, NodeId};

use super::Timing;
use crate::state::{Retiring, State};

/// Renewals of one node that wait for an answer. A later one says all that an earlier one did.
const WAITING_PER_NODE_MAX: usize = 8;

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GrantorCommand {
    /// Start a read-index round now: a quorum is to confirm, in messages sent after this, that
    /// this node still leads. Then wait until all that was committed by then is applied, and
    /// report with [`Grantor::handle_confirm_result`].
    Confirm { round: u64 },
    /// Answer a renewal: of the leases it names, these are good.
    Answer { request: u64, good: Vec<(GroupId, Epoch)> },
    /// Answer a renewal: this node can't tell. The holder is to ask whoever leads now.
    Refuse { request: u64 },
}

/// Why to wake up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GrantorWake {
    /// A round was not reported on.
    RoundLost,
    /// A lease is over unless it was renewed.
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grantor {
    timing: Timing,
    leading: Option<Leading>,
    next_round: u64,
    /// Groups with an entry on its way that ends their lease, and how many such entries.
    blocked: BTreeMap<GroupId, u32>,
    /// The last approval this node made in any term.
    last_approval: Option<BootNanos>,
    commands: VecDeque<GrantorCommand>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Leading {
    term: u64,
    /// Approvals of earlier leaders were made at this instant at the latest.
    earlier: BootNanos,
    /// This node's own last approval in earlier terms: as a voter it acknowledged itself then.
    own_before: BootNanos,
    last_ok: BTreeMap<(GroupId, Epoch), BootNanos>,
    /// The epochs that were in force when last told.
    known: Option<BTreeMap<GroupId, Epoch>>,
    /// Since the round under way began.
    waiting: Vec<Request>,
    round: Option<Round>,
    /// The latest instant that `poll_timeout` was answered for.
    woken: BootNanos,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Request {
    id: u64,
    from: NodeId,
    leases: Vec<(GroupId, Epoch)>,
    arrived: BootNanos,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Round {
    id: u64,
    lost_at: BootNanos,
    requests: Vec<Request>,
    /// Groups that were blocked at any time since the round began.
    blocked: BTreeSet<GroupId>,
}

impl Grantor {
    #[must_use]
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            leading: None,
            next_round: 1,
            blocked: BTreeMap::new(),
            last_approval: None,
            commands: VecDeque::new(),
        }
    }

    /// This node became leader. `term` names this leadership: another number for each, also where
    /// Raft restored a leader without an election. What it approved before counts for nothing.
    pub fn handle_elected(&mut self, term: u64, now: BootNanos) {
        self.stop_leading();
        self.leading = Some(Leading {
            term,
            earlier: now,
            own_before: self.last_approval.unwrap_or_default(),
            last_ok: BTreeMap::new(),
            known: None,
            waiting: Vec::new(),
            round: None,
            woken: now,
        });
    }

    /// No renewal that an earlier leader approved was acknowledged after `latest_ack`:
    /// see [`takeover`](super::takeover).
    pub fn handle_takeover_bound(&mut self, term: u64, latest_ack: BootNanos) {
        let Some(leading) = &mut self.leading else { return };
        if leading.term != term {
            return;
        }
        leading.earlier = leading.earlier.min(latest_ack.max(leading.own_before));
    }

    /// This node leads no longer.
    pub fn handle_deposed(&mut self, _now: BootNanos) {
        self.stop_leading();
    }

    /// The state has moved on. A lease granted since this node leads counts from here: its holder
    /// has yet to hear of it, and must not lose it again meanwhile.
    pub fn handle_applied(&mut self, state: &State, now: BootNanos) {
        let Some(leading) = &mut self.leading else { return };
        let held = state.leases.iter().filter(|(_, lease)| lease.holder.is_some());
        let epochs: BTreeMap<GroupId, Epoch> =
            held.map(|(group, lease)| (*group, lease.epoch)).collect();
        if let Some(known) = &leading.known {
            for (group, epoch) in &epochs {
                if known.get(group) != Some(epoch) {
                    leading.last_ok.entry((*group, *epoch)).or_insert(now);
                }
            }
        }
        leading.known = Some(epochs);
        let timing = self.timing;
        leading.last_ok.retain(|(group, epoch), last_ok| {
            let current = state.leases.get(group).is_some_and(|lease| lease.epoch == *epoch);
            current || timing.grantor_over(*last_ok) > now
        });
    }

    /// A renewal came in. `request` names it in the answer.
    pub fn handle_renew(
        &mut self,
        request: u64,
        from: NodeId,
        leases: Vec<(GroupId, Epoch)>,
        now: BootNanos,
    ) {
        let Some(leading) = &mut self.leading else {
            self.commands.push_back(GrantorCommand::Refuse { request });
            return;
        };
        let mut same = leading.waiting.iter().filter(|one| one.from == from).map(|one| one.id);
        if let Some(oldest) = same.next()
            && same.count() + 1 >= WAITING_PER_NODE_MAX
        {
            leading.waiting.retain(|one| one.id != oldest);
            self.commands.push_back(GrantorCommand::Refuse { request: oldest });
        }
        leading.waiting.push(Request { id: request, from, leases, arrived: now });
    }

    /// The round is done. `ok`: a quorum confirmed it, and `state` has applied everything that
    /// was committed when it began.
    pub fn handle_confirm_result(&mut self, round: u64, ok: bool, state: &State, now: BootNanos) {
        let Some(leading) = &mut self.leading else { return };
        // A round of an earlier leadership proves nothing about this one.
        let Some(done) = leading.round.take_if(|one| one.id == round) else { return };
        for request in done.requests {
            if !ok {
                self.commands.push_back(GrantorCommand::Refuse { request: request.id });
                continue;
            }
            let mut good = request.leases;
            good.retain(|(group, epoch)| {
                state.is_held(*group, *epoch, request.from) && !done.blocked.contains(group)
            });
            for lease in &good {
                leading.last_ok.insert(*lease, now);
                self.last_approval = Some(now);
            }
            self.commands.push_back(GrantorCommand::Answer { request: request.id, good });
        }
    }

    /// An entry that ends the group's lease is about to be proposed, or its holder released it.
    /// No renewal is approved until as many calls of [`unblock`](Self::unblock).
    pub fn block(&mut self, group: GroupId) {
        *self.blocked.entry(group).or_default() += 1;
        if let Some(round) = self.leading.as_mut().and_then(|leading| leading.round.as_mut()) {
            round.blocked.insert(group);
        }
    }

    /// That entry was applied here, or can't ever be: "it timed out" is neither.
    pub fn unblock(&mut self, group: GroupId) {
        if let Some(count) = self.blocked.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                self.blocked.remove(&group);
            }
        }
    }

    #[must_use]
    pub fn is_blocked(&self, group: GroupId) -> bool {
        self.blocked.contains_key(&group)
    }

    /// When the lease is over for certain unless it is renewed before; absent where this node
    /// doesn't lead. Also for groups that the configuration no longer has.
    #[must_use]
    pub fn over_at(&self, group: GroupId, epoch: Epoch) -> Option<BootNanos> {
        let leading = self.leading.as_ref()?;
        let last = leading.last_ok.get(&(group, epoch)).copied().unwrap_or(leading.earlier);
        Some(self.timing.grantor_over(last.max(leading.earlier)))
    }

    #[must_use]
    pub fn is_over(&self, group: GroupId, epoch: Epoch, now: BootNanos) -> bool {
        self.over_at(group, epoch).is_some_and(|over| over <= now)
    }

    /// The entries of `state.retiring` whose holder answers for the address no more, to be
    /// proposed as [`Retired`](crate::state::Command::Retired). `programmed` has each member's
    /// last report of the index up to which its addresses and fence follow the log.
    ///
    /// A lease that ran out is no proof while its epoch is in force: its holder, back from behind a
    /// partition with a state that still has the address, would be confirmed and open it. Give
    /// such a group a new epoch instead, by `Grant` or `Release`; that retires its addresses too.
    #[must_use]
    pub fn retired(
        &self,
        state: &State,
        programmed: &BTreeMap<NodeId, u64>,
        now: BootNanos,
    ) -> Vec<Retiring> {
        if self.leading.is_none() {
            return Vec::new();
        }
        let done = |one: &&Retiring| {
            let dropped = programmed.get(&one.holder).is_some_and(|index| *index >= one.index);
            let in_force = state.is_held(one.group, one.epoch, one.holder);
            dropped || (!in_force && self.is_over(one.group, one.epoch, now))
        };
        state.retiring.iter().filter(done).cloned().collect()
    }

    /// This node's own tick came late. Renewals may have waited all that time in its queues, so
    /// nobody is held to have been silent (etcd#15247).
    pub fn handle_stall(&mut self, now: BootNanos) {
        let Some(leading) = &mut self.leading else { return };
        leading.earlier = now;
        for last_ok in leading.last_ok.values_mut() {
            *last_ok = now;
        }
    }

    pub fn handle_timeout(&mut self, now: BootNanos) {
        let Some(leading) = &mut self.leading else { return };
        leading.woken = leading.woken.max(now);
        if let Some(lost) = leading.round.take_if(|one| one.lost_at <= now) {
            for request in lost.requests {
                self.commands.push_back(GrantorCommand::Refuse { request: request.id });
            }
        }
    }

    pub fn poll_command(&mut self) -> Option<GrantorCommand> {
        if let Some(command) = self.commands.pop_front() {
            return Some(command);
        }
        let leading = self.leading.as_mut()?;
        if leading.round.is_some() {
            return None;
        }
        // The round begins when the shell has this command: after all of these arrived.
        let latest = leading.waiting.iter().map(|one| one.arrived).max()?;
        let id = self.next_round;
        self.next_round += 1;
        leading.round = Some(Round {
            id,
            // An answer that comes later buys its holder nothing.
            lost_at: latest.after(self.timing.ttl),
            requests: std::mem::take(&mut leading.waiting),
            blocked: self.blocked.keys().copied().collect(),
        });
        Some(GrantorCommand::Confirm { round: id })
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(BootNanos, GrantorWake)> {
        let leading = self.leading.as_ref()?;
        let lost = leading.round.as_ref().map(|round| (round.lost_at, GrantorWake::RoundLost));
        let over = leading
            .last_ok
            .values()
            .map(|last_ok| (*last_ok).max(leading.earlier))
            .chain([leading.earlier])
            .map(|last| self.timing.grantor_over(last))
            .filter(|over| *over > leading.woken)
            .min()
            .map(|over| (over, GrantorWake::Over));
        lost.into_iter().chain(over).min_by_key(|(at, _)| *at)
    }

    fn stop_leading(&mut self) {
        // Entries under way may yet be applied, by another's hand; whoever approves renewals
        // then has applied them first.
        self.blocked.clear();
        let Some(leading) = self.leading.take() else { return };
        let rounds = leading.round.into_iter().flat_map(|round| round.requests);
        for request in rounds.chain(leading.waiting) {
            self.commands.push_back(GrantorCommand::Refuse { request: request.id });
        }
    }
}
