//! What a director watches to know its fitness, on a thread of its own.
//!
//! It follows the configuration, runs scripts, reads files and counts processes, and reports what
//! that means for each instance. Nothing here can hold up a lease: what it says is read when a
//! renewal leaves, and whoever hangs here only says nothing new.

mod events;
mod files;
mod processes;
mod scripts;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use leasehold_dataplane::fence::boot_now;
use leasehold_model::{
    BootNanos, Config, Eligibility, Epoch, GroupId, NodeId, TrackFile, TrackProcess, Tracking,
};
use leasehold_node_core::tracking::{
    Condition, Facts, ProcessName, Quorum, Verdict, followed, judge,
};
use leasehold_raft::state::{Cause, Held, State};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use crate::daemon::lease_thread::Order;
use crate::paced::Paced;
use crate::script::split;
use scripts::Scripts;

/// Observations that may wait: a source that finds no room waits with its next one.
const OBSERVED: usize = 256;

/// What a source has seen. `task` is the source's number, by which a late one is told.
#[derive(Debug)]
enum Observed {
    Script(scripts::Report),
    Files { task: u64, values: BTreeMap<String, i64> },
    Processes { task: u64, counts: BTreeMap<String, u32> },
}

/// By the name of a tracked file, the number in it. One that is not here was not read yet.
pub(crate) type Numbers = Arc<BTreeMap<String, i64>>;

pub(crate) struct Inputs {
    pub(crate) node: NodeId,
    pub(crate) name: String,
    pub(crate) state: Paced<Arc<State>>,
    pub(crate) eligibility: watch::Sender<Eligibility>,
    /// To the lease thread.
    pub(crate) orders: mpsc::Sender<Order>,
    /// For those who also go by the numbers in files: `FILE_CHECK`.
    pub(crate) numbers: watch::Sender<Numbers>,
}

/// Runs until the daemon stops.
pub(crate) async fn run(inputs: Inputs) {
    let Inputs { node, name, mut state, eligibility, orders, numbers } = inputs;
    let mut given_up: BTreeMap<GroupId, Epoch> = BTreeMap::new();
    let (tell, mut told) = mpsc::channel(OBSERVED);
    let mut reported = eligibility.subscribe();
    let mut tracker = Tracker { name, ..Tracker::default() };
    tracker.handle_config(&state.borrow_and_update().config.clone(), &tell);
    loop {
        {
            let now = reported.borrow_and_update();
            if now.stopping {
                // Programs that run are killed, and nobody asks how fit it is any more.
                return;
            }
            tracker.facts.interfaces_up.clone_from(&now.interfaces_up);
        }
        tracker.report(&eligibility);
        tracker.tell(&numbers);
        tracker.give_up(&state.borrow().held_by(node), &mut given_up, &orders);
        let due = tracker.poll_timeout();
        let pause = due.map_or(Duration::MAX, |due| due.since(boot_now()));
        tokio::select! {
            changed = state.changed() => {
                if changed.is_err() { return }
                let config = state.borrow_and_update().config.clone();
                tracker.handle_config(&config, &tell);
            }
            changed = reported.changed() => {
                if changed.is_err() { return }
            }
            Some(observed) = told.recv() => tracker.handle_observed(observed, boot_now()),
            () = tokio::time::sleep(pause), if due.is_some() => tracker.handle_timeout(boot_now()),
        }
    }
}

#[derive(Default)]
struct Tracker {
    name: String,
    config: Arc<Config>,
    scripts: Scripts,
    files: Source<BTreeMap<String, TrackFile>>,
    processes: Source<BTreeMap<String, TrackProcess>>,
    quorums: BTreeMap<String, (TrackProcess, Quorum)>,
    /// Files that were written at their start, if their definition says so: not again.
    initialised: BTreeSet<String>,
    facts: Facts,
    verdicts: BTreeMap<String, Verdict>,
}

/// One task that watches all of a kind; another takes its place where what it watches changes.
#[derive(Default)]
struct Source<Of> {
    of: Of,
    task: u64,
    running: Option<AbortHandle>,
}

impl<Of: Default> Source<Of> {
    /// Ends the task, and makes what comes late from it known as such.
    fn end(&mut self) -> u64 {
        if let Some(running) = self.running.take() {
            running.abort();
        }
        self.task += 1;
        self.task
    }
}

impl<Of> Drop for Source<Of> {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

impl Tracker {
    fn handle_config(&mut self, config: &Arc<Config>, tell: &mpsc::Sender<Observed>) {
        if Arc::ptr_eq(config, &self.config) {
            return;
        }
        self.config = config.clone();
        let followed = followed(config);
        self.scripts.follow(config, &followed, tell);
        self.facts.scripts = self.scripts.conditions();
        self.follow_files(&followed, tell);
        self.follow_processes(&followed, tell);
    }

    fn follow_files(&mut self, followed: &Tracking, tell: &mpsc::Sender<Observed>) {
        let mut files = self.config.files.clone();
        files.retain(|name, _| followed.files.contains_key(name));
        if files == self.files.of {
            return;
        }
        let old = &self.files.of;
        let path = |one: &TrackFile| one.file.clone();
        let same = |name: &String| old.get(name).map(path) == files.get(name).map(path);
        self.facts.files.retain(|name, _| same(name));
        let task = self.files.end();
        let all = files.keys().filter(|name| self.initialised.insert((*name).clone()));
        let first = all.cloned().collect();
        if !files.is_empty() {
            let watch = files::watch(task, files.clone(), first, tell.clone());
            self.files.running = Some(tokio::spawn(watch).abort_handle());
        }
        self.files.of = files;
    }

