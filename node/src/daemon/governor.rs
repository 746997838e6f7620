//! The leader's side: who is heard, whose lease is confirmed, who gets what next.
//!
//! One task owns it all. It idles on a node that does not lead. Decisions are the pure
//! [`Grantor`]'s and `placement`'s; this file carries facts to them and their answers to the log.

mod patience;
mod propose;
mod reports;

use std::collections::BTreeMap;
use std::sync::Arc;

use leasehold_dataplane::fence::boot_now;
use leasehold_model::{BootNanos, Eligibility, Epoch, GroupId, NodeId};
use leasehold_node_core::placement::{Explanation, Placer};
use leasehold_raft::group::{Leadership, Members};
use leasehold_raft::lease::{Grantor, GrantorCommand, LastAcknowledged, Timing, takeover};
use leasehold_raft::state::{Cause, State};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::situation::Situation;
use crate::Group;
use patience::Patience;
use propose::{InFlight, Settled, Subject};

pub(crate) use propose::Refusal;
pub(crate) use reports::Reports;

/// Requests that may wait. Each member has at most two renewals under way.
const QUEUE: usize = 1024;

/// A holder that owes the log an answer is confirmed for so many ttls more.
const PATIENCE: u32 = 4;

/// A leader that was stalled so often in a row gives the office to another.
const STALLS_MAX: u32 = 3;

type Leases = Vec<(GroupId, Epoch)>;

/// What members ask of the leader.
pub(crate) enum Request {
    Renew {
        from: NodeId,
        leases: Leases,
        /// The state's index that the member's fence and addresses reflect.
        programmed: u64,
        eligibility: Eligibility,
        /// The leases that are still good. Dropped where this node does not lead.
        answer: oneshot::Sender<Leases>,
    },
    Release {
        from: NodeId,
        group: GroupId,
        epoch: Epoch,
        cause: Cause,
        answer: oneshot::Sender<Result<u64, Refusal>>,
    },
    /// Why a group is where it is.
    Explain { group: GroupId, answer: oneshot::Sender<Explanation> },
    /// A guard reports that it ended its daemon and closed its fence.
    Died { node: NodeId, leases: Leases },
}

/// The way in.
#[derive(Clone)]
pub(crate) struct Handle {
    requests: mpsc::Sender<Request>,
    reports: watch::Receiver<Arc<Reports>>,
}

impl Handle {
    /// Where the governor's queue is full or gone, the request is dropped, and its answer with it.
    pub(crate) async fn send(&self, request: Request) {
        // A closed queue means that the daemon is ending; the asker sees its answer dropped.
        let _ = self.requests.send(request).await;
    }

    /// What directors last said of themselves. Empty on a node that does not lead.
    pub(crate) fn reports(&self) -> Arc<Reports> {
        self.reports.borrow().clone()
    }
}

pub(crate) fn spawn(group: Group, node: NodeId, timing: Timing) -> Handle {
    let (requests, queue) = mpsc::channel(QUEUE);
    let (published, reports) = watch::channel(Arc::new(Reports::default()));
    let governor = Governor {
        node,
        timing,
        leadership: group.leadership(),
        state: group.state(),
        group,
        grantor: Grantor::new(timing),
        reports: Reports::default(),
        placer: Placer::new(),
        patience: Patience::default(),
        stalls: 0,
        published,
        waiting: BTreeMap::new(),
        next_request: 0,
        rounds: JoinSet::new(),
        in_flight: InFlight::default(),
        takeover: JoinSet::new(),
        woken: boot_now(),
        stalled: boot_now(),
        leading: None,
        last_transfer: boot_now(),
    };
    tokio::spawn(governor.run(queue));
    Handle { requests, reports }
}

