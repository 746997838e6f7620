//! One simulated member: its disk, its kernel and its process.
//!
//! Its consensus is in `consensus.rs`; here are the shells of holder and grantor.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use leasehold_model::{BootNanos, Epoch, GroupId, NodeId};

use super::super::{
    Acknowledgements, Grantor, GrantorCommand, Holder, HolderCommand, LastAcknowledged, takeover,
};
use super::timing;
use crate::state::{Cause, Command, Retiring, State};

pub(super) type Log = Rc<Vec<(u64, Option<Command>)>>;

#[derive(Clone, Debug)]
pub(super) enum Message {
    Vote { term: u64, last_term: u64, len: usize },
    Voted { term: u64 },
    Append { term: u64, log: Log, commit: usize, round: u64 },
    Appended { term: u64, len: usize, round: u64 },
    Renew { sent: BootNanos, leases: Vec<(GroupId, Epoch)>, programmed: u64 },
    Renewed { sent: BootNanos, good: Option<Vec<(GroupId, Epoch)>> },
    Propose(Command),
    AskLast { term: u64 },
    Last { term: u64, ago: Duration },
}

/// A deliberate mistake in this shell, to see that the judge finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// A judgement made in one term is proposed in another.
    StaleGrant,
    /// An address retires for silence alone.
    RetireBySilence,
    /// A node that led does not count itself among those who acknowledged it.
    NoSelfAcknowledgement,
    /// A start is not announced: the old epochs are used on.
    NoStarted,
    /// A voter that restarted claims that it never acknowledged anybody.
    ForgetfulVoter,
    /// Renewals are answered without a quorum.
    NoConfirm,
    /// A lease opens before the kernel follows the log to its grant.
    OpenUnprogrammed,
    /// A renewal reports what is applied, not what the kernel follows.
    ReportApplied,
}

pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) fault: Fault,
    /// One in so many ticks places what is over: a lease may find its holder again meanwhile.
    pub(super) tardy: u64,
    /// The kernel follows the log within so many milliseconds.
    pub(super) slowness_ms: u64,
    // Disk.
    pub(super) term: u64,
    pub(super) voted: Option<NodeId>,
    pub(super) log: Log,
    pub(super) incarnation: u64,
    // Kernel.
    pub(super) fence: BTreeMap<GroupId, BootNanos>,
    pub(super) bound: BTreeMap<IpAddr, GroupId>,
    pub(super) process: Option<Process>,
    pub(super) out: Vec<(NodeId, Message)>,
}

pub(super) enum Role {
    Follower,
    Candidate(BTreeSet<NodeId>),
    Leader(Box<Leader>),
}

#[derive(Default)]
pub(super) struct Leader {
    pub(super) matched: BTreeMap<NodeId, usize>,
    /// By round: who confirmed it, and the index to be applied before it counts.
    pub(super) rounds: BTreeMap<u64, (BTreeSet<NodeId>, usize)>,
    pub(super) heartbeat_at: BootNanos,
    pub(super) answers: BTreeMap<NodeId, LastAcknowledged>,
    pub(super) requests: BTreeMap<u64, (NodeId, BootNanos)>,
    pub(super) next_request: u64,
    pub(super) heard: BTreeMap<NodeId, BootNanos>,
    pub(super) programmed: BTreeMap<NodeId, u64>,
    /// Log positions whose entry ends a lease, until applied.
    pub(super) ending: BTreeMap<usize, GroupId>,
    pub(super) retiring: Vec<Retiring>,
}

pub(super) struct Process {
    pub(super) state: State,
    pub(super) commit: usize,
    pub(super) applied: usize,
    pub(super) role: Role,
    pub(super) leader: Option<NodeId>,
    pub(super) holder: Holder,
    pub(super) grantor: Grantor,
    pub(super) acks: Acknowledgements<u64>,
    pub(super) election_at: BootNanos,
    pub(super) started_at: BootNanos,
    /// The kernel follows the log up to here.
    pub(super) programmed: usize,
    pub(super) program_at: Option<BootNanos>,
    /// Cut off between deciding and writing.
    pub(super) frozen: Vec<HolderCommand>,
    pub(super) judged: Vec<Command>,
    pub(super) opened: u64,
    pub(super) shortened: u64,
}

