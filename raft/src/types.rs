//! openraft's type parameters.

use std::fmt;

use openraft::RaftTypeConfig;
use serde::{Deserialize, Serialize};

openraft::declare_raft_types!(
    /// One entry of the log is one [`Proposal`]; applying it gives an [`Answer`].
    pub TypeConfig:
        D = Proposal,
        R = Answer,
        NodeId = u64,
        Node = Peer,
        // At most one leader a term, as in the Raft paper.
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
);

/// A log entry.
pub type Entry = <TypeConfig as RaftTypeConfig>::Entry;
/// What a node voted for, and whether a quorum did.
pub type Vote = <TypeConfig as RaftTypeConfig>::Vote;
/// What makes log ids of different leaders differ: the term.
pub type CommittedLeaderId = openraft::vote::leader_id_std::CommittedLeaderId<u64>;
pub type LogId = openraft::LogId<CommittedLeaderId>;
pub type StoredMembership = openraft::StoredMembership<CommittedLeaderId, u64, Peer>;
pub type SnapshotMeta = openraft::SnapshotMeta<CommittedLeaderId, u64, Peer>;

/// A log entry's content, in the form openraft wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Proposal(pub leasehold_raft_core::state::Entry);

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.command)
    }
}

/// What applying an entry gave. Blank and membership entries give none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Answer(pub Option<leasehold_raft_core::state::Outcome>);

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// How to reach a member. Kept in the membership entries themselves, so that a node can reach
/// its peers before it has applied anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Peer {
    pub name: String,
    /// host:port
    pub address: String,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.address)
    }
}
