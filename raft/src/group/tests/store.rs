//! A store in memory that outlives its node and whose disk can stall.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex};

use futures::{Stream, TryStreamExt};
use leasehold_raft_core::state::State;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::storage::{
    EntryResponder, IOFlushed, LogState, RaftLogReader, RaftLogStorage, RaftSnapshotBuilder,
    RaftStateMachine, Snapshot,
};
use openraft::type_config::alias::{
    EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf,
};
use tokio::sync::watch;

use super::super::Stores;
use crate::TypeConfig;
use crate::types::Answer;

type C = TypeConfig;

#[derive(Debug, Default)]
struct Disk {
    vote: Option<VoteOf<C>>,
    log: BTreeMap<u64, EntryOf<C>>,
    purged: Option<LogIdOf<C>>,
    committed: Option<LogIdOf<C>>,
    snapshot: Option<(SnapshotMetaOf<C>, Vec<u8>)>,
}

/// One node's disk.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    disk: Arc<Mutex<Disk>>,
    stalled: Arc<watch::Sender<bool>>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { disk: Arc::default(), stalled: Arc::new(watch::channel(false).0) }
    }

    /// From now on nothing that is appended gets to the disk.
    pub(super) fn stall(&self, stalled: bool) {
        self.stalled.send_replace(stalled);
    }

    pub(super) fn has_snapshot(&self) -> bool {
        self.disk.lock().unwrap().snapshot.is_some()
    }

    pub(super) fn open(&self) -> Stores<Self, Machine> {
        let disk = self.disk.lock().unwrap();
        let (meta, state) = match &disk.snapshot {
            Some((meta, bytes)) => (meta.clone(), serde_json::from_slice(bytes).unwrap()),
            None => Default::default(),
        };
        let state: Arc<State> = Arc::new(state);
        let (publish, seen) = watch::channel(Arc::clone(&state));
        let state_machine = Machine { disk: Arc::clone(&self.disk), meta, state, publish };
        Stores { log: self.clone(), state_machine, state: seen }
    }
}

impl RaftLogReader<C> for Memory {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<EntryOf<C>>> {
        Ok(self.disk.lock().unwrap().log.range(range).map(|(_, one)| one.clone()).collect())
    }

    async fn read_vote(&mut self) -> io::Result<Option<VoteOf<C>>> {
        Ok(self.disk.lock().unwrap().vote)
    }
}

impl RaftLogStorage<C> for Memory {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<C>> {
        let disk = self.disk.lock().unwrap();
        let last = disk.log.values().next_back().map(RaftEntry::log_id).or(disk.purged);
        Ok(LogState { last_purged_log_id: disk.purged, last_log_id: last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<C>) -> io::Result<()> {
        self.disk.lock().unwrap().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogIdOf<C>>) -> io::Result<()> {
        self.disk.lock().unwrap().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogIdOf<C>>> {
        Ok(self.disk.lock().unwrap().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<C>) -> io::Result<()>
    where
        I: IntoIterator<Item = EntryOf<C>> + Send,
        I::IntoIter: Send,
    {
        let mut disk = self.disk.lock().unwrap();
        disk.log.extend(entries.into_iter().map(|one| (one.index(), one)));
        let mut stalled = self.stalled.subscribe();
        if !*stalled.borrow() {
            callback.io_completed(Ok(()));
            return Ok(());
        }
        tokio::spawn(async move {
            if stalled.wait_for(|stalled| !stalled).await.is_ok() {
                callback.io_completed(Ok(()));
            }
        });
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<C>>) -> io::Result<()> {
        let keep = last.map_or(0, |id| id.index + 1);
        self.disk.lock().unwrap().log.split_off(&keep);
        Ok(())
    }

    async fn purge(&mut self, upto: LogIdOf<C>) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        disk.log = disk.log.split_off(&(upto.index + 1));
        disk.purged = Some(upto);
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Machine {
    disk: Arc<Mutex<Disk>>,
    meta: SnapshotMetaOf<C>,
    state: Arc<State>,
    publish: watch::Sender<Arc<State>>,
}

impl RaftStateMachine<C> for Machine {
    type SnapshotData = Vec<u8>;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogIdOf<C>>, StoredMembershipOf<C>)> {
        Ok((self.meta.last_log_id, self.meta.last_membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<C>>> + Unpin + Send,
    {
        let mut answers = Vec::new();
        while let Some((entry, responder)) = entries.try_next().await? {
            let state = Arc::make_mut(&mut self.state);
            let index = entry.index();
            let outcome = match &entry.payload {
                EntryPayload::Normal(proposal) => Some(state.apply(index, proposal.entry())),
                EntryPayload::Blank => {
                    state.skip(index);
                    None
                }
                EntryPayload::Membership(membership) => {
                    if index > 0 {
                        state.skip(index);
                    }
                    self.meta.last_membership =
                        StoredMembershipOf::<C>::new(Some(entry.log_id), membership.clone());
                    None
                }
            };
            self.meta.last_log_id = Some(entry.log_id);
            answers.extend(responder.map(|responder| (responder, Answer(outcome))));
        }
        self.publish.send_replace(Arc::clone(&self.state));
        for (responder, answer) in answers {
            responder.send(answer);
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            disk: Arc::clone(&self.disk),
            meta: self.meta.clone(),
            state: Arc::clone(&self.state),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<C>,
        snapshot: Vec<u8>,
    ) -> io::Result<()> {
        self.state = Arc::new(serde_json::from_slice(&snapshot)?);
        self.meta = meta.clone();
        self.disk.lock().unwrap().snapshot = Some((meta.clone(), snapshot));
        self.publish.send_replace(Arc::clone(&self.state));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<C, Vec<u8>>>> {
        let stored = self.disk.lock().unwrap().snapshot.clone();
        Ok(stored.map(|(meta, snapshot)| Snapshot { meta, snapshot }))
    }
}

#[derive(Debug)]
pub(super) struct Builder {
    disk: Arc<Mutex<Disk>>,
    meta: SnapshotMetaOf<C>,
    state: Arc<State>,
}

impl RaftSnapshotBuilder<C> for Builder {
    type SnapshotData = Vec<u8>;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<C, Vec<u8>>> {
        let snapshot = serde_json::to_vec(&*self.state)?;
        self.disk.lock().unwrap().snapshot = Some((self.meta.clone(), snapshot.clone()));
        Ok(Snapshot { meta: self.meta.clone(), snapshot })
    }
}
