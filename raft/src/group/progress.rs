//! Notices a leader whose log no longer moves.
//!
//! Heartbeats need no disk, so a leader with a stalled disk could prove its leadership for ever
//! and commit nothing: no VIP would ever move again. An entry that this node has not written, or
//! not applied, for longer than the longest election timeout ends that: proofs stop, and
//! leadership is offered away.

use std::future::Future;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::storage::RaftStateMachine;
use openraft::{Instant as _, Raft, ServerState};
use tokio::sync::watch;
use tokio::time::Instant;

use super::GroupSettings;
use crate::TypeConfig;

/// The oldest entry that is known to wait for being written and applied.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Oldest(Option<(u64, Instant)>);

impl Oldest {
    /// The log ends at `last` and is dealt with up to `done`.
    fn handle_progress(&mut self, last: Option<u64>, done: Option<u64>, now: Instant) {
        self.0 = match (self.0, last) {
            // It can also be gone: a new leader has others cut off what it does not have.
            (Some((index, since)), Some(last)) if done < Some(index) && index <= last => {
                Some((index, since))
            }
            (_, Some(last)) if done < Some(last) => Some((last, now)),
            (Some(_) | None, Some(_) | None) => None,
        };
    }

    fn deadline(&self, limit: Duration) -> Option<Instant> {
        self.0.map(|(_, since)| since + limit)
    }

    fn is_overdue(&self, limit: Duration, now: Instant) -> bool {
        self.deadline(limit).is_some_and(|deadline| now >= deadline)
    }
}

/// Whether the log is stalled, and the task that finds out.
pub(super) fn watch<SM: RaftStateMachine<TypeConfig>>(
    raft: &Raft<TypeConfig, SM>,
    settings: &GroupSettings,
) -> (watch::Receiver<bool>, impl Future<Output = ()> + Send + 'static + use<SM>) {
    let (stalled, seen) = watch::channel(false);
    (seen, follow(raft.clone(), settings.election_max, stalled))
}

async fn follow<SM: RaftStateMachine<TypeConfig>>(
    raft: Raft<TypeConfig, SM>,
    limit: Duration,
    stalled: watch::Sender<bool>,
) {
    let mut metrics = raft.data_metrics();
    let mut written = raft.watch_log_progress();
    let mut oldest = Oldest::default();
    let mut on_disk = None;
    let mut offered: Option<Instant> = None;
    let mut led = None;
    loop {
        let (last, applied) = {
            let metrics = metrics.borrow_and_update();
            (metrics.last_log.map(|id| id.index), metrics.last_applied.map(|id| id.index))
        };
        // A vote that was written alone tells nothing about the log.
        if let Some(id) = written.get().and_then(|point| point.last_log_id) {
            on_disk = Some(id.index);
        }
        let now = Instant::now();
        // A member that follows waits for its leader, and one that was just elected for its first
        // entry: only what waits while this node leads tells of this node.
        let term = leads(&raft);
        if term != led {
            led = term;
            oldest = Oldest::default();
        }
        if led.is_some() {
            oldest.handle_progress(last, applied.min(on_disk), now);
        }
        let overdue = oldest.is_overdue(limit, now);
        stalled.send_if_modified(|is| std::mem::replace(is, overdue) != overdue);
        if overdue && offered.is_none_or(|at| now >= at + limit) {
            offered = Some(now);
            step_down(&raft, limit).await;
        }
        let wake = if overdue { Some(now + limit) } else { oldest.deadline(limit) };
        tokio::select! {
            changed = metrics.changed() => if changed.is_err() { return },
            changed = written.changed() => if changed.is_err() { return },
            () = at(wake) => {}
        }
    }
}

/// The term that this node leads in.
fn leads<SM: RaftStateMachine<TypeConfig>>(raft: &Raft<TypeConfig, SM>) -> Option<u64> {
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow_watched();
    let leads = metrics.state == ServerState::Leader && metrics.current_leader == Some(metrics.id);
    leads.then_some(metrics.vote.leader_id.term)
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Offers leadership to the voter that has most of the log. Not where no quorum answers: then
/// it is the network that fails, nobody could take over, and openraft's own check sees to it.
async fn step_down<SM: RaftStateMachine<TypeConfig>>(
    raft: &Raft<TypeConfig, SM>,
    recent: Duration,
) {
    let metrics = raft.metrics().borrow_watched().clone();
    if metrics.current_leader != Some(metrics.id) {
        return;
    }
    let heard = metrics.last_quorum_acked.is_some_and(|at| at.into_inner().elapsed() < recent);
    let voters: Vec<u64> = metrics.membership_config.voter_ids().collect();
    let target = metrics
        .replication
        .iter()
        .flatten()
        .filter(|(id, _)| **id != metrics.id && voters.contains(id))
        .max_by_key(|(_, matched)| matched.as_ref().map(|id| id.index));
    match target {
        Some((to, _)) if heard => {
            tracing::error!(to, "the log of this leader is stalled (a disk?): stepping down");
            if let Err(error) = raft.trigger().transfer_leader(*to).await {
                tracing::error!(%error, "could not step down");
            }
        }
        Some(_) | None => {
            tracing::error!("the log of this leader is stalled, and no quorum answers it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    #[test]
    fn an_entry_is_overdue_only_after_the_limit() {
        let start = Instant::now();
        let mut oldest = Oldest::default();
        oldest.handle_progress(Some(5), Some(5), start);
        assert!(!oldest.is_overdue(LIMIT, start + LIMIT * 10));
        oldest.handle_progress(Some(6), Some(5), start);
        assert!(!oldest.is_overdue(LIMIT, start + LIMIT / 2));
        assert!(oldest.is_overdue(LIMIT, start + LIMIT));
    }

    #[test]
    fn a_log_that_moves_is_never_overdue() {
        let start = Instant::now();
        let mut oldest = Oldest::default();
        for step in 0..100_u32 {
            let now = start + LIMIT / 2 * step;
            oldest.handle_progress(Some(u64::from(step) + 2), Some(u64::from(step)), now);
            assert!(!oldest.is_overdue(LIMIT, now), "at step {step}");
        }
    }

    #[test]
    fn an_entry_that_was_cut_off_is_not_waited_for() {
        let start = Instant::now();
        let mut oldest = Oldest::default();
        oldest.handle_progress(Some(9), Some(5), start);
        oldest.handle_progress(Some(6), Some(6), start + LIMIT);
        assert!(!oldest.is_overdue(LIMIT, start + LIMIT * 2));
    }

    #[test]
    fn newer_entries_do_not_hide_an_old_one() {
        let start = Instant::now();
        let mut oldest = Oldest::default();
        oldest.handle_progress(Some(6), Some(5), start);
        oldest.handle_progress(Some(9), Some(5), start + LIMIT / 2);
        assert!(oldest.is_overdue(LIMIT, start + LIMIT));
    }
}
