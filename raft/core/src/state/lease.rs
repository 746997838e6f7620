//! A group's lease as the log records it.

use std::fmt;
use std::net::IpAddr;

use leasehold_model::{Epoch, GroupId, NodeId};
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

/// Why a lease changed hands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    #[default]
    Created,
    /// No renewal reached the leader for the whole of the ttl.
    Expired,
    /// The holder's daemon died and its guard said so.
    DaemonDied,
    /// The holder was told to stop.
    Stopped,
    /// `leasehold move`.
    Moved,
    /// `leasehold drain`.
    Drained,
    /// A director of higher priority was there for long enough.
    Preempted,
    /// Directors of equal priority share instances evenly.
    Balanced,
    /// The holder lost an interface or could not program the kernel.
    Unserviceable,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "the instance was created",
            Self::Expired => "the lease of the holder before expired",
            Self::DaemonDied => "the daemon of the holder before died",
            Self::Stopped => "the holder before was stopped",
            Self::Moved => "moved by an operator",
            Self::Drained => "the holder before was drained",
            Self::Preempted => "a higher priority preempted the holder before",
            Self::Balanced => "instances of equal priority are spread",
            Self::Unserviceable => "the holder before could not serve it",
        })
    }
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
