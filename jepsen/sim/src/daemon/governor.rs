//! The leader's loop: the product's `Grantor`, in the order of steps of the daemon's governor.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use leasehold_model::{BootNanos, Eligibility, Epoch, GroupId, NodeId};
use leasehold_raft::group::{Leadership, ProposeError, Proposed};
use leasehold_raft::lease::{Grantor, GrantorCommand, LastAcknowledged, Timing, takeover};
use leasehold_raft::state::{Cause, Command, Outcome, State};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::calls::Leases;
use super::placing;
use super::{Parts, Raft};
use crate::plant::Plant;
use crate::sys::boot_now;

const SETTLE_PAUSE: Duration = Duration::from_millis(50);
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// What members ask of the leader. A dropped answer says that this node does not lead.
#[derive(Debug)]
pub(crate) enum Request {
    Renew {
        from: NodeId,
        leases: Leases,
        programmed: u64,
        eligibility: Eligibility,
        answer: oneshot::Sender<Leases>,
    },
    Release {
        from: NodeId,
        group: GroupId,
        epoch: Epoch,
        cause: Cause,
        /// The entry's index, or nothing where the lease was over before.
        answer: Option<oneshot::Sender<Option<u64>>>,
    },
    Died {
        node: NodeId,
        leases: Leases,
    },
}

pub(super) trait RequestSender {
    async fn tell(&self, request: Request);
}

