//! The snapshot: one file, replaced as a whole.
//!
//! It is a frame like a log entry's, and is sent to other members as it lies on disk, so that a
//! bit flipped on either disk or on the way is found by whoever installs it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use leasehold_raft_core::state::State;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::frame::{self, Broken};
use crate::SnapshotMeta;

const NAME: &str = "snapshot";
const UNFINISHED: &str = "snapshot.new";

/// What a snapshot holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) meta: SnapshotMeta,
    pub(super) state: State,
}

impl Content {
    /// Opens a snapshot that came from elsewhere.
    pub(super) fn decode(frame: &[u8]) -> io::Result<Self> {
        frame::decode(frame).map_err(|broken| {
            io::Error::new(io::ErrorKind::InvalidData, format!("the snapshot: {broken}"))
        })
    }
}

/// The snapshot file of one store.
#[derive(Debug)]
pub(super) struct SnapshotFile {
    dir: PathBuf,
    /// What the file holds.
    pub(super) meta: Option<SnapshotMeta>,
}

impl SnapshotFile {
    pub(super) fn path_in(dir: &Path) -> PathBuf {
        dir.join(NAME)
    }

    /// Opens the file, if there is one.
    pub(super) fn open(dir: &Path) -> Result<(Self, Option<Content>), StoreError> {
        let path = Self::path_in(dir);
        let frame = match fs::read(&path) {
            Ok(frame) => frame,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((Self { dir: dir.to_owned(), meta: None }, None));
            }
            Err(error) => return Err(StoreError::io(&path, "read the snapshot")(error)),
        };
        let content: Content = frame::decode(&frame).map_err(|broken| match broken {
            Broken::Version(_) => StoreError::newer(&path, format!("the snapshot has {broken}")),
            Broken::Damaged(what) => StoreError::damaged(&path, format!("the snapshot: {what}")),
        })?;
        let file = Self { dir: dir.to_owned(), meta: Some(content.meta.clone()) };
        Ok((file, Some(content)))
    }

    /// Puts `content` in the place of what is there, unless that is newer: a build that was
    /// overtaken by an installation must not undo it. Returns what `content` is as a file.
    pub(super) fn replace(&mut self, content: &Content) -> io::Result<Vec<u8>> {
        let frame = frame::encode(content)?;
        let newest = self.meta.as_ref().and_then(|meta| meta.last_log_id);
        if content.meta.last_log_id < newest {
            return Ok(frame);
        }
        self.write(&frame).map_err(|error| {
            let path = Self::path_in(&self.dir);
            io::Error::new(error.kind(), format!("{}: cannot write: {error}", path.display()))
        })?;
        self.meta = Some(content.meta.clone());
        Ok(frame)
    }

    fn write(&self, frame: &[u8]) -> io::Result<()> {
        let unfinished = self.dir.join(UNFINISHED);
        let mut file = File::create(&unfinished)?;
        file.write_all(frame)?;
        file.sync_all()?;
        fs::rename(&unfinished, Self::path_in(&self.dir))?;
        // The new name must be durable before the log that it replaces is purged.
        File::open(&self.dir)?.sync_all()
    }

    pub(super) fn read(&self) -> io::Result<Option<(SnapshotMeta, Vec<u8>)>> {
        let Some(meta) = &self.meta else { return Ok(None) };
        let frame = fs::read(Self::path_in(&self.dir))?;
        Content::decode(&frame)?;
        Ok(Some((meta.clone(), frame)))
    }
}
