//! A mounted layer, used as a program would: needs root and /dev/fuse.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use super::*;
use crate::owner::next_number;

/// Many times what any of it takes.
const SOON: Duration = Duration::from_secs(20);

fn disk() -> (PathBuf, Disk) {
    let name = format!("leasehold-lab-{}-layer-{}", Owner::this().tag(), next_number());
    let at = std::env::temp_dir().join(name);
    let disk = Disk::make(Make::Layer, at.clone(), 8).expect("root, and /dev/fuse");
    (at, disk)
}

fn written(path: &Path, text: &[u8]) -> File {
    let mut file = File::create(path).expect("a new file");
    file.write_all(text).expect("room");
    file
}

fn gone(at: &Path, disk: Disk) {
    drop(disk);
    assert!(fs::read_dir(at).expect("the directory").next().is_none(), "it is unmounted");
    fs::remove_dir(at).expect("it is empty");
}

#[test]
fn a_power_cut_takes_what_was_not_synced_and_nothing_else() {
    let (at, disk) = disk();
    let path = at.join("log");
    let mut file = written(&path, b"synced");
    file.sync_data().expect("a sync");
    File::open(&at).expect("the root").sync_all().expect("a sync of the names");
    file.write_all(b", and not").expect("room");
    drop(written(&at.join("unnamed"), b"x"));
    assert_eq!(fs::read(&path).expect("the file"), b"synced, and not");
    drop(file);
    assert_eq!(disk.cut(Unsynced::Lost).expect("a layer"), 10);
    assert_eq!(fs::read(&path).expect("the file"), b"synced");
    assert!(!at.join("unnamed").exists());
    gone(&at, disk);
}

#[test]
fn syncs_and_reads_fail_for_as_long_as_they_are_told_to() {
    let (at, disk) = disk();
    let path = at.join("log");
    let file = written(&path, b"text");
    disk.fail_syncs(Syncs::Fail).expect("a layer");
    let error = file.sync_all().expect_err("a sync that fails");
    assert_eq!(error.raw_os_error(), Some(nix::libc::EIO));
    assert_eq!(disk.fail_syncs(Syncs::Work).expect("a layer"), 1);
    disk.fail_reads(true).expect("a layer");
    let error = fs::read(&path).expect_err("a read that fails");
    assert_eq!(error.raw_os_error(), Some(nix::libc::EIO));
    disk.fail_reads(false).expect("a layer");
    file.sync_all().expect("a sync");
    assert_eq!(fs::read(&path).expect("the file"), b"text");
    drop(file);
    gone(&at, disk);
}

#[test]
fn a_slow_sync_keeps_nobody_from_reading_and_a_caught_one_ends_with_the_cut() {
    let (at, disk) = disk();
    let path = at.join("log");
    let file = written(&path, b"text");
    let take = Duration::from_millis(200);
    disk.slow_syncs(take).expect("a layer");
    let begun = Instant::now();
    file.sync_all().expect("a sync");
    assert!(begun.elapsed() >= take);
    disk.slow_syncs(Duration::ZERO).expect("a layer");
    File::open(&at).expect("the root").sync_all().expect("a sync of the names");
    let mut file = OpenOptions::new().append(true).open(&path).expect("the file");
    let (tell, told) = sync_channel(1);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            file.write_all(b" at stake").expect("room");
            tell.send(file.sync_all()).expect("somebody waits");
        });
        disk.catch_a_sync().expect("a sync");
        assert_eq!(fs::read(&path).expect("a read meanwhile"), b"text at stake");
        assert_eq!(disk.cut(Unsynced::Lost).expect("a layer"), 9);
        let error = told.recv_timeout(SOON).expect("an answer").expect_err("a sync cut off");
        assert_eq!(error.raw_os_error(), Some(nix::libc::EIO));
    });
    assert_eq!(fs::read(&path).expect("the file"), b"text");
    gone(&at, disk);
}

#[test]
fn sockets_locks_and_whole_directories_work_and_a_full_disk_says_so() {
    let (at, disk) = disk();
    let inside = at.join("data");
    fs::create_dir_all(inside.join("raft")).expect("directories");
    let listener = UnixListener::bind(inside.join("control.sock")).expect("a socket");
    let mut client = UnixStream::connect(inside.join("control.sock")).expect("its listener");
    let (mut server, _) = listener.accept().expect("the client");
    client.write_all(b"x").expect("a connection");
    server.read_exact(&mut [0]).expect("a byte");
    let lock = File::create(inside.join("lock")).expect("a new file");
    lock.try_lock().expect("nobody has it");
    assert!(File::open(inside.join("lock")).expect("the file").try_lock().is_err());
    disk.fill().expect("a layer");
    let mut file = File::create(inside.join("more")).expect("a name needs no room");
    let error = file.write_all(b"x").expect_err("no room");
    assert_eq!(error.raw_os_error(), Some(nix::libc::ENOSPC));
    disk.free().expect("a layer");
    file.write_all(b"x").expect("room");
    drop((listener, client, server, lock, file));
    fs::remove_dir_all(&inside).expect("all of it goes");
    gone(&at, disk);
}
