//! A store that can't be trusted is refused, with what to do, and not changed.

use std::fs;
use std::path::PathBuf;

use openraft::storage::RaftLogStorage;

use super::*;
use crate::store::engine::{Engine, Meta, Op};
use crate::store::frame;
use crate::store::open::log_path;
use crate::store::{RedbEngine, StoreError, exists, open_existing};

/// Makes a store with 40 entries and a vote, and returns where its log is.
async fn fill(dir: &Path) -> PathBuf {
    let mut opened = open(dir).unwrap();
    opened.log.save_vote(&crate::Vote::new(4, 1)).await.unwrap();
    for index in 0..40 {
        append(&mut opened, [long(1, index, 150)]).await;
    }
    opened.log.save_committed(Some(id(1, 39))).await.unwrap();
    log_path(&dir.join("raft"))
}

fn refusal(dir: &Path) -> String {
    let error = open_existing(dir).err().expect("a damaged store was opened");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("leasehold member remove NAME"), "{text}");
    text
}

/// Writes to the log behind the store's back.
async fn tamper(dir: &Path, ops: &[Op]) -> String {
    let path = fill(dir).await;
    RedbEngine::open(&path).unwrap().write(ops).unwrap();
    refusal(dir)
}

#[test]
fn a_wrong_checksum_is_damage() {
    in_a_directory(async |dir| {
        let mut record = frame::encode(&blank(1, 12)).unwrap();
        *record.last_mut().unwrap() ^= 1;
        let text = tamper(dir, &[Op::Append { index: 12, record }]).await;
        assert!(text.contains("entry 12: its checksum is wrong"), "{text}");
    });
}

#[test]
fn an_entry_in_the_wrong_place_is_damage() {
    in_a_directory(async |dir| {
        let record = frame::encode(&blank(1, 13)).unwrap();
        let text = tamper(dir, &[Op::Append { index: 12, record }]).await;
        assert!(text.contains("entry 12 calls itself entry 13"), "{text}");
    });
}

#[test]
fn a_hole_in_the_log_is_damage() {
    in_a_directory(async |dir| {
        let record = frame::encode(&blank(1, 41)).unwrap();
        let text = tamper(dir, &[Op::Append { index: 41, record }]).await;
        assert!(text.contains("hole in the log: entry 41 comes where 40 should"), "{text}");
    });
}

#[test]
fn a_log_that_lost_its_beginning_is_damage() {
    in_a_directory(async |dir| {
        let text = tamper(dir, &[Op::PurgeUpTo(5)]).await;
        assert!(text.contains("entry 6 comes where 0 should"), "{text}");
    });
}

#[test]
fn a_log_that_ends_before_what_was_committed_is_damage() {
    in_a_directory(async |dir| {
        let text = tamper(dir, &[Op::TruncateFrom(30)]).await;
        assert!(text.contains("the log ends at entry 29 of term 1 and was committed"), "{text}");
    });
}

#[test]
fn an_unknown_format_is_refused_and_its_version_named() {
    in_a_directory(async |dir| {
        let mut record = frame::encode(&1).unwrap();
        record[0] = 9;
        frame::seal(&mut record);
        let text = tamper(dir, &[Op::Put(Meta::Format, record)]).await;
        assert!(text.contains("the format record has format 9"), "{text}");
        assert!(text.contains("start the version of leasehold that wrote it"), "{text}");
    });
}

#[test]
fn a_snapshot_that_is_damaged_or_gone_is_damage() {
    in_a_directory(async |dir| {
        let mut opened = open(dir).unwrap();
        append(&mut opened, (0..9).map(|index| blank(1, index))).await;
        snapshot(&mut opened, (0..9).map(|index| blank(1, index))).await;
        opened.log.purge(id(1, 8)).await.unwrap();
        drop(opened);
        let file = dir.join("raft/snapshot");
        let whole = fs::read(&file).unwrap();

        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 16;
        fs::write(&file, &flipped).unwrap();
        assert!(refusal(dir).contains("the snapshot: its checksum is wrong"));
        fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        assert!(refusal(dir).contains("bytes long instead of"));
        fs::remove_file(&file).unwrap();
        assert!(refusal(dir).contains("the snapshot ends at nothing"));
    });
}

