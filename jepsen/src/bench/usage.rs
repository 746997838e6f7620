//! What processes cost, as the kernel keeps account of it in /proc.

use std::collections::BTreeMap;

use leasehold_lab::{LabError, Process, Result, now_ns};

/// The kernel's unit of CPU time in /proc, on every architecture that Linux has today.
const TICKS_PER_SECOND: f64 = 100.0;

/// The CPU time that a program and its descendants have used, up to an instant.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    at_ns: u64,
    ticks: BTreeMap<i32, u64>,
}

impl Meter {
    pub(super) fn start(process: &Process) -> Meter {
        // The search takes longer than the reading.
        let (tree, at_ns) = (process.tree(), now_ns());
        // A process that ends meanwhile is in its parent's account from then on.
        let one = |pid| Some((pid, ticks_with_ended(pid).ok()?));
        Meter { at_ns, ticks: tree.into_iter().filter_map(one).collect() }
    }

    /// Percent of one CPU since the start, scripts that came and went included.
    pub(super) fn cpu_percent(&self, process: &Process) -> f64 {
        let now = Meter::start(process);
        100.0 * self.seconds_until(&now) / ((now.at_ns - self.at_ns) as f64 / 1e9)
    }

    /// Of CPU time since the start, likewise.
    pub(super) fn cpu_seconds(&self, process: &Process) -> f64 {
        self.seconds_until(&Meter::start(process))
    }

    fn seconds_until(&self, now: &Meter) -> f64 {
        let used = |(pid, ticks): (&i32, &u64)| {
            ticks.saturating_sub(self.ticks.get(pid).copied().unwrap_or(0))
        };
        now.ticks.iter().map(used).sum::<u64>() as f64 / TICKS_PER_SECOND
    }
}

/// The resident memory of a program and its descendants.
pub(super) fn tree_rss_mib(process: &Process) -> f64 {
    process.tree().into_iter().filter_map(|pid| rss_mib(pid).ok()).sum()
}

/// The open descriptors of a program and its descendants.
pub(super) fn tree_descriptors(process: &Process) -> usize {
    let of = |pid: i32| std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    process.tree().into_iter().map(of).sum()
}

/// User and system time of a process, in ticks of 10 ms (proc(5), fields 14 and 15).
pub(super) fn ticks(pid: i32) -> Result<u64> {
    Ok(times(pid)?[..2].iter().sum())
}

/// The same with its children that have ended (fields 16 and 17).
fn ticks_with_ended(pid: i32) -> Result<u64> {
    Ok(times(pid)?.iter().sum())
}

fn times(pid: i32) -> Result<[u64; 4]> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| LabError::Argument(format!("{path}: {error}")))?;
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let field = |nth: usize| fields.get(nth).and_then(|one| one.parse::<u64>().ok()).unwrap_or(0);
    Ok([field(11), field(12), field(13), field(14)])
}

pub(super) fn rss_mib(pid: i32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| LabError::Argument(format!("{path}: {error}")))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib =
        line.and_then(|rest| rest.split_whitespace().next()).and_then(|n| n.parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0).ok_or_else(|| LabError::Argument(format!("{path}: no VmRSS")))
}
