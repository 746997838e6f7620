//! Tests of the store, on the engine that keeps it.

mod committed;
mod conformance;
mod damage;
mod failure;
mod persistence;
mod recover;
mod synced;

use std::path::Path;

use leasehold_raft_core::state;
use openraft::entry::RaftEntry;
use openraft::storage::{RaftLogReader, RaftLogStorage, RaftLogStorageExt};
use openraft::{EntryPayload, RaftSnapshotBuilder};

use super::engine::{Engine, Meta, Op};
use super::{EngineError, Opened, open};
use crate::{Entry, LogId, Proposal, TypeConfig};

/// An engine that is only asked to write.
pub(super) struct Writing<F>(pub(super) F);

impl<F: FnMut(&[Op]) -> Result<(), EngineError> + Send> Engine for Writing<F> {
    fn write(&mut self, batch: &[Op]) -> Result<(), EngineError> {
        self.0(batch)
    }

    fn read(&self, _from: u64, _to: u64) -> Result<Vec<(u64, Vec<u8>)>, EngineError> {
        Ok(Vec::new())
    }

    fn bounds(&self) -> Result<Option<(u64, u64)>, EngineError> {
        Ok(None)
    }

    fn meta(&self, _key: Meta) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(None)
    }
}

/// Runs the test in a data directory of its own.
fn in_a_directory(test: impl AsyncFnOnce(&Path)) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    runtime.block_on(test(dir.path()));
}

fn id(term: u64, index: u64) -> LogId {
    LogId::new(crate::CommittedLeaderId { term }, index)
}

fn blank(term: u64, index: u64) -> Entry {
    Entry::new_blank(id(term, index))
}

/// An entry whose record is longer than `bytes`.
fn long(term: u64, index: u64, bytes: usize) -> Entry {
    let hash = format!("{index:x}").repeat(bytes);
    let role = leasehold_model::Role::Director;
    let command = state::Command::AddToken { hash, role, expires_unix_ms: u64::MAX };
    let proposal = Proposal::new(state::Entry { at_unix_ms: 1, command });
    Entry { log_id: id(term, index), payload: EntryPayload::Normal(proposal) }
}

async fn read_all(opened: &mut Opened) -> Vec<Entry> {
    opened.log.get_log_reader().await.try_get_log_entries(..).await.unwrap()
}

async fn append(opened: &mut Opened, entries: impl IntoIterator<Item = Entry>) {
    let entries: Vec<Entry> = entries.into_iter().collect();
    opened.log.blocking_append(entries).await.unwrap();
}

/// Applies these entries and makes a snapshot of what comes of it.
async fn snapshot(opened: &mut Opened, entries: impl IntoIterator<Item = Entry>) {
    use openraft::storage::RaftStateMachine;
    let entries: Vec<_> = entries.into_iter().map(|entry| Ok((entry, None))).collect();
    opened.state_machine.apply(futures::stream::iter(entries)).await.unwrap();
    let machine = &mut opened.state_machine;
    let mut builder =
        RaftStateMachine::<TypeConfig>::try_create_snapshot_builder(machine, true).await.unwrap();
    builder.build_snapshot().await.unwrap();
}

fn reopen(opened: Opened, dir: &Path) -> Opened {
    drop(opened);
    open(dir).unwrap()
}