pub(super) const MEMBERS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

impl Node {
    pub(super) fn new(id: NodeId, fault: Fault) -> Self {
        Self {
            id,
            fault,
            tardy: 1,
            slowness_ms: 40,
            term: 0,
            voted: None,
            log: Log::default(),
            incarnation: 0,
            fence: BTreeMap::new(),
            bound: BTreeMap::new(),
            process: None,
            out: Vec::new(),
        }
    }

    /// A daemon starts: it closes the fence before anything else.
    pub(super) fn start(&mut self, base: &State, now: BootNanos, random: u64) {
        self.fence.clear();
        self.bound.clear();
        self.incarnation += 1;
        let forgetful = self.fault == Fault::ForgetfulVoter;
        let acks = Acknowledgements::new(if forgetful { BootNanos(0) } else { now });
        let mut holder = Holder::new(timing(), now);
        if self.fault == Fault::OpenUnprogrammed {
            holder.handle_programmed(u64::MAX);
        }
        self.process = Some(Process {
            state: base.clone(),
            commit: 0,
            applied: 0,
            role: Role::Follower,
            leader: None,
            holder,
            grantor: Grantor::new(timing()),
            acks,
            election_at: now.after(patience(random)),
            started_at: now,
            programmed: 0,
            program_at: None,
            frozen: Vec::new(),
            judged: Vec::new(),
            opened: 0,
            shortened: 0,
        });
    }

    pub(super) fn handle(&mut self, from: NodeId, message: Message, now: BootNanos, random: u64) {
        let Some(process) = &mut self.process else { return };
        match message {
            Message::Vote { term, last_term, len } => {
                self.vote(from, term, (last_term, len), now, random);
            }
            Message::Voted { term } => self.count_vote(from, term, now),
            Message::Append { term, log, commit, round } => {
                self.append(from, term, &log, commit, round, now, random);
            }
            Message::Appended { term, len, round } => {
                self.see_term(term, now);
                self.count_append(from, term, len, round, now, random);
            }
            Message::Renew { sent, leases, programmed } => {
                let Role::Leader(leader) = &mut process.role else {
                    self.out.push((from, Message::Renewed { sent, good: None }));
                    return;
                };
                leader.heard.insert(from, now);
                let report = leader.programmed.entry(from).or_default();
                *report = programmed.max(*report);
                leader.next_request += 1;
                leader.requests.insert(leader.next_request, (from, sent));
                process.grantor.handle_renew(leader.next_request, from, leases, now);
            }
            Message::Renewed { sent, good: Some(good) } => {
                process.holder.handle_confirmed(sent, &good, now);
            }
            Message::Renewed { sent, good: None } => process.holder.handle_failed(sent, now),
            Message::Propose(command) => self.propose(command),
            Message::AskLast { term } if self.term >= term => {
                let ago = process.acks.ago(&term, now);
                self.out.push((from, Message::Last { term, ago }));
            }
            // It could still acknowledge an older leader.
            Message::AskLast { .. } => {}
            Message::Last { term, ago } => self.count_last(from, term, ago, now),
        }
    }

    /// Timers, consensus' and the protocol's; `random` decides what chance decides.
    pub(super) fn tick(&mut self, now: BootNanos, random: u64) {
        let Some(process) = &mut self.process else { return };
        if process.program_at.is_some_and(|when| when <= now) {
            self.program();
        }
        let Some(process) = &mut self.process else { return };
        if process.holder.poll_timeout().is_some_and(|(when, _)| when <= now) {
            process.holder.handle_timeout(now);
        }
        if process.grantor.poll_timeout().is_some_and(|(when, _)| when <= now) {
            process.grantor.handle_timeout(now);
        }
        let announced = process.state.members[&self.id].incarnation >= self.incarnation;
        let unannounced = !announced && now.since(process.started_at).as_millis() % 64 < 8;
        if let Some(leader) = process.leader
            && unannounced
            && self.fault != Fault::NoStarted
        {
            let started = Command::Started { node: self.id, incarnation: self.incarnation };
            self.out.push((leader, Message::Propose(started)));
        }
        match &mut process.role {
            Role::Leader(leader) => {
                if leader.heartbeat_at <= now {
                    leader.heartbeat_at = now.after(timing().heartbeat);
                    self.replicate(0);
                    self.ask_last(now);
                }
                self.place(now, random);
            }
            Role::Follower | Role::Candidate(_) if process.election_at <= now => {
                self.stand(now, random);
            }
            Role::Follower | Role::Candidate(_) => {}
        }
    }

