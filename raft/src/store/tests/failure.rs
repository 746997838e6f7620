//! A disk that fails: every promise after it is refused, and the operator is told why.

use std::io;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::*;
use crate::store::StoreError;
use crate::store::log::{Known, LogStore};
use crate::store::mark::Mark;

#[tokio::test]
async fn after_a_failed_write_nothing_is_promised_any_more() {
    let dir = tempfile::tempdir().unwrap();
    // Room for so many batches. An engine whose write failed must not be asked again: the underflow
    // would show it.
    let mut room = 3_u32;
    let engine = Writing(move |_: &[Op]| {
        room -= 1;
        match room {
            0 => Err(io::Error::from_raw_os_error(nix::libc::ENOSPC).into()),
            _ => Ok(()),
        }
    });
    let (mark, _) = Mark::open(dir.path()).unwrap();
    let path = dir.path().join("log");
    let mut log = LogStore::start(Box::new(engine), path, mark, Known::default()).unwrap();
    log.blocking_append([blank(1, 0)]).await.unwrap();
    log.blocking_append([blank(1, 1)]).await.unwrap();
    for index in 2..4 {
        let error = log.blocking_append([blank(1, index)]).await.unwrap_err().to_string();
        assert!(error.contains("No space left on device"), "{error}");
        assert!(error.contains("free space on this filesystem"), "{error}");
    }
    let error = log.save_vote(&crate::Vote::new(9, 1)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(log.get_log_reader().await.read_vote().await.unwrap(), None);
}

/// A small filesystem, gone again at the end.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        match mount(Some("none"), dir.path(), Some("tmpfs"), MsFlags::empty(), Some(options)) {
            Ok(()) => Some(Self(dir)),
            Err(nix::Error::EPERM | nix::Error::ENODEV) => {
                println!("skipped: mounting a tmpfs needs root");
                None
            }
            Err(error) => panic!("mounting a tmpfs: {error}"),
        }
    }

    fn make_read_only(&self) {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(None::<&str>, self.0.path(), None::<&str>, flags, None::<&str>).unwrap();
    }
}

impl Drop for Tmpfs {
    /// Out of sight at once, also where a test that failed still has files of it open.
    fn drop(&mut self) {
        umount2(self.0.path(), MntFlags::MNT_DETACH).expect("it was mounted");
    }
}

#[tokio::test]
async fn a_full_disk_ends_in_an_error_that_says_so_and_loses_nothing() {
    let Some(disk) = Tmpfs::mount("size=3m") else { return };
    let dir = disk.0.path();
    let mut opened = open(dir).unwrap();
    let mut kept = 0;
    let error = loop {
        match opened.log.blocking_append([long(1, kept, 30_000)]).await {
            Ok(()) => kept += 1,
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("No space left on device"), "{error}");
    drop(opened);

    let error = open(dir).err();
    let full = |error: &StoreError| matches!(error, StoreError::Io { .. });
    assert!(error.as_ref().is_none_or(full), "{error:?}");
    // The operator makes room.
    let more = Some("size=30m");
    mount(None::<&str>, dir, None::<&str>, MsFlags::MS_REMOUNT, more).unwrap();
    let mut opened = open(dir).unwrap();
    let entries = read_all(&mut opened).await;
    assert!(entries.len() as u64 >= kept, "{} of {kept}", entries.len());
}

#[test]
fn a_read_only_disk_is_refused_by_name() {
    for made_before in [true, false] {
        let Some(disk) = Tmpfs::mount("size=9m") else { return };
        if made_before {
            drop(open(disk.0.path()).unwrap());
        }
        disk.make_read_only();
        let error = open(disk.0.path()).err().unwrap().to_string();
        assert!(error.contains("mount the filesystem writable"), "{error}");
    }
}
