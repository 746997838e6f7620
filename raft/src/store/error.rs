//! What can be wrong with a store, told so that an operator knows what to do.

use std::io;
use std::path::{Path, PathBuf};

/// What to do about a store that can no longer be trusted.
const REJOIN: &str = "keep the directory for inspection, run `leasehold member remove NAME` \
     on a healthy member, then join again with a new token into an empty data directory";

const REBOOT: &str = "reboot the machine and start again, as what is read may not be what is on \
     the disk; if it is damaged then too, keep the directory for inspection, run `leasehold member \
     remove NAME` on a healthy member, then join again with a new token into an empty data directory";

const OTHER_VERSION: &str = "start the version of leasehold that wrote it, or keep the directory, \
     run `leasehold member remove NAME` on a healthy member and join again with a new token into \
     an empty data directory";

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{}: the store is damaged: {what}; {todo}", path.display())]
    Damaged { path: PathBuf, what: String, todo: &'static str },
    #[error(
        "{}: this log was written by sled, which this version can't read; {OTHER_VERSION}",
        path.display()
    )]
    Sled { path: PathBuf },
    #[error("{}: there is no store here: use `leasehold init` or `leasehold join` first", dir.display())]
    Missing { dir: PathBuf },
    #[error("{}: the store is in use: stop the other leasehold process of this data directory first", path.display())]
    InUse { path: PathBuf },
    #[error("{}: cannot {action}: {source}; {}", path.display(), hint(source))]
    Io {
        path: PathBuf,
        action: &'static str,
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    pub(super) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into(), todo: REJOIN }
    }

    /// That the disk may hold something better.
    pub(super) fn of_what_is_read(mut self) -> Self {
        if let Self::Damaged { todo, .. } = &mut self
            && *todo == REJOIN
        {
            *todo = REBOOT;
        }
        self
    }

    pub(super) fn newer(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into(), todo: OTHER_VERSION }
    }

    pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, action, source }
    }

    pub(super) fn engine(
        path: &Path,
        action: &'static str,
    ) -> impl FnOnce(EngineError) -> Self + use<> {
        let path = path.to_owned();
        move |error| match error {
            EngineError::Io(source) => Self::Io { path, action, source },
            EngineError::Corrupt(what) => Self::damaged(&path, what),
            EngineError::Doubtful(what) => Self::damaged(&path, what).of_what_is_read(),
            EngineError::InUse => Self::InUse { path },
        }
    }
}

/// What an [`Engine`](super::Engine) call came to grief on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("{0}; {hint}", hint = hint(.0))]
    Io(#[from] io::Error),
    #[error("the store is damaged: {0}; {REJOIN}")]
    Corrupt(String),
    /// What is read is damaged, and may not be what is on the disk.
    #[error("the store is damaged: {0}; {REBOOT}")]
    Doubtful(String),
    #[error("the store is in use by another process")]
    InUse,
}

impl EngineError {
    /// In the form openraft takes. It ends the Raft instance, and with it the process.
    pub(super) fn into_io(self, path: &Path, action: &str) -> io::Error {
        let kind = match &self {
            Self::Io(source) => source.kind(),
            Self::Corrupt(_) | Self::Doubtful(_) => io::ErrorKind::InvalidData,
            Self::InUse => io::ErrorKind::ResourceBusy,
        };
        io::Error::new(kind, format!("{}: cannot {action}: {self}", path.display()))
    }
}

fn hint(error: &io::Error) -> &'static str {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the kinds of error are not ours")]
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free space on this filesystem, then start again"
        }
        io::ErrorKind::ReadOnlyFilesystem => "mount the filesystem writable, then start again",
        io::ErrorKind::PermissionDenied => {
            "start as the owner of the data directory, or give it to the user leasehold runs as"
        }
        io::ErrorKind::NotFound => "check --data-dir",
        _ => "check the disk and the kernel's log, then start again",
    }
}
