//! What comes of each event.

use std::collections::BTreeMap;

use leasehold_raft_core::lease::{
    Acknowledgements, Grantor, GrantorCommand, Holder, HolderCommand, LastAcknowledged, takeover,
};
use leasehold_raft_core::model::{BootNanos, Epoch, GroupId};
use leasehold_raft_core::state::Retiring;

use super::cluster::{A, B, Cluster, Item, Message, NODES, Process, WEB, clock, id, timing};
use super::{Fault, Lease, Scope};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// True time goes on.
    Tick,
    /// A holder's timer is handled, on time or late.
    Timer(usize),
    Deliver {
        message: usize,
        to: usize,
    },
    /// Deliver it, and keep it for another time.
    Copy {
        message: usize,
        to: usize,
    },
    /// `voter` confirms the round of `leader`.
    Confirm {
        leader: usize,
        voter: usize,
    },
    /// The leader learns that its round was confirmed.
    Finish(usize),
    /// `node` is elected with the vote of `voter`. `found`: what the leader before it had not
    /// committed is in its log.
    Elect {
        node: usize,
        voter: usize,
        found: bool,
    },
    /// A new leader hears when `voter` last acknowledged an older one.
    Ask {
        leader: usize,
        voter: usize,
    },
    Propose {
        leader: usize,
        to: usize,
    },
    ProposeHandover {
        leader: usize,
    },
    ProposeMove {
        leader: usize,
    },
    ProposeRetired {
        leader: usize,
    },
    Commit {
        leader: usize,
        voter: usize,
    },
    /// A node's machines follow the log by one entry.
    Apply(usize),
    /// Its kernel follows as far as the machines do.
    Program(usize),
    Kill(usize),
    Guard(usize),
    Restart(usize),
}

impl Lease {
    pub(super) fn step(&self, cluster: &mut Cluster, action: Action) {
        match action {
            Action::Tick => {
                cluster.time += 1;
                self.forget_worthless(cluster);
            }
            Action::Timer(node) => self.holder(cluster, node, Holder::handle_timeout),
            Action::Deliver { message, to } => {
                let Some(message) = cluster.network.iter().nth(message).cloned() else { return };
                cluster.network.remove(&message);
                self.deliver(cluster, message, to);
            }
            Action::Copy { message, to } => {
                let Some(message) = cluster.network.iter().nth(message).cloned() else { return };
                cluster.copies += 1;
                self.deliver(cluster, message, to);
            }
            Action::Confirm { leader, voter } => self.confirm(cluster, leader, voter),
            Action::Finish(leader) => self.finish(cluster, leader),
            Action::Elect { node, voter, found } => self.elect(cluster, node, voter, found),
            Action::Ask { leader, voter } => self.ask(cluster, leader, voter),
            Action::Propose { leader, to } => {
                let state = self.state(&cluster.log[..cluster.nodes[leader].applied]);
                let replaces = state.leases[&WEB].epoch;
                self.propose(cluster, leader, Item::Grant { group: WEB, to, replaces });
            }
            Action::ProposeHandover { leader } => {
                let state = self.state(&cluster.log[..cluster.nodes[leader].applied]);
                let epoch = state.leases[&WEB].epoch;
                cluster.handovers += 1;
                self.propose(cluster, leader, Item::Handover { group: WEB, epoch, to: B });
            }
            Action::ProposeMove { leader } => {
                cluster.moves += 1;
                self.propose(cluster, leader, Item::Move);
            }
            Action::ProposeRetired { leader } => {
                let state = self.state(&cluster.log[..cluster.nodes[leader].applied]);
                let Some(process) = &cluster.nodes[leader].process else { return };
                let items = self.retired(process, &state, clock(leader, cluster.time));
                let item = |one: Retiring| {
                    let holder = if one.holder == id(A) { A } else { B };
                    (one.address, one.group, one.epoch, holder, one.index)
                };
                let items = items.into_iter().map(item).collect();
                self.propose(cluster, leader, Item::Retired(items));
            }
            Action::Commit { leader, voter } => self.commit(cluster, leader, voter),
            Action::Apply(node) => self.apply(cluster, node),
            Action::Program(node) => Self::program(cluster, node),
            Action::Kill(node) => self.kill(cluster, node),
            Action::Guard(node) => self.guard(cluster, node),
            Action::Restart(node) => {
                let incarnation = cluster.nodes[node].incarnation + 1;
                cluster.nodes[node].incarnation = incarnation;
                cluster.nodes[node].orphans.clear();
                self.boot(cluster, node);
                cluster.network.insert(Message::Started { node, incarnation });
            }
        }
    }

