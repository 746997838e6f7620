//! How messages become bytes.

use openraft::type_config::alias::{SnapshotMetaOf, VoteOf};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::TypeConfig;

/// The largest gRPC message either side takes.
pub(super) const MESSAGE_LIMIT: usize = 64 << 20;
/// What one append carries at most, unless a single entry is larger.
pub(super) const APPEND_LIMIT: usize = 4 << 20;
/// A snapshot travels in pieces of this size.
pub(super) const SNAPSHOT_CHUNK: usize = 1 << 20;
/// A snapshot beyond this size is not one of ours.
pub(super) const SNAPSHOT_LIMIT: u64 = 4 << 30;

/// The first message of a snapshot's stream; the snapshot's bytes follow.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SnapshotHead {
    pub(super) vote: VoteOf<TypeConfig>,
    pub(super) meta: SnapshotMetaOf<TypeConfig>,
    pub(super) length: u64,
}

pub(super) fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    serde_json::to_vec(message).expect("openraft's messages have no map keys that JSON lacks")
}

pub(super) fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(payload)
}