    /// Carries out what holder and grantor decided. True where the process froze before a write.
    pub(super) fn drain(&mut self, now: BootNanos, mut freeze: impl FnMut() -> bool) -> bool {
        let Some(process) = &mut self.process else { return false };
        let mut commands = std::mem::take(&mut process.frozen);
        commands.extend(std::iter::from_fn(|| process.holder.poll_command()));
        let mut commands = commands.into_iter();
        while let Some(command) = commands.next() {
            let opens = matches!(command, HolderCommand::OpenUntil { .. });
            if opens && freeze() {
                process.frozen = std::iter::once(command).chain(commands).collect();
                return true;
            }
            match command {
                HolderCommand::Renew { sent, leases } => {
                    let ahead = self.fault == Fault::ReportApplied;
                    let follows = if ahead { process.applied } else { process.programmed };
                    let programmed = follows as u64 + 1;
                    let renew = Message::Renew { sent, leases, programmed };
                    self.out.push((process.leader.unwrap_or(self.id), renew));
                }
                HolderCommand::OpenUntil { group, deadline, first, .. } => {
                    process.opened += u64::from(first);
                    self.fence.insert(group, deadline);
                }
                HolderCommand::Close { group, .. } => {
                    self.fence.remove(&group);
                }
                HolderCommand::Release { group, epoch } => {
                    let handover = process.state.leases.get(&group).and_then(|one| one.handover);
                    let release =
                        Command::Release { group, epoch, next: handover, cause: Cause::Moved };
                    let to = process.leader.unwrap_or(self.id);
                    self.out.push((to, Message::Propose(release)));
                }
            }
        }
        self.drain_grantor(now);
        false
    }

    fn drain_grantor(&mut self, now: BootNanos) {
        loop {
            let Some(process) = &mut self.process else { return };
            let Some(command) = process.grantor.poll_command() else { return };
            let (request, good) = match command {
                GrantorCommand::Confirm { round } => {
                    self.confirm(round, now);
                    continue;
                }
                GrantorCommand::Answer { request, good } => (request, Some(good)),
                GrantorCommand::Refuse { request } => (request, None),
            };
            let Role::Leader(leader) = &mut process.role else { continue };
            if let Some((from, sent)) = leader.requests.remove(&request) {
                self.out.push((from, Message::Renewed { sent, good }));
            }
        }
    }

    fn confirm(&mut self, round: u64, now: BootNanos) {
        let Some(process) = &mut self.process else { return };
        if self.fault != Fault::NoSelfAcknowledgement {
            process.acks.handle_acknowledged(&self.term, now);
        }
        let Role::Leader(leader) = &mut process.role else { return };
        // Before the first entry of its own term is committed, a leader doesn't know what is.
        let knows = process.commit > 0 && self.log[process.commit - 1].0 == self.term;
        if !knows || self.fault == Fault::NoConfirm {
            process.grantor.handle_confirm_result(round, knows, &process.state, now);
            return;
        }
        leader.rounds.insert(round, (BTreeSet::from([self.id]), process.commit));
        self.replicate(round);
    }

