//! Consensus: the pure protocol of `core`, wired to openraft, tonic and redb.

pub use leasehold_raft_core::{lease, model, state};

mod ack;
mod clock;
mod confirm;
pub mod group;
pub mod identity;
pub mod network;
pub mod store;
mod types;

pub use types::{
    Answer, CommittedLeaderId, Entry, LogId, Peer, Proposal, SnapshotMeta, StoredMembership,
    TypeConfig, Vote,
};