struct Governor {
    node: NodeId,
    timing: Timing,
    group: Group,
    leadership: watch::Receiver<Leadership>,
    state: watch::Receiver<Arc<State>>,
    grantor: Grantor,
    reports: Reports,
    placer: Placer,
    patience: Patience,
    /// Late wake-ups without a quiet spell between them.
    stalls: u32,
    published: watch::Sender<Arc<Reports>>,
    /// Who waits for the answer to which renewal.
    waiting: BTreeMap<u64, oneshot::Sender<Leases>>,
    next_request: u64,
    rounds: JoinSet<(u64, bool)>,
    in_flight: InFlight,
    takeover: JoinSet<Option<(u64, BootNanos)>>,
    /// When the timer was last armed for; a late wake-up is a stall.
    woken: BootNanos,
    /// The last late wake-up.
    stalled: BootNanos,
    /// The term this node leads in.
    leading: Option<u64>,
    last_transfer: BootNanos,
}

impl Governor {
    async fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut leadership = self.leadership.clone();
        let mut state = self.state.clone();
        self.follow_leadership();
        loop {
            let wake = self.step();
            self.woken = wake;
            let pause = wake.since(boot_now());
            tokio::select! {
                biased;
                changed = leadership.changed() => {
                    if changed.is_err() { return }
                    self.follow_leadership();
                }
                Some(Ok((round, ok))) = self.rounds.join_next() => self.confirmed(round, ok),
                Some(settled) = self.in_flight.next() => self.settled(settled),
                Some(bound) = self.takeover.join_next() => {
                    if let Ok(Some((term, latest))) = bound {
                        self.grantor.handle_takeover_bound(term, latest);
                    }
                }
                request = queue.recv() => match request {
                    Some(request) => self.handle(request),
                    None => return,
                },
                changed = state.changed() => {
                    if changed.is_err() { return }
                }
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Drains the grantor and decides what to propose. Says when to look again.
    fn step(&mut self) -> BootNanos {
        let now = boot_now();
        // One state for all of this step: what is proposed names the epochs that were judged.
        let state = self.state.borrow().clone();
        self.notice_stall(now);
        self.grantor.handle_timeout(now);
        self.grantor.handle_applied(&state, now);
        self.patience.follow(&state, &self.reports.programmed(), now);
        while let Some(command) = self.grantor.poll_command() {
            match command {
                GrantorCommand::Confirm { round } => {
                    let group = self.group.clone();
                    self.rounds.spawn(async move { (round, group.confirm().await.is_ok()) });
                }
                // Dropping the answer sends the asker to look for the leader.
                GrantorCommand::Refuse { request } => drop(self.waiting.remove(&request)),
                GrantorCommand::Answer { request, good } => {
                    if let Some(answer) = self.waiting.remove(&request) {
                        // The member gave up waiting: it will ask again.
                        let _ = answer.send(good);
                    }
                }
            }
        }
        let mut wake = now.after(self.timing.renew_interval);
        if self.leading.is_some() {
            if let Some(due) = self.decide(&state, now) {
                wake = wake.min(due);
            }
            self.balance_leadership(&state, now);
        }
        if let Some((due, _)) = self.grantor.poll_timeout() {
            wake = wake.min(due);
        }
        wake.max(now)
    }

    /// etcd#15247: whoever was asleep knows nothing of the renewals that came meanwhile.
    fn notice_stall(&mut self, now: BootNanos) {
        let late = now.since(self.woken);
        if late <= self.timing.slack {
            return;
        }
        let spell = self.timing.ttl * 4;
        self.stalls = if now.since(self.stalled) > spell { 1 } else { self.stalls + 1 };
        self.stalled = now;
        tracing::warn!(?late, "this node was stalled: lease clocks restart");
        self.grantor.handle_stall(now);
        self.reports.handle_stall(now);
        // A leader that never keeps time never finds anyone silent either.
        if self.stalls >= STALLS_MAX
            && self.leading.is_some()
            && let Some(to) = self.group.successor()
        {
            self.stalls = 0;
            self.hand_leadership(to, "this node keeps being stalled");
        }
    }

    fn handle(&mut self, request: Request) {
        let now = boot_now();
        if self.leading.is_none() {
            // Dropping the answer tells the asker to look for the leader elsewhere.
            return;
        }
        match request {
            Request::Renew { from, mut leases, programmed, eligibility, answer } => {
                self.patience.retain(&mut leases, self.timing.ttl * PATIENCE, now);
                if self.reports.heard(from, programmed, eligibility, now) {
                    self.publish();
                }
                let request = self.next_request;
                self.next_request += 1;
                self.waiting.insert(request, answer);
                self.grantor.handle_renew(request, from, leases, now);
            }
            Request::Release { from, group, epoch, cause, answer } => {
                self.release(from, group, epoch, cause, Some(answer));
            }
            Request::Explain { group, answer } => {
                let state = self.state.borrow().clone();
                let is_over = |group, epoch| self.grantor.is_over(group, epoch, now);
                let situation = Situation::new(&state, &self.reports, is_over);
                let (directors, slots) = (situation.directors(), situation.slots());
                let told = self.placer.explain(&directors, &slots, self.node, now, group);
                if let Some(told) = told {
                    // The asker gave up waiting.
                    let _ = answer.send(told);
                }
            }
            Request::Died { node, leases } => {
                self.reports.forget(node);
                self.publish();
                for (group, epoch) in leases {
                    self.release(node, group, epoch, Cause::DaemonDied, None);
                }
            }
        }
    }

    fn confirmed(&mut self, round: u64, ok: bool) {
        let state = self.state.borrow().clone();
        self.grantor.handle_confirm_result(round, ok, &state, boot_now());
    }

    fn settled(&mut self, settled: Settled) {
        if let Subject::Ends(group) = settled.subject
            && settled.definite
        {
            self.grantor.unblock(group);
        }
    }

    fn follow_leadership(&mut self) {
        let now = boot_now();
        let current = self.leadership.borrow().clone();
        let leading = current.is_leader.then_some(current.term);
        if leading == self.leading {
            return;
        }
        self.leading = leading;
        self.waiting.clear();
        self.reports = Reports::default();
        self.placer = Placer::new();
        self.in_flight = InFlight::default();
        self.last_transfer = now;
        self.publish();
        match leading {
            None => self.grantor.handle_deposed(now),
            Some(term) => {
                tracing::info!(term, "this node leads");
                self.grantor.handle_elected(term, now);
                self.takeover.spawn(takeover_bound(self.group.clone(), self.timing));
            }
        }
    }

    /// Leadership prefers the member that holds least: one crash then seldom costs both a lease
    /// and the leader.
    fn balance_leadership(&mut self, state: &State, now: BootNanos) {
        let quiet = self.timing.election_max * 8;
        if now.since(self.last_transfer) < quiet || self.in_flight.any() {
            return;
        }
        let Members { voters, voter_sets, .. } = self.group.members();
        if voter_sets.len() > 1 {
            // A change of members is half done, and its leader has to finish it.
            return;
        }
        let load = |node: NodeId| state.held_by(node).len();
        let stays = |node: &NodeId| state.members.get(node).is_some_and(|one| one.votes);
        let heard = voters
            .into_keys()
            .filter(|one| *one != self.node && stays(one) && self.reports.is_heard(*one));
        let Some(to) = heard.min_by_key(|one| (load(*one), one.0)) else { return };
        if load(to) >= load(self.node) {
            return;
        }
        self.last_transfer = now;
        self.hand_leadership(to, "it holds least");
    }

    fn hand_leadership(&self, to: NodeId, why: &'static str) {
        tracing::info!(%to, why, "handing leadership over");
        let group = self.group.clone();
        tokio::spawn(async move {
            if let Err(error) = group.transfer_leadership(to).await {
                tracing::info!(%error, "leadership stays here");
            }
        });
    }

    fn publish(&mut self) {
        self.published.send_replace(Arc::new(self.reports.clone()));
    }
}

/// The latest instant at which a leader before this one can have been confirmed.
async fn takeover_bound(group: Group, timing: Timing) -> Option<(u64, BootNanos)> {
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
        // Later than this it would tell nothing new.
        if boot_now().since(begun) > timing.ttl {
            return None;
        }
    }
}
