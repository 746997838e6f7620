//! What was written is there after closing and opening.

use openraft::storage::{RaftLogReader, RaftLogStorage, RaftStateMachine};

use super::*;
use crate::Vote;
use crate::store::{StoreError, exists, open_existing};

#[test]
fn vote_log_and_committed_survive() {
    in_a_directory(async |dir| {
        let mut opened = open(dir).unwrap();
        let vote = Vote::new(3, 7);
        opened.log.save_vote(&vote).await.unwrap();
        let entries: Vec<_> = (0..50).map(|index| long(1, index, 20)).collect();
        append(&mut opened, entries.clone()).await;
        opened.log.save_committed(Some(id(1, 40))).await.unwrap();

        let mut opened = reopen(opened, dir);
        assert_eq!(read_all(&mut opened).await, entries);
        assert_eq!(opened.log.get_log_reader().await.read_vote().await.unwrap(), Some(vote));
        assert_eq!(opened.log.read_committed().await.unwrap(), Some(id(1, 40)));
        assert_eq!(opened.log.get_log_state().await.unwrap().last_log_id, Some(id(1, 49)));
    });
}

#[test]
fn entries_are_readable_before_they_are_durable() {
    in_a_directory(async |dir| {
        let mut opened = open(dir).unwrap();
        for index in 0..100 {
            opened
                .log
                .append([blank(1, index)], openraft::storage::IOFlushed::noop())
                .await
                .unwrap();
            let read =
                opened.log.get_log_reader().await.try_get_log_entries(index..).await.unwrap();
            assert_eq!(read, [blank(1, index)]);
        }
    });
}

#[test]
fn entries_that_memory_has_let_go_of_are_read_from_disk() {
    in_a_directory(async |dir| {
        let mut opened = open(dir).unwrap();
        let entries: Vec<_> = (0..3000).map(|index| blank(1, index)).collect();
        append(&mut opened, entries.clone()).await;
        assert_eq!(read_all(&mut opened).await, entries);
        let mut reader = opened.log.get_log_reader().await;
        assert_eq!(reader.try_get_log_entries(5..8).await.unwrap(), entries[5..8]);
        assert!(!reader.limited_get_log_entries(0, 3000).await.unwrap().is_empty());
    });
}

#[test]
fn a_truncated_tail_stays_gone() {
    in_a_directory(async |dir| {
        let mut opened = open(dir).unwrap();
        append(&mut opened, (0..20).map(|index| long(1, index, 9000))).await;
        opened.log.truncate_after(Some(id(1, 9))).await.unwrap();
        append(&mut opened, [blank(2, 10)]).await;

        let mut opened = reopen(opened, dir);
        let read = read_all(&mut opened).await;
        assert_eq!(read.len(), 11);
        assert_eq!(read[10], blank(2, 10));

        opened.log.truncate_after(None).await.unwrap();
        let mut opened = reopen(opened, dir);
        assert_eq!(read_all(&mut opened).await, []);
        assert_eq!(opened.log.get_log_state().await.unwrap().last_log_id, None);
    });
}

#[test]
fn a_purge_survives_and_the_log_goes_on_after_it() {
    in_a_directory(async |dir| {
        let mut opened = open(dir).unwrap();
        append(&mut opened, (0..30).map(|index| blank(1, index))).await;
        snapshot(&mut opened, (0..30).map(|index| blank(1, index))).await;
        opened.log.purge(id(1, 20)).await.unwrap();

        let mut opened = reopen(opened, dir);
        let state = opened.log.get_log_state().await.unwrap();
        assert_eq!(state.last_purged_log_id, Some(id(1, 20)));
        assert_eq!(state.last_log_id, Some(id(1, 29)));
        assert_eq!(read_all(&mut opened).await.len(), 9);

        opened.log.purge(id(1, 29)).await.unwrap();
        let mut opened = reopen(opened, dir);
        assert_eq!(opened.log.get_log_state().await.unwrap().last_log_id, Some(id(1, 29)));
        append(&mut opened, [blank(2, 30)]).await;
        let mut opened = reopen(opened, dir);
        assert_eq!(read_all(&mut opened).await, [blank(2, 30)]);
    });
}

