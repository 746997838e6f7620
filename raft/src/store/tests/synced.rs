//! What a start does about a log that may not be on the disk.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::store::StoreError;

const NOTE: &str = "raft/synced";
const LOG: &str = "raft/log.redb";

fn file_of(dir: &Path) -> u64 {
    fs::metadata(dir.join(LOG)).unwrap().ino()
}

#[test]
fn a_log_is_written_anew_only_where_a_write_was_cut_short() {
    in_a_directory(async |dir| {
        let entries: Vec<_> = (0..50).map(|index| long(1, index, 2000)).collect();
        let mut opened = open(dir).unwrap();
        append(&mut opened, entries.clone()).await;
        assert_eq!(fs::read(dir.join(NOTE)).unwrap(), b"yes\n", "while it runs and writes nothing");
        let file = file_of(dir);
        let opened = reopen(opened, dir);
        assert_eq!(file_of(dir), file, "it was closed in good order");
        drop(opened);
        for note in [Some(b"no!\n".as_slice()), Some(b"ye"), Some(b""), None] {
            match note {
                Some(note) => fs::write(dir.join(NOTE), note).unwrap(),
                None => fs::remove_file(dir.join(NOTE)).unwrap(),
            }
            // As a renewal leaves it that was cut short itself.
            fs::write(dir.join("raft/log.redb.new"), b"half of a log").unwrap();
            let file = file_of(dir);
            let mut opened = open(dir).unwrap();
            assert_ne!(file_of(dir), file, "{note:?}");
            assert!(!dir.join("raft/log.redb.new").exists());
            assert_eq!(read_all(&mut opened).await, entries);
            drop(opened);
            assert_eq!(fs::read(dir.join(NOTE)).unwrap(), b"yes\n");
        }
    });
}

#[test]
fn a_copy_belongs_to_whom_the_log_belonged() {
    in_a_directory(async |dir| {
        drop(open(dir).unwrap());
        let log = dir.join(LOG);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o640);
        fs::set_permissions(&log, mode).unwrap();
        fs::remove_file(dir.join(NOTE)).unwrap();
        let owner = |log: &Path| {
            let it = fs::metadata(log).unwrap();
            (it.uid(), it.gid(), it.mode())
        };
        let before = owner(&log);
        drop(open(dir).unwrap());
        assert_eq!(owner(&log), before);
    });
}

#[test]
fn a_log_in_use_is_left_alone() {
    in_a_directory(async |dir| {
        let opened = open(dir).unwrap();
        let file = file_of(dir);
        fs::write(dir.join(NOTE), b"no!\n").unwrap();
        assert!(matches!(open(dir), Err(StoreError::InUse { .. })));
        assert_eq!(file_of(dir), file);
        drop(opened);
    });
}
