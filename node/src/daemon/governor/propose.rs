//! From a decision to the log, one proposal a group at a time.

use std::time::Duration;

use leasehold_model::{BootNanos, Epoch, GroupId, NodeId};
use leasehold_node_core::placement::{self, Decision};
use leasehold_raft::group::{ProposeError, Proposed};
use leasehold_raft::state::{Cause, Command, Outcome, State};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Governor;
use crate::Group;
use crate::daemon::situation::Situation;

/// Why a release did not go into the log.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("this lease is over already")]
    Stale,
    #[error("the leader could not commit it: {0}")]
    Failed(String),
}

/// Between attempts to settle what became of a proposal, while there is no quorum.
const SETTLE_PAUSE: Duration = Duration::from_millis(50);

/// Between attempts of a leader that waits for its first acknowledgement.
const RETRY_PAUSE: Duration = Duration::from_millis(2);

/// What a proposal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The end of the group's present epoch: none of its renewals is approved meanwhile.
    Ends(GroupId),
    /// The group's holder is asked to hand over.
    Asks(GroupId),
    Retires,
}

/// A proposal that the log has answered.
pub(super) struct Settled {
    pub(super) subject: Subject,
    /// False where it may still be applied later: its group stays blocked until this node is
    /// elected again, which empties the blocks after everything older has been applied.
    pub(super) definite: bool,
}

/// Proposals under way, and what they are about.
#[derive(Default)]
pub(super) struct InFlight {
    subjects: Vec<Subject>,
    tasks: JoinSet<Settled>,
}

impl InFlight {
    pub(super) fn any(&self) -> bool {
        !self.tasks.is_empty()
    }

    fn is_about(&self, group: GroupId) -> bool {
        self.subjects.contains(&Subject::Ends(group))
            || self.subjects.contains(&Subject::Asks(group))
    }

    pub(super) async fn next(&mut self) -> Option<Settled> {
        let settled = self.tasks.join_next().await?.ok()?;
        // One of what was indefinite stays, as the block on its group does.
        if settled.definite
            && let Some(at) = self.subjects.iter().position(|one| *one == settled.subject)
        {
            self.subjects.swap_remove(at);
        }
        Some(settled)
    }
}

impl Governor {
    /// Proposes whatever placement wants and nobody is proposing yet. Says when it wants to be
    /// asked again.
    pub(super) fn decide(&mut self, state: &State, now: BootNanos) -> Option<BootNanos> {
        if self.reports.expire(self.timing.ttl, now) {
            self.publish();
        }
        self.retire(state, now);
        let situation = Situation::new(state, &self.reports, |group, epoch| {
            self.grantor.is_over(group, epoch, now)
        });
        let (directors, slots) = (situation.directors(), situation.slots());
        let placement = self.placer.place(&directors, &slots, self.node, now);
        let over = situation.held().filter_map(|(group, epoch)| self.grantor.over_at(group, epoch));
        let wake = over.filter(|due| *due > now).chain(placement.wake).min();
        for decision in placement.decisions {
            self.propose_decision(state, decision);
        }
        wake
    }

    /// `state` is the one that the decision was made on. The state of this moment may hold an
    /// epoch that nobody judged: an entry of an earlier leader's, applied meanwhile.
    fn propose_decision(&mut self, state: &State, decision: Decision) {
        let (subject, command) = match decision {
            Decision::Grant { group, to, cause } => {
                let Some(lease) = state.leases.get(&group) else { return };
                (
                    Subject::Ends(group),
                    Command::Grant { group, holder: to, replaces: lease.epoch, cause },
                )
            }
            Decision::Handover { group, to, cause } => {
                let Some(lease) = state.leases.get(&group) else { return };
                (Subject::Asks(group), Command::Handover { group, epoch: lease.epoch, to, cause })
            }
        };
        let (Subject::Ends(group) | Subject::Asks(group)) = subject else { return };
        if self.in_flight.is_about(group) {
            return;
        }
        tracing::info!(?command, "proposing");
        self.propose(subject, command, None);
    }

