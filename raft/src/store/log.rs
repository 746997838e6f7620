//! The log as openraft wants it: entries readable at once, acknowledged when durable.
//!
//! Writes go to the writer thread in the order of the calls; how far the log is committed follows
//! when there is time.
//!
//! The newest entries are also kept in
//! memory, where followers' replication finds them while the local write is still under way; what
//! is no longer there is read by the same thread, after all that was sent before.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::engine::{Engine, Meta, Op};
use super::frame;
use super::mark::Mark;
use super::writer::{self, Committed, Done, Job, Writer};
use crate::{Entry, LogId, TypeConfig, Vote};

const TAIL_ENTRIES: usize = 1024;
/// Of their records; each has its entry beside it.
const TAIL_BYTES: usize = 8 << 20;
/// How much of the log one replication message may carry, beyond its first entry.
const READ_ENTRIES: u64 = 256;

/// The Raft log, the vote and how far the log is known to be committed.
pub struct LogStore {
    shared: Arc<Shared>,
}

/// Reads the same log.
#[derive(Clone)]
pub struct LogReader {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    known: Mutex<Known>,
    committed: Arc<Committed>,
    /// Taken only when this is dropped, as the thread is.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What is known without asking the disk.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    pub(super) purged: Option<LogId>,
    pub(super) last: Option<LogId>,
    /// How many batches had been written when the store was opened.
    pub(super) written: u64,
    pub(super) tail: Tail,
}

/// The newest entries, without a gap up to the last one.
#[derive(Debug, Default)]
pub(super) struct Tail {
    entries: BTreeMap<u64, (usize, Entry)>,
    bytes: usize,
}

impl LogStore {
    pub(super) fn start(
        engine: Box<dyn Engine>,
        path: PathBuf,
        mark: Mark,
        known: Known,
    ) -> io::Result<LogStore> {
        let (mut shared, writer) = wire(engine, path, mark, known);
        let (jobs, thread) = writer::start(writer)?;
        (shared.jobs, shared.thread) = (Some(jobs), Some(thread));
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Without a thread: nothing is written before the task that comes back is polled.
    pub(super) fn with_task(
        engine: Box<dyn Engine>,
        path: PathBuf,
        mark: Mark,
        known: Known,
    ) -> (LogStore, impl Future<Output = ()> + Send) {
        let (mut shared, writer) = wire(engine, path, mark, known);
        let (jobs, task) = writer::task(writer);
        shared.jobs = Some(jobs);
        (Self { shared: Arc::new(shared) }, task)
    }

    async fn write(&self, ops: Vec<Op>, change: impl FnOnce(&mut Known)) -> io::Result<()> {
        let (done, durable) = oneshot::channel();
        let slot = self.shared.slot().await?;
        change(&mut self.shared.known());
        slot.send(Job::Write { ops, done: Done::Waiter(done) });
        durable.await.map_err(|_| self.shared.gone())?
    }
}

/// What the log's handles share, and who writes for them, once there is a way between the two.
fn wire(engine: Box<dyn Engine>, path: PathBuf, mark: Mark, known: Known) -> (Shared, Writer) {
    let committed = Arc::<Committed>::default();
    let writer = Writer::new(engine, path.clone(), mark, &known, Arc::clone(&committed));
    (Shared { path, known: Mutex::new(known), committed, jobs: None, thread: None }, writer)
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("nothing that holds this lock panics")
    }

