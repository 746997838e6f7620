//! What root runs, only root may be able to change (keepalived's `enable_script_security`).

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// As the kernel's (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Why root does not run it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsafe {
    #[error(
        "root does not run what others can change: {} belongs to user {owner}; give it to root \
         (chown root), or let the script run as another user (`user`, `script_user`)",
        path.display()
    )]
    Owner { path: PathBuf, owner: u32 },
    #[error(
        "root does not run what others can change: {} is writable by {who}; take that away \
         (chmod go-w), or let the script run as another user (`user`, `script_user`)",
        path.display()
    )]
    Writable { path: PathBuf, who: &'static str },
    #[error("{}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("more than {LINKS_MAX} symbolic links: name the program itself")]
    Links,
}

/// Walks the way that the kernel takes, links included: each step must be root's alone. Gives
/// the path without links, which nobody but root can make mean anything else afterwards.
pub(super) fn check(path: &Path) -> Result<PathBuf, Unsafe> {
    let mut resolved = PathBuf::from("/");
    step(&resolved)?;
    let mut ahead: Vec<OsString> = steps(path);
    let mut links = 0;
    while let Some(next) = ahead.pop() {
        if next == ".." {
            resolved.pop();
            continue;
        }
        let at = resolved.join(&next);
        if !step(&at)?.is_symlink() {
            resolved = at;
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(Unsafe::Links);
        }
        let target = fs::read_link(&at);
        let target = target.map_err(|error| Unsafe::Unreadable { path: at, error })?;
        if target.is_absolute() {
            resolved = PathBuf::from("/");
        }
        ahead.extend(steps(&target));
    }
    Ok(resolved)
}

/// The last one first.
fn steps(path: &Path) -> Vec<OsString> {
    let named = path.components().rev().filter_map(|one| match one {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    named.collect()
}

fn step(path: &Path) -> Result<fs::FileType, Unsafe> {
    let found = fs::symlink_metadata(path);
    let found = found.map_err(|error| Unsafe::Unreadable { path: path.to_owned(), error })?;
    let path = path.to_owned();
    if found.uid() != 0 {
        return Err(Unsafe::Owner { path, owner: found.uid() });
    }
    // A link's own mode says nothing: it is changed by whoever may write to its directory.
    if !found.is_symlink() {
        if found.mode() & 0o002 != 0 {
            return Err(Unsafe::Writable { path, who: "everyone" });
        }
        // Also where that is root's: the bits may be the mask of an access control list.
        if found.mode() & 0o020 != 0 {
            return Err(Unsafe::Writable { path, who: "its group" });
        }
    }
    Ok(found.file_type())
}
