//! How long an append takes until it is durable, and how many entries a second that makes; and what
//! as many bytes at the end of a file that grows take.
//!
//! `cargo bench -p leasehold-raft --bench store [-- DIR]`; the directory decides which disk.

#![expect(clippy::print_stdout, reason = "the figures are the output")]
#![expect(clippy::unwrap_used, reason = "a benchmark that can't go on has failed")]

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use leasehold_raft::state::{Command, Entry as StateEntry};
use leasehold_raft::store::open;
use leasehold_raft::{CommittedLeaderId, Entry, LogId, Proposal, Vote};
use openraft::EntryPayload;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};

const ENTRIES: u64 = 4000;

/// About 200 bytes as a record: a grant is a little less, a token a little more.
fn entry(index: u64) -> Entry {
    let command = Command::AddToken {
        hash: "0123456789abcdef".repeat(4),
        role: leasehold_raft::model::Role::Director,
        expires_unix_ms: 1_800_000_000_000,
    };
    let payload = EntryPayload::Normal(Proposal::new(StateEntry { at_unix_ms: index, command }));
    Entry { log_id: LogId::new(CommittedLeaderId { term: 1 }, index), payload }
}

fn main() {
    // Cargo passes `--bench`.
    let root = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let root = root.map_or_else(std::env::temp_dir, PathBuf::from);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!("{:>5} {:>9} {:>9} {:>11}", "batch", "p50 us", "p99 us", "entries/s");
    for batch in [1, 16] {
        let dir = tempfile::tempdir_in(&root).unwrap();
        let (times, all) = runtime.block_on(appends(dir.path(), batch));
        report(&batch.to_string(), times, all, ENTRIES);
    }
    let dir = tempfile::tempdir_in(&root).unwrap();
    let (times, all) = runtime.block_on(votes(dir.path()));
    report("vote", times, all, 500);
    let dir = tempfile::tempdir_in(&root).unwrap();
    let (times, all) = bare(dir.path());
    report("file", times, all, ENTRIES);
}

fn report(name: &str, mut times: Vec<Duration>, all: Duration, entries: u64) {
    times.sort();
    let at = |percent: usize| times[times.len() * percent / 100].as_micros();
    let rate = entries as f64 / all.as_secs_f64();
    println!("{name:>5} {:9} {:9} {rate:11.0}", at(50), at(99));
}

async fn appends(dir: &std::path::Path, batch: u64) -> (Vec<Duration>, Duration) {
    let mut opened = open(dir).unwrap();
    let mut times = Vec::new();
    let begun = Instant::now();
    for from in (0..ENTRIES).step_by(batch as usize) {
        let entries: Vec<Entry> = (from..from + batch).map(entry).collect();
        let sent = Instant::now();
        opened.log.blocking_append(entries).await.unwrap();
        times.push(sent.elapsed());
    }
    (times, begun.elapsed())
}

fn bare(dir: &std::path::Path) -> (Vec<Duration>, Duration) {
    let mut file = std::fs::File::create(dir.join("file")).unwrap();
    let mut times = Vec::new();
    let begun = Instant::now();
    for index in 0..ENTRIES {
        let record = serde_json::to_vec(&entry(index)).unwrap();
        let sent = Instant::now();
        file.write_all(&record).unwrap();
        file.sync_data().unwrap();
        times.push(sent.elapsed());
    }
    (times, begun.elapsed())
}

async fn votes(dir: &std::path::Path) -> (Vec<Duration>, Duration) {
    let mut opened = open(dir).unwrap();
    let mut times = Vec::new();
    let begun = Instant::now();
    for term in 0..500 {
        let sent = Instant::now();
        opened.log.save_vote(&Vote::new(term, 1)).await.unwrap();
        times.push(sent.elapsed());
    }
    (times, begun.elapsed())
}
