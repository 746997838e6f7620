//! Whether what is read of the log is also on the disk.
//!
//! After a failed sync Linux counts what it could not write as written: it is read as before,
//! later syncs succeed, and the power takes it away. Whoever opens such a file can't tell. So a
//! note beside it says that the log is in use, on the disk too before anything else is written,
//! and says so until every sync has succeeded and the log is closed. Where it is found so, the
//! whole file is written anew before anything is built on it. After a reboot that is not needed,
//! and does no harm; a container's looks the same from within, and leaves what the kernel holds.
//!
//! The note is locked for as long as the log is open.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::ops::Bound;
use std::os::unix::fs::{FileExt, MetadataExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;
use redb::backends::{FileBackend, InMemoryBackend};

use super::error::EngineError;
use super::open::remove;

const NAME: &str = "synced";
/// As long as each other, so that one takes the other's place whole.
const YES: &str = "yes\n";
const NO: &str = "no!\n";

/// A log that nobody else opens.
#[derive(Debug)]
pub(super) struct Held {
    path: PathBuf,
    note: File,
}

impl Held {
    pub(super) fn new(path: &Path) -> Result<Held, EngineError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let note = options.open(path.with_file_name(NAME))?;
        lock(&note)?;
        Ok(Held { path: path.to_owned(), note })
    }

    /// Whether it was not closed in good order, as far as is known.
    pub(super) fn is_in_doubt(&self) -> bool {
        !std::fs::read_to_string(self.path.with_file_name(NAME)).is_ok_and(|text| text == YES)
    }

    /// What is read of it.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, EngineError> {
        // By reading: `copy_file_range` may share what is on the disk.
        std::fs::read(&self.path).map_err(EngineError::from)
    }

    /// Puts a durable copy of what was read in the place of the log.
    pub(super) fn renew(&self, bytes: &[u8]) -> Result<(), EngineError> {
        let path = self.path.display();
        tracing::info!(
            "{path}: it was not closed in good order, and is written anew, as some of it may not \
             be on the disk"
        );
        let unfinished = self.path.with_added_extension("new");
        let renewed = self.replace(&unfinished, bytes);
        if renewed.is_err() {
            // The room that it takes is needed by others; the error is what matters.
            let _ = remove(&unfinished);
        }
        renewed
    }

    fn replace(&self, unfinished: &Path, bytes: &[u8]) -> Result<(), EngineError> {
        let from = OpenOptions::new().read(true).write(true).open(&self.path)?;
        // For a version that knows nothing of the note.
        lock(&from)?;
        let mut to = File::create(unfinished)?;
        let owner = from.metadata()?;
        fchown(&to, Some(owner.uid()), Some(owner.gid()))?;
        to.set_permissions(owner.permissions())?;
        to.write_all(bytes)?;
        to.sync_all()?;
        std::fs::rename(unfinished, &self.path)?;
        sync_directory(&self.path).map_err(EngineError::from)
    }

    /// Opens it, to be written.
    pub(super) fn open(self) -> Result<Watched, EngineError> {
        remove(&self.path.with_added_extension("new"))?;
        self.say(NO)?;
        let file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        Watched::new(file, self)
    }

    /// Makes it, to be written for the first time.
    pub(super) fn create(self) -> Result<Watched, EngineError> {
        self.say(NO)?;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).open(&self.path)?;
        Watched::new(file, self)
    }

    fn say(&self, text: &str) -> io::Result<()> {
        self.note.write_all_at(text.as_bytes(), 0)?;
        self.note.set_len(text.len() as u64)?;
        self.note.sync_all()?;
        // Its name, too, where it is new.
        sync_directory(&self.path)
    }
}

/// What the log says now, for whoever only looks: nothing is made or changed on the disk.
pub(super) fn look(path: &Path) -> Result<Vec<u8>, EngineError> {
    let note = match File::open(path.with_file_name(NAME)) {
        Ok(note) => Some(note),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    note.as_ref().map_or(Ok(()), lock)?;
    std::fs::read(path).map_err(EngineError::from)
}

/// A copy in memory.
pub(super) fn in_memory(bytes: &[u8]) -> Result<InMemoryBackend, EngineError> {
    let copy = InMemoryBackend::new();
    copy.set_len(bytes.len() as u64)?;
    copy.write(0, bytes)?;
    Ok(copy)
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

/// The log's file, and whether anything went wrong with it.
#[derive(Debug)]
pub(super) struct Watched {
    file: FileBackend,
    held: Held,
    failed: AtomicBool,
}

impl Watched {
    fn new(file: File, held: Held) -> Result<Watched, EngineError> {
        Ok(Watched { file: FileBackend::new(file)?, held, failed: false.into() })
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
        self.held.say(YES)
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
