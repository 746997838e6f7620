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

/// Between the first attempts of a leader that waits for its first acknowledgement, as a rule for
/// some milliseconds.
const RETRY_PAUSE: Duration = Duration::from_millis(2);
/// Between the later ones: there may be no quorum, and other groups wait as this one does.
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(50);

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
    /// The epoch that the proposal ends, where a holder asked for that.
    release: Option<(GroupId, Epoch)>,
    /// False where it may still be applied later: its group stays blocked until this node is
    /// elected again, which empties the blocks after everything older has been applied.
    pub(super) definite: bool,
}

/// Proposals under way, and what they are about.
#[derive(Default)]
pub(super) struct InFlight {
    subjects: Vec<Subject>,
    /// What holders, who repeat themselves, gave up and nobody has answered yet.
    releases: Vec<(GroupId, Epoch)>,
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

    fn is_releasing(&self, group: GroupId, epoch: Epoch) -> bool {
        self.releases.contains(&(group, epoch))
    }

    /// `work` proposes, and says whether the answer is definite.
    fn begin(
        &mut self,
        subject: Subject,
        release: Option<(GroupId, Epoch)>,
        work: impl Future<Output = bool> + Send + 'static,
    ) {
        self.subjects.push(subject);
        self.releases.extend(release);
        self.tasks.spawn(async move { Settled { subject, release, definite: work.await } });
    }

    pub(super) async fn next(&mut self) -> Option<Settled> {
        let settled = self.tasks.join_next().await?.ok()?;
        // Asked again, even what is indefinite is proposed again.
        self.releases.retain(|one| settled.release != Some(*one));
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
        if self.in_flight.is_releasing(group, epoch) {
            // Dropping the answer tells the holder to ask again, unless the log tells it first.
            return;
        }
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
        )
        // Another of ours would only yield in its turn.
        .filter(|_| cause != Cause::Yielded);
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
        let release = if let Command::Release { group, epoch, .. } = &command {
            Some((*group, *epoch))
        } else {
            None
        };
        let group = self.group.clone();
        let (term, patience) = (self.leading.unwrap_or_default(), self.timing.ttl);
        self.in_flight.begin(subject, release, async move {
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
            definite
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
    let mut pause = RETRY_PAUSE;
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
        let _ = tokio::time::timeout(pause, leadership.changed()).await;
        pause = longer(pause);
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(RETRY_PAUSE_MAX)
}

fn told(result: Result<Proposed, ProposeError>) -> Result<u64, Refusal> {
    match result {
        Ok(proposed) => match proposed.outcome {
            Outcome::Stale => Err(Refusal::Stale),
            Outcome::Refused(why) => Err(Refusal::Failed(why)),
            // Of what changes the configuration only, which is not proposed here.
            Outcome::Conflict { in_force, .. } => {
                Err(Refusal::Failed(format!("revision {in_force} is in force")))
            }
            Outcome::Done | Outcome::Applied { .. } | Outcome::Admitted { .. } => {
                Ok(proposed.index)
            }
        },
        Err(error) => Err(Refusal::Failed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_without_a_quorum_asks_less_and_less_often() {
        let pauses = std::iter::successors(Some(RETRY_PAUSE), |pause| Some(longer(*pause)));
        let millis: Vec<_> = pauses.take(7).map(|pause| pause.as_millis()).collect();
        assert_eq!(millis, [2, 4, 8, 16, 32, 50, 50]);
    }

    #[tokio::test]
    async fn a_release_is_under_way_until_it_is_settled_either_way() {
        let (group, epoch) = (GroupId(1), Epoch(7));
        for definite in [true, false] {
            let mut in_flight = InFlight::default();
            let (answer, answered) = oneshot::channel();
            let work = async { answered.await.expect("an answer") };
            in_flight.begin(Subject::Ends(group), Some((group, epoch)), work);
            assert!(in_flight.is_releasing(group, epoch));
            assert!(!in_flight.is_releasing(group, Epoch(8)), "a later epoch is another's matter");
            answer.send(definite).expect("it waits");
            let settled = in_flight.next().await.expect("a proposal");
            assert_eq!(settled.definite, definite);
            assert!(!in_flight.is_releasing(group, epoch), "asked again, it is proposed again");
            assert_eq!(in_flight.is_about(group), !definite);
        }
    }
}