    async fn slot(&self) -> io::Result<mpsc::Permit<'_, Job>> {
        let jobs = self.jobs.as_ref().ok_or_else(|| self.gone())?;
        jobs.reserve().await.map_err(|_| self.gone())
    }

    fn gone(&self) -> io::Error {
        let path = self.path.display();
        io::Error::other(format!("{path}: the thread that writes the Raft log has ended"))
    }

    async fn read(&self, from: u64, to: u64) -> io::Result<Vec<Entry>> {
        let (from, to) = {
            let known = self.known();
            let first = known.purged.map_or(0, |purged| purged.index + 1);
            let end = known.last.map_or(0, |last| last.index + 1);
            let (from, to) = (from.max(first), to.min(end));
            if from >= to {
                return Ok(Vec::new());
            }
            if known.tail.reaches(from) {
                return Ok(known.tail.range(from, to));
            }
            (from, to)
        };
        let (done, records) = oneshot::channel();
        self.slot().await?.send(Job::Read { from, to, done });
        let records = records.await.map_err(|_| self.gone())??;
        records.iter().map(|(index, record)| self.decode(*index, record)).collect()
    }

    fn decode(&self, index: u64, record: &[u8]) -> io::Result<Entry> {
        let damaged = |what: String| {
            let path = self.path.display();
            io::Error::new(io::ErrorKind::InvalidData, format!("{path}: entry {index}: {what}"))
        };
        let entry: Entry = frame::decode(record).map_err(|broken| damaged(broken.to_string()))?;
        if entry.log_id.index != index {
            return Err(damaged(format!("it calls itself {}", entry.log_id.index)));
        }
        Ok(entry)
    }
}

impl Drop for Shared {
    /// When the last handle is gone, the engine is closed and its lock free.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(
                "{}: the thread that writes the Raft log panicked",
                self.path.display()
            );
        }
    }
}

impl Tail {
    fn push(&mut self, size: usize, entry: Entry) {
        self.bytes += size;
        self.entries.insert(entry.log_id.index, (size, entry));
        while self.entries.len() > TAIL_ENTRIES
            || (self.bytes > TAIL_BYTES && self.entries.len() > 1)
        {
            let Some((_, (size, _))) = self.entries.pop_first() else { break };
            self.bytes -= size;
        }
    }

    fn reaches(&self, from: u64) -> bool {
        self.entries.first_key_value().is_some_and(|(first, _)| *first <= from)
    }

    fn range(&self, from: u64, to: u64) -> Vec<Entry> {
        self.entries.range(from..to).map(|(_, (_, entry))| entry.clone()).collect()
    }

    fn keep(&mut self, keep: impl Fn(u64) -> bool) {
        self.entries.retain(|index, _| keep(*index));
        self.bytes = self.entries.values().map(|(size, _)| size).sum();
    }
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let from = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(end) => end.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        self.shared.read(from, to).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.known().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.shared.read(start, end.min(start.saturating_add(READ_ENTRIES))).await
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let known = self.shared.known();
        Ok(LogState { last_purged_log_id: known.purged, last_log_id: known.last })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader { shared: Arc::clone(&self.shared) }
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.write(vec![Op::Put(Meta::Vote, encode(vote)?)], |_| {}).await?;
        // Readers compare votes to learn whether the log is still their leader's: they may see
        // the old one until the new one is durable, as nothing was written under the new one yet.
        self.shared.known().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.shared.known().committed = committed;
        if let Some(id) = committed
            && self.shared.committed.put(id)
        {
            self.shared.slot().await?.send(Job::Committed);
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.shared.known().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let mut ops = Vec::new();
        let mut added = Vec::new();
        let mut last = self.shared.known().last;
        for entry in entries {
            let id = entry.log_id();
            if let Some(last) = last
                && last.index + 1 != id.index
            {
                let text = format!("entry {} may not follow entry {}", id.index, last.index);
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            last = Some(id);
            let record = encode(&entry)?;
            added.push((record.len(), entry));
            ops.push(Op::Append { index: id.index, record });
        }
        let slot = self.shared.slot().await?;
        {
            let mut known = self.shared.known();
            known.last = last;
            for (size, entry) in added {
                known.tail.push(size, entry);
            }
        }
        slot.send(Job::Write { ops, done: Done::Callback(callback) });
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = last.map_or(0, |last| last.index + 1);
        self.write(vec![Op::TruncateFrom(from)], |known| {
            known.tail.keep(|index| index < from);
            if known.last.is_some_and(|end| end.index >= from) {
                known.last = last.max(known.purged);
            }
        })
        .await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let ops = vec![Op::PurgeUpTo(upto.index), Op::Put(Meta::Purged, encode(&upto)?)];
        self.write(ops, |known| {
            known.tail.keep(|index| index > upto.index);
            known.purged = known.purged.max(Some(upto));
            known.last = known.last.max(Some(upto));
        })
        .await
    }
}

fn encode<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    frame::encode(value).map_err(io::Error::from)
}
