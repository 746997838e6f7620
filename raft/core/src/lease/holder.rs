//! The holder's half of the lease protocol: what lets this node answer, and until when.
//!
//! Call the `handle_*` methods as events come, then carry out every [`HolderCommand`] of
//! [`poll_command`](Holder::poll_command) **in order, each finished before the next begins**, then
//! arm one timer with [`poll_timeout`](Holder::poll_timeout). One thread owns this and writes the
//! fence.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use leasehold_model::{BootNanos, Epoch, GroupId};

use super::Timing;

/// Answers awaited at a time. Where more are missing, the oldest would buy the least.
const IN_FLIGHT_MAX: usize = 8;

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HolderCommand {
    /// Ask the leader to confirm these leases; give `sent` back with its answer. Also sent with
    /// an empty list: the message says what this node could hold.
    Renew { sent: BootNanos, leases: Vec<(GroupId, Epoch)> },
    /// Let the kernel pass the group's traffic before `deadline`. `first`: it was closed until
    /// now, so the VIPs are to be bound and announced.
    OpenUntil { group: GroupId, epoch: Epoch, deadline: BootNanos, first: bool },
    /// Stop the group's traffic now.
    Close { group: GroupId, epoch: Epoch, why: Closed },
    /// Tell the leader that this node has stopped answering for the group.
    Release { group: GroupId, epoch: Epoch },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Closed {
    /// No renewal was confirmed in time.
    Expired,
    /// The log says that the lease is another's, or that the group is gone.
    Revoked,
    /// This node gives it up.
    Surrendered,
    /// Time passed that this machine did not live through.
    ClockJump,
}

/// Why to wake up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HolderWake {
    Renew,
    Expire,
    RepeatRelease,
}

/// One lease, as its holder sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HolderLease {
    pub group: GroupId,
    pub epoch: Epoch,
    /// Absent: closed.
    pub open_until: Option<BootNanos>,
    pub surrendered: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    timing: Timing,
    leases: BTreeMap<GroupId, Holding>,
    /// Per group, the last epoch given up or taken away: never used again, whatever is heard.
    ended: BTreeMap<GroupId, Epoch>,
    /// What each unanswered renewal asked for, by the instant it was sent.
    in_flight: BTreeMap<BootNanos, BTreeSet<(GroupId, Epoch)>>,
    last_sent: Option<BootNanos>,
    renew_at: BootNanos,
    /// The index up to which what this node answers for follows the log.
    programmed: u64,
    /// A lease was confirmed that this index does not reach yet.
    withheld: bool,
    commands: VecDeque<HolderCommand>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Holding {
    epoch: Epoch,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Closed,
    Open {
        until: BootNanos,
    },
    /// Closed for good. The log does not know yet.
    Surrendered {
        repeat_at: BootNanos,
    },
}

impl Holder {
    #[must_use]
    pub fn new(timing: Timing, now: BootNanos) -> Self {
        let mut holder = Self {
            timing,
            leases: BTreeMap::new(),
            ended: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            last_sent: None,
            renew_at: now,
            programmed: 0,
            withheld: false,
            commands: VecDeque::new(),
        };
        holder.renew_if_due(now);
        holder
    }

    /// The applied state says that this node holds exactly these.
    pub fn handle_applied(&mut self, held: &[(GroupId, Epoch)], now: BootNanos) {
        self.close_expired(now);
        let held: BTreeMap<GroupId, Epoch> = held.iter().copied().collect();
        let gone: Vec<GroupId> = self
            .leases
            .iter()
            .filter(|(group, holding)| held.get(group) != Some(&holding.epoch))
            .map(|(group, _)| *group)
            .collect();
        for group in gone {
            self.revoke(group);
        }
        for (group, epoch) in held {
            let ended = self.ended.get(&group).is_some_and(|last| *last >= epoch);
            if !ended && !self.leases.contains_key(&group) {
                self.leases.insert(group, Holding { epoch, phase: Phase::Closed });
                self.renew_at = now;
            }
        }
        self.renew_if_due(now);
    }