impl RequestSender for mpsc::Sender<Request> {
    async fn tell(&self, request: Request) {
        // A closed queue means that the daemon is ending; the asker sees its answer dropped.
        drop(self.send(request).await);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Ends(GroupId),
    Asks(GroupId),
    Retires,
}

struct Governor {
    parts: Parts,
    timing: Timing,
    group: Raft,
    leadership: watch::Receiver<Leadership>,
    state: watch::Receiver<Arc<State>>,
    grantor: Grantor,
    /// How far each member follows the log, and when it was heard last.
    reports: BTreeMap<NodeId, (u64, BootNanos)>,
    waiting: BTreeMap<u64, oneshot::Sender<Leases>>,
    next_request: u64,
    rounds: JoinSet<(u64, bool)>,
    subjects: Vec<Subject>,
    in_flight: JoinSet<(Subject, bool)>,
    takeover: JoinSet<Option<(u64, BootNanos)>>,
    woken: BootNanos,
    leading: Option<u64>,
}

pub(super) async fn run(parts: Parts, group: Raft, mut queue: mpsc::Receiver<Request>) {
    let mut this = Governor {
        timing: parts.timing,
        leadership: group.leadership(),
        state: group.state(),
        grantor: Grantor::new(parts.timing),
        reports: BTreeMap::new(),
        waiting: BTreeMap::new(),
        next_request: 0,
        rounds: JoinSet::new(),
        subjects: Vec::new(),
        in_flight: JoinSet::new(),
        takeover: JoinSet::new(),
        woken: boot_now(),
        leading: None,
        group,
        parts,
    };
    let (mut leadership, mut state) = (this.leadership.clone(), this.state.clone());
    this.follow_leadership();
    loop {
        let wake = this.step();
        this.woken = wake;
        let pause = wake.since(boot_now());
        tokio::select! {
            biased;
            changed = leadership.changed() => {
                if changed.is_err() { return }
                this.follow_leadership();
            }
            Some(Ok((round, ok))) = this.rounds.join_next() => {
                let state = this.state.borrow().clone();
                this.grantor.handle_confirm_result(round, ok, &state, boot_now());
            }
            Some(Ok((subject, definite))) = this.in_flight.join_next() => {
                this.settled(subject, definite);
            }
            Some(bound) = this.takeover.join_next() => {
                if let Ok(Some((term, latest))) = bound {
                    this.grantor.handle_takeover_bound(term, latest);
                }
            }
            request = queue.recv() => match request {
                Some(request) => this.handle(request),
                None => return,
            },
            changed = state.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Governor {
    fn follow_leadership(&mut self) {
        let now = boot_now();
        let current = self.leadership.borrow().clone();
        let leading = current.is_leader.then_some(current.term);
        if leading == self.leading {
            return;
        }
        self.leading = leading;
        self.waiting.clear();
        self.reports.clear();
        self.subjects.clear();
        self.in_flight = JoinSet::new();
        let host = self.parts.life.0;
        let told = serde_json::json!(current.term);
        let what = if leading.is_some() { "leads" } else { "deposed" };
        {
            let mut world = self.parts.world.lock();
            world.kernels[host].leads = leading.is_some();
            world.note(host, what, &told);
        }
        match leading {
            None => self.grantor.handle_deposed(now),
            Some(term) => {
                self.grantor.handle_elected(term, now);
                if self.parts.plant == Some(Plant::NoWaitAfterElection) {
                    self.grantor.handle_takeover_bound(term, BootNanos(0));
                }
                self.takeover.spawn(takeover_bound(self.group.clone(), self.timing));
            }
        }
    }

    fn step(&mut self) -> BootNanos {
        let now = boot_now();
        let state = self.state.borrow().clone();
        if now.since(self.woken) > self.timing.slack {
            self.grantor.handle_stall(now);
            self.reports.values_mut().for_each(|(_, heard)| *heard = now);
        }
        self.grantor.handle_timeout(now);
        self.grantor.handle_applied(&state, now);
        while let Some(command) = self.grantor.poll_command() {
            match command {
                GrantorCommand::Confirm { round } => {
                    let group = self.group.clone();
                    self.rounds.spawn(async move { (round, group.confirm().await.is_ok()) });
                }
                GrantorCommand::Refuse { request } => drop(self.waiting.remove(&request)),
                GrantorCommand::Answer { request, good } => {
                    if let Some(answer) = self.waiting.remove(&request) {
                        // The member gave up waiting: it will ask again.
                        drop(answer.send(good));
                    }
                }
            }
        }
        let mut wake = now.after(self.timing.renew_interval);
        if self.leading.is_some() {
            wake = self.decide(&state, now).map_or(wake, |due| wake.min(due));
        }
        if let Some((due, _)) = self.grantor.poll_timeout() {
            wake = wake.min(due);
        }
        wake.max(now)
    }

    fn handle(&mut self, request: Request) {
        let now = boot_now();
        if self.leading.is_none() {
            return;
        }
        match request {
            Request::Renew { from, leases, programmed, eligibility, answer } => {
                if !eligibility.stopping {
                    let report = self.reports.entry(from).or_insert((0, now));
                    *report = (report.0.max(programmed), now);
                }
                let request = self.next_request;
                self.next_request += 1;
                self.waiting.insert(request, answer);
                self.grantor.handle_renew(request, from, leases, now);
            }
            Request::Release { from, group, epoch, cause, answer } => {
                self.release(from, group, epoch, cause, answer);
            }
            Request::Died { node, leases } => {
                self.reports.remove(&node);
                for (group, epoch) in leases {
                    self.release(node, group, epoch, Cause::DaemonDied, None);
                }
            }
        }
    }

    fn heard(&self) -> BTreeSet<NodeId> {
        self.reports.keys().copied().collect()
    }

    fn decide(&mut self, state: &State, now: BootNanos) -> Option<BootNanos> {
        let ttl = self.timing.ttl;
        self.reports.retain(|_, (_, heard)| now.since(*heard) <= ttl);
        self.retire(state, now);
        let heard = self.heard();
        let mut due = None;
        for (group, lease) in &state.leases {
            let (group, epoch) = (*group, lease.epoch);
            let over_at = self.grantor.over_at(group, epoch);
            due = over_at.filter(|at| *at > now).into_iter().chain(due).min();
            let free = lease.holder.is_none() || self.grantor.is_over(group, epoch, now);
            if self.is_about(group) {
                continue;
            }
            match lease.holder {
                Some(holder) if !free => {
                    if lease.handover.is_none()
                        && let Some(to) = placing::better(state, &heard, group, holder)
                    {
                        let cause = Cause::Moved;
                        let command = Command::Handover { group, epoch, to, cause };
                        self.propose(Subject::Asks(group), command, None);
                    }
                }
                Some(_) | None => {
                    if let Some(holder) = placing::place(state, &heard, group) {
                        let cause = Cause::Expired;
                        let command = Command::Grant { group, holder, replaces: epoch, cause };
                        self.propose(Subject::Ends(group), command, None);
                    }
                }
            }
        }
        due
    }

    fn is_about(&self, group: GroupId) -> bool {
        self.subjects.contains(&Subject::Ends(group))
            || self.subjects.contains(&Subject::Asks(group))
    }

    fn release(
        &mut self,
        from: NodeId,
        group: GroupId,
        epoch: Epoch,
        cause: Cause,
        answer: Option<oneshot::Sender<Option<u64>>>,
    ) {
        if self.subjects.contains(&Subject::Ends(group)) {
            return;
        }
        let state = self.state.borrow().clone();
        let is_retiring = state
            .retiring
            .iter()
            .any(|one| (one.group, one.epoch, one.holder) == (group, epoch, from));
        let held = state.is_held(group, epoch, from);
        if !held && !is_retiring {
            if let Some(answer) = answer {
                // The holder gave up waiting for the answer; the log tells it all the same.
                let _ = answer.send(None);
            }
            return;
        }
        let mut heard = self.heard();
        heard.remove(&from);
        let next = placing::place(&state, &heard, group).filter(|_| held);
        let command = Command::Release { group, epoch, next, cause };
        self.propose(Subject::Ends(group), command, answer);
    }

    /// Old holders that have moved on, or must be over, free the addresses they left.
    fn retire(&mut self, state: &State, now: BootNanos) {
        if state.retiring.is_empty() || self.subjects.contains(&Subject::Retires) {
            return;
        }
        let programmed = self.reports.iter().map(|(node, (index, _))| (*node, *index)).collect();
        let done = self.grantor.retired(state, &programmed, now);
        if !done.is_empty() {
            self.propose(Subject::Retires, Command::Retired { items: done.clone() }, None);
        }
        for one in state.retiring.iter().filter(|one| !done.contains(one)) {
            let (group, epoch) = (one.group, one.epoch);
            if self.grantor.is_over(group, epoch, now) && !self.is_about(group) {
                let cause = Cause::Expired;
                let command = Command::Release { group, epoch, next: None, cause };
                self.propose(Subject::Ends(group), command, None);
            }
        }
    }

    fn settled(&mut self, subject: Subject, definite: bool) {
        if !definite {
            return;
        }
        if let Some(at) = self.subjects.iter().position(|one| *one == subject) {
            self.subjects.swap_remove(at);
        }
        if let Subject::Ends(group) = subject {
            self.grantor.unblock(group);
        }
    }

    fn propose(
        &mut self,
        subject: Subject,
        command: Command,
        answer: Option<oneshot::Sender<Option<u64>>>,
    ) {
        if let Subject::Ends(group) = subject {
            self.grantor.block(group);
        }
        self.subjects.push(subject);
        let group = self.group.clone();
        let (term, patience) = (self.leading.unwrap_or_default(), self.timing.ttl);
        self.in_flight.spawn(async move {
            let result = propose_in(&group, term, command, patience).await;
            let mut definite = result.as_ref().err().is_none_or(ProposeError::is_definite);
            while !definite {
                // An entry behind it in this leader's log settles it, whatever it was.
                match group.propose_local(Command::Retired { items: vec![] }).await {
                    Ok(_) => definite = true,
                    Err(_) if !group.leadership().borrow().is_leader => break,
                    Err(_) => tokio::time::sleep(SETTLE_PAUSE).await,
                }
            }
            if let (Some(answer), Ok(done)) = (answer, result) {
                // The holder gave up waiting for the answer; the log tells it all the same.
                let stale = matches!(done.outcome, Outcome::Stale);
                let _ = answer.send((!stale).then_some(done.index));
            }
            (subject, definite)
        });
    }
}

/// A leader that no quorum has acknowledged yet takes nothing: it is tried again while it leads.
async fn propose_in(
    group: &Raft,
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
        drop(tokio::time::timeout(RETRY_PAUSE, leadership.changed()).await);
    }
}

/// The latest instant at which a leader before this one can have been confirmed.
async fn takeover_bound(group: Raft, timing: Timing) -> Option<(u64, BootNanos)> {
    let begun = boot_now();
    loop {
        let asked = group.ask_last_acknowledged().await.ok()?;
        let answers = asked
            .answers
            .iter()
            .map(|one| (one.node, LastAcknowledged { ago: one.ago, received_at: one.received_at }));
        if let Some(bound) = takeover(&timing, &asked.voter_sets, &answers.collect()) {
            return Some((asked.term, bound));
        }
        if boot_now().since(begun) > timing.ttl {
            return None;
        }
    }
}
