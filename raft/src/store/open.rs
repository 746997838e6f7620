//! Opening a store, and refusing one that can't be trusted.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use leasehold_raft_core::state::State;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::engine::{Engine, Meta, Op};
use super::error::{EngineError, StoreError};
use super::frame::{self, Broken, FORMAT};
use super::log::{Known, LogStore, Tail};
use super::machine::StateMachine;
use super::mark::Mark;
use super::redb::RedbEngine;
use super::snapshot::{Content, SnapshotFile};
use super::writer::guarded;
use crate::group::Stores;
use crate::{Entry, LogId, SnapshotMeta};

const SUBDIRECTORY: &str = "raft";
/// Where an older version kept the log, if sled was chosen for it.
const SLED: &str = "log.sled";
/// How many entries are checked at a time.
const CHECK: u64 = 256;

/// A store, ready for openraft.
pub struct Opened {
    pub log: LogStore,
    pub state_machine: StateMachine,
    /// The applied state. Until openraft has started: that of the last snapshot.
    pub state: watch::Receiver<Arc<State>>,
}

impl From<Opened> for Stores<LogStore, StateMachine> {
    fn from(opened: Opened) -> Self {
        let Opened { log, state_machine, state } = opened;
        Self { log, state_machine, state }
    }
}

/// Opens the store of this data directory; makes one where there is none.
pub fn open(dir: &Path) -> Result<Opened, StoreError> {
    if !exists(dir)? {
        create(dir)?;
    }
    open_existing(dir)
}

/// Opens the store of this data directory; never makes one.
pub fn open_existing(dir: &Path) -> Result<Opened, StoreError> {
    open_by(dir, |path, content, marked| {
        keep_names(dir)?;
        let mut refused = None;
        let opened = guarded(|| {
            RedbEngine::open_where(path, |copy| {
                trust(copy, path, content, marked).map(drop).map_err(|error| {
                    let what = error.to_string();
                    refused = Some(error.of_what_is_read());
                    EngineError::Corrupt(what)
                })
            })
        });
        opened.map_err(|error| {
            refused.unwrap_or_else(|| StoreError::engine(path, "open the Raft log")(error))
        })
    })
}

/// The same for whoever only looks: the log is left as it lies.
pub(super) fn look_into(dir: &Path) -> Result<Opened, StoreError> {
    open_by(dir, |path, _, _| {
        guarded(|| RedbEngine::look(path)).map_err(StoreError::engine(path, "read the Raft log"))
    })
}

fn open_by(
    dir: &Path,
    open: impl FnOnce(&Path, Option<&Content>, Option<u64>) -> Result<RedbEngine, StoreError>,
) -> Result<Opened, StoreError> {
    if !exists(dir)? {
        return Err(StoreError::Missing { dir: dir.to_owned() });
    }
    let root = dir.join(SUBDIRECTORY);
    let path = log_path(&root);
    let (file, content) = SnapshotFile::open(&root)?;
    let (mark, marked) =
        Mark::open(&root).map_err(StoreError::io(&root, "open the store's mark"))?;
    let engine = open(&path, content.as_ref(), marked)?;
    let known = trust(&engine, &path, content.as_ref(), marked)?;
    let log = LogStore::start(Box::new(engine), path.clone(), mark, known)
        .map_err(StoreError::io(&path, "start the thread that writes"))?;
    let (state_machine, state) = StateMachine::start(file, content);
    Ok(Opened { log, state_machine, state })
}

/// Reads everything once, and compares it with what else is known of it.
fn trust(
    engine: &RedbEngine,
    path: &Path,
    content: Option<&Content>,
    marked: Option<u64>,
) -> Result<Known, StoreError> {
    let known = check(engine, path, content)?;
    if let Some(marked) = marked
        && known.written < marked
    {
        let written = known.written;
        return Err(StoreError::damaged(
            path,
            format!("it fell back to batch {written}, and batch {marked} was written"),
        ));
    }
    Ok(known)
}