    fn follow_processes(&mut self, followed: &Tracking, tell: &mpsc::Sender<Observed>) {
        let mut processes = self.config.processes.clone();
        processes.retain(|name, _| followed.processes.contains_key(name));
        if processes == self.processes.of {
            return;
        }
        // How many there are is known only of the same kind of process.
        self.quorums.retain(|name, (old, _)| processes.get(name) == Some(old));
        self.count();
        let task = self.processes.end();
        let mut names = processes::Names::new();
        for (name, process) in &processes {
            let words = split(&process.process);
            match words.ok().and_then(|words| ProcessName::new(process, &words)) {
                Some(one) => {
                    names.insert(name.clone(), one);
                }
                None => tracing::warn!(
                    process = %name,
                    "`{}` names no process: an open quote, or nothing at all", process.process
                ),
            }
        }
        if !names.is_empty() {
            let watch = processes::watch(task, names, tell.clone());
            self.processes.running = Some(tokio::spawn(watch).abort_handle());
        }
        self.processes.of = processes;
    }

    fn handle_observed(&mut self, observed: Observed, now: BootNanos) {
        match observed {
            Observed::Script(report) => {
                self.scripts.handle_report(report, &self.config);
                self.facts.scripts = self.scripts.conditions();
            }
            Observed::Files { task, values } => {
                if task == self.files.task {
                    tracing::debug!(?values, "the tracked files");
                    self.facts.files = values;
                }
            }
            Observed::Processes { task, counts } => {
                if task != self.processes.task {
                    return;
                }
                tracing::debug!(?counts, "the tracked processes");
                for (name, count) in counts {
                    if let Some(process) = self.processes.of.get(&name) {
                        let fresh = || (process.clone(), Quorum::default());
                        let (_, quorum) = self.quorums.entry(name).or_insert_with(fresh);
                        quorum.handle_count(count, process, now);
                    }
                }
                self.count();
            }
        }
    }

    fn handle_timeout(&mut self, now: BootNanos) {
        for (_, quorum) in self.quorums.values_mut() {
            quorum.handle_timeout(now);
        }
        self.count();
    }

    fn poll_timeout(&self) -> Option<BootNanos> {
        self.quorums.values().filter_map(|(_, quorum)| quorum.poll_timeout()).min()
    }

    fn count(&mut self) {
        let condition = |quorum: &Quorum| match quorum.well() {
            None => Condition::Unknown,
            Some(true) => Condition::Well,
            Some(false) => Condition::NotWell("has too few processes, or too many".to_owned()),
        };
        let all = self.quorums.iter();
        self.facts.processes =
            all.map(|(name, (_, quorum))| (name.clone(), condition(quorum))).collect();
    }

    /// A fault releases at once, also where nobody else can take it. It has been reported, so that
    /// the instance does not come straight back.
    fn give_up(
        &self,
        held: &[Held<'_>],
        given_up: &mut BTreeMap<GroupId, Epoch>,
        orders: &mpsc::Sender<Order>,
    ) {
        given_up.retain(|group, epoch| {
            held.iter().any(|one| one.group == *group && one.epoch == *epoch)
        });
        for one in held {
            let faulty = |verdict: &Verdict| verdict.fault.is_some() && !verdict.pending;
            if self.verdicts.get(one.name).is_some_and(faulty)
                && given_up.get(&one.group) != Some(&one.epoch)
                // Where there is no room, the next round tries again.
                && orders.try_send(Order::Surrender(one.group, Cause::Unserviceable)).is_ok()
            {
                tracing::warn!(instance = %one.name, "giving it up");
                given_up.insert(one.group, one.epoch);
            }
        }
    }

    fn tell(&self, numbers: &watch::Sender<Numbers>) {
        numbers.send_if_modified(|one| {
            let differs = **one != self.facts.files;
            if differs {
                *one = Arc::new(self.facts.files.clone());
            }
            differs
        });
    }

    /// Says what it comes to, where that is something new.
    fn report(&mut self, eligibility: &watch::Sender<Eligibility>) {
        let verdicts = judge(&self.config, &self.name, &self.facts, &self.verdicts);
        for (name, verdict) in &verdicts {
            let before = self.verdicts.get(name).and_then(|one| one.fault.as_ref());
            match (before, &verdict.fault) {
                (None, Some(why)) => tracing::warn!(instance = %name, "fault: {why}"),
                (Some(_), None) => tracing::info!(instance = %name, "no fault any more"),
                (None, None) | (Some(_), Some(_)) => {}
            }
        }
        let deltas: BTreeMap<_, _> = verdicts
            .iter()
            .filter(|(_, one)| one.priority_delta != 0)
            .map(|(name, one)| (name.clone(), one.priority_delta))
            .collect();
        let faults: BTreeMap<_, _> = verdicts
            .iter()
            .filter_map(|(name, one)| Some((name.clone(), one.fault.clone()?)))
            .collect();
        self.verdicts = verdicts;
        eligibility.send_if_modified(|one| {
            let differs = one.priority_delta != deltas || one.faults != faults;
            if differs {
                one.priority_delta = deltas;
                one.faults = faults;
            }
            differs
        });
    }
}
