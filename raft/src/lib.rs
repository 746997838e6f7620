//! Consensus: the pure protocol of `core`, wired to openraft, tonic, sled and redb.

pub use leasehold_raft_core::{lease, model, state};

mod types;

pub use types::TypeConfig;
