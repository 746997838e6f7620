//! `MISC_CHECK`: a program of the operator's that ends well, or not.
//!
//! As keepalived: 0 is well, and any other status a failure; with `misc_dynamic` 2 to 255 are
//! well too, and the real server's weight is the status less 2, until a 0 says that it is what is
//! configured. One that a signal ends, or that runs out of its time, has failed. It gets no
//! arguments beyond its line, no words of ours in its environment, and nothing of what it prints
//! is kept. What can't even be started is this machine's fault and not the real server's:
//! keepalived drops such a check when it reads its configuration.

use std::time::Duration;

use leasehold_dataplane::checker::Effect;
use leasehold_model::{Alerts, MiscCheck};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::question::Outcome;
use crate::script::{Ended, Job, Leftover, WordsError, run_watched};

/// Starts at once, apart from others' programs: what hangs here must not hold these up.
static STARTING: Semaphore = Semaphore::const_new(64);

/// Programs that run at once. A check whose turn it is waits for one to end or to be killed, as
/// long as its own may take, and its time begins then. What can't be killed counts no more: the
/// programs of other checks would wait for it for ever.
static RUNNING: Semaphore = Semaphore::const_new(RUN);
const RUN: usize = 256;

/// The program of one check, to be run again and again.
pub(super) struct Program {
    job: Result<Job, WordsError>,
    dynamic: bool,
    running: &'static Semaphore,
    /// What could not be ended in the turn before, and what that turn came to. There are never
    /// two at once.
    left: Option<(Leftover, Outcome)>,
}

impl Program {
    /// `delay_loop_ms` is the check's, and its time where it has none of its own.
    pub(super) fn new(check: &MiscCheck, delay_loop_ms: u32, alerts: &Alerts) -> Self {
        let limit = check.timeout_ms.unwrap_or(delay_loop_ms).max(1);
        let limit = Duration::from_millis(u64::from(limit));
        let job = Job::new(&check.script, alerts, Vec::new(), limit);
        Self { job, dynamic: check.dynamic, running: &RUNNING, left: None }
    }

    /// Runs it once, to its end or that of its time. Whoever drops the future kills it.
    pub(super) async fn ask(&mut self) -> Outcome {
        let job = match &self.job {
            Ok(job) => job.clone(),
            Err(error) => return Outcome::Unknown(error.to_string()),
        };
        if let Some((left, outcome)) = &mut self.left {
            if timeout(job.timeout, left).await.is_err() {
                return outcome.clone();
            }
            self.left = None;
        }
        let Ok(permit) = timeout(job.timeout, self.running.acquire()).await else {
            return Outcome::Unknown(format!("{RUN} programs run already, and none has ended"));
        };
        let (ended, left) = run_watched(job, &STARTING).await;
        drop(permit);
        let outcome = judge(ended, self.dynamic);
        self.left = left.map(|left| (left, outcome.clone()));
        outcome
    }
}

fn judge(ended: Ended, dynamic: bool) -> Outcome {
    match &ended {
        Ended::Exited(0) => Outcome::Passed(Effect::None),
        Ended::Exited(status) => {
            match u8::try_from(*status).ok().and_then(|one| one.checked_sub(2)) {
                Some(weight) if dynamic => Outcome::Passed(Effect::Set(weight.into())),
                Some(_) | None => Outcome::Failed(ended.to_string()),
            }
        }
        Ended::Signalled(_) | Ended::TimedOut => Outcome::Failed(ended.to_string()),
        Ended::NotStarted(_) => Outcome::Unknown(ended.to_string()),
    }
}

#[cfg(test)]
mod tests;
