//! A group's lease as the log records it.

use std::net::IpAddr;

use leasehold_model::{Cause, Epoch, GroupId, NodeId};
use serde::{Deserialize, Serialize};

/// Who may hold a group. Whether the holder does hold it right now, its own deadline tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Absent: free for anyone.
    pub holder: Option<NodeId>,
    /// The index of the entry that last changed `holder`.
    pub epoch: Epoch,
    /// When, by the proposer's wall clock; for people to read.
    pub since_unix_ms: u64,
    pub cause: Cause,
    /// The holder is to release in favour of this node.
    #[serde(default)]
    pub handover: Option<NodeId>,
}

/// An address that left a group while a holder may still have been answering for it.
///
/// Nobody else opens the address until the log says [`Retired`](super::Command::Retired): the
/// old holder has reported an applied index of at least `index`, or its epoch is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retiring {
    pub address: IpAddr,
    pub group: GroupId,
    pub epoch: Epoch,
    pub holder: NodeId,
    /// The entry that took the address out of the group.
    pub index: u64,
}
