//! Opening a store, and refusing one that can't be trusted.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use leasehold_raft_core::state::State;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::engine::{Engine, EngineKind, Meta, Op};
use super::error::StoreError;
use super::frame::{self, Broken, FORMAT};
use super::log::{Known, LogStore, Tail};
use super::machine::StateMachine;
use super::mark::Mark;
use super::redb::RedbEngine;
use super::sled::SledEngine;
use super::snapshot::{Content, SnapshotFile};
use super::writer::guarded;
use crate::group::Stores;
use crate::{Entry, LogId, SnapshotMeta};

const SUBDIRECTORY: &str = "raft";
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
pub fn open(dir: &Path, engine: EngineKind) -> Result<Opened, StoreError> {
    match detect(dir)? {
        Some(found) if found == engine => open_as(dir, engine),
        Some(found) => Err(StoreError::OtherEngine { dir: dir.to_owned(), found, asked: engine }),
        None => {
            create(dir, engine)?;
            open_as(dir, engine)
        }
    }
}

/// Opens the store of this data directory with the engine that wrote it; never makes one.
pub fn open_existing(dir: &Path) -> Result<Opened, StoreError> {
    match detect(dir)? {
        Some(engine) => open_as(dir, engine),
        None => Err(StoreError::Missing { dir: dir.to_owned() }),
    }
}

/// Which engine's store is in this data directory.
pub fn detect(dir: &Path) -> Result<Option<EngineKind>, StoreError> {
    let root = dir.join(SUBDIRECTORY);
    let mut found = None;
    for kind in EngineKind::ALL {
        let path = log_path(&root, kind);
        let there = path.try_exists().map_err(StoreError::io(&path, "look for the Raft log"))?;
        if there && found.replace(kind).is_some() {
            return Err(StoreError::damaged(&root, "it holds a log of each engine"));
        }
    }
    let snapshot = SnapshotFile::path_in(&root);
    if found.is_none() && snapshot.exists() {
        return Err(StoreError::damaged(&root, "there is a snapshot, and the log is gone"));
    }
    Ok(found)
}

pub(super) fn log_path(root: &Path, kind: EngineKind) -> PathBuf {
    root.join(match kind {
        EngineKind::Redb => "log.redb",
        EngineKind::Sled => "log.sled",
    })
}

/// Makes an empty store under another name and renames it when it is whole, so that a crash on
/// the way leaves nothing that looks damaged. Returns the directory it is in.
pub(super) fn create(dir: &Path, kind: EngineKind) -> Result<PathBuf, StoreError> {
    let root = dir.join(SUBDIRECTORY);
    let path = log_path(&root, kind);
    let unfinished = path.with_added_extension("new");
    let io = |path: &Path| StoreError::io(path, "create the store");
    DirBuilder::new().recursive(true).mode(0o700).create(&root).map_err(io(&root))?;
    remove(&unfinished).map_err(io(&unfinished))?;
    let made = guarded(|| {
        let mut engine: Box<dyn Engine> = match kind {
            EngineKind::Redb => Box::new(RedbEngine::create(&unfinished)?),
            EngineKind::Sled => Box::new(SledEngine::create(&unfinished)?),
        };
        let format = frame::encode(&FORMAT).map_err(io::Error::from)?;
        engine.write(&[Op::Put(Meta::Format, format)])
    });
    made.map_err(StoreError::engine(&unfinished, "create the store"))?;
    fs::rename(&unfinished, &path).map_err(io(&path))?;
    for dir in [&root, dir] {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io(dir))?;
    }
    Ok(root)
}

fn remove(unfinished: &Path) -> io::Result<()> {
    let result = if unfinished.is_dir() {
        fs::remove_dir_all(unfinished)
    } else {
        fs::remove_file(unfinished)
    };
    result.or_else(|error| match error.kind() == io::ErrorKind::NotFound {
        true => Ok(()),
        false => Err(error),
    })
}

/// Opens the engine of a store that is there.
pub(super) fn open_engine(path: &Path, kind: EngineKind) -> Result<Box<dyn Engine>, StoreError> {
    let opened = guarded(|| -> Result<Box<dyn Engine>, _> {
        Ok(match kind {
            EngineKind::Redb => Box::new(RedbEngine::open(path)?),
            EngineKind::Sled => Box::new(SledEngine::open(path)?),
        })
    });
    opened.map_err(StoreError::engine(path, "open the Raft log"))
}

pub(super) fn open_as(dir: &Path, kind: EngineKind) -> Result<Opened, StoreError> {
    let root = dir.join(SUBDIRECTORY);
    let path = log_path(&root, kind);
    let engine = open_engine(&path, kind)?;
    let (file, content) = SnapshotFile::open(&root)?;
    let known = check(engine.as_ref(), &path, content.as_ref())?;
    let (mark, marked) =
        Mark::open(&root).map_err(StoreError::io(&root, "open the store's mark"))?;
    if let Some(marked) = marked
        && known.written < marked
    {
        let written = known.written;
        return Err(StoreError::damaged(
            &path,
            format!("it fell back to batch {written}, and batch {marked} was written"),
        ));
    }
    let log = LogStore::start(engine, path.clone(), mark, known)
        .map_err(StoreError::io(&path, "start the thread that writes"))?;
    let (state_machine, state) = StateMachine::start(file, content);
    Ok(Opened { log, state_machine, state })
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