/// Opens a store whose log is on this engine, and the rest in this data directory, for a disk
/// that is simulated. The log is written by the task that comes back, when it is polled. An engine
/// that was never written to makes an empty store.
pub fn open_on(
    mut engine: Box<dyn Engine>,
    dir: &Path,
) -> Result<(Opened, impl Future<Output = ()> + Send + use<>), StoreError> {
    let root = dir.join(SUBDIRECTORY);
    fs::create_dir_all(&root).map_err(StoreError::io(&root, "create the store"))?;
    let path = log_path(&root);
    let fresh = engine.meta(Meta::Format).and_then(|format| match format {
        Some(_) => Ok(()),
        None => {
            let format = frame::encode(&FORMAT).map_err(io::Error::from)?;
            engine.write(&[Op::Put(Meta::Format, format)])
        }
    });
    fresh.map_err(StoreError::engine(&path, "create the store"))?;
    let (file, content) = SnapshotFile::open(&root)?;
    let known = check(engine.as_ref(), &path, content.as_ref())?;
    let (mark, _) = Mark::open(&root).map_err(StoreError::io(&root, "open the store's mark"))?;
    let (log, task) = LogStore::with_task(engine, path, mark, known);
    let (state_machine, state) = StateMachine::start(file, content);
    Ok((Opened { log, state_machine, state }, task))
}

/// Whether a store is in this data directory. What must not be taken for none is an error.
pub fn exists(dir: &Path) -> Result<bool, StoreError> {
    let root = dir.join(SUBDIRECTORY);
    let is_there =
        |path: &Path| path.try_exists().map_err(StoreError::io(path, "look for the Raft log"));
    // Also beside a log of redb: nobody can tell which of them is the newer one.
    let sled = root.join(SLED);
    if is_there(&sled)? {
        return Err(StoreError::Sled { path: sled });
    }
    let found = is_there(&log_path(&root))?;
    if !found && is_there(&SnapshotFile::path_in(&root))? {
        return Err(StoreError::damaged(&root, "there is a snapshot, and the log is gone"));
    }
    Ok(found)
}

pub(super) fn log_path(root: &Path) -> PathBuf {
    root.join("log.redb")
}

/// Makes an empty store under another name and renames it when it is whole, so that a crash on
/// the way leaves nothing that looks damaged. Returns the directory it is in.
pub(super) fn create(dir: &Path) -> Result<PathBuf, StoreError> {
    let root = dir.join(SUBDIRECTORY);
    let path = log_path(&root);
    let unfinished = path.with_added_extension("new");
    let io = |path: &Path| StoreError::io(path, "create the store");
    DirBuilder::new().recursive(true).mode(0o700).create(&root).map_err(io(&root))?;
    remove(&unfinished).map_err(io(&unfinished))?;
    let made = guarded(|| {
        let mut engine = RedbEngine::create(&unfinished)?;
        let format = frame::encode(&FORMAT).map_err(io::Error::from)?;
        engine.write(&[Op::Put(Meta::Format, format)])
    });
    made.map_err(StoreError::engine(&unfinished, "create the store"))?;
    fs::rename(&unfinished, &path).map_err(io(&path))?;
    keep_names(dir)?;
    Ok(root)
}

/// Up to the directory that the first of the store's may be new in: a power cut that took the
/// whole store away would leave a node that has forgotten its vote. At every start, as the one
/// that made it may have ended before.
fn keep_names(dir: &Path) -> Result<(), StoreError> {
    let io = |path: &Path| StoreError::io(path, "make the store's name durable");
    let whole = dir.canonicalize().map_err(io(dir))?;
    let device = |path: &Path| fs::metadata(path).map(|it| it.dev()).map_err(io(path));
    let parent = match whole.parent() {
        // Where a file system is mounted there is no new name.
        Some(parent) if device(parent)? == device(&whole)? => Some(parent),
        Some(_) | None => None,
    };
    for dir in [dir.join(SUBDIRECTORY).as_path(), dir].into_iter().chain(parent) {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io(dir))?;
    }
    Ok(())
}

pub(super) fn remove(unfinished: &Path) -> io::Result<()> {
    fs::remove_file(unfinished).or_else(|error| match error.kind() == io::ErrorKind::NotFound {
        true => Ok(()),
        false => Err(error),
    })
}

/// Opens the engine of a store that is there.
pub(super) fn open_engine(path: &Path) -> Result<RedbEngine, StoreError> {
    guarded(|| RedbEngine::open(path)).map_err(StoreError::engine(path, "open the Raft log"))
}

