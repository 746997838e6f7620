//! The log in sled 0.34, with the barrier that sled leaves out.
//!
//! `sled::Db::flush` ends in `sync_file_range`, which starts no journal commit, writes no file
//! size and empties no disk cache: what it calls flushed is lost in a power cut (sled issue 1452).
//! All that sled appends goes to one file, `db`, before `flush` returns, so an fdatasync of that
//! file through a second descriptor makes it durable. Two things follow:
//!
//! - Values that exceed a quarter of a segment go to files of their own, which sled does not sync
//!   and the barrier does not reach. Records are therefore cut into parts that stay far below,
//!   even with a whole leaf of them written as one.
//! - sled's background flusher is off: nothing here waits for it.
//!
//! And sled takes a snapshot file of its own that a crash left unfinished for a damaged store,
//! because it looks for unfinished files under another name than it gives them. They are removed
//! before sled looks.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::engine::{Engine, Meta, Op};
use super::error::EngineError;
use super::frame;

/// A leaf holds up to 26 values (16 and the links before they are merged into it), and must stay
/// below the 128 KiB that are a quarter of a segment.
const PART: usize = 3 << 10;
const CACHE_BYTES: u64 = 16 << 20;
/// sled's own threads may hold the file, and its lock, for a moment after the store was closed.
const LOCK_WAITS: Duration = Duration::from_secs(1);
const LOG: u8 = b'l';
const META: u8 = b'm';

/// A record and its name.
type Named = (Vec<u8>, Vec<u8>);
/// What becomes of keys; nothing, where they go.
type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

pub struct SledEngine {
    database: sled::Db,
    /// The file that sled appends to.
    appended: File,
}

impl SledEngine {
    /// Makes a new directory; it must not be there yet.
    pub fn create(path: &Path) -> Result<Self, EngineError> {
        std::fs::create_dir(path)?;
        let mut engine = Self::start(path)?;
        engine.barrier()?;
        // sled's own `conf` file and the names of all its files.
        for entry in std::fs::read_dir(path)? {
            File::open(entry?.path())?.sync_all()?;
        }
        File::open(path)?.sync_all()?;
        Ok(engine)
    }

    /// Opens a directory made before.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        for name in ["conf", "db"] {
            if std::fs::metadata(path.join(name)).is_ok_and(|file| file.len() > 0) {
                continue;
            }
            return Err(EngineError::Corrupt(format!("the file `{name}` is missing or empty")));
        }
        remove_unfinished(path)?;
        let engine = Self::start(path)?;
        if !engine.database.was_recovered() {
            return Err(EngineError::Corrupt("sled found nothing of what it wrote".to_owned()));
        }
        Ok(engine)
    }

    fn start(path: &Path) -> Result<Self, EngineError> {
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None)
            .print_profile_on_drop(false);
        let database = config.open()?;
        Ok(Self { database, appended: File::open(path.join("db"))? })
    }

    fn barrier(&mut self) -> Result<(), EngineError> {
        self.database.flush()?;
        self.appended.sync_data()?;
        Ok(())
    }

    /// The records whose keys start with `kind` and lie in `from..to`, parts put together.
    fn scan(&self, from: &[u8], to: &[u8]) -> Result<Vec<Named>, EngineError> {
        let mut records: Vec<Named> = Vec::new();
        for pair in self.database.range(from..to) {
            let (key, part) = pair?;
            let (name, number) = split(&key)?;
            let count = part_count(records.last(), name);
            if number != count {
                return Err(EngineError::Corrupt(format!(
                    "part {count} of record {name:?} is missing: part {number} comes next"
                )));
            }
            match records.last_mut() {
                Some((last, record)) if last.as_slice() == name => record.extend_from_slice(&part),
                Some(_) | None => records.push((name.to_vec(), part.to_vec())),
            }
        }
        Ok(records)
    }

    /// Adds the removal of every key in `from..to` to `changes`, also of keys only set there.
    fn remove(&self, changes: &mut Changes, from: &[u8], to: &[u8]) -> Result<(), EngineError> {
        for pair in self.database.range(from..to) {
            changes.insert(pair?.0.to_vec(), None);
        }
        for (_, change) in changes.range_mut(from.to_vec()..to.to_vec()) {
            *change = None;
        }
        Ok(())
    }

    fn put(&self, changes: &mut Changes, name: &[u8], record: &[u8]) -> Result<(), EngineError> {
        // What is replaced may have had more parts.
        self.remove(changes, &key(name, 0), &key(name, u32::MAX))?;
        for (number, part) in (0_u32..).zip(record.chunks(PART)) {
            changes.insert(key(name, number), Some(part.to_vec()));
        }
        Ok(())
    }
}

