//! Which services of the kernel are ours: noted before they are in the kernel.
//!
//! The kernel keeps no owner with a service. What a dead daemon left, and the configuration no
//! longer names, is found here, by the next daemon and by the guard.
//!
//! A crash of the daemon loses nothing that was written, and after a crash of the machine nothing
//! is in the kernel: so nothing waits for the disk. What the disk refuses is kept in memory and
//! tried again.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use leasehold_dataplane_core::service::Key;

/// What may be in the kernel on our account.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    home: String,
    keys: BTreeSet<Key>,
    has_sync: bool,
    /// The disk has something else.
    dirty: bool,
}

/// Another boot's kernel has none of what is written here.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Nor has another network namespace.
const NAMESPACE: &str = "/proc/self/ns/net";

/// The line of the sync daemon, which is no service.
const SYNC: &str = "sync daemon";

impl Journal {
    /// Reads the journal at `path`; empty where there is none, or only that of an earlier boot or
    /// of another network namespace. One that makes no sense is told of and counts as empty.
    ///
    /// # Errors
    /// Where `/proc` tells neither the boot nor the network namespace.
    pub fn open(path: &Path) -> io::Result<Self> {
        let home = home()?;
        let mut journal = Self {
            path: path.to_owned(),
            home,
            keys: BTreeSet::new(),
            has_sync: false,
            dirty: false,
        };
        let name = path.display();
        match fs::read(path) {
            Ok(bytes) => {
                journal.dirty = !journal.take(&String::from_utf8_lossy(&bytes));
                if journal.dirty {
                    tracing::warn!("{name}: lines of it are no services: what they said is lost");
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!("{name}: {error}: which services are ours is not known");
                journal.dirty = true;
            }
        }
        Ok(journal)
    }

    /// False where something of it makes no sense.
    fn take(&mut self, text: &str) -> bool {
        let Some((home, rest)) = text.split_once('\n') else { return text.is_empty() };
        if home != self.home {
            return true;
        }
        let mut sensible = true;
        for line in rest.lines() {
            match line.parse() {
                Ok(key) => drop(self.keys.insert(key)),
                Err(()) if line == SYNC => self.has_sync = true,
                Err(()) => sensible = false,
            }
        }
        sensible
    }

    #[must_use]
    pub fn keys(&self) -> &BTreeSet<Key> {
        &self.keys
    }

    /// Whether the sync daemon of this kernel is ours.
    #[must_use]
    pub fn has_sync(&self) -> bool {
        self.has_sync
    }

    /// Replaces the services, in memory and where it is written, before this returns.
    ///
    /// # Errors
    /// Where the disk refuses. The next call tries again, also with the same services.
    pub fn write(&mut self, keys: BTreeSet<Key>) -> io::Result<()> {
        self.dirty |= keys != self.keys;
        self.keys = keys;
        self.settle()
    }

    /// Notes that the sync daemon is ours, or is no more: as [`Journal::write`] does services.
    ///
    /// # Errors
    /// Where the disk refuses. The next call tries again.
    pub fn note_sync(&mut self, ours: bool) -> io::Result<()> {
        self.dirty |= ours != self.has_sync;
        self.has_sync = ours;
        self.settle()
    }

    fn settle(&mut self) -> io::Result<()> {
        let is_empty = self.keys.is_empty() && !self.has_sync;
        if !self.dirty && (is_empty || self.path.exists()) {
            return Ok(());
        }
        self.dirty = true;
        let mut text = format!("{}\n", self.home);
        if self.has_sync {
            text.push_str(SYNC);
            text.push('\n');
        }
        for key in &self.keys {
            text.push_str(&key.to_string());
            text.push('\n');
        }
        let new = self.path.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(&new, &self.path)?;
        self.dirty = false;
        Ok(())
    }
}

/// The kernel whose services these are: this boot, and this network namespace.
fn home() -> io::Result<String> {
    let boot = fs::read_to_string(BOOT_ID)?;
    let namespace = fs::read_link(NAMESPACE)?;
    Ok(format!("{} {}", boot.trim(), namespace.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(all: &[&str]) -> BTreeSet<Key> {
        all.iter().map(|one| one.parse().expect("a service")).collect()
    }

    fn reopened(path: &Path) -> Journal {
        Journal::open(path).expect("it never fails for what is written")
    }

    #[test]
    fn what_was_written_is_read_in_this_boot_and_namespace_only() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("services");
        let mut journal = reopened(&path);
        assert_eq!(journal.keys().len(), 0);
        let written = keys(&["-t 10.0.0.1:80", "-u [fd00::1]:53", "-f 7 -6"]);
        journal.write(written.clone()).expect("a disk");
        assert_eq!(reopened(&path).keys(), &written);
        let text = fs::read_to_string(&path).expect("readable");
        let boot = text.split(' ').next().expect("a boot id");
        fs::write(&path, text.replace(boot, "another-boot")).expect("writable");
        assert_eq!(reopened(&path).keys().len(), 0);
        fs::write(&path, text.replace("net:[", "net:[1")).expect("writable");
        assert_eq!(reopened(&path).keys().len(), 0, "a container that was made anew");
    }

    #[test]
    fn the_sync_daemon_is_remembered_beside_the_services() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("services");
        let mut journal = reopened(&path);
        journal.note_sync(true).expect("a disk");
        journal.write(keys(&["-t 10.0.0.1:80"])).expect("a disk");
        let mut again = reopened(&path);
        assert_eq!((again.has_sync(), again.keys().len()), (true, 1));
        again.note_sync(false).expect("a disk");
        assert!(!reopened(&path).has_sync());
    }

    #[test]
    fn a_disk_that_refuses_takes_no_service_away_and_is_tried_again() {
        let folder = tempfile::tempdir().expect("a directory");
        let directory = folder.path().join("data");
        let path = directory.join("services");
        let mut journal = reopened(&path);
        let written = keys(&["-t 10.0.0.1:80"]);
        journal.write(written.clone()).expect_err("there is no such directory");
        assert_eq!(journal.keys(), &written);
        fs::create_dir(&directory).expect("a disk");
        journal.write(written.clone()).expect("the disk is there again");
        assert_eq!(reopened(&path).keys(), &written);
        fs::remove_file(&path).expect("by hand");
        journal.write(written.clone()).expect("a disk");
        assert_eq!(reopened(&path).keys(), &written, "deleted by hand");
    }

    #[test]
    fn one_that_makes_no_sense_stops_nothing() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("services");
        for nonsense in [&b""[..], b"\xff\xfe\0\n\xff", b"no end of line"] {
            fs::write(&path, nonsense).expect("writable");
            assert_eq!(reopened(&path).keys().len(), 0, "{nonsense:?}");
        }
        let text = format!("{}\n-t 10.0.0.1:80\nnonsense\n", home().expect("/proc"));
        fs::write(&path, text).expect("writable");
        let mut journal = reopened(&path);
        assert_eq!(journal.keys(), &keys(&["-t 10.0.0.1:80"]), "what makes sense counts");
        journal.write(keys(&["-t 10.0.0.1:80"])).expect("a disk");
        assert!(!fs::read_to_string(&path).expect("readable").contains("nonsense"));
        fs::remove_file(&path).expect("ours");
        fs::create_dir(&path).expect("ours");
        let mut journal = reopened(&path);
        assert_eq!(journal.keys().len(), 0, "what can't be read");
        journal.write(keys(&["-f 1"])).expect_err("it is in the way");
        assert_eq!(journal.keys().len(), 1);
    }
}