    /// What can no longer buy its holder anything might as well be lost.
    fn forget_worthless(&self, cluster: &mut Cluster) {
        if self.fault == Fault::DeadlineFromReceipt {
            return;
        }
        let timing = timing(Fault::None, true);
        let time = cluster.time;
        cluster.network.retain(|message| match message {
            Message::Renew { from: node, sent, .. } | Message::Renewed { to: node, sent, .. } => {
                timing.holder_deadline(*sent) > clock(*node, time)
            }
            Message::Release { .. } | Message::Started { .. } => true,
        });
    }

    /// A process starts: it closes the fence before anything else.
    pub(super) fn boot(&self, cluster: &mut Cluster, node: usize) {
        let now = clock(node, cluster.time);
        // The first processes have run for long; a later one knows nothing of those before it.
        let first = cluster.nodes[node].incarnation == 0;
        let long_ago = first || self.fault == Fault::ForgetfulVoter;
        cluster.nodes[node].fence.clear();
        let mut holder = Holder::new(timing(self.fault, true), now);
        let heedless = self.fault == Fault::OpenUnprogrammed;
        let programmed = index(cluster.nodes[node].programmed);
        holder.handle_programmed(if heedless { u64::MAX } else { programmed });
        cluster.nodes[node].process = Some(Process {
            holder,
            grantor: Grantor::new(timing(self.fault, false)),
            acks: Acknowledgements::new(if long_ago { BootNanos(0) } else { now }),
            leads: None,
            pending: None,
            round: None,
            requests: BTreeMap::new(),
            programmed: BTreeMap::new(),
            asked: false,
        });
        self.follow(cluster, node);
    }

    pub(super) fn lead(&self, cluster: &mut Cluster, node: usize, term: u64) {
        let now = clock(node, cluster.time);
        cluster.nodes[node].applied = cluster.log.len();
        if let Some(process) = &mut cluster.nodes[node].process {
            process.grantor.handle_elected(term, now);
            if self.fault == Fault::NoElectedWait {
                process.grantor.handle_takeover_bound(term, BootNanos(0));
            }
            process.leads = Some(term);
            process.pending = None;
            process.round = None;
            process.requests.clear();
            process.asked = false;
        }
        self.follow(cluster, node);
    }

    fn elect(&self, cluster: &mut Cluster, node: usize, voter: usize, found: bool) {
        cluster.elections += 1;
        let term = 1 + cluster.nodes.iter().map(|one| one.promise).max().unwrap_or(0);
        let left = cluster.left_behind();
        if let Some(item) = left.filter(|_| found) {
            cluster.log.push(item);
        }
        for one in [node, voter] {
            cluster.nodes[one].promise = term;
            let now = clock(one, cluster.time);
            if let Some(process) = &mut cluster.nodes[one].process {
                process.leads = None;
                process.pending = None;
                process.round = None;
                process.requests.clear();
                process.grantor.handle_deposed(now);
            }
        }
        self.lead(cluster, node, term);
    }

    fn deliver(&self, cluster: &mut Cluster, message: Message, to: usize) {
        match message {
            Message::Renewed { sent, good, .. } => {
                self.holder(cluster, to, |holder, now| holder.handle_confirmed(sent, &good, now));
            }
            Message::Renew { from, sent, leases, programmed } => {
                let now = clock(to, cluster.time);
                let Some(process) = &mut cluster.nodes[to].process else { return };
                let report = process.programmed.entry(id(from)).or_default();
                *report = programmed.max(*report);
                let request = process.requests.last_key_value().map_or(0, |(last, _)| last + 1);
                process.requests.insert(request, (from, sent));
                process.grantor.handle_renew(request, id(from), leases, now);
                self.drain_grantor(cluster, to);
            }
            Message::Release { group, epoch } => {
                self.propose(cluster, to, Item::Release { group, epoch });
            }
            Message::Started { node, incarnation } => {
                self.propose(cluster, to, Item::Started { node, incarnation });
            }
        }
    }

