//! Each script that something follows, run over and over: never two at once of the same one.

use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_model::{Config, TrackScript, Tracking};
use leasehold_node_core::tracking::{Condition, Streak};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use super::Observed;
use crate::script::{Ended, Job, WordsError, run_watched};

/// Nothing is run more often.
const INTERVAL_MIN_MS: u32 = 10;

/// The scripts that run now, and what their results come to.
#[derive(Default)]
pub(super) struct Scripts {
    running: BTreeMap<String, Running>,
    /// Counts the tasks that were ever started.
    tasks: u64,
}

struct Running {
    task: u64,
    job: Result<Job, WordsError>,
    interval: Duration,
    streak: Streak,
    /// Why it is not well, since it is.
    why: String,
    /// Dropped with the rest, which also kills the program.
    _alive: Alive,
}

struct Alive(AbortHandle);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One run's end.
#[derive(Debug)]
pub(super) struct Report {
    name: String,
    task: u64,
    ended: Ended,
}

impl Scripts {
    /// Ends those that are followed no more or run otherwise, and begins the new ones. What is
    /// known of a script lasts as long as it is the same program.
    pub(super) fn follow(
        &mut self,
        config: &Config,
        followed: &Tracking,
        tell: &mpsc::Sender<Observed>,
    ) {
        self.running.retain(|name, _| followed.scripts.contains_key(name));
        for name in followed.scripts.keys() {
            let Some(script) = config.scripts.get(name) else { continue };
            let interval = millis(script.interval_ms.max(INTERVAL_MIN_MS));
            let job = job(script, config);
            let known = self.running.get(name);
            if known.is_some_and(|known| known.job == job && known.interval == interval) {
                continue;
            }
            let same = known.filter(|known| words(&known.job) == words(&job));
            let (streak, why) = match same {
                Some(same) => (same.streak, same.why.clone()),
                None if script.init_fail => {
                    (Streak::failed(), "has not succeeded yet (init_fail)".to_owned())
                }
                None => (Streak::default(), String::new()),
            };
            self.tasks += 1;
            let again = repeat(name.clone(), self.tasks, job.clone(), interval, tell.clone());
            let alive = Alive(tokio::spawn(again).abort_handle());
            let task = self.tasks;
            let one = Running { task, job, interval, streak, why, _alive: alive };
            self.running.insert(name.clone(), one);
        }
    }

    pub(super) fn handle_report(&mut self, report: Report, config: &Config) {
        let Report { name, task, ended } = report;
        let (Some(one), Some(script)) = (self.running.get_mut(&name), config.scripts.get(&name))
        else {
            return;
        };
        if one.task != task {
            return;
        }
        let good = ended == Ended::Exited(0);
        tracing::debug!(script = %name, ?ended, "a script ended");
        if one.streak.handle_result(good, script.rise, script.fall) {
            if good {
                tracing::info!(script = %name, "the script is well");
            } else {
                one.why = ended.to_string();
                tracing::warn!(script = %name, "the script {}", one.why);
            }
        }
    }

    pub(super) fn conditions(&self) -> BTreeMap<String, Condition> {
        let condition = |one: &Running| match one.streak.well() {
            None => Condition::Unknown,
            Some(true) => Condition::Well,
            Some(false) => Condition::NotWell(one.why.clone()),
        };
        self.running.iter().map(|(name, one)| (name.clone(), condition(one))).collect()
    }
}

fn job(script: &TrackScript, config: &Config) -> Result<Job, WordsError> {
    let timeout = millis(script.timeout_ms.unwrap_or(script.interval_ms).max(INTERVAL_MIN_MS));
    Job::new(&script.script, &config.global.alerts, Vec::new(), timeout)
}

fn words(job: &Result<Job, WordsError>) -> Option<&[String]> {
    job.as_ref().ok().map(|job| job.words.as_slice())
}

/// Starts at once, apart from those of notifications: what hangs here must not hold these up.
static STARTING: Semaphore = Semaphore::const_new(64);

async fn repeat(
    name: String,
    task: u64,
    job: Result<Job, WordsError>,
    interval: Duration,
    tell: mpsc::Sender<Observed>,
) {
    let mut start = tokio::time::interval(interval);
    // One that took longer than the interval misses its turns.
    start.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        start.tick().await;
        let (ended, left) = match &job {
            Ok(job) => run_watched(job.clone(), &STARTING).await,
            Err(error) => (Ended::NotStarted(error.to_string()), None),
        };
        let report = |ended| Observed::Script(Report { name: name.clone(), task, ended });
        if tell.send(report(ended)).await.is_err() {
            return;
        }
        // Never two at once, whatever the kernel holds on to. Meanwhile each turn is a failure.
        let Some(mut left) = left else { continue };
        loop {
            tokio::select! {
                () = &mut left => break,
                _ = start.tick() => {
                    if tell.send(report(Ended::TimedOut)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}