/// Reads everything once. What is found here is not found in the middle of an election.
fn check(engine: &dyn Engine, path: &Path, content: Option<&Content>) -> Result<Known, StoreError> {
    let checked = Checked { engine, path };
    let Some(_) = checked.meta::<u8>(Meta::Format)? else {
        return Err(StoreError::damaged(path, "the format record is gone"));
    };
    let purged = checked.meta(Meta::Purged)?;
    let known = Known {
        vote: checked.meta(Meta::Vote)?,
        committed: checked.meta::<Option<LogId>>(Meta::Committed)?.flatten(),
        purged,
        last: checked.log(purged)?,
        written: checked.meta(Meta::Batch)?.unwrap_or(0),
        tail: Tail::default(),
    };
    let snapshot = content.and_then(|content| content.meta.last_log_id);
    if known.purged > snapshot {
        return Err(StoreError::damaged(
            path,
            format!(
                "the log begins after {} and the snapshot ends at {}",
                show(known.purged),
                show(snapshot)
            ),
        ));
    }
    if known.committed > known.last.max(snapshot) {
        return Err(StoreError::damaged(
            path,
            format!(
                "the log ends at {} and was committed up to {}",
                show(known.last),
                show(known.committed)
            ),
        ));
    }
    if let Some(content) = content
        && content.state.applied != applied(&content.meta)
    {
        return Err(StoreError::damaged(
            path,
            "the snapshot's state is not that of its last entry",
        ));
    }
    Ok(known)
}

fn applied(meta: &SnapshotMeta) -> u64 {
    meta.last_log_id.map_or(0, |last| last.index)
}

fn show(id: Option<LogId>) -> String {
    id.map_or_else(
        || "nothing".to_owned(),
        |id| format!("entry {} of term {}", id.index, id.leader_id.term),
    )
}

struct Checked<'a> {
    engine: &'a dyn Engine,
    path: &'a Path,
}

impl Checked<'_> {
    fn meta<T: DeserializeOwned>(&self, key: Meta) -> Result<Option<T>, StoreError> {
        let record = guarded(|| self.engine.meta(key))
            .map_err(StoreError::engine(self.path, "read the Raft log"))?;
        let name = key.name();
        record.map(|record| self.decode(&record, || format!("the {name} record"))).transpose()
    }

    /// Checks that the log is whole, and returns its last entry's id.
    fn log(&self, purged: Option<LogId>) -> Result<Option<LogId>, StoreError> {
        let action = "read the Raft log";
        let engine = |error| StoreError::engine(self.path, action)(error);
        let mut last = purged;
        let Some((first, end)) = guarded(|| self.engine.bounds()).map_err(engine)? else {
            return Ok(last);
        };
        let mut from = first;
        while from <= end {
            let to = end.saturating_add(1).min(from.saturating_add(CHECK));
            for (index, record) in guarded(|| self.engine.read(from, to)).map_err(engine)? {
                let expected = last.map_or(0, |last| last.index + 1);
                if index != expected {
                    return Err(self.damaged(format!(
                        "there is a hole in the log: entry {index} comes where {expected} should"
                    )));
                }
                let entry: Entry = self.decode(&record, || format!("entry {index}"))?;
                if entry.log_id.index != index || Some(entry.log_id) < last {
                    let id = show(Some(entry.log_id));
                    return Err(self.damaged(format!("entry {index} calls itself {id}")));
                }
                last = Some(entry.log_id);
            }
            from = to;
        }
        if last.is_none_or(|last| last.index != end) {
            return Err(self.damaged(format!("the log should end at entry {end}")));
        }
        Ok(last)
    }

    fn decode<T: DeserializeOwned>(
        &self,
        record: &[u8],
        name: impl Fn() -> String,
    ) -> Result<T, StoreError> {
        frame::decode(record).map_err(|broken| match broken {
            Broken::Version(_) => StoreError::newer(self.path, format!("{} has {broken}", name())),
            Broken::Damaged(what) => self.damaged(format!("{}: {what}", name())),
        })
    }

    fn damaged(&self, what: String) -> StoreError {
        StoreError::damaged(self.path, what)
    }
}