    fn propose(&self, cluster: &mut Cluster, leader: usize, item: Item) {
        let Some(process) = &mut cluster.nodes[leader].process else { return };
        if let Item::Grant { group, .. } | Item::Release { group, .. } = &item
            && self.fault != Fault::NoBlock
        {
            process.grantor.block(*group);
        }
        process.pending = Some(item);
    }

    fn commit(&self, cluster: &mut Cluster, leader: usize, voter: usize) {
        self.acknowledge(cluster, leader, voter);
        let Some(process) = &mut cluster.nodes[leader].process else { return };
        let Some(item) = process.pending.take() else { return };
        if let Item::Grant { group, .. } | Item::Release { group, .. } = &item {
            process.grantor.unblock(*group);
        }
        cluster.log.push(item);
        cluster.nodes[leader].applied = cluster.log.len();
        self.follow(cluster, leader);
    }

    fn acknowledge(&self, cluster: &mut Cluster, leader: usize, voter: usize) {
        let term = cluster.nodes[leader].promise;
        cluster.nodes[voter].promise = term;
        cluster.settled = cluster.settled.max(term);
        if self.scope.budget().elections == 0 {
            return;
        }
        for node in [leader, voter] {
            let now = clock(node, cluster.time);
            if let Some(process) = &mut cluster.nodes[node].process {
                if node == voter || self.fault != Fault::NoSelfAcknowledgement {
                    process.acks.handle_acknowledged(&term, now);
                }
                if node == voter && process.leads.is_some_and(|old| old < term) {
                    process.leads = None;
                    process.grantor.handle_deposed(now);
                }
            }
        }
    }

    fn confirm(&self, cluster: &mut Cluster, leader: usize, voter: usize) {
        self.acknowledge(cluster, leader, voter);
        cluster.last_quorum = cluster.time;
        if let Some(process) = &mut cluster.nodes[leader].process
            && let Some((_, confirmed)) = &mut process.round
        {
            *confirmed = true;
        }
        if self.scope == Scope::Moves {
            self.finish(cluster, leader);
        }
    }

    fn finish(&self, cluster: &mut Cluster, leader: usize) {
        let now = clock(leader, cluster.time);
        let state = self.state(&cluster.log[..cluster.nodes[leader].applied]);
        let Some(process) = &mut cluster.nodes[leader].process else { return };
        let Some((round, _)) = process.round.take() else { return };
        process.grantor.handle_confirm_result(round, true, &state, now);
        self.drain_grantor(cluster, leader);
    }

    fn ask(&self, cluster: &mut Cluster, leader: usize, voter: usize) {
        let time = cluster.time;
        let ago = |node: usize, term: u64| {
            let process = cluster.nodes[node].process.as_ref()?;
            let ago = process.acks.ago(&term, clock(node, time));
            Some((id(node), LastAcknowledged { ago, received_at: clock(leader, time) }))
        };
        let term = cluster.nodes[leader].promise;
        let answers = [leader, voter].into_iter().filter_map(|node| ago(node, term)).collect();
        let voters = [(0..NODES).map(id).collect()];
        let bound = takeover(&timing(self.fault, false), &voters, &answers);
        if let (Some(process), Some(bound)) = (&mut cluster.nodes[leader].process, bound) {
            process.asked = true;
            process.grantor.handle_takeover_bound(term, bound);
        }
    }

    fn apply(&self, cluster: &mut Cluster, node: usize) {
        cluster.nodes[node].applied += 1;
        self.follow(cluster, node);
    }

    fn program(cluster: &mut Cluster, node: usize) {
        let one = &mut cluster.nodes[node];
        one.programmed = one.applied;
        let Some(process) = &mut one.process else { return };
        process.holder.handle_programmed(index(one.programmed));
    }

