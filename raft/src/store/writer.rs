//! The one thread that touches the engine.
//!
//! Jobs are done in the order in which they were sent, so vote and log are too. All writes that
//! wait when the thread looks are made one batch with one barrier; each is told only after it.

use std::io;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::Duration;

use openraft::storage::IOFlushed;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::engine::{Engine, Meta, Op};
use super::error::EngineError;
use super::frame;
use super::mark::Mark;
use crate::TypeConfig;

/// How many jobs may wait before senders do.
pub(super) const QUEUE: usize = 256;
const BATCH_JOBS: usize = 256;
const BATCH_BYTES: usize = 4 << 20;
/// `committed` rides along with the next write. This is how long it waits for one.
const COMMITTED_WAITS: Duration = Duration::from_millis(20);

pub(super) type Records = Vec<(u64, Vec<u8>)>;

pub(super) enum Job {
    Write {
        ops: Vec<Op>,
        done: Done,
    },
    /// Need not be durable at any instant: what it saves is time at the next start.
    Committed(Vec<u8>),
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

/// Starts the thread. It ends when the last sender is gone and all is written.
pub(super) fn start(
    engine: Box<dyn Engine>,
    path: PathBuf,
    mark: Mark,
    written: u64,
) -> io::Result<(mpsc::Sender<Job>, std::thread::JoinHandle<()>)> {
    let (sender, jobs) = mpsc::channel(QUEUE);
    // For the timer only: an engine's calls block this thread, and nobody else is on it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut writer = Writer::new(engine, path, mark, written);
    let thread = std::thread::Builder::new()
        .name("raft-log".to_owned())
        .spawn(move || runtime.block_on(writer.run(jobs)))?;
    Ok((sender, thread))
}

/// The same as a task, for whoever polls it when the disk is to have done what it was asked.
pub(super) fn task(
    engine: Box<dyn Engine>,
    path: PathBuf,
    mark: Mark,
    written: u64,
) -> (mpsc::Sender<Job>, impl Future<Output = ()> + Send) {
    let (sender, jobs) = mpsc::channel(QUEUE);
    let mut writer = Writer::new(engine, path, mark, written);
    (sender, async move { writer.run(jobs).await })
}

struct Writer {
    engine: Box<dyn Engine>,
    path: PathBuf,
    mark: Mark,
    /// The number of the last batch.
    written: u64,
    /// After a failed write nobody knows what is on disk: nothing more is written.
    failed: Option<(io::ErrorKind, String)>,
    committed: Option<(Vec<u8>, Instant)>,
}

impl Writer {
    fn new(engine: Box<dyn Engine>, path: PathBuf, mark: Mark, written: u64) -> Self {
        Self { engine, path, mark, written, failed: None, committed: None }
    }

    async fn run(&mut self, mut jobs: mpsc::Receiver<Job>) {
        loop {
            let job = match &self.committed {
                None => jobs.recv().await,
                Some((_, until)) => match tokio::time::timeout_at(*until, jobs.recv()).await {
                    Ok(job) => job,
                    Err(_) => {
                        self.commit(Batch::default());
                        continue;
                    }
                },
            };
            let Some(job) = job else { break };
            self.serve(job, &mut jobs);
        }
        self.commit(Batch::default());
    }

    fn serve(&mut self, first: Job, jobs: &mut mpsc::Receiver<Job>) {
        let mut batch = Batch::default();
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Write { ops, done } => batch.add(ops, done),
                Job::Committed(record) => {
                    let until = self
                        .committed
                        .as_ref()
                        .map_or_else(|| Instant::now() + COMMITTED_WAITS, |(_, until)| *until);
                    self.committed = Some((record, until));
                }
                Job::Read { from, to, done } => {
                    // It was sent after these writes, so it must see them.
                    if !batch.waiting.is_empty() {
                        self.commit(std::mem::take(&mut batch));
                    }
                    drop(done.send(self.read(from, to)));
                }
            }
            next = if batch.is_full() { None } else { jobs.try_recv().ok() };
        }
        if !batch.waiting.is_empty() {
            self.commit(batch);
        }
    }

    fn commit(&mut self, mut batch: Batch) {
        if let Some((record, _)) = self.committed.take() {
            batch.ops.push(Op::Put(Meta::Committed, record));
        }
        if !batch.ops.is_empty()
            && self.failed.is_none()
            && let Err(error) = self.write(&mut batch.ops)
        {
            let error = error.into_io(&self.path, "write the Raft log");
            tracing::error!("{error}");
            self.failed = Some((error.kind(), error.to_string()));
        }
        for done in batch.waiting {
            done.tell(self.check());
        }
    }

    fn write(&mut self, ops: &mut Vec<Op>) -> Result<(), EngineError> {
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
