//! Who should hold what, decided from reports, and why, in plain words.
//!
//! The leader asks a [`Placer`] whenever a report or the replicated state changed, and when the
//! last [`Placement::wake`] is due. What comes back is carried out as log entries, which check
//! once more that the world is still as it was.
//!
//! An eligible director is a heard one, neither drained nor stopping, that has every interface
//! of the instance up and has not complained that it can't serve it. Among these: the pinned one;
//! else one that serves all virtual servers of it; else the highest priority; else the holder;
//! else the one that holds least, is not the leader, and has the lowest number.
//!
//! It settles. A preemption raises the sum of the holders' fitness; a balancing move leaves
//! that as it is and makes the loads more even; so with the same reports no decision comes back.

mod decide;
mod explain;
mod standing;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Duration;

use leasehold_model::{
    BootNanos, Cause, Eligibility, ForeignMaster, GroupId, Instance, NodeId, Role,
};
use serde::{Deserialize, Serialize};

pub use decide::{BALANCE_AFTER, Placer, successor};
pub use explain::{Explanation, Holding, Part};
pub(crate) use standing::OWNER;
pub use standing::{Bar, Standing, effective, standing};

/// A member, and what it last said of itself.
#[derive(Clone, Copy, Debug)]
pub struct Director<'a> {
    pub node: NodeId,
    pub name: &'a str,
    pub role: Role,
    pub drained: bool,
    /// Absent: not heard within the ttl.
    pub report: Option<&'a Eligibility>,
}

/// What one lease covers, and where that is.
#[derive(Clone, Debug)]
pub struct Slot<'a> {
    pub group: GroupId,
    /// The sync group's name, or the lone instance's.
    pub name: &'a str,
    /// Never empty.
    pub members: Vec<(&'a str, &'a Instance)>,
    pub holder: Option<NodeId>,
    /// There is no lease, or it must have run out: it may be granted.
    pub over: bool,
    /// The holder has been asked to release in favour of this one.
    pub handover: Option<NodeId>,
    /// Where the operator moved it.
    pub pin: Option<NodeId>,
    /// Why it last changed hands.
    pub cause: Cause,
    /// How long ago that was.
    pub changed_ago: Duration,
    /// A router from outside the cluster that is to be yielded to, and its priority, as any
    /// director hears it.
    pub foreign: Option<(u8, IpAddr)>,
}

/// What to yield to, among what directors hear of these instances.
#[must_use]
pub fn foreign(directors: &[Director<'_>], members: &[(&str, &Instance)]) -> Option<(u8, IpAddr)> {
    let yields = |(_, one): &&(&str, &Instance)| one.adverts.foreign_master == ForeignMaster::Yield;
    let reports = || directors.iter().filter_map(|one| one.report);
    let heard = members
        .iter()
        .filter(yields)
        .flat_map(|(name, _)| reports().filter_map(|report| report.foreigners.get(*name)?.master));
    heard.map(|(source, priority)| (priority, source)).max()
}

impl Slot<'_> {
    /// A sync group is preempted where each of its instances may be.
    pub(super) fn preempt(&self) -> bool {
        self.members.iter().all(|(_, one)| one.preempt)
    }

    /// The longest that one of its instances asks for.
    pub(super) fn preempt_delay_ms(&self) -> u32 {
        self.members.iter().map(|(_, one)| one.preempt_delay_ms).max().unwrap_or(0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Nobody holds it: give it to `to`.
    Grant { group: GroupId, to: NodeId, cause: Cause },
    /// Ask the holder to release it in favour of `to`.
    Handover { group: GroupId, to: NodeId, cause: Cause },
}

/// What to do now, and when to ask again though nothing changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// At most one for each group.
    pub decisions: Vec<Decision>,
    /// When the next delay is over.
    pub wake: Option<BootNanos>,
}

impl Decision {
    #[must_use]
    pub fn group(&self) -> GroupId {
        match self {
            Self::Grant { group, .. } | Self::Handover { group, .. } => *group,
        }
    }

    #[must_use]
    pub fn to(&self) -> NodeId {
        match self {
            Self::Grant { to, .. } | Self::Handover { to, .. } => *to,
        }
    }
}