#[test]
fn a_snapshot_without_its_log_is_damage_and_no_new_log_is_made() {
    in_a_directory(async |dir| {
        let mut opened = open(dir).unwrap();
        snapshot(&mut opened, [blank(1, 0)]).await;
        drop(opened);
        let path = log_path(&dir.join("raft"));
        fs::rename(&path, dir.join("elsewhere")).unwrap();
        let error = open(dir).err().unwrap();
        assert!(error.to_string().contains("the log is gone"), "{error}");
        assert!(!path.exists());
    });
}

#[test]
fn an_older_copy_of_the_log_is_told_from_the_newest() {
    in_a_directory(async |dir| {
        let path = fill(dir).await;
        let older = fs::read(&path).unwrap();
        // Only the mark knows of this vote.
        let mut opened = open(dir).unwrap();
        opened.log.save_vote(&crate::Vote::new(5, 1)).await.unwrap();
        drop(opened);
        let newest = fs::read(&path).unwrap();

        fs::write(&path, older).unwrap();
        assert!(refusal(dir).contains("it fell back to batch 42, and batch 43 was written"));
        fs::write(&path, newest).unwrap();
        drop(open_existing(dir).unwrap());
    });
}

/// Nobody may take such a directory for a new one: a member would vote twice in a term.
#[test]
fn a_log_that_sled_wrote_is_refused_and_nothing_is_made_beside_it() {
    in_a_directory(async |dir| {
        let sled = dir.join("raft/log.sled");
        fs::create_dir_all(&sled).unwrap();
        fs::write(sled.join("db"), b"anything").unwrap();
        let asked = [open(dir).map(drop), open_existing(dir).map(drop), exists(dir).map(drop)];
        for refused in asked.map(Result::unwrap_err) {
            assert!(matches!(refused, StoreError::Sled { .. }), "{refused}");
            let text = refused.to_string();
            assert!(text.starts_with(&format!("{}: ", sled.display())), "{text}");
            assert!(text.contains("leasehold member remove NAME"), "{text}");
            assert!(!text.contains('\n'), "{text}");
        }
        assert_eq!(fs::read_dir(dir.join("raft")).unwrap().count(), 1);
        assert_eq!(fs::read(sled.join("db")).unwrap(), b"anything");
    });
}

#[test]
fn a_log_that_sled_wrote_is_refused_also_beside_one_of_redb() {
    in_a_directory(async |dir| {
        let whole = fs::read(fill(dir).await).unwrap();
        fs::create_dir(dir.join("raft/log.sled")).unwrap();
        let refused = open(dir).err().unwrap();
        assert!(matches!(refused, StoreError::Sled { .. }), "{refused}");
        assert_eq!(fs::read(dir.join("raft/log.redb")).unwrap(), whole);
    });
}

/// Flips bits all over the engine's own file. Whatever is opened must be what was written: the
/// damage hit nothing in use. Everything else must be refused, never shortened in silence.
#[test]
fn a_bit_flipped_anywhere_is_refused_or_harmless() {
    in_a_directory(async |dir| {
        let path = fill(dir).await;
        let whole = fs::read(&path).unwrap();
        let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
        let (mut refused, mut by_mark, mut harmless, step) = (0, 0, 0, used / 150);
        for offset in (0..used).step_by(step) {
            let copy = tempfile::tempdir().unwrap();
            copy_all(dir, copy.path());
            let mut flipped = whole.clone();
            flipped[offset] ^= 1 << (offset % 8);
            fs::write(copy.path().join(path.strip_prefix(dir).unwrap()), flipped).unwrap();
            match open_existing(copy.path()) {
                Err(StoreError::Damaged { what, .. }) => {
                    refused += 1;
                    by_mark += u32::from(what.contains("fell back"));
                }
                Err(error) => panic!("offset {offset}: {error}"),
                Ok(mut opened) => {
                    let entries = read_all(&mut opened).await;
                    let expected: Vec<_> = (0..40).map(|index| long(1, index, 150)).collect();
                    assert!(entries == expected, "offset {offset}: {}", entries.len());
                    harmless += 1;
                }
            }
        }
        println!("{refused} refused ({by_mark} by the mark), {harmless} harmless");
    });
}

#[test]
fn an_emptied_or_shortened_file_is_damage() {
    in_a_directory(async |dir| {
        let path = fill(dir).await;
        let whole = fs::read(&path).unwrap();
        let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
        for length in [used / 2, used / 10, 100, 0] {
            fs::write(&path, &whole[..length]).unwrap();
            println!("cut to {length}: {}", refusal(dir));
        }
    });
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
