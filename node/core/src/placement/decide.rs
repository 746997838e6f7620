//! The rules, in the order in which they bind.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_model::{BootNanos, GroupId, NodeId};

use super::standing::{Bar, Standing, standing};
use super::{Cause, Decision, Director, Placement, Slot};

/// How long a director must have been eligible before groups are moved to it only to spread
/// them: one that comes and goes should not take VIPs along.
pub const BALANCE_AFTER: Duration = Duration::from_secs(10);

/// How long a group stays free that was yielded.
const YIELD_SETTLES: Duration = Duration::from_secs(1);

/// Decides, and remembers since when each director could hold each group. A new leader begins
/// with an empty memory: delays then count from its beginning.
#[derive(Clone, Debug, Default)]
pub struct Placer {
    tenure: BTreeMap<(GroupId, NodeId), Tenure>,
    /// Groups that are free since they were yielded, and when that was first seen.
    yielded: BTreeMap<GroupId, BootNanos>,
}

/// Since when a director has been eligible with at least its present fitness.
#[derive(Clone, Copy, Debug)]
struct Tenure {
    fitness: (bool, u8),
    since: BootNanos,
}

impl Placer {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What to do now. `now` never goes back.
    pub fn place(
        &mut self,
        directors: &[Director<'_>],
        slots: &[Slot<'_>],
        leader: NodeId,
        now: BootNanos,
    ) -> Placement {
        let board = Board::new(directors, slots, leader);
        self.observe(&board, now);
        Round { board, placer: self, now, placement: Placement::default() }.run()
    }

    /// Since when `node` has been eligible for `group` with at least its present fitness.
    #[must_use]
    pub fn eligible_since(&self, group: GroupId, node: NodeId) -> Option<BootNanos> {
        self.tenure.get(&(group, node)).map(|tenure| tenure.since)
    }

    fn observe(&mut self, board: &Board<'_>, now: BootNanos) {
        let mut tenure = BTreeMap::new();
        for (slot, standings) in board.slots.iter().zip(&board.standings) {
            for (director, standing) in board.directors.iter().zip(standings) {
                if !standing.eligible() {
                    continue;
                }
                let key = (slot.group, director.node);
                let fitness = standing.fitness();
                let before = self.tenure.get(&key).filter(|one| fitness <= one.fitness);
                let since = before.map_or(now, |one| one.since);
                tenure.insert(key, Tenure { fitness, since });
            }
        }
        self.tenure = tenure;
        let free = |slot: &&Slot<'_>| slot.holder.is_none() && slot.cause == Cause::Yielded;
        let yielded = board.slots.iter().filter(free).map(|slot| {
            let since = self.yielded.get(&slot.group).copied().unwrap_or(now);
            (slot.group, since)
        });
        self.yielded = yielded.collect();
    }
}

/// Who gets `group` when `not`, its holder, releases it right now.
#[must_use]
pub fn successor(
    directors: &[Director<'_>],
    slots: &[Slot<'_>],
    leader: NodeId,
    group: GroupId,
    not: NodeId,
) -> Option<NodeId> {
    let board = Board::new(directors, slots, leader);
    let index = slots.iter().position(|slot| slot.group == group)?;
    let asked = slots[index].handover.filter(|to| *to != not && board.eligible(index, *to));
    asked.or_else(|| board.best(index, |node, _| node != not))
}

/// The directors, the groups, and how each of the former stands for each of the latter.
pub(super) struct Board<'a> {
    pub(super) directors: &'a [Director<'a>],
    pub(super) slots: &'a [Slot<'a>],
    leader: NodeId,
    /// By slot, then by director.
    pub(super) standings: Vec<Vec<Standing>>,
    /// Groups that a director holds, or will once what is under way is done.
    load: BTreeMap<NodeId, usize>,
}

impl<'a> Board<'a> {
    pub(super) fn new(
        directors: &'a [Director<'a>],
        slots: &'a [Slot<'a>],
        leader: NodeId,
    ) -> Self {
        let row = |slot| directors.iter().map(|director| standing(director, slot)).collect();
        let standings = slots.iter().map(row).collect();
        let mut load = BTreeMap::new();
        for slot in slots.iter().filter(|slot| !slot.over) {
            if let Some(node) = slot.handover.or(slot.holder) {
                *load.entry(node).or_default() += 1;
            }
        }
        Self { directors, slots, leader, standings, load }
    }

    pub(super) fn standing(&self, slot: usize, node: NodeId) -> Option<&Standing> {
        let director = self.directors.iter().position(|one| one.node == node)?;
        Some(&self.standings[slot][director])
    }

    pub(super) fn eligible(&self, slot: usize, node: NodeId) -> bool {
        self.standing(slot, node).is_some_and(Standing::eligible)
    }

    fn load(&self, node: NodeId) -> usize {
        self.load.get(&node).copied().unwrap_or(0)
    }

    fn candidates(&self, slot: usize) -> impl Iterator<Item = (NodeId, &Standing)> {
        let all = self.directors.iter().map(|one| one.node).zip(&self.standings[slot]);
        all.filter(|(_, standing)| standing.eligible())
    }

    /// The eligible director of `among` to hold the group.
    pub(super) fn best(
        &self,
        slot: usize,
        among: impl Fn(NodeId, &Standing) -> bool,
    ) -> Option<NodeId> {
        let Slot { pin, holder, .. } = &self.slots[slot];
        let candidates = self.candidates(slot).filter(|(node, standing)| among(*node, standing));
        let rank = |(node, standing): &(NodeId, &Standing)| {
            (
                *pin == Some(*node),
                standing.fitness(),
                *holder == Some(*node),
                Reverse(self.load(*node)),
                *node != self.leader,
                Reverse(*node),
            )
        };
        candidates.max_by_key(rank).map(|(node, _)| node)
    }

    fn moves(&mut self, from: Option<NodeId>, to: NodeId) {
        if let Some(load) = from.and_then(|from| self.load.get_mut(&from)) {
            *load = load.saturating_sub(1);
        }
        *self.load.entry(to).or_default() += 1;
    }
}

