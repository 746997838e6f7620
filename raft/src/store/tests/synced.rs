//! What a start does about a log that may not be on the disk.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use super::*;
use crate::store::{StoreError, last_state};

const NOTE: &str = "raft/synced";
const LOG: &str = "raft/log.redb";

fn file_of(dir: &Path) -> u64 {
    fs::metadata(dir.join(LOG)).unwrap().ino()
}

fn note(dir: &Path) -> String {
    fs::read_to_string(dir.join(NOTE)).unwrap()
}

const IN_USE: &str = "no!\n";

#[test]
fn a_log_is_written_anew_only_where_it_was_not_closed_in_good_order() {
    in_a_directory(async |dir| {
        let entries: Vec<_> = (0..50).map(|index| long(1, index, 2000)).collect();
        let mut opened = open(dir).unwrap();
        append(&mut opened, entries.clone()).await;
        assert_eq!(note(dir), IN_USE);
        let file = file_of(dir);
        let opened = reopen(opened, dir);
        assert_eq!(file_of(dir), file, "it was closed in good order");
        drop(opened);
        assert_eq!(note(dir), "yes\n");

        for said in [IN_USE, "no", "ye", "yes\nand more", ""] {
            fs::write(dir.join(NOTE), said).unwrap();
            // As a renewal leaves it that was cut short itself.
            fs::write(dir.join("raft/log.redb.new"), b"half of a log").unwrap();
            let file = file_of(dir);
            let mut opened = open(dir).unwrap();
            assert_ne!(file_of(dir), file, "{said:?}");
            assert!(!dir.join("raft/log.redb.new").exists());
            assert_eq!(read_all(&mut opened).await, entries);
            drop(opened);
            assert_eq!(note(dir), "yes\n");
        }
        fs::remove_file(dir.join(NOTE)).unwrap();
        let file = file_of(dir);
        drop(open(dir).unwrap());
        assert_ne!(file_of(dir), file);
    });
}

#[test]
fn a_copy_belongs_to_whom_the_log_belonged() {
    in_a_directory(async |dir| {
        drop(open(dir).unwrap());
        let log = dir.join(LOG);
        fs::set_permissions(&log, fs::Permissions::from_mode(0o640)).unwrap();
        // Root alone can give a file away.
        let given = chown(&log, Some(1234), Some(1234)).is_ok();
        fs::remove_file(dir.join(NOTE)).unwrap();
        drop(open(dir).unwrap());
        let copy = fs::metadata(&log).unwrap();
        assert_eq!(copy.mode() & 0o777, 0o640);
        assert!(!given || (copy.uid(), copy.gid()) == (1234, 1234));
    });
}

#[test]
fn what_is_read_and_not_whole_takes_the_place_of_nothing() {
    in_a_directory(async |dir| {
        let mut opened = open(dir).unwrap();
        append(&mut opened, (0..50).map(|index| long(1, index, 2000))).await;
        drop(opened);
        let log = dir.join(LOG);
        let mut bytes = fs::read(&log).unwrap();
        let end = bytes.len();
        bytes[4096..end].fill(0x5a);
        fs::write(&log, bytes).unwrap();
        fs::write(dir.join(NOTE), IN_USE).unwrap();
        let file = file_of(dir);
        let why = open(dir).err().unwrap().to_string();
        assert!(why.contains("damaged") && why.contains("reboot the machine"), "{why}");
        assert_eq!(file_of(dir), file);
        assert!(!dir.join("raft/log.redb.new").exists());
        assert_eq!(note(dir), IN_USE);
    });
}

/// An older log in its place is whole in itself: the mark alone tells.
#[test]
fn a_log_that_fell_back_takes_the_place_of_nothing() {
    in_a_directory(async |dir| {
        let mut opened = open(dir).unwrap();
        append(&mut opened, [blank(1, 0)]).await;
        drop(opened);
        let older = fs::read(dir.join(LOG)).unwrap();
        let mut opened = open(dir).unwrap();
        append(&mut opened, [blank(1, 1)]).await;
        drop(opened);
        fs::write(dir.join(LOG), older).unwrap();
        fs::write(dir.join(NOTE), IN_USE).unwrap();
        let file = file_of(dir);
        let why = open(dir).err().unwrap().to_string();
        assert!(why.contains("fell back") && why.contains("reboot the machine"), "{why}");
        assert_eq!((file_of(dir), note(dir).as_str()), (file, IN_USE));
    });
}

#[test]
fn a_log_in_use_is_left_alone() {
    in_a_directory(async |dir| {
        let opened = open(dir).unwrap();
        let file = file_of(dir);
        assert!(matches!(open(dir), Err(StoreError::InUse { .. })));
        assert!(matches!(last_state(dir).await, Err(StoreError::InUse { .. })));
        assert_eq!((file_of(dir), note(dir).as_str()), (file, IN_USE));
        drop(opened);
    });
}

#[test]
fn whoever_only_looks_changes_nothing() {
    in_a_directory(async |dir| {
        drop(open(dir).unwrap());
        fs::write(dir.join(NOTE), IN_USE).unwrap();
        let before = (file_of(dir), fs::read(dir.join(LOG)).unwrap());
        last_state(dir).await.unwrap();
        assert_eq!((file_of(dir), fs::read(dir.join(LOG)).unwrap()), before);
        assert_eq!(note(dir), IN_USE);
        fs::remove_file(dir.join(NOTE)).unwrap();
        last_state(dir).await.unwrap();
        assert!(!dir.join(NOTE).exists());
    });
}
