//! Holders that renew and do not follow the log.
//!
//! Renewals touch no disk, so a director whose log is stuck would keep its leases for ever, and
//! never hear that it is asked to hand one over, or that it lost an address. After a while such a
//! lease is confirmed no more, and runs out like a silent holder's.

use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_model::{BootNanos, Epoch, GroupId};
use leasehold_raft::state::State;

/// Since when holders owe an answer to the log.
#[derive(Clone, Debug, Default)]
pub(super) struct Patience(BTreeMap<(GroupId, Epoch), BootNanos>);

impl Patience {
    /// Notes what the state asks of holders, and forgets what it asks no more.
    pub(super) fn follow(&mut self, state: &State, now: BootNanos) {
        let asked = state.leases.iter().filter(|(_, lease)| lease.handover.is_some());
        let asked = asked.map(|(group, lease)| (*group, lease.epoch));
        let retiring = state.retiring.iter().map(|one| (one.group, one.epoch));
        let owed: BTreeMap<_, _> = asked
            .chain(retiring)
            .map(|name| (name, self.0.get(&name).copied().unwrap_or(now)))
            .collect();
        self.0 = owed;
    }

    /// Keeps the leases whose holders do not owe an answer for longer than `limit`.
    pub(super) fn retain(
        &self,
        leases: &mut Vec<(GroupId, Epoch)>,
        limit: Duration,
        now: BootNanos,
    ) {
        leases.retain(|name| self.0.get(name).is_none_or(|since| now.since(*since) <= limit));
    }
}

#[cfg(test)]
mod tests {
    use leasehold_model::NodeId;
    use leasehold_raft::state::Lease;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(4);

    fn at(seconds: u64) -> BootNanos {
        BootNanos(seconds * 1_000_000_000)
    }

    #[test]
    fn a_holder_that_ignores_a_handover_is_confirmed_for_a_while_only() {
        let (group, epoch) = (GroupId(1), Epoch(7));
        let mut state = State::default();
        let lease = Lease { holder: Some(NodeId(1)), epoch, ..Lease::default() };
        state.leases.insert(group, lease);
        let kept = |patience: &Patience, now| {
            let mut leases = vec![(group, epoch)];
            patience.retain(&mut leases, LIMIT, now);
            !leases.is_empty()
        };
        let mut patience = Patience::default();
        patience.follow(&state, at(10));
        assert!(kept(&patience, at(1000)), "nothing is asked of it");
        state.leases.get_mut(&group).expect("inserted above").handover = Some(NodeId(2));
        patience.follow(&state, at(1000));
        patience.follow(&state, at(1003));
        assert!(kept(&patience, at(1004)));
        assert!(!kept(&patience, at(1005)));
        state.leases.get_mut(&group).expect("inserted above").handover = None;
        patience.follow(&state, at(1006));
        assert!(kept(&patience, at(1006)));
    }
}