/// One call of [`Placer::place`].
struct Round<'a> {
    board: Board<'a>,
    placer: &'a Placer,
    now: BootNanos,
    placement: Placement,
}

impl Round<'_> {
    fn run(mut self) -> Placement {
        let slots = self.board.slots;
        for (index, slot) in slots.iter().enumerate() {
            if slot.over {
                self.grant(index, slot);
            } else if let Some(holder) = slot.holder {
                self.keep_or_hand_over(index, slot, holder);
            }
        }
        let under_way = slots.iter().any(|slot| !slot.over && slot.handover.is_some());
        if self.placement.decisions.is_empty() && !under_way {
            self.balance();
        }
        self.placement
    }

    fn grant(&mut self, index: usize, slot: &Slot<'_>) {
        // Who was yielded to is not known before a director has said so.
        if let Some(since) = self.placer.yielded.get(&slot.group)
            && self.now.since(*since) < YIELD_SETTLES
        {
            return self.wake_at(Some(since.after(YIELD_SETTLES)));
        }
        let Some(to) = self.board.best(index, |_, _| true) else { return };
        // Where a holder is still named, nobody said that it let go: it fell silent.
        let cause = if slot.holder.is_some() { Cause::Expired } else { slot.cause };
        self.board.moves(None, to);
        self.placement.decisions.push(Decision::Grant { group: slot.group, to, cause });
    }

    fn keep_or_hand_over(&mut self, index: usize, slot: &Slot<'_>, holder: NodeId) {
        if slot.handover.is_some_and(|to| self.board.eligible(index, to)) {
            return;
        }
        let Some(own) = self.board.standing(index, holder).cloned() else { return };
        // A silent holder can't be asked. Its lease runs out by itself.
        let Some((to, cause)) = (match why_not(&own) {
            Some(Unfit::Silent) => None,
            Some(Unfit::Because(cause)) => {
                self.board.best(index, |node, _| node != holder).map(|to| (to, cause))
            }
            None => self.better(index, slot, holder, &own),
        }) else {
            return;
        };
        self.board.moves(Some(holder), to);
        self.placement.decisions.push(Decision::Handover { group: slot.group, to, cause });
    }

    /// Who should have it rather than a holder that serves it well.
    fn better(
        &mut self,
        index: usize,
        slot: &Slot<'_>,
        holder: NodeId,
        own: &Standing,
    ) -> Option<(NodeId, Cause)> {
        if let Some(pin) = slot.pin
            && self.board.eligible(index, pin)
        {
            return (pin != holder).then_some((pin, Cause::Moved));
        }
        if own.impaired.is_some()
            && let Some(whole) = self.board.best(index, |_, one| one.impaired.is_none())
        {
            return Some((whole, Cause::Unserviceable));
        }
        if !slot.preempt() {
            return None;
        }
        let delay = preempt_delay(slot);
        let higher = |standing: &Standing| standing.fitness() > own.fitness();
        let due = |node| self.due(slot, node, delay);
        let to = self.board.best(index, |node, one| higher(one) && due(node) <= self.now);
        if to.is_none() {
            let candidates = self.board.candidates(index).filter(|(_, one)| higher(one));
            let next = candidates.map(|(node, _)| due(node)).min();
            self.wake_at(next);
        }
        to.map(|to| (to, Cause::Preempted))
    }

    /// One group of the pair of directors whose loads differ most, and by two at least: then
    /// moving it leaves nothing to move back.
    fn balance(&mut self) {
        let mut best: Option<(usize, usize, NodeId, NodeId)> = None;
        let mut next: Option<BootNanos> = None;
        for (index, slot) in self.board.slots.iter().enumerate() {
            let pinned = slot.pin.is_some_and(|pin| self.board.eligible(index, pin));
            let Some(holder) = slot.holder.filter(|_| !slot.over) else { continue };
            if !slot.preempt() || pinned || !self.board.eligible(index, holder) {
                continue;
            }
            let held_with = self.board.standing(index, holder).map(Standing::fitness);
            for (node, standing) in self.board.candidates(index) {
                let gap = self.board.load(holder).saturating_sub(self.board.load(node));
                if gap < 2 || Some(standing.fitness()) != held_with {
                    continue;
                }
                let due = self.due(slot, node, preempt_delay(slot).max(BALANCE_AFTER));
                if due > self.now {
                    next = Some(next.map_or(due, |next| next.min(due)));
                } else if best.is_none_or(|(widest, ..)| gap > widest) {
                    best = Some((gap, index, holder, node));
                }
            }
        }
        if let Some((_, index, holder, to)) = best {
            let group = self.board.slots[index].group;
            self.board.moves(Some(holder), to);
            let cause = Cause::Balanced;
            self.placement.decisions.push(Decision::Handover { group, to, cause });
        } else {
            self.wake_at(next);
        }
    }

    /// When `node` will have been eligible for `delay`.
    fn due(&self, slot: &Slot<'_>, node: NodeId, delay: Duration) -> BootNanos {
        self.placer.eligible_since(slot.group, node).unwrap_or(self.now).after(delay)
    }

    fn wake_at(&mut self, at: Option<BootNanos>) {
        let wake = &mut self.placement.wake;
        *wake = [*wake, at].into_iter().flatten().min();
    }
}

fn preempt_delay(slot: &Slot<'_>) -> Duration {
    Duration::from_millis(slot.preempt_delay_ms().into())
}

pub(super) enum Unfit {
    Silent,
    Because(Cause),
}

/// Why a holder should not go on, if it should not.
pub(super) fn why_not(holder: &Standing) -> Option<Unfit> {
    let cause = |bar: &Bar| match bar {
        Bar::Unheard => Unfit::Silent,
        Bar::Drained => Unfit::Because(Cause::Drained),
        Bar::Stopping => Unfit::Because(Cause::Stopped),
        Bar::Yields(_) => Unfit::Because(Cause::Yielded),
        Bar::Witness | Bar::InterfaceDown(_) | Bar::Fault(_) | Bar::Unable(_) => {
            Unfit::Because(Cause::Unserviceable)
        }
    };
    let silent = holder.bars.iter().find(|bar| **bar == Bar::Unheard);
    silent.or(holder.bars.first()).map(cause)
}
