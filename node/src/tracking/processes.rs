//! How many processes of each tracked kind run, from /proc.
//!
//! What counts is always a scan of the whole table. Where the kernel tells of processes that come
//! and go (`events`), a scan follows what concerns us; without, and against what was missed, there
//! is one every second.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use leasehold_node_core::tracking::ProcessName;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::Observed;
use super::events::{Event, Events};

const RESCAN: Duration = Duration::from_secs(1);

/// From one scan to the next, however many events there are.
const SCAN_AFTER: Duration = Duration::from_millis(20);

/// Of a command line.
const COMMAND_MAX: u64 = 64 * 1024;

pub(super) type Names = BTreeMap<String, ProcessName>;
type Counts = BTreeMap<String, u32>;

/// Tells how many there are, at once and whenever that changes.
pub(super) async fn watch(task: u64, names: Names, tell: mpsc::Sender<Observed>) {
    let names = Arc::new(names);
    let mut events = Events::open();
    let mut known: Option<Counts> = None;
    // The kernel tells of an end before the table shows it.
    let mut ended = BTreeSet::new();
    loop {
        let begun = Instant::now();
        let (all, without) = (names.clone(), std::mem::take(&mut ended));
        // Where a process hangs in the kernel, so may whoever asks for its command line.
        let scanned = tokio::task::spawn_blocking(move || scan(&all, &without)).await;
        let Ok((counts, pids)) = scanned else { return };
        if known.as_ref() != Some(&counts) {
            known = Some(counts.clone());
            if tell.send(Observed::Processes { task, counts }).await.is_err() {
                return;
            }
        }
        let concerns = async {
            loop {
                let event = events.next().await;
                let concerns = match event {
                    Event::Forked { parent } => pids.contains(&parent),
                    Event::Ended { pid } => pids.contains(&pid) && ended.insert(pid),
                    Event::Renamed { pid } => pids.contains(&pid) || matches_any(pid, &names),
                    Event::Lost => true,
                };
                if concerns {
                    return;
                }
            }
        };
        if tokio::time::timeout_at(begun + RESCAN, concerns).await.is_ok() {
            sleep_until(begun + SCAN_AFTER).await;
        }
    }
}

/// How many of each there are, and which processes these are.
fn scan(names: &Names, without: &BTreeSet<u32>) -> (Counts, BTreeSet<u32>) {
    let mut counts: Counts = names.keys().map(|name| (name.clone(), 0)).collect();
    let mut pids = BTreeSet::new();
    let full = names.values().any(ProcessName::is_full);
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for pid in all.filter(|pid| !without.contains(pid)) {
        let Some((comm, command)) = look(pid, full) else { continue };
        for (name, wanted) in names {
            if wanted.matches(&comm, &command) {
                *counts.entry(name.clone()).or_default() += 1;
                pids.insert(pid);
            }
        }
    }
    (counts, pids)
}

fn matches_any(pid: u32, names: &Names) -> bool {
    // A command line may keep its reader waiting: with one that is asked for, scan.
    if names.values().any(ProcessName::is_full) {
        return true;
    }
    look(pid, false).is_some_and(|(comm, _)| names.values().any(|one| one.matches(&comm, &[])))
}

/// The kernel's name for it, and its command line where that is asked for. None: it is gone, or
/// a zombie, which is as good as gone.
fn look(pid: u32, full: bool) -> Option<(Vec<u8>, Vec<u8>)> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let (comm, state) = parse(&stat)?;
    if matches!(state, b'Z' | b'X') {
        return None;
    }
    let mut command = Vec::new();
    if full {
        let file = fs::File::open(format!("/proc/{pid}/cmdline")).ok()?;
        file.take(COMMAND_MAX).read_to_end(&mut command).ok()?;
    }
    Some((comm.to_vec(), command))
}

/// Name and state: `PID (NAME) STATE ...`, where the name may hold blanks and parentheses.
fn parse(stat: &[u8]) -> Option<(&[u8], u8)> {
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    Some((stat.get(open + 1..close)?, *stat.get(close + 2)?))
}
