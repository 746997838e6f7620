//! The replicated state in memory, and its snapshots on disk.
//!
//! Applying costs no fsync: what is lost in a crash is applied again from the log. Watchers see
//! the state after each batch, before those who proposed its entries get their answers.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use futures::{Stream, StreamExt};
use leasehold_raft_core::state::State;
use openraft::EntryPayload;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine, Snapshot};
use tokio::runtime::RuntimeFlavor;
use tokio::sync::watch;

use super::snapshot::{Content, SnapshotFile};
use crate::clock::boot_now;
use crate::{
    Answer, CommittedLeaderId, Entry, LogId, Peer, SnapshotMeta, StoredMembership, TypeConfig,
};

/// openraft's snapshot with our data: the snapshot file's bytes.
pub type StoredSnapshot = Snapshot<CommittedLeaderId, u64, Peer, Vec<u8>>;

/// What tells of every grant, by each member that applies it.
const GRANTS: &str = "leasehold::grants";

/// Applies the committed log.
pub struct StateMachine {
    last_applied: Option<LogId>,
    last_membership: StoredMembership,
    state: Arc<State>,
    publish: watch::Sender<Arc<State>>,
    file: Arc<Mutex<SnapshotFile>>,
}

/// The state at one instant, about to become a snapshot.
pub struct SnapshotBuilder {
    meta: SnapshotMeta,
    state: Arc<State>,
    file: Arc<Mutex<SnapshotFile>>,
}

impl StateMachine {
    pub(super) fn start(
        file: SnapshotFile,
        content: Option<Content>,
    ) -> (Self, watch::Receiver<Arc<State>>) {
        let (meta, state) =
            content.map_or_else(Default::default, |content| (content.meta, content.state));
        let state = Arc::new(state);
        let (publish, watcher) = watch::channel(Arc::clone(&state));
        let machine = Self {
            last_applied: meta.last_log_id,
            last_membership: meta.last_membership,
            state,
            publish,
            file: Arc::new(Mutex::new(file)),
        };
        (machine, watcher)
    }

    fn apply_one(&mut self, entry: &Entry) -> Answer {
        // Watchers hold the state of the last batch: the first entry of a batch copies it.
        let state = Arc::make_mut(&mut self.state);
        let answer = follow(state, entry);
        tell_grants(state, entry.log_id.index);
        if let EntryPayload::Membership(membership) = &entry.payload {
            self.last_membership = StoredMembership::new(Some(entry.log_id), membership.clone());
        }
        self.last_applied = Some(entry.log_id);
        answer
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Vec<u8>;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.last_applied, self.last_membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + Send,
    {
        let mut answers = Vec::new();
        let mut result = Ok(());
        while let Some(next) = entries.next().await {
            match next {
                Ok((entry, responder)) => {
                    let answer = self.apply_one(&entry);
                    answers.extend(responder.map(|responder| (responder, answer)));
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.publish.send_replace(Arc::clone(&self.state));
        for (responder, answer) in answers {
            responder.send(answer);
        }
        result
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            meta: SnapshotMeta {
                last_log_id: self.last_applied,
                last_membership: self.last_membership.clone(),
            },
            state: Arc::clone(&self.state),
            file: Arc::clone(&self.file),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Vec<u8>) -> io::Result<()> {
        let (meta, file) = (meta.clone(), Arc::clone(&self.file));
        let content = blocking(move || {
            let mut content = Content::decode(&snapshot)?;
            if content.meta.last_log_id != meta.last_log_id {
                let (inside, outside) = (content.meta.last_log_id, meta.last_log_id);
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("the snapshot ends at {inside:?} and was announced as {outside:?}"),
                ));
            }
            content.meta = meta;
            lock(&file).replace(&content)?;
            Ok(content)
        })
        .await?;
        self.last_applied = content.meta.last_log_id;
        self.last_membership = content.meta.last_membership;
        self.state = Arc::new(content.state);
        self.publish.send_replace(Arc::clone(&self.state));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<StoredSnapshot>> {
        let file = Arc::clone(&self.file);
        let current = blocking(move || lock(&file).read()).await?;
        Ok(current.map(|(meta, snapshot)| StoredSnapshot { meta, snapshot }))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = Vec<u8>;

    async fn build_snapshot(&mut self) -> io::Result<StoredSnapshot> {
        let (meta, file) = (self.meta.clone(), Arc::clone(&self.file));
        let content = Content { meta: meta.clone(), state: State::clone(&self.state) };
        let snapshot = blocking(move || lock(&file).replace(&content)).await?;
        Ok(StoredSnapshot { meta, snapshot })
    }
}

/// The state after one more entry, and what it answers to whoever proposed it.
pub(super) fn follow(state: &mut State, entry: &Entry) -> Answer {
    let index = entry.log_id.index;
    match &entry.payload {
        EntryPayload::Normal(proposal) => Answer(Some(state.apply(index, proposal.entry()))),
        EntryPayload::Blank | EntryPayload::Membership(_) => {
            // Nothing comes before entry 0, which `applied: 0` stands for already.
            if index > 0 {
                state.skip(index);
            }
            Answer(None)
        }
    }
}

/// For whoever must know of every grant and its end: watchers see the last of a batch.
fn tell_grants(state: &State, index: u64) {
    if !tracing::enabled!(target: GRANTS, tracing::Level::DEBUG) {
        return;
    }
    for (name, group) in &state.groups {
        let Some(lease) = state.leases.get(group).filter(|lease| lease.epoch.0 == index) else {
            continue;
        };
        let holder = lease.holder.and_then(|holder| state.members.get(&holder));
        // Granted to nobody where its holder gave it back: from here on nobody answers either.
        let (boot_ns, holder) = (boot_now().0, holder.map_or("", |member| &member.name));
        tracing::debug!(target: GRANTS, boot_ns, epoch = index, holder, group = name, "granted");
    }
}

async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    // A runtime of one thread has nobody else to hold up.
    if tokio::runtime::Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return call();
    }
    tokio::task::spawn_blocking(call).await.map_err(io::Error::other)?
}

fn lock(file: &Mutex<SnapshotFile>) -> MutexGuard<'_, SnapshotFile> {
    file.lock().expect("nothing that holds this lock panics")
}