    fn ask_last(&mut self, now: BootNanos) {
        let Some(process) = &mut self.process else { return };
        let Role::Leader(leader) = &mut process.role else { return };
        let own = LastAcknowledged { ago: process.acks.ago(&self.term, now), received_at: now };
        leader.answers.entry(self.id).or_insert(own);
        let missing = MEMBERS.into_iter().filter(|to| !leader.answers.contains_key(to));
        let ask = missing.map(|to| (to, Message::AskLast { term: self.term }));
        self.out.extend(ask);
    }

    fn count_last(&mut self, from: NodeId, term: u64, ago: Duration, now: BootNanos) {
        let Some(process) = &mut self.process else { return };
        let Role::Leader(leader) = &mut process.role else { return };
        if term != self.term {
            return;
        }
        leader.answers.entry(from).or_insert(LastAcknowledged { ago, received_at: now });
        let voters = [MEMBERS.into_iter().collect()];
        if let Some(latest) = takeover(&timing(), &voters, &leader.answers) {
            let before = process.grantor.over_at(GroupId(99), Epoch(0));
            process.grantor.handle_takeover_bound(term, latest);
            let after = process.grantor.over_at(GroupId(99), Epoch(0));
            process.shortened += u64::from(after < before);
        }
    }

    pub(super) fn finish_rounds(&mut self, now: BootNanos) {
        let Some(process) = &mut self.process else { return };
        let Role::Leader(leader) = &mut process.role else { return };
        let applied = process.applied;
        let done = |(by, index): &(BTreeSet<NodeId>, usize)| by.len() >= 2 && applied >= *index;
        let rounds: Vec<u64> =
            leader.rounds.iter().filter(|(_, one)| done(one)).map(|(id, _)| *id).collect();
        for round in rounds {
            leader.rounds.remove(&round);
            process.grantor.handle_confirm_result(round, true, &process.state, now);
        }
    }

    fn program(&mut self) {
        let Some(process) = &mut self.process else { return };
        process.program_at = None;
        process.programmed = process.applied;
        process.holder.handle_programmed(process.programmed as u64 + 1);
        self.bound.clear();
        for held in process.state.held_by(self.id) {
            self.bound.extend(held.vips.iter().map(|vip| (vip.address, held.group)));
        }
    }

    /// Gives what is free or over to somebody who was heard of lately.
    fn place(&mut self, now: BootNanos, random: u64) {
        let Some(process) = &mut self.process else { return };
        let Role::Leader(leader) = &mut process.role else { return };
        let heard = leader.heard.iter().filter(|(_, at)| now.since(**at) < timing().ttl);
        let candidates: Vec<NodeId> = heard.map(|(node, _)| *node).collect();
        let mut proposals = Vec::new();
        for (group, lease) in &process.state.leases {
            let over = process.grantor.is_over(*group, lease.epoch, now);
            let due = lease.holder.is_none() || (over && (random >> 16).is_multiple_of(self.tardy));
            if process.grantor.is_blocked(*group) || !due {
                continue;
            }
            let others: Vec<_> =
                candidates.iter().filter(|node| Some(**node) != lease.holder).collect();
            if others.is_empty() {
                continue;
            }
            let holder = *others[random as usize % others.len()];
            let (replaces, cause) = (lease.epoch, Cause::Expired);
            proposals.push(Command::Grant { group: *group, holder, replaces, cause });
        }
        let mut items = process.grantor.retired(&process.state, &leader.programmed, now);
        if self.fault == Fault::RetireBySilence {
            let silent = |one: &&Retiring| process.grantor.is_over(one.group, one.epoch, now);
            items.extend(process.state.retiring.iter().filter(silent).cloned());
        }
        items.retain(|one| !leader.retiring.contains(one));
        leader.retiring.extend(items.iter().cloned());
        if !items.is_empty() {
            proposals.push(Command::Retired { items });
        }
        process.judged.extend(proposals.iter().cloned());
        proposals.into_iter().for_each(|command| self.propose(command));
    }
}

pub(super) fn patience(random: u64) -> Duration {
    let (min, max) = (timing().election_min, timing().election_max);
    let spread = u64::try_from((max - min).as_nanos()).unwrap_or(1);
    min + Duration::from_nanos((random >> 8) % spread)
}
