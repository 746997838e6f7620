//! A host's disk under the store's log: what was written and not made durable goes with the power.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use leasehold_raft::store::{Engine, EngineError, Meta, Op};
use tokio::time::Sleep;

use crate::random::Random;

#[derive(Clone, Debug, Default)]
struct Content {
    log: BTreeMap<u64, Vec<u8>>,
    meta: BTreeMap<Meta, Vec<u8>>,
}

#[derive(Debug)]
struct Inner {
    written: Content,
    /// What survives a power cut.
    durable: Content,
    /// The planted fault: so many batches are called durable and are not.
    pretends: Option<u64>,
    unsynced: u64,
    /// How long one batch takes, in milliseconds.
    takes: (u64, u64),
    fails: bool,
    random: Random,
}

/// Clones are handles on the same disk.
#[derive(Clone, Debug)]
pub(crate) struct Disk(Arc<Mutex<Inner>>);

/// A quick disk's barrier.
const QUICK: (u64, u64) = (0, 3);

impl Disk {
    pub(crate) fn new(random: Random, pretends: Option<u64>) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            written: Content::default(),
            durable: Content::default(),
            pretends,
            unsynced: 0,
            takes: QUICK,
            fails: false,
            random,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The power is gone.
    pub(crate) fn cut_power(&self) {
        let mut inner = self.lock();
        inner.written = inner.durable.clone();
        inner.unsynced = 0;
    }

    /// From now on each batch takes this many milliseconds.
    pub(crate) fn slow(&self, takes: (u64, u64)) {
        self.lock().takes = takes;
    }

    /// The next batch fails, and nobody knows how much of it is there.
    pub(crate) fn fail(&self) {
        self.lock().fails = true;
    }

    pub(crate) fn heal(&self) {
        let mut inner = self.lock();
        inner.takes = QUICK;
        inner.fails = false;
    }

    fn delay(&self) -> Duration {
        let mut inner = self.lock();
        let (low, high) = inner.takes;
        Duration::from_millis(inner.random.between(low, high + 1))
    }
}

impl Content {
    fn apply(&mut self, batch: &[Op]) {
        for op in batch {
            match op {
                Op::Append { index, record } => drop(self.log.insert(*index, record.clone())),
                Op::TruncateFrom(from) => drop(self.log.split_off(from)),
                Op::PurgeUpTo(upto) => self.log = self.log.split_off(&(upto + 1)),
                Op::Put(key, record) => drop(self.meta.insert(*key, record.clone())),
            }
        }
    }
}

impl Inner {
    fn sync(&mut self, batch: &[Op]) {
        self.unsynced += 1;
        match self.pretends {
            None => self.durable.apply(batch),
            Some(batches) if self.unsynced > batches => {
                self.durable = self.written.clone();
                self.unsynced = 0;
            }
            Some(_) => {}
        }
    }
}

impl Engine for Disk {
    fn write(&mut self, batch: &[Op]) -> Result<(), EngineError> {
        let mut inner = self.lock();
        if inner.fails {
            inner.fails = false;
            if inner.random.one_in(2) {
                inner.written.apply(batch);
                inner.sync(batch);
            }
            return Err(std::io::Error::other("simulated: the disk failed").into());
        }
        inner.written.apply(batch);
        inner.sync(batch);
        Ok(())
    }

    fn read(&self, from: u64, to: u64) -> Result<Vec<(u64, Vec<u8>)>, EngineError> {
        let inner = self.lock();
        Ok(inner.written.log.range(from..to).map(|(index, one)| (*index, one.clone())).collect())
    }

    fn bounds(&self) -> Result<Option<(u64, u64)>, EngineError> {
        let inner = self.lock();
        let first = inner.written.log.first_key_value().map(|(index, _)| *index);
        let last = inner.written.log.last_key_value().map(|(index, _)| *index);
        Ok(first.zip(last))
    }

    fn meta(&self, key: Meta) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.lock().written.meta.get(&key).cloned())
    }
}

/// Polls the store's writer when the disk has had its time: what it writes then, and
/// acknowledges, was asked of the disk that much earlier.
pub(crate) struct Paced<F> {
    writer: Pin<Box<F>>,
    disk: Disk,
    busy: Option<Pin<Box<Sleep>>>,
}

impl<F> Paced<F> {
    pub(crate) fn new(writer: F, disk: Disk) -> Self {
        Self { writer: Box::pin(writer), disk, busy: None }
    }
}

impl<F: Future<Output = ()>> Future for Paced<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.busy.is_none() {
            let delay = self.disk.delay();
            self.busy = Some(Box::pin(tokio::time::sleep(delay)));
        }
        if let Some(busy) = &mut self.busy
            && busy.as_mut().poll(context).is_pending()
        {
            return Poll::Pending;
        }
        self.busy = None;
        self.writer.as_mut().poll(context)
    }
}
