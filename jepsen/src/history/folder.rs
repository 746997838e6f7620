//! The folder that a run leaves behind: the one place where histories meet the disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Final, LineError, Observations, Op, Setup, from_lines, to_edn, to_lines};

/// A kept run, by its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(PathBuf);

/// What stands between a folder and its run.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("{}: {error}: is it the folder of a run?", path.display())]
    Disk { path: PathBuf, error: io::Error },
    #[error("{}: {error}", path.display())]
    Line { path: PathBuf, error: LineError },
    #[error("{}: {error}", path.display())]
    Json { path: PathBuf, error: serde_json::Error },
}

impl Folder {
    /// Where the files are, or will be.
    pub fn new(path: impl Into<PathBuf>) -> Folder {
        Folder(path.into())
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `setup.json`.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn write_setup(&self, setup: &Setup) -> Result<(), FolderError> {
        self.write_json("setup.json", setup)
    }

    /// `history.jsonl`, and `history.edn` for Jepsen's tools.
    ///
    /// # Errors
    /// Where one can't be written.
    pub fn write_history(&self, history: &[Op]) -> Result<(), FolderError> {
        self.write("history.jsonl", &to_lines(history))?;
        self.write("history.edn", &to_edn(history))
    }

    /// `observations.jsonl`.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn write_observations(&self, seen: &Observations) -> Result<(), FolderError> {
        self.write("observations.jsonl", &seen.to_lines())
    }

    /// `final.json`.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn write_final(&self, end: &Final) -> Result<(), FolderError> {
        self.write_json("final.json", end)
    }

    /// Any other file: a report, a log.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn write(&self, name: &str, text: &str) -> Result<(), FolderError> {
        let path = self.0.join(name);
        let disk = |error| FolderError::Disk { path: path.clone(), error };
        fs::create_dir_all(&self.0).map_err(disk)?;
        fs::write(&path, text).map_err(disk)
    }

    /// # Errors
    /// Where it can't be read.
    pub fn setup(&self) -> Result<Setup, FolderError> {
        self.read_json("setup.json")
    }

    /// # Errors
    /// Where it can't be read, naming the line.
    pub fn history(&self) -> Result<Vec<Op>, FolderError> {
        let (path, text) = self.read("history.jsonl")?;
        from_lines(&text).map_err(|error| FolderError::Line { path, error })
    }

    /// # Errors
    /// Where it can't be read, naming the line.
    pub fn observations(&self) -> Result<Observations, FolderError> {
        let (path, text) = self.read("observations.jsonl")?;
        Observations::from_lines(&text).map_err(|error| FolderError::Line { path, error })
    }

    /// `None` where the run ended before it was taken.
    ///
    /// # Errors
    /// Where it is there and can't be read.
    pub fn end(&self) -> Result<Option<Final>, FolderError> {
        match self.read_json("final.json") {
            Ok(end) => Ok(Some(end)),
            Err(FolderError::Disk { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), FolderError> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| FolderError::Json { path: self.0.join(name), error })?;
        self.write(name, &text)
    }

    fn read(&self, name: &str) -> Result<(PathBuf, String), FolderError> {
        let path = self.0.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok((path, text)),
            Err(error) => Err(FolderError::Disk { path, error }),
        }
    }

    fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, FolderError> {
        let (path, text) = self.read(name)?;
        serde_json::from_str(&text).map_err(|error| FolderError::Json { path, error })
    }
}