impl Engine for SledEngine {
    fn write(&mut self, batch: &[Op]) -> Result<(), EngineError> {
        let mut changes = Changes::new();
        for op in batch {
            match op {
                Op::Append { index, record } => {
                    self.put(&mut changes, &log_name(*index), record)?;
                }
                Op::TruncateFrom(from) => {
                    self.remove(&mut changes, &log_name(*from), &[LOG + 1])?;
                }
                Op::PurgeUpTo(upto) => {
                    self.remove(&mut changes, &[LOG], &after(*upto))?;
                }
                Op::Put(meta, record) => self.put(&mut changes, &meta_name(*meta), record)?,
            }
        }
        let mut batch = sled::Batch::default();
        for (key, change) in changes {
            match change {
                Some(part) => batch.insert(key, part),
                None => batch.remove(key),
            }
        }
        self.database.apply_batch(batch)?;
        self.barrier()
    }

    fn read(&self, from: u64, to: u64) -> Result<Vec<(u64, Vec<u8>)>, EngineError> {
        let records = self.scan(&log_name(from), &log_name(to))?;
        records.into_iter().map(|(name, record)| Ok((index_of(&name)?, record))).collect()
    }

    fn bounds(&self) -> Result<Option<(u64, u64)>, EngineError> {
        let log = || self.database.range([LOG].as_slice()..&[LOG + 1]);
        let ends = (log().next().transpose()?, log().next_back().transpose()?);
        let (Some((first, _)), Some((last, _))) = ends else { return Ok(None) };
        Ok(Some((index_of(split(&first)?.0)?, index_of(split(&last)?.0)?)))
    }

    fn meta(&self, meta: Meta) -> Result<Option<Vec<u8>>, EngineError> {
        let name = meta_name(meta);
        let records = self.scan(&key(&name, 0), &key(&name, u32::MAX))?;
        let Some((_, record)) = records.into_iter().next() else { return Ok(None) };
        // A part lost at the end leaves no gap between parts; the frame tells its length.
        frame::total(&record)
            .is_ok_and(|total| total == record.len())
            .then_some(Some(record))
            .ok_or_else(|| EngineError::Corrupt(format!("the {} record is cut short", meta.name())))
    }
}

/// Removes what sled was writing when it was stopped: files that it would have renamed when they
/// were whole.
fn remove_unfinished(path: &Path) -> Result<(), EngineError> {
    let database = File::open(path.join("db"))?;
    let begun = Instant::now();
    loop {
        match database.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_WAITS => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => return Err(EngineError::InUse),
            Err(TryLockError::Error(source)) => return Err(EngineError::Io(source)),
        }
    }
    for entry in std::fs::read_dir(path)? {
        let entry = entry?.path();
        if entry.extension().is_some_and(|extension| extension == "generating") {
            std::fs::remove_file(entry)?;
        }
    }
    Ok(())
}

fn log_name(index: u64) -> Vec<u8> {
    let mut name = vec![LOG];
    name.extend_from_slice(&index.to_be_bytes());
    name
}

/// The first key after all parts of `index`.
fn after(index: u64) -> Vec<u8> {
    index.checked_add(1).map_or_else(|| vec![LOG + 1], log_name)
}

fn meta_name(meta: Meta) -> Vec<u8> {
    let mut name = vec![META];
    name.extend_from_slice(meta.name().as_bytes());
    name
}

/// A part's key: the record's name, then the part's number.
fn key(name: &[u8], part: u32) -> Vec<u8> {
    let mut key = name.to_vec();
    key.extend_from_slice(&part.to_be_bytes());
    key
}

fn split(key: &[u8]) -> Result<(&[u8], u32), EngineError> {
    let (name, part) = key
        .split_last_chunk::<4>()
        .ok_or_else(|| EngineError::Corrupt(format!("the key {key:?} is too short")))?;
    Ok((name, u32::from_be_bytes(*part)))
}

fn index_of(name: &[u8]) -> Result<u64, EngineError> {
    name.split_last_chunk::<8>()
        .map(|(_, index)| u64::from_be_bytes(*index))
        .ok_or_else(|| EngineError::Corrupt(format!("the key {name:?} holds no index")))
}

/// How many parts of `name` have been put together.
fn part_count(last: Option<&Named>, name: &[u8]) -> u32 {
    let parts = last.filter(|(last, _)| last == name).map_or(0, |(_, record)| {
        // All parts but the last one of a record are whole.
        record.len().div_ceil(PART)
    });
    u32::try_from(parts).unwrap_or(u32::MAX)
}

impl From<sled::Error> for EngineError {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(source) if source.to_string().contains("could not acquire lock") => {
                Self::InUse
            }
            sled::Error::Io(source)
                if matches!(
                    source.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
                ) =>
            {
                Self::Corrupt(source.to_string())
            }
            sled::Error::Io(source) => Self::Io(source),
            sled::Error::Corruption { .. }
            | sled::Error::CollectionNotFound(_)
            | sled::Error::Unsupported(_)
            | sled::Error::ReportableBug(_) => Self::Corrupt(error.to_string()),
        }
    }
}
