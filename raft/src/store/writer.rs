//! The one thread that touches the engine.
//!
//! Jobs are done in the order in which they were sent, so vote and log are too. All writes that
//! wait when the thread looks are made one batch with one barrier; each is told only after it.

use std::io;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use openraft::storage::IOFlushed;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::engine::{Engine, Meta, Op};
use super::error::EngineError;
use super::frame;
use super::log::Known;
use super::mark::Mark;
use crate::{LogId, TypeConfig};

/// How many jobs may wait before senders do.
pub(super) const QUEUE: usize = 256;
const BATCH_JOBS: usize = 256;
const BATCH_BYTES: usize = 4 << 20;
/// How far the log is committed rides along with the next write. This is how long the thread waits
/// for one, after its last.
const COMMITTED_WAITS: Duration = Duration::from_millis(20);

pub(super) type Records = Vec<(u64, Vec<u8>)>;

pub(super) enum Job {
    Write {
        ops: Vec<Op>,
        done: Done,
    },
    /// There is something in [`Committed`], and nobody who would look.
    Committed,
    Read {
        from: u64,
        to: u64,
        done: oneshot::Sender<io::Result<Records>>,
    },
}

/// Who is told that a write is durable, or why not.
pub(super) enum Done {
    Callback(IOFlushed<TypeConfig>),
    Waiter(oneshot::Sender<io::Result<()>>),
}

impl Done {
    fn tell(self, result: io::Result<()>) {
        match self {
            Self::Callback(callback) => callback.io_completed(result),
            // Whoever no longer waits has given the log up.
            Self::Waiter(waiter) => drop(waiter.send(result)),
        }
    }
}

/// How far the log is committed, for the writer to take along. Need not be durable at any instant:
/// what it saves is time at the next start. So a thread that will look anyway is not woken.
#[derive(Debug, Default)]
pub(super) struct Committed {
    latest: Mutex<Latest>,
}

#[derive(Debug, Default)]
struct Latest {
    id: Option<LogId>,
    /// The writer looks again without being told. May be false where it does, never the reverse.
    will_look: bool,
}

impl Committed {
    /// True where the writer is to be told.
    #[must_use]
    pub(super) fn put(&self, id: LogId) -> bool {
        let mut latest = self.lock();
        latest.id = Some(id);
        !std::mem::replace(&mut latest.will_look, true)
    }

    /// Takes what there is, if the log reaches so far: entries may be committed by others before
    /// they are written here. Tells those who put whether there will be another look.
    fn take(&self, end: u64, will_look: bool) -> Option<LogId> {
        let mut latest = self.lock();
        latest.will_look = will_look;
        latest.id.take_if(|id| id.index < end)
    }

    fn lock(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().expect("nothing that holds this lock panics")
    }
}

/// Starts the thread. It ends when the last sender is gone and all is written.
pub(super) fn start(
    mut writer: Writer,
) -> io::Result<(mpsc::Sender<Job>, std::thread::JoinHandle<()>)> {
    let (sender, jobs) = mpsc::channel(QUEUE);
    // For the timer only: an engine's calls block this thread, and nobody else is on it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let thread = std::thread::Builder::new()
        .name("raft-log".to_owned())
        .spawn(move || runtime.block_on(writer.run(jobs)))?;
    Ok((sender, thread))
}

/// The same as a task, for whoever polls it when the disk is to have done what it was asked.
pub(super) fn task(mut writer: Writer) -> (mpsc::Sender<Job>, impl Future<Output = ()> + Send) {
    let (sender, jobs) = mpsc::channel(QUEUE);
    (sender, async move { writer.run(jobs).await })
}

pub(super) struct Writer {
    engine: Box<dyn Engine>,
    path: PathBuf,
    mark: Mark,
    /// The number of the last batch.
    written: u64,
    /// After a failed write nobody knows what is on disk: nothing more is written.
    failed: Option<(io::ErrorKind, String)>,
    /// Where the log ends, as far as it is written: after its last entry.
    end: u64,
    committed: Arc<Committed>,
    /// When it is to be looked at, if that is not left to the next write.
    look: Option<Instant>,
}

impl Writer {
    pub(super) fn new(
        engine: Box<dyn Engine>,
        path: PathBuf,
        mark: Mark,
        known: &Known,
        committed: Arc<Committed>,
    ) -> Self {
        let end = known.last.map_or(0, |last| last.index + 1);
        let written = known.written;
        Self { engine, path, mark, written, failed: None, end, committed, look: None }
    }

    async fn run(&mut self, mut jobs: mpsc::Receiver<Job>) {
        loop {
            let job = match self.look {
                None => jobs.recv().await,
                Some(until) => match tokio::time::timeout_at(until, jobs.recv()).await {
                    Ok(job) => job,
                    Err(_) => {
                        self.look = None;
                        self.commit(Batch::default(), false);
                        continue;
                    }
                },
            };
            let Some(job) = job else { break };
            if self.serve(job, &mut jobs) {
                self.look = Some(Instant::now() + COMMITTED_WAITS);
            }
        }
        self.commit(Batch::default(), false);
    }