    /// Which addresses are behind each group's deadline follows the log up to `index`. A lease
    /// opens only where that is its epoch at least: for an address that left the group before, while
    /// another held it, nobody waits for this node.
    pub fn handle_programmed(&mut self, index: u64) {
        if index > self.programmed {
            self.programmed = index;
            if std::mem::take(&mut self.withheld) {
                self.renew_at = BootNanos::default();
            }
        }
    }

    /// The leader's answer to the renewal sent at `sent`: these are good.
    pub fn handle_confirmed(&mut self, sent: BootNanos, good: &[(GroupId, Epoch)], now: BootNanos) {
        self.close_expired(now);
        // An answer that nobody waits for: a copy, or one from before a clock jump.
        let Some(asked) = self.in_flight.remove(&sent) else { return };
        // Counted from sending, not from now: an answer that waited in a queue buys no time.
        let deadline = self.timing.holder_deadline(sent);
        for (group, epoch) in asked {
            if good.contains(&(group, epoch)) {
                self.confirm(group, epoch, deadline, now);
            } else if self.is_closed(group, epoch) {
                // As a rule the leader is about to apply the grant itself.
                self.renew_at = self.renew_at.min(now.after(self.timing.heartbeat));
            }
        }
        self.renew_if_due(now);
    }

    /// No answer to the renewal sent at `sent` will come.
    pub fn handle_failed(&mut self, sent: BootNanos, now: BootNanos) {
        self.close_expired(now);
        if self.in_flight.remove(&sent).is_some() {
            self.renew_at = self.renew_at.min(now.after(self.timing.heartbeat));
        }
        self.renew_if_due(now);
    }

    /// This node is to stop answering for the group: it was asked to, or can't serve it. There is
    /// no way back but a new grant.
    pub fn handle_surrender(&mut self, group: GroupId, now: BootNanos) {
        self.close_expired(now);
        let repeat_at = now.after(self.timing.renew_interval);
        let Some(holding) = self.leases.get_mut(&group) else { return };
        match holding.phase {
            Phase::Surrendered { .. } => return,
            Phase::Closed | Phase::Open { .. } => {}
        }
        holding.phase = Phase::Surrendered { repeat_at };
        let epoch = holding.epoch;
        self.end(group, epoch);
        self.close(group, epoch, Closed::Surrendered);
        self.commands.push_back(HolderCommand::Release { group, epoch });
        self.renew_if_due(now);
    }

    /// There is a new leader to renew with.
    pub fn handle_leader_changed(&mut self, now: BootNanos) {
        self.close_expired(now);
        self.renew_at = now;
        self.renew_if_due(now);
    }

    /// The machine was suspended or its clocks were stopped. What was sent before is worth
    /// nothing: on this clock it may look younger than it is.
    pub fn handle_clock_jump(&mut self, now: BootNanos) {
        self.commands.retain(|command| !matches!(command, HolderCommand::Renew { .. }));
        self.in_flight.clear();
        let mut open = Vec::new();
        for (group, holding) in &mut self.leases {
            if let Phase::Open { .. } = holding.phase {
                holding.phase = Phase::Closed;
                open.push((*group, holding.epoch));
            }
        }
        for (group, epoch) in open {
            self.close(group, epoch, Closed::ClockJump);
        }
        self.renew_at = now;
        self.renew_if_due(now);
    }

    pub fn handle_timeout(&mut self, now: BootNanos) {
        self.close_expired(now);
        let next = now.after(self.timing.renew_interval);
        for (group, holding) in &mut self.leases {
            if let Phase::Surrendered { repeat_at } = &mut holding.phase
                && *repeat_at <= now
            {
                *repeat_at = next;
                let (group, epoch) = (*group, holding.epoch);
                self.commands.push_back(HolderCommand::Release { group, epoch });
            }
        }
        self.renew_if_due(now);
    }