    /// A holder, or its guard, says that it has stopped answering.
    pub(super) fn release(
        &mut self,
        from: NodeId,
        group: GroupId,
        epoch: Epoch,
        cause: Cause,
        answer: Option<oneshot::Sender<Result<u64, Refusal>>>,
    ) {
        let state = self.state.borrow().clone();
        if !state.is_held(group, epoch, from) {
            if state
                .retiring
                .iter()
                .any(|one| (one.group, one.epoch, one.holder) == (group, epoch, from))
            {
                let command = Command::Release { group, epoch, next: None, cause };
                self.propose(Subject::Ends(group), command, answer);
            } else if let Some(answer) = answer {
                // The holder gave up waiting for the answer; the log tells it all the same.
                let _ = answer.send(Err(Refusal::Stale));
            }
            return;
        }
        let situation = Situation::new(&state, &self.reports, |_, _| false);
        let next = placement::successor(
            &situation.directors(),
            &situation.slots(),
            self.node,
            group,
            from,
        );
        let cause = match state.leases.get(&group) {
            // The handover said why; the holder only says that it obeyed.
            Some(lease) if lease.handover.is_some() => lease.cause,
            Some(_) | None => cause,
        };
        let command = Command::Release { group, epoch, next, cause };
        self.propose(Subject::Ends(group), command, answer);
    }

    /// Old holders that have moved on, or must be over, free the addresses they left.
    fn retire(&mut self, state: &State, now: BootNanos) {
        if state.retiring.is_empty() || self.in_flight.subjects.contains(&Subject::Retires) {
            return;
        }
        let programmed = self.reports.programmed();
        let done = self.grantor.retired(state, &programmed, now);
        if !done.is_empty() {
            self.propose(Subject::Retires, Command::Retired { items: done.clone() }, None);
        }
        // A lease that ran out while its epoch is in force could be confirmed again: only a new
        // epoch frees the addresses that its holder has not heard it lost.
        for one in state.retiring.iter().filter(|one| !done.contains(one)) {
            let (group, epoch) = (one.group, one.epoch);
            if self.grantor.is_over(group, epoch, now) && !self.in_flight.is_about(group) {
                let cause = Cause::Expired;
                let command = Command::Release { group, epoch, next: None, cause };
                self.propose(Subject::Ends(group), command, None);
            }
        }
    }

    fn propose(
        &mut self,
        subject: Subject,
        command: Command,
        answer: Option<oneshot::Sender<Result<u64, Refusal>>>,
    ) {
        if let Subject::Ends(group) = subject {
            self.grantor.block(group);
        }
        self.in_flight.subjects.push(subject);
        let group = self.group.clone();
        let (term, patience) = (self.leading.unwrap_or_default(), self.timing.ttl);
        self.in_flight.tasks.spawn(async move {
            let result = propose_in(&group, term, command, patience).await;
            let mut definite = result.as_ref().err().is_none_or(|error| error.is_definite());
            while !definite {
                // An entry behind it in this leader's log settles it, whatever it was.
                match group.propose_local(Command::Retired { items: vec![] }).await {
                    Ok(_) => definite = true,
                    // Its successor starts with no blocks.
                    Err(_) if !group.leadership().borrow().is_leader => break,
                    Err(_) => tokio::time::sleep(SETTLE_PAUSE).await,
                }
            }
            if let Some(answer) = answer {
                // The holder gave up waiting for the answer; the log tells it all the same.
                let _ = answer.send(told(result));
            }
            Settled { subject, definite }
        });
    }
}

/// A leader that no quorum has acknowledged yet, as just after its election, takes nothing and
/// calls itself no leader. What was judged in this term stays true while its group is blocked, so
/// it is tried again instead of being forgotten, or judged anew at the speed of the processor.
async fn propose_in(
    group: &Group,
    term: u64,
    command: Command,
    patience: Duration,
) -> Result<Proposed, ProposeError> {
    let until = Instant::now() + patience;
    let mut leadership = group.leadership();
    loop {
        let result = group.propose_in(term, command.clone()).await;
        let leads = {
            let now = leadership.borrow_and_update();
            now.is_leader && now.term == term
        };
        let refused = matches!(result, Err(ProposeError::NotLeader { .. }));
        if !refused || !leads || Instant::now() >= until {
            return result;
        }
        // Sooner where it loses the office for good.
        let _ = tokio::time::timeout(RETRY_PAUSE, leadership.changed()).await;
    }
}

fn told(result: Result<Proposed, ProposeError>) -> Result<u64, Refusal> {
    match result {
        Ok(proposed) => match proposed.outcome {
            Outcome::Stale => Err(Refusal::Stale),
            Outcome::Refused(why) => Err(Refusal::Failed(why)),
            Outcome::Done | Outcome::Applied { .. } | Outcome::Admitted { .. } => {
                Ok(proposed.index)
            }
        },
        Err(error) => Err(Refusal::Failed(error.to_string())),
    }
}