#[test]
fn a_snapshot_is_what_a_restart_begins_from() {
    in_a_directory(async |dir| {
        let mut opened = open(dir).unwrap();
        let entries = [blank(1, 0), long(1, 1, 4), long(1, 2, 4)];
        append(&mut opened, entries.clone()).await;
        snapshot(&mut opened, entries).await;
        let state = opened.state.borrow().clone();
        assert_eq!(state.tokens.len(), 2);

        let mut opened = reopen(opened, dir);
        assert_eq!(*opened.state.borrow(), state);
        assert_eq!(opened.state_machine.applied_state().await.unwrap().0, Some(id(1, 2)));
        let current = opened.state_machine.get_current_snapshot().await.unwrap().unwrap();

        // Another member installs it.
        let other = tempfile::tempdir().unwrap();
        let mut follower = open(other.path()).unwrap();
        follower.state_machine.install_snapshot(&current.meta, current.snapshot).await.unwrap();
        assert_eq!(*follower.state.borrow(), state);
        follower.log.purge(id(1, 2)).await.unwrap();
        let follower = reopen(follower, other.path());
        assert_eq!(*follower.state.borrow(), state);
    });
}

#[test]
fn a_snapshot_with_a_flipped_bit_is_not_installed() {
    in_a_directory(async |dir| {
        let mut opened = open(dir).unwrap();
        snapshot(&mut opened, [blank(1, 0), long(1, 1, 4)]).await;
        let before = opened.state.borrow().clone();
        let mut current = opened.state_machine.get_current_snapshot().await.unwrap().unwrap();
        let middle = current.snapshot.len() / 2;
        current.snapshot[middle] ^= 4;
        opened
            .state_machine
            .install_snapshot(&current.meta, current.snapshot)
            .await
            .expect_err("its checksum is wrong");
        assert_eq!(*opened.state.borrow(), before);
    });
}

#[test]
fn a_configuration_of_a_megabyte_is_one_entry_like_any_other() {
    in_a_directory(async |dir| {
        let mut opened = open(dir).unwrap();
        let entries: Vec<_> = (0..5).map(|index| long(1, index, 1 << 20)).collect();
        append(&mut opened, entries.clone()).await;
        let mut opened = reopen(opened, dir);
        assert_eq!(read_all(&mut opened).await, entries);
    });
}

#[test]
fn a_hole_is_never_written() {
    in_a_directory(async |dir| {
        let mut opened = open(dir).unwrap();
        append(&mut opened, [blank(1, 0)]).await;
        let gap = opened.log.append([blank(1, 2)], openraft::storage::IOFlushed::noop()).await;
        assert_eq!(gap.unwrap_err().to_string(), "entry 2 may not follow entry 0");
    });
}

#[test]
fn only_open_makes_a_store() {
    in_a_directory(async |dir| {
        assert!(matches!(open_existing(dir), Err(StoreError::Missing { .. })));
        assert!(!exists(dir).unwrap());
        drop(open(dir).unwrap());
        assert!(exists(dir).unwrap());
        drop(open_existing(dir).unwrap());
    });
}

#[test]
fn a_store_is_opened_once_at_a_time() {
    in_a_directory(async |dir| {
        let opened = open(dir).unwrap();
        let second = open(dir).err().unwrap();
        assert!(matches!(second, StoreError::InUse { .. }), "{second}");
        drop(opened);
        drop(open(dir).unwrap());
    });
}

#[test]
fn a_crash_while_the_store_is_made_leaves_nothing_in_the_way() {
    in_a_directory(async |dir| {
        let root = dir.join("raft");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("log.redb.new"), b"half").unwrap();
        drop(open(dir).unwrap());
    });
}
