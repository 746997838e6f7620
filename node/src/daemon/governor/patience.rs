//! Holders that renew and do not follow the log.
//!
//! Renewals touch no disk, so a director whose log is stuck would keep its leases for ever, and
//! never hear that it is asked to hand one over, or that it lost an address; and one whose kernel is
//! stuck would be granted a lease that it can't open. After a while such a lease is confirmed no
//! more, and runs out like a silent holder's.

use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_model::{BootNanos, Epoch, GroupId, NodeId};
use leasehold_raft::state::{Lease, State};

/// Since when holders owe an answer to the log.
#[derive(Clone, Debug, Default)]
pub(super) struct Patience(BTreeMap<(GroupId, Epoch), BootNanos>);

impl Patience {
    /// Notes what the state asks of holders, and forgets what it asks no more. `programmed`: how
    /// far each member's kernel follows the log, by its last report.
    pub(super) fn follow(
        &mut self,
        state: &State,
        programmed: &BTreeMap<NodeId, u64>,
        now: BootNanos,
    ) {
        let behind = |lease: &Lease| {
            let index = lease.holder.and_then(|holder| programmed.get(&holder));
            index.is_some_and(|index| *index < lease.epoch.0)
        };
        let asks = |lease: &Lease| lease.handover.is_some() || behind(lease);
        let asked = state.leases.iter().filter(|(_, lease)| asks(lease));
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
    use super::*;

    const LIMIT: Duration = Duration::from_secs(4);

    fn at(seconds: u64) -> BootNanos {
        BootNanos(seconds * 1_000_000_000)
    }

    const NAME: (GroupId, Epoch) = (GroupId(1), Epoch(7));

    fn held() -> State {
        let lease = Lease { holder: Some(NodeId(1)), epoch: NAME.1, ..Lease::default() };
        State { leases: [(NAME.0, lease)].into(), ..State::default() }
    }

    fn kept(patience: &Patience, now: BootNanos) -> bool {
        let mut leases = vec![NAME];
        patience.retain(&mut leases, LIMIT, now);
        !leases.is_empty()
    }

    #[test]
    fn a_holder_that_ignores_a_handover_is_confirmed_for_a_while_only() {
        let mut state = held();
        let programmed = BTreeMap::from([(NodeId(1), 7)]);
        let mut patience = Patience::default();
        patience.follow(&state, &programmed, at(10));
        assert!(kept(&patience, at(1000)), "nothing is asked of it");
        state.leases.get_mut(&NAME.0).expect("inserted above").handover = Some(NodeId(2));
        patience.follow(&state, &programmed, at(1000));
        patience.follow(&state, &programmed, at(1003));
        assert!(kept(&patience, at(1004)));
        assert!(!kept(&patience, at(1005)));
        state.leases.get_mut(&NAME.0).expect("inserted above").handover = None;
        patience.follow(&state, &programmed, at(1006));
        assert!(kept(&patience, at(1006)));
    }

    #[test]
    fn a_holder_whose_kernel_is_behind_its_grant_is_confirmed_for_a_while_only() {
        let state = held();
        let mut patience = Patience::default();
        patience.follow(&state, &BTreeMap::new(), at(10));
        assert!(kept(&patience, at(1000)), "it was not heard of");
        let behind = BTreeMap::from([(NodeId(1), 6), (NodeId(2), 9)]);
        patience.follow(&state, &behind, at(1000));
        patience.follow(&state, &behind, at(1003));
        assert!(kept(&patience, at(1004)));
        assert!(!kept(&patience, at(1005)));
        patience.follow(&state, &BTreeMap::from([(NodeId(1), 7)]), at(1006));
        assert!(kept(&patience, at(1006)));
    }
}
