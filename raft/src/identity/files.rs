//! Files that a crash leaves either old or new: never half.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

use super::Error;

/// Held for as long as it lives; a dead process holds nothing.
pub(super) type Lock = Flock<File>;

/// Make the directory, its parents too, for its owner alone.
pub(super) fn make_private_directory(dir: &Path) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(Error::io("create", dir))?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
        .map_err(Error::io("set the permissions of", dir))?;
    match dir.canonicalize().ok().as_deref().and_then(Path::parent) {
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}

/// Replace `dir/name`, for its owner's eyes only, and return once it would outlive a power loss.
pub(super) fn write(dir: &Path, name: &str, content: &[u8]) -> Result<(), Error> {
    let temporary = dir.join(format!(".{name}.tmp"));
    let path = dir.join(name);
    let written = write_new(&temporary, content).and_then(|()| fs::rename(&temporary, &path));
    if let Err(source) = written {
        // A remainder is overwritten by the next attempt; that it goes now is only tidy.
        let _tidied = fs::remove_file(&temporary);
        return Err(Error::Io { action: "write", path, source });
    }
    sync_directory(dir)
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()
}

fn sync_directory(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|open| open.sync_all()).map_err(Error::io("sync", dir))
}

pub(super) fn read(path: &Path) -> Result<String, Error> {
    match fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes)
            .map_err(|error| Error::damaged(path, format!("not text: {}", error.utf8_error()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Error::damaged(path, "it is missing"))
        }
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

/// A key that others could have copied is no key.
pub(super) fn read_secret(path: &Path) -> Result<String, Error> {
    let text = read(path)?;
    let mode = fs::metadata(path).map_err(Error::io("read", path))?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::Exposed { path: path.to_owned(), mode });
    }
    Ok(text)
}

/// Take `dir/lock` and leave our process id in it for whoever comes second.
pub(super) fn lock(dir: &Path) -> Result<Lock, Error> {
    let path = dir.join("lock");
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(Error::io("open", &path))?;
    let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
            let pid = fs::read_to_string(&path).unwrap_or_default();
            let pid = Some(pid.trim()).filter(|pid| !pid.is_empty()).unwrap_or("unknown");
            return Err(Error::InUse { dir: dir.to_owned(), pid: pid.to_owned() });
        }
        Err((_, errno)) => return Err(Error::io("lock", &path)(errno.into())),
    };
    lock.set_len(0)
        .and_then(|()| lock.write_all(format!("{}\n", std::process::id()).as_bytes()))
        .map_err(Error::io("write", &path))?;
    Ok(lock)
}