    /// The machines are told what the state says now.
    fn follow(&self, cluster: &mut Cluster, node: usize) {
        let one = &mut cluster.nodes[node];
        let state = self.state(&cluster.log[..one.applied]);
        let Some(process) = &mut one.process else { return };
        process.grantor.handle_applied(&state, clock(node, cluster.time));
        let known = state.members[&id(node)].incarnation >= one.incarnation;
        let held = if known { state.held_by(id(node)) } else { Vec::new() };
        let names: Vec<(GroupId, Epoch)> = held.iter().map(|one| (one.group, one.epoch)).collect();
        // A kernel that is behind is what that scope is about.
        if self.scope != Scope::Returns {
            Self::program(cluster, node);
        }
        let asked: Vec<GroupId> =
            held.iter().filter(|one| one.handover.is_some()).map(|one| one.group).collect();
        self.holder(cluster, node, |holder, now| {
            holder.handle_applied(&names, now);
            for group in &asked {
                holder.handle_surrender(*group, now);
            }
        });
    }

    fn holder(
        &self,
        cluster: &mut Cluster,
        node: usize,
        handle: impl FnOnce(&mut Holder, BootNanos),
    ) {
        let now = clock(node, cluster.time);
        let one = &mut cluster.nodes[node];
        let Some(process) = &mut one.process else { return };
        handle(&mut process.holder, now);
        while let Some(command) = process.holder.poll_command() {
            match command {
                HolderCommand::Renew { leases, .. }
                    if leases.is_empty() || cluster.renewals >= self.scope.budget().renewals => {}
                HolderCommand::Renew { sent, leases } => {
                    let programmed = index(one.programmed);
                    let renew = Message::Renew { from: node, sent, leases, programmed };
                    cluster.network.insert(renew);
                    cluster.renewals += 1;
                }
                HolderCommand::OpenUntil { group, deadline, .. } => {
                    let late = self.fault == Fault::DeadlineFromReceipt;
                    let ttl = timing(self.fault, true).ttl;
                    let deadline = if late { now.after(ttl) } else { deadline };
                    let heeded = self.fault != Fault::NoFence;
                    let deadline = if heeded { deadline } else { BootNanos(u64::MAX) };
                    one.fence.insert(group, deadline);
                }
                HolderCommand::Close { .. } if self.fault == Fault::ReleaseBeforeClose => {}
                HolderCommand::Close { group, .. } => {
                    one.fence.remove(&group);
                }
                HolderCommand::Release { group, epoch } => {
                    cluster.network.insert(Message::Release { group, epoch });
                }
            }
        }
    }

    fn drain_grantor(&self, cluster: &mut Cluster, node: usize) {
        let now = clock(node, cluster.time);
        let state = self.state(&cluster.log[..cluster.nodes[node].applied]);
        let Some(process) = &mut cluster.nodes[node].process else { return };
        while let Some(command) = process.grantor.poll_command() {
            match command {
                GrantorCommand::Confirm { round } if self.fault == Fault::NoQuorum => {
                    process.grantor.handle_confirm_result(round, true, &state, now);
                }
                GrantorCommand::Confirm { round } => process.round = Some((round, false)),
                GrantorCommand::Answer { request, good } => {
                    let asker = process.requests.remove(&request);
                    // An answer without a good lease is as good as one that was lost.
                    if let Some((to, sent)) = asker.filter(|_| !good.is_empty()) {
                        cluster.network.insert(Message::Renewed { to, sent, good });
                    }
                }
                GrantorCommand::Refuse { request } => {
                    process.requests.remove(&request);
                }
            }
        }
    }

    fn kill(&self, cluster: &mut Cluster, node: usize) {
        cluster.crashes += 1;
        let one = &mut cluster.nodes[node];
        // To a guard, one that hangs is as good as dead.
        let lives = self.fault == Fault::GuardLetsLive;
        let gone = if lives { one.process.clone() } else { one.process.take() };
        if let Some(process) = gone {
            one.orphans = process.holder.leases().map(|one| (one.group, one.epoch)).collect();
        }
    }

    /// It closes, and then speaks.
    fn guard(&self, cluster: &mut Cluster, node: usize) {
        let one = &mut cluster.nodes[node];
        if self.fault != Fault::GuardSpeaksFirst {
            one.fence.clear();
        }
        for (group, epoch) in std::mem::take(&mut one.orphans) {
            cluster.network.insert(Message::Release { group, epoch });
        }
    }
}

/// The index of the last of so many entries: the first is that of the configuration.
fn index(entries: usize) -> u64 {
    entries as u64 + 1
}
