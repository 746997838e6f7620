//! Acknowledged is durable: through kill -9, and through a power cut at any instant.
//!
//! The test binary runs itself as the process that writes. For the power cut it runs under a
//! recording shim, and what a disk may hold after each instant is built from the record: a disk
//! that forgets, reorders and tears all that was not synced.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]
#![expect(clippy::print_stdout, reason = "the writer speaks to its killer on stdout")]

mod promises;
mod trace;
mod writer;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use promises::Promises;
use tempfile::TempDir;
use trace::{Dice, Event};

const KILLS: u64 = 40;

/// Runs this binary's [`writes_until_it_is_killed`] on `dir`.
fn writer(dir: &Path, steps: usize, seed: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "writes_until_it_is_killed", "--nocapture", "--test-threads=1"])
        .env("CRASH_WRITER", format!("{steps} {seed}"))
        .env("CRASH_STORE", dir)
        .stdout(Stdio::piped());
    command
}

/// The body of the child process; nothing to do in the parent.
#[test]
fn writes_until_it_is_killed() {
    let Ok(orders) = std::env::var("CRASH_WRITER") else { return };
    let dir = PathBuf::from(std::env::var_os("CRASH_STORE").unwrap());
    let (steps, seed) = orders.split_once(' ').unwrap();
    let (steps, dice) = (steps.parse().unwrap(), Dice(seed.parse().unwrap()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(writer::write(&dir, steps, dice));
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Kills the writer after it said so many lines, wherever it has got to by then; returns all it
/// said.
fn kill_later(mut child: Child, dice: &mut Dice) -> String {
    let mut said = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..10 + dice.roll(300) {
        stdout.read_line(&mut said).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    stdout.read_to_string(&mut said).unwrap();
    said
}

#[test]
fn promises_are_kept_through_kill_9() {
    let dir = TempDir::new().unwrap();
    let mut promises = Promises::default();
    for seed in 0..KILLS {
        let child = writer(dir.path(), usize::MAX, seed).spawn().unwrap();
        promises.hear(&kill_later(child, &mut Dice(seed)));
        block_on(promises.check(dir.path())).unwrap_or_else(|lost| panic!("kill {seed}: {lost}"));
    }
    assert!(promises.terms.len() > 100, "{} entries prove little", promises.terms.len());
}

/// Lets a writer work to its end under the shim; returns where it worked and what it did.
fn record(steps: usize, seed: u64) -> (PathBuf, Vec<Event>) {
    let tools = TempDir::new().unwrap();
    let shim = tools.path().join("shim.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/shim.c");
    let mut cc = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    let made = cc.args(["-shared", "-fPIC", "-O1", source, "-lpthread", "-o"]).arg(&shim).status();
    assert!(made.expect("this test needs a C compiler: install gcc").success());
    let store = tools.path().join("store");
    std::fs::create_dir(&store).unwrap();
    let store = store.canonicalize().unwrap();
    let trace = tools.path().join("trace");
    let status = writer(&store, steps, seed)
        .env("LD_PRELOAD", &shim)
        .env("CRASH_DIR", &store)
        .env("CRASH_TRACE", &trace)
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    (store, trace::read(&trace))
}

fn heard(events: &[Event]) -> Promises {
    let said = |event: &Event| match event {
        Event::Say { text } => Some(text.clone()),
        Event::Write { .. }
        | Event::Truncate { .. }
        | Event::SyncBegin { .. }
        | Event::SyncEnd { .. }
        | Event::Create { .. }
        | Event::Mkdir { .. }
        | Event::Rename { .. }
        | Event::Unlink { .. } => None,
    };
    let mut promises = Promises::default();
    promises.hear(&events.iter().filter_map(said).collect::<String>());
    promises
}

/// `POWER_CUTS=9000 cargo test ...` for a long night.
fn power_cuts() -> u64 {
    std::env::var("POWER_CUTS").map_or(300, |number| number.parse().unwrap())
}

#[test]
fn promises_are_kept_through_power_cuts() {
    for trace_seed in 0..3 {
        let (root, events) = record(60, trace_seed);
        for seed in 0..power_cuts() / 3 {
            let mut dice = Dice(seed);
            let until = dice.roll(events.len() + 1);
            let disk = TempDir::new().unwrap();
            trace::power_cut(&events[..until], &root, disk.path(), &mut dice);
            block_on(heard(&events[..until]).check(disk.path())).unwrap_or_else(|lost| {
                let total = events.len();
                panic!("trace {trace_seed}, seed {seed}, event {until}/{total}: {lost}");
            });
        }
    }
}

/// Judges the judge: syncs that a disk confirms and does not do must cost promises.
#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let (root, mut events) = record(40, 0);
    let begun = events
        .iter()
        .position(|event| matches!(event, Event::Say { text } if text.contains("ack")));
    let honest = events.split_off(begun.unwrap());
    events.extend(honest.into_iter().filter(|event| !matches!(event, Event::SyncEnd { .. })));
    let broken = (0..20).filter(|seed| {
        let mut dice = Dice(*seed);
        let until = events.len() / 2 + dice.roll(events.len() / 2);
        let disk = TempDir::new().unwrap();
        trace::power_cut(&events[..until], &root, disk.path(), &mut dice);
        block_on(heard(&events[..until]).check(disk.path())).is_err()
    });
    let broken = broken.count();
    println!("lies cost promises in {broken} of 20 power cuts");
    assert!(broken >= 5, "lies went unnoticed in {} of 20 power cuts", 20 - broken);
}
