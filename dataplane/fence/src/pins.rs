//! The directory on the BPF file system that outlives the process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use crate::FenceError;
use crate::layout::{DIRECTORY, LINKS};

const BPFFS: &str = "/sys/fs/bpf";

/// Makes sure that `pin_dir` can hold pins.
///
/// It mounts nothing: what a process mounts in a mount namespace of its own goes with that
/// namespace, and the fence with it, just when it is needed.
pub(crate) fn prepare(pin_dir: &Path) -> Result<(), FenceError> {
    if pin_dir.file_name().is_none_or(|name| name.to_string_lossy().contains('.')) {
        return Err(FenceError::DottedName { path: pin_dir.to_path_buf() });
    }
    let root = Path::new(BPFFS);
    if pin_dir.starts_with(root) && !is_bpffs(root) {
        return Err(FenceError::NotMounted { path: root.to_path_buf() });
    }
    let existing = pin_dir.ancestors().find(|path| path.exists());
    if !existing.is_some_and(is_bpffs) {
        return Err(FenceError::NotBpffs { path: pin_dir.to_path_buf() });
    }
    let links = pin_dir.join(DIRECTORY).join(LINKS);
    fs::create_dir_all(&links).map_err(|source| FenceError::Pin {
        action: "create",
        path: links,
        source,
    })
}

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|fs| fs.filesystem_type() == BPF_FS_MAGIC)
}

/// Directories of other layouts, left by another version.
pub(crate) fn other_layouts(pin_dir: &Path) -> Result<Vec<PathBuf>, FenceError> {
    let mut others = entries(pin_dir)?;
    others.retain(|path| path.is_dir() && path.file_name().is_some_and(|name| name != DIRECTORY));
    Ok(others)
}

/// Removes a directory of pins: first the links, so that no program outlives the maps' names.
pub(crate) fn remove(directory: &Path) -> Result<(), FenceError> {
    let failed =
        |source| FenceError::Pin { action: "remove", path: directory.to_path_buf(), source };
    // Not `remove_dir_all`: it asks for what the BPF file system does not do on older kernels.
    for path in entries(directory)? {
        if path.is_dir() {
            remove(&path)?;
        } else {
            gone(fs::remove_file(&path)).map_err(failed)?;
        }
    }
    gone(fs::remove_dir(directory)).map_err(failed)
}

/// What is in a directory; nothing where there is none. Directories come first.
pub(crate) fn entries(directory: &Path) -> Result<Vec<PathBuf>, FenceError> {
    let failed = |source| FenceError::Pin { action: "read", path: directory.to_path_buf(), source };
    let listed = match fs::read_dir(directory) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in listed {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort_by_key(|path| !path.is_dir());
    Ok(paths)
}

/// A removal that someone else has done is done.
pub(crate) fn gone(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
