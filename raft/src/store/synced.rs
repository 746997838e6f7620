//! Whether what is read of the log is also on the disk.
//!
//! After a failed sync Linux counts what it could not write as written: it is read as before,
//! later syncs succeed, and the power takes it away. Whoever opens such a file can't tell. So a
//! note beside it says that the log is in use, on the disk too before anything else is written,
//! and says so until every sync has succeeded and the log is closed. Where it is found so, under
//! the kernel that wrote it, the whole file is written anew before anything is built on it. Under
//! another kernel nothing is read but what is on the disk.
//!
//! The note is locked for as long as the log is open.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::ops::Bound;
use std::os::unix::fs::{FileExt, MetadataExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use redb::StorageBackend;
use redb::backends::{FileBackend, InMemoryBackend};

use super::error::EngineError;
use super::open::remove;

const NAME: &str = "synced";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const YES: &str = "yes";
/// All that it may say is as long, so that one takes the other's place whole.
const LENGTH: usize = 40;

/// Opens the log. Where it may not be on the disk it is written anew first, if `check` finds what
/// is read of it good.
pub(super) fn open(
    path: &Path,
    check: impl FnOnce(InMemoryBackend) -> Result<(), EngineError>,
) -> Result<Watched, EngineError> {
    let mut note = Note::lock(path)?;
    let unfinished = path.with_added_extension("new");
    remove(&unfinished)?;
    if note.is_in_doubt() {
        tracing::info!(
            "{}: it was not closed in good order, and is written anew, as some of it may not be on \
             the disk",
            path.display()
        );
        let renewed = renew(path, &unfinished, check);
        if renewed.is_err() {
            // The room that it takes is needed by others.
            remove(&unfinished)?;
        }
        renewed?;
    }
    note.say_in_use()?;
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    Watched::new(file, note)
}

/// A new file, to be written for the first time.
pub(super) fn create(path: &Path) -> Result<Watched, EngineError> {
    let mut note = Note::lock(path)?;
    note.say_in_use()?;
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    Watched::new(file, note)
}

/// What the log says now, in memory: whatever is done to it changes nothing on the disk.
pub(super) fn read(path: &Path) -> Result<InMemoryBackend, EngineError> {
    let _note = Note::lock(path)?;
    in_memory(&std::fs::read(path)?).map_err(EngineError::from)
}

fn in_memory(bytes: &[u8]) -> io::Result<InMemoryBackend> {
    let copy = InMemoryBackend::new();
    copy.set_len(bytes.len() as u64)?;
    copy.write(0, bytes)?;
    Ok(copy)
}

/// Puts a durable copy in the place of `path`.
fn renew(
    path: &Path,
    unfinished: &Path,
    check: impl FnOnce(InMemoryBackend) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let from = OpenOptions::new().read(true).write(true).open(path)?;
    lock(&from)?;
    // Not by `copy_file_range`, which may share what is on the disk, not what is read.
    let bytes = std::fs::read(path)?;
    // What is on the disk may be better than what is read: it stays unless that is whole.
    check(in_memory(&bytes)?)?;
    let mut to = File::create(unfinished)?;
    let owner = from.metadata()?;
    fchown(&to, Some(owner.uid()), Some(owner.gid()))?;
    to.set_permissions(owner.permissions())?;
    to.write_all(&bytes)?;
    to.sync_all()?;
    std::fs::rename(unfinished, path)?;
    sync_directory(path)?;
    Ok(())
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?.sync_all()
}

fn lock(file: &File) -> Result<(), EngineError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => EngineError::InUse,
        TryLockError::Error(error) => error.into(),
    })
}

#[derive(Debug)]
struct Note {
    path: PathBuf,
    file: File,
    boot: String,
}

impl Note {
    /// The note beside the log at `path`.
    fn lock(path: &Path) -> Result<Note, EngineError> {
        let path = path.with_file_name(NAME);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path)?;
        lock(&file)?;
        let boot = std::fs::read_to_string(BOOT_ID)?.trim().to_owned();
        Ok(Note { path, file, boot })
    }

    fn say_in_use(&mut self) -> io::Result<()> {
        self.say(&format!("no {}", self.boot))
    }

    /// One that is not there, or is torn, says nothing good.
    fn is_in_doubt(&self) -> bool {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        match text.trim_end().split_once(' ') {
            Some(("no", boot)) => boot == self.boot || boot.len() != self.boot.len(),
            Some(_) => true,
            None => text.trim_end() != YES,
        }
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        self.file.write_all_at(format!("{text:LENGTH$}\n").as_bytes(), 0)?;
        self.file.sync_all()?;
        // Its name, too, where it is new.
        sync_directory(&self.path)
    }
}

/// The log's file, and whether anything went wrong with it.
#[derive(Debug)]
pub(super) struct Watched {
    file: FileBackend,
    note: Mutex<Note>,
    failed: AtomicBool,
}

impl Watched {
    fn new(file: File, note: Note) -> Result<Watched, EngineError> {
        let (file, note) = (FileBackend::new(file)?, note.into());
        Ok(Watched { file, note, failed: false.into() })
    }

    fn watch<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.failed.store(true, Ordering::SeqCst);
        }
        result
    }

    /// Nothing can be done about what fails here: the next start finds the note as it is.
    fn settle(&self) -> io::Result<()> {
        if self.failed.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.watch(self.file.sync_data())?;
        let mut note = self.note.lock().unwrap_or_else(PoisonError::into_inner);
        note.say(YES)
    }
}

impl StorageBackend for Watched {
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.watch(self.file.set_len(len))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.watch(self.file.write(offset, data))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.watch(self.file.sync_data())
    }

    /// Called once, when nothing else will be.
    fn close(&self) -> io::Result<()> {
        let settled = self.settle();
        self.file.close().and(settled)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Lock<bool> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Lock<bool> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Lock<()> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Lock<()> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Lock<()> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Lock<bool> {
        self.file.query_lock_range(start, end)
    }
}

type Lock<T> = Result<T, redb::BackendError>;