    pub fn poll_command(&mut self) -> Option<HolderCommand> {
        self.commands.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(BootNanos, HolderWake)> {
        let mut first = (self.next_renewal(), HolderWake::Renew);
        for holding in self.leases.values() {
            let wake = match holding.phase {
                Phase::Closed => continue,
                Phase::Open { until } => (until, HolderWake::Expire),
                Phase::Surrendered { repeat_at } => (repeat_at, HolderWake::RepeatRelease),
            };
            if wake.0 < first.0 {
                first = wake;
            }
        }
        Some(first)
    }

    pub fn leases(&self) -> impl Iterator<Item = HolderLease> + '_ {
        self.leases.iter().map(|(group, holding)| {
            let (open_until, surrendered) = match holding.phase {
                Phase::Closed => (None, false),
                Phase::Open { until } => (Some(until), false),
                Phase::Surrendered { .. } => (None, true),
            };
            HolderLease { group: *group, epoch: holding.epoch, open_until, surrendered }
        })
    }

    fn confirm(&mut self, group: GroupId, epoch: Epoch, deadline: BootNanos, now: BootNanos) {
        let Some(holding) = self.leases.get_mut(&group) else { return };
        if holding.epoch != epoch || deadline <= now {
            return;
        }
        if epoch.0 > self.programmed {
            self.withheld = true;
            return;
        }
        let first = match holding.phase {
            Phase::Surrendered { .. } => return,
            Phase::Closed => true,
            // Answers out of order never shorten a lease.
            Phase::Open { until } if until >= deadline => return,
            Phase::Open { .. } => false,
        };
        holding.phase = Phase::Open { until: deadline };
        self.commands.push_back(HolderCommand::OpenUntil { group, epoch, deadline, first });
    }

    fn is_closed(&self, group: GroupId, epoch: Epoch) -> bool {
        let found = self.leases.get(&group);
        found.is_some_and(|one| one.epoch == epoch && one.phase == Phase::Closed)
    }

    fn close_expired(&mut self, now: BootNanos) {
        let mut expired = Vec::new();
        for (group, holding) in &mut self.leases {
            if let Phase::Open { until } = holding.phase
                && until <= now
            {
                holding.phase = Phase::Closed;
                expired.push((*group, holding.epoch));
            }
        }
        for (group, epoch) in expired {
            self.close(group, epoch, Closed::Expired);
        }
    }

    fn revoke(&mut self, group: GroupId) {
        let Some(holding) = self.leases.remove(&group) else { return };
        self.end(group, holding.epoch);
        match holding.phase {
            // Closed when it was given up.
            Phase::Surrendered { .. } => self.forget_commands_of(group),
            Phase::Closed | Phase::Open { .. } => self.close(group, holding.epoch, Closed::Revoked),
        }
    }

    fn end(&mut self, group: GroupId, epoch: Epoch) {
        let last = self.ended.entry(group).or_default();
        *last = epoch.max(*last);
    }

    /// What the shell has not yet been given must not open what is closed here.
    fn close(&mut self, group: GroupId, epoch: Epoch, why: Closed) {
        self.commands.retain(
            |command| !matches!(command, HolderCommand::OpenUntil { group: one, .. } if *one == group),
        );
        self.commands.push_back(HolderCommand::Close { group, epoch, why });
    }

    fn forget_commands_of(&mut self, gone: GroupId) {
        self.commands.retain(
            |command| !matches!(command, HolderCommand::Release { group, .. } if *group == gone),
        );
    }

    /// Renewals are told apart by the instant they were sent, so no two share one.
    fn next_renewal(&self) -> BootNanos {
        self.last_sent.map_or(self.renew_at, |last| self.renew_at.max(BootNanos(last.0 + 1)))
    }

    fn renew_if_due(&mut self, now: BootNanos) {
        if now < self.next_renewal() {
            return;
        }
        let leases: Vec<(GroupId, Epoch)> = self
            .leases
            .iter()
            .filter(|(_, holding)| !matches!(holding.phase, Phase::Surrendered { .. }))
            .map(|(group, holding)| (*group, holding.epoch))
            .collect();
        self.in_flight.retain(|sent, _| self.timing.holder_deadline(*sent) > now);
        while self.in_flight.len() >= IN_FLIGHT_MAX {
            self.in_flight.pop_first();
        }
        self.in_flight.insert(now, leases.iter().copied().collect());
        self.last_sent = Some(now);
        self.renew_at = now.after(self.timing.renew_interval);
        self.commands.push_back(HolderCommand::Renew { sent: now, leases });
    }
}
