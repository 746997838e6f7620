//! Whether what is read of the log is also on the disk.
//!
//! After a failed sync Linux counts what it could not write as written: it is read as before,
//! later syncs succeed, and the power takes it away. Whoever opens such a file can't tell. So a
//! note beside it says when something was written that no sync has made durable. A process that
//! met a failure, or was killed in a sync, leaves the note so, and the next start writes the whole
//! file anew before it builds on it. The note itself is never synced: where the power takes it,
//! the file holds nothing but what is on the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Bound;
use std::os::unix::fs::{FileExt, MetadataExt, fchown};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::error::EngineError;

const NAME: &str = "synced";
const YES: &[u8] = b"yes\n";
/// As long, so that one takes the other's place whole.
const NO: &[u8] = b"no!\n";
const PIECE_BYTES: usize = 1 << 20;

/// Opens the log, and writes it anew first where it may not be on the disk.
pub(super) fn open(path: &Path) -> Result<Watched, EngineError> {
    let mut note = Note::open(path)?;
    // Held until the new file is locked.
    let mut old = None;
    if note.says != Says::Synced {
        tracing::info!(
            "{}: it was in the midst of a write, and is written anew, as some of it may not be on \
             the disk",
            path.display()
        );
        old = Some(renew(path)?);
        note.renewed();
    }
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let watched = Watched::new(file, note)?;
    drop(old);
    Ok(watched)
}

/// A new file, to be written for the first time.
pub(super) fn create(path: &Path) -> Result<Watched, EngineError> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    let mut note = Note::open(path)?;
    note.renewed();
    Watched::new(file, note)
}

/// Puts a durable copy in the place of `path`, and returns the old file, locked.
fn renew(path: &Path) -> Result<File, EngineError> {
    let mut from = OpenOptions::new().read(true).write(true).open(path)?;
    from.try_lock().map_err(|error| match error {
        std::fs::TryLockError::WouldBlock => EngineError::InUse,
        std::fs::TryLockError::Error(error) => error.into(),
    })?;
    let unfinished = path.with_added_extension("new");
    let mut to = File::create(&unfinished)?;
    let owner = from.metadata()?;
    fchown(&to, Some(owner.uid()), Some(owner.gid()))?;
    to.set_permissions(owner.permissions())?;
    // By hand: `copy_file_range` may share what is on the disk, not what is read.
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match from.read(&mut piece)? {
            0 => break,
            length => to.write_all(&piece[..length])?,
        }
    }
    to.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput).map_err(io::Error::from)?;
    File::open(dir)?.sync_all()?;
    Ok(from)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Synced,
    Written,
    /// By a later sync too.
    Failed,
}

#[derive(Debug)]
struct Note {
    file: File,
    says: Says,
}

impl Note {
    /// The note beside the log at `path`. One that is not there, or is torn, says nothing good.
    fn open(path: &Path) -> io::Result<Note> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path.with_file_name(NAME))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let says = if text == YES { Says::Synced } else { Says::Written };
        Ok(Note { file, says })
    }

    fn renewed(&mut self) {
        self.says = Says::Written;
        self.synced();
    }

    fn written(&mut self) -> io::Result<()> {
        if self.says == Says::Synced {
            self.file.write_all_at(NO, 0)?;
            self.says = Says::Written;
        }
        Ok(())
    }

    fn synced(&mut self) {
        // Where it can't be written the log is written anew once more, without need.
        if self.says == Says::Written && self.file.write_all_at(YES, 0).is_ok() {
            self.says = Says::Synced;
        }
    }
}

/// The log's file, with the note kept true.
#[derive(Debug)]
pub(super) struct Watched {
    file: FileBackend,
    note: Mutex<Note>,
}

impl Watched {
    fn new(file: File, note: Note) -> Result<Watched, EngineError> {
        Ok(Watched { file: FileBackend::new(file)?, note: Mutex::new(note) })
    }

    fn note(&self) -> MutexGuard<'_, Note> {
        self.note.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageBackend for Watched {
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note().written()?;
        self.file.set_len(len)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note().written()?;
        self.file.write(offset, data)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut note = self.note();
        let result = self.file.sync_data();
        match result {
            Ok(()) => note.synced(),
            Err(_) => note.says = Says::Failed,
        }
        result
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
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
