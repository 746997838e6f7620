//! A new cluster's store, made from what one member of a lost cluster has.

use std::collections::BTreeMap;
use std::path::Path;

use leasehold_raft_core::model::NodeId;
use leasehold_raft_core::state::State;
use openraft::Membership;
use openraft::storage::{RaftLogReader, RaftLogStorage, RaftStateMachine};

use super::engine::{Engine, Meta, Op};
use super::error::StoreError;
use super::open::{create, log_path, look_into, open_engine, open_existing};
use super::snapshot::{Content, SnapshotFile};
use super::writer::guarded;
use super::{frame, machine};
use crate::{LogId, Peer, SnapshotMeta, StoredMembership, Vote};

/// All that a member has.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Every entry applied, also those that this member does not know to be committed: the
    /// majority that is lost may have acknowledged them.
    pub state: State,
    pub last: LogId,
    /// How far the log was known to be committed.
    pub committed: u64,
}

/// Reads the store of a member that is down.
pub async fn survey(dir: &Path) -> Result<Survey, StoreError> {
    let (state, last, committed) = read(dir).await?;
    let last = last.ok_or_else(|| StoreError::damaged(dir, "it holds no entry at all"))?;
    Ok(Survey { state, last, committed })
}

/// The state after every entry of a member that is down, known to be committed or not. A member
/// that no leader has reached yet has an empty one.
pub async fn last_state(dir: &Path) -> Result<State, StoreError> {
    read(dir).await.map(|(state, ..)| state)
}

async fn read(dir: &Path) -> Result<(State, Option<LogId>, u64), StoreError> {
    let mut opened = look_into(dir)?;
    let unreadable = |source| StoreError::io(dir, "read the Raft log")(source);
    let (applied, _) = opened.state_machine.applied_state().await.map_err(unreadable)?;
    let from = applied.map_or(0, |id| id.index + 1);
    let mut last = applied;
    let mut reader = opened.log.get_log_reader().await;
    let entries = reader.try_get_log_entries(from..).await.map_err(unreadable)?;
    if let Some(entry) = entries.last() {
        last = Some(entry.log_id);
    }
    // Not by the state machine, which tells of what it applies: some of it may never be committed.
    let mut state = State::clone(&opened.state.borrow());
    for entry in &entries {
        machine::follow(&mut state, entry);
    }
    let committed = opened.log.read_committed().await.map_err(unreadable)?;
    let committed = committed.max(applied).map_or(0, |id| id.index);
    Ok((state, last, committed))
}

/// Makes a store whose log begins after the last entry of `state`, with `node` as its only voter.
/// `last` is the last entry that the lost cluster's survivor has.
pub fn transplant(
    dir: &Path,
    (node, peer): (NodeId, Peer),
    last: LogId,
    state: State,
) -> Result<(), StoreError> {
    let last = LogId { index: last.index.max(state.applied), ..last };
    let root = create(dir)?;
    let members = BTreeMap::from([(node.0, peer)]);
    let voters = vec![members.keys().copied().collect()];
    let membership = Membership::new(voters, members)
        .map_err(|error| StoreError::damaged(&root, error.to_string()))?;
    let meta = SnapshotMeta {
        last_log_id: Some(last),
        last_membership: StoredMembership::new(Some(last), membership),
    };
    let written = |source| StoreError::io(&root, "write the snapshot")(source);
    let (mut file, _) = SnapshotFile::open(&root)?;
    file.replace(&Content { meta, state }).map_err(written)?;

    // The next term must be a later one than that of any entry.
    let vote = Vote::new(last.leader_id.term, node.0);
    let vote = frame::encode(&vote).map_err(|error| written(error.into()))?;
    let purged = frame::encode(&last).map_err(|error| written(error.into()))?;
    let path = log_path(&root);
    let mut log = open_engine(&path)?;
    let begun = [Op::Put(Meta::Vote, vote), Op::Put(Meta::Purged, purged)];
    guarded(|| log.write(&begun)).map_err(StoreError::engine(&path, "begin the Raft log"))?;
    drop(log);
    // What can't be opened now would not be opened later.
    open_existing(dir).map(drop)
}
