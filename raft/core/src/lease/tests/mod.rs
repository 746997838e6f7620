//! The protocol's sentences, one test each; then all of it at once, under faults.

mod consensus;
mod faults;
mod grantor;
mod holder;
mod node;
mod site;
mod takeover;
mod timing;
mod world;

use std::time::Duration;

use leasehold_model::{BootNanos, Epoch, GroupId, NodeId};

use super::{Profile, Timing};

pub(super) const A: NodeId = NodeId(1);
pub(super) const B: NodeId = NodeId(2);
pub(super) const C: NodeId = NodeId(3);
pub(super) const G: GroupId = GroupId(1);

pub(super) fn timing() -> Timing {
    Timing::profile(Profile::Default)
}

/// An instant, in milliseconds.
pub(super) fn at(ms: u64) -> BootNanos {
    BootNanos(0).after(Duration::from_millis(ms))
}

pub(super) fn lease(epoch: u64) -> (GroupId, Epoch) {
    (G, Epoch(epoch))
}
