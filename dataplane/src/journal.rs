//! Which services of the kernel are ours: on disk before they are in the kernel.
//!
//! The kernel keeps no owner with a service. What a dead daemon left, and the configuration no
//! longer names, is found here, by the next daemon and by the guard.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use leasehold_dataplane_core::service::Key;

/// The services that may be in the kernel on our account.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    keys: BTreeSet<Key>,
}

/// Another boot's kernel has none of what is written here.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl Journal {
    /// Reads the journal at `path`; empty where there is none, or only an earlier boot's.
    ///
    /// # Errors
    /// Where it is there and can't be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut lines = text.lines();
        let current = lines.next() == Some(boot()?.as_str());
        let keys = lines.filter_map(|line| line.parse().ok()).filter(|_| current).collect();
        Ok(Self { path: path.to_owned(), keys })
    }

    #[must_use]
    pub fn keys(&self) -> &BTreeSet<Key> {
        &self.keys
    }

    /// Replaces what is written, before this returns.
    ///
    /// # Errors
    /// Where the disk refuses; the journal is as it was.
    pub fn write(&mut self, keys: BTreeSet<Key>) -> io::Result<()> {
        if keys == self.keys {
            return Ok(());
        }
        let mut text = boot()?;
        for key in &keys {
            text.push('\n');
            text.push_str(&key.to_string());
        }
        text.push('\n');
        let new = self.path.with_extension("new");
        let mut file = fs::File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        if let Some(directory) = self.path.parent() {
            fs::File::open(directory)?.sync_all()?;
        }
        self.keys = keys;
        Ok(())
    }
}

fn boot() -> io::Result<String> {
    Ok(fs::read_to_string(BOOT_ID)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(all: &[&str]) -> BTreeSet<Key> {
        all.iter().map(|one| one.parse().expect("a service")).collect()
    }

    #[test]
    fn what_was_written_is_read_in_this_boot_only() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("services");
        let mut journal = Journal::open(&path).expect("none yet");
        assert_eq!(journal.keys().len(), 0);
        let written = keys(&["-t 10.0.0.1:80", "-u [fd00::1]:53", "-f 7 -6"]);
        journal.write(written.clone()).expect("a disk");
        assert_eq!(Journal::open(&path).expect("readable").keys(), &written);
        let text = fs::read_to_string(&path).expect("readable");
        let older = text.replace(&boot().expect("a boot id"), "another-boot");
        fs::write(&path, older).expect("writable");
        assert_eq!(Journal::open(&path).expect("readable").keys().len(), 0);
    }
}
