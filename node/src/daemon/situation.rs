//! The facts that placement decides by, gathered from the log and from what members report.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use leasehold_model::{Epoch, GroupId};
use leasehold_node_core::placement::{self, Director, Slot};
use leasehold_raft::state::State;

use super::governor::Reports;

pub(crate) struct Situation<'a> {
    state: &'a State,
    reports: &'a Reports,
    /// The groups that may be granted now.
    over: Vec<(GroupId, bool)>,
}

impl<'a> Situation<'a> {
    /// `is_over` tells whether an epoch with a holder can't be used by it any more.
    pub(crate) fn new(
        state: &'a State,
        reports: &'a Reports,
        is_over: impl Fn(GroupId, Epoch) -> bool,
    ) -> Self {
        let free = |(_, group, lease): (_, GroupId, &leasehold_raft::state::Lease)| {
            (group, lease.holder.is_none() || is_over(group, lease.epoch))
        };
        let over = state.units().map(free).collect();
        Self { state, reports, over }
    }

    pub(crate) fn directors(&self) -> Vec<Director<'a>> {
        let members = self.state.members.iter();
        members
            .map(|(node, member)| {
                let report = self.reports.get(*node);
                Director {
                    node: *node,
                    name: &member.name,
                    role: member.role,
                    drained: member.drained,
                    report: report.map(|one| &one.eligibility),
                }
            })
            .collect()
    }

    pub(crate) fn slots(&self) -> Vec<Slot<'a>> {
        let directors = self.directors();
        let units = self.state.units().zip(&self.over);
        units
            .map(|((unit, group, lease), (_, over))| Slot {
                foreign: placement::foreign(&directors, &unit.members),
                group,
                name: unit.name,
                members: unit.members,
                holder: lease.holder,
                over: *over,
                handover: lease.handover,
                pin: self.state.pins.get(&group).copied(),
                cause: lease.cause,
                changed_ago: Duration::from_millis(unix_ms().saturating_sub(lease.since_unix_ms)),
            })
            .collect()
    }

    /// The leases with a holder that may have to be waited for.
    pub(crate) fn held(&self) -> impl Iterator<Item = (GroupId, Epoch)> {
        let held = self.state.leases.iter().filter(|(_, lease)| lease.holder.is_some());
        held.map(|(group, lease)| (*group, lease.epoch))
    }
}

/// The wall clock, in milliseconds: for people, and for tokens to expire by.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
