//! The numbers in tracked files: read when their directories say that something happened.
//!
//! Directories are watched, not files: a file may be missing, or be replaced by a rename. Once a
//! second the watches are set anew, which costs nothing where they stand, and finds directories
//! that came, went, or lie behind a symbolic link that was changed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use leasehold_model::TrackFile;
use leasehold_node_core::tracking::number;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use tokio::sync::mpsc;

use super::Observed;

/// In milliseconds.
const REWATCH: u16 = 1000;

/// What keepalived reads of a file.
const BYTES_MAX: u64 = 127;

type Values = BTreeMap<String, i64>;

/// Reads `files` and tells what is in them, at once and whenever it changes. Those in `first`
/// are written before where their definition says so.
///
/// Every round blocks, and a file server may make it long: then nobody else waits for it, and
/// the files are what they were.
pub(super) async fn watch(
    task: u64,
    files: BTreeMap<String, TrackFile>,
    first: BTreeSet<String>,
    tell: mpsc::Sender<Observed>,
) {
    let begin = tokio::task::spawn_blocking(move || {
        let named = first.iter().filter_map(|name| files.get_key_value(name));
        named.for_each(initialise);
        let mut watches = Watches::open();
        watches.set(files.values());
        let values = read_all(&files, &Values::new());
        (files, watches, values)
    });
    let Ok((mut files, mut watches, mut known)) = begin.await else { return };
    loop {
        let values = known.clone();
        if tell.send(Observed::Files { task, values }).await.is_err() {
            return;
        }
        let mut values = known.clone();
        while values == known {
            let round = tokio::task::spawn_blocking(move || {
                let named = watches.wait();
                let changed = watches.set(files.values()) || named;
                let values = if changed { read_all(&files, &values) } else { values };
                (files, watches, values)
            });
            let Ok(done) = round.await else { return };
            (files, watches, values) = done;
        }
        known = values;
    }
}

struct Watches {
    /// Absent: there are none to be had, and files are read once a second.
    inotify: Option<Inotify>,
    set: BTreeSet<WatchDescriptor>,
    /// What the files are called in their directories.
    names: BTreeSet<OsString>,
}

impl Watches {
    fn open() -> Self {
        let inotify =
            Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).inspect_err(|error| {
                tracing::warn!(
                    %error,
                    "no inotify: tracked files are read once a second; raise \
                     fs.inotify.max_user_instances"
                );
            });
        Self { inotify: inotify.ok(), set: BTreeSet::new(), names: BTreeSet::new() }
    }

    /// Watches the directories that the files are in now. Says whether these are others than
    /// before, so that something may have been missed.
    fn set<'a>(&mut self, files: impl Iterator<Item = &'a TrackFile>) -> bool {
        let Some(inotify) = &self.inotify else { return true };
        let mask = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_ONLYDIR;
        let mut set = BTreeSet::new();
        let mut missing = false;
        self.names.clear();
        for file in files {
            let written = PathBuf::from(&file.file);
            for path in [written.canonicalize().ok(), Some(written)].into_iter().flatten() {
                self.names.extend(path.file_name().map(ToOwned::to_owned));
                match path.parent().map(|folder| inotify.add_watch(folder, mask)) {
                    Some(Ok(watch)) => {
                        set.insert(watch);
                    }
                    // A directory that is not there has no file. One that can't be watched,
                    // because the limit is reached, is read every time.
                    Some(Err(Errno::ENOENT | Errno::ENOTDIR)) | None => {}
                    Some(Err(_)) => missing = true,
                }
            }
        }
        for gone in self.set.difference(&set) {
            // With its directory, a watch goes by itself.
            let _ = inotify.rm_watch(*gone);
        }
        let others = set != self.set;
        self.set = set;
        others || missing
    }

    /// Waits until something may have happened, a second at most. Says whether it has to one of
    /// the names.
    fn wait(&self) -> bool {
        let watched = self.inotify.as_ref().map(|one| PollFd::new(one.as_fd(), PollFlags::POLLIN));
        let mut watched: Vec<_> = watched.into_iter().collect();
        // An interruption only makes the round shorter.
        let _ = poll(&mut watched, REWATCH);
        let events = self.inotify.as_ref().and_then(|one| one.read_events().ok());
        events.iter().flatten().any(|event| match &event.name {
            Some(name) => self.names.contains(name),
            // Events were lost, or a directory was.
            None => true,
        })
    }
}

/// keepalived's `init_file`, once for each file.
fn initialise((name, file): (&String, &TrackFile)) {
    let Some(value) = file.init else { return };
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).mode(0o644);
    let opened = if file.overwrite {
        options.create(true).truncate(true).open(&file.file)
    } else {
        options.create_new(true).open(&file.file)
    };
    match opened.and_then(|mut open| writeln!(open, "{value}")) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            tracing::warn!(file = %name, path = %file.file, %error, "it can't be initialised");
        }
    }
}

/// What is no number for us stays what it was.
fn read_all(files: &BTreeMap<String, TrackFile>, last: &Values) -> Values {
    let value = |(name, file): (&String, &TrackFile)| {
        let last = last.get(name).copied().unwrap_or(0);
        (name.clone(), read(Path::new(&file.file)).unwrap_or(last))
    };
    files.iter().map(value).collect()
}

/// A file that is not there has 0. None: what it has now can't be told.
fn read(path: &Path) -> Option<i64> {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let mut text = Vec::new();
    match opened.and_then(|file| file.take(BYTES_MAX).read_to_end(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "a tracked file keeps its number");
            return None;
        }
    }
    number(&String::from_utf8_lossy(&text))
}