    /// Says whether there is, or will be in a moment, something newly committed to look for.
    fn serve(&mut self, first: Job, jobs: &mut mpsc::Receiver<Job>) -> bool {
        let mut look = false;
        let mut batch = Batch::default();
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Write { ops, done } => batch.add(ops, done),
                Job::Committed => look = true,
                Job::Read { from, to, done } => {
                    // It was sent after these writes, so it must see them.
                    if !batch.waiting.is_empty() {
                        self.commit(std::mem::take(&mut batch), true);
                        look = true;
                    }
                    drop(done.send(self.read(from, to)));
                }
            }
            next = if batch.is_full() { None } else { jobs.try_recv().ok() };
        }
        if !batch.waiting.is_empty() {
            // What is written now is committed in a moment.
            self.commit(batch, true);
            look = true;
        }
        look
    }

    fn commit(&mut self, mut batch: Batch, will_look: bool) {
        self.end = batch.ops.iter().fold(self.end, Op::end_after);
        let committed = self.committed.take(self.end, will_look);
        if (!batch.ops.is_empty() || committed.is_some())
            && self.failed.is_none()
            && let Err(error) = self.write(&mut batch.ops, committed)
        {
            let error = error.into_io(&self.path, "write the Raft log");
            tracing::error!("{error}");
            self.failed = Some((error.kind(), error.to_string()));
        }
        for done in batch.waiting {
            done.tell(self.check());
        }
    }

    fn write(&mut self, ops: &mut Vec<Op>, committed: Option<LogId>) -> Result<(), EngineError> {
        if committed.is_some() {
            let record = frame::encode(&committed).map_err(io::Error::from)?;
            ops.push(Op::Put(Meta::Committed, record));
        }
        let number = self.written + 1;
        ops.push(Op::Put(Meta::Batch, frame::encode(&number).map_err(io::Error::from)?));
        guarded(|| self.engine.write(ops))?;
        self.written = number;
        // Acknowledged data does not rest on the mark.
        if let Err(error) = self.mark.advance(number) {
            tracing::warn!("{}: cannot write the mark beside it: {error}", self.path.display());
        }
        Ok(())
    }

    fn read(&self, from: u64, to: u64) -> io::Result<Records> {
        self.check()?;
        guarded(|| self.engine.read(from, to))
            .map_err(|error| error.into_io(&self.path, "read the Raft log"))
    }

    fn check(&self) -> io::Result<()> {
        match &self.failed {
            None => Ok(()),
            Some((kind, error)) => Err(io::Error::new(*kind, error.clone())),
        }
    }
}

#[derive(Default)]
struct Batch {
    ops: Vec<Op>,
    waiting: Vec<Done>,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, ops: Vec<Op>, done: Done) {
        self.bytes += ops.iter().map(Op::size).sum::<usize>();
        self.ops.extend(ops);
        self.waiting.push(done);
    }

    fn is_full(&self) -> bool {
        self.waiting.len() >= BATCH_JOBS || self.bytes >= BATCH_BYTES
    }
}

/// An engine that panics has failed. Were the panic let through, writes would be left untold
/// where panics do not end the process.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    std::panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(EngineError::Corrupt(format!(
            "the storage engine panicked: {}",
            text.unwrap_or("without a message")
        )))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CommittedLeaderId;
    use crate::store::tests::Writing;

    fn id(index: u64) -> LogId {
        LogId::new(CommittedLeaderId { term: 1 }, index)
    }

    #[test]
    fn nothing_is_called_committed_before_it_is_written() {
        let committed = Committed::default();
        assert!(committed.put(id(5)), "nobody looks yet");
        assert_eq!(committed.take(5, true), None, "the log ends with entry 4");
        assert_eq!(committed.take(6, false), Some(id(5)));
        assert_eq!(committed.take(6, false), None, "once");
    }

    #[test]
    fn a_writer_that_will_look_is_not_told() {
        let committed = Committed::default();
        assert!(committed.put(id(1)));
        assert!(!committed.put(id(2)), "it was told");
        assert_eq!(committed.take(9, true), Some(id(2)));
        assert!(!committed.put(id(3)), "it will look");
        assert_eq!(committed.take(9, false), Some(id(3)));
        assert!(committed.put(id(4)));
    }

    /// A read is served between writes: what those commit is looked for as well.
    #[test]
    fn a_write_before_a_read_is_followed_by_a_look() {
        let dir = tempfile::tempdir().unwrap();
        let (mark, _) = Mark::open(dir.path()).unwrap();
        let committed = Arc::<Committed>::default();
        let engine = Box::new(Writing(|_: &[Op]| Ok(())));
        let (path, known) = (dir.path().join("log"), Known::default());
        let mut writer = Writer::new(engine, path, mark, &known, Arc::clone(&committed));
        let (sender, mut jobs) = mpsc::channel(QUEUE);
        let (done, _) = oneshot::channel();
        sender.try_send(Job::Read { from: 0, to: 1, done }).ok().unwrap();
        let (done, _) = oneshot::channel();
        let ops = vec![Op::Append { index: 0, record: Vec::new() }];
        assert!(writer.serve(Job::Write { ops, done: Done::Waiter(done) }, &mut jobs));
        assert!(!committed.put(id(0)), "it will look");
        let (done, _) = oneshot::channel();
        assert!(
            !writer.serve(Job::Read { from: 0, to: 1, done }, &mut jobs),
            "nothing was written"
        );
    }
}
