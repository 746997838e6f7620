//! What may happen next.

use leasehold_raft_core::model::BootNanos;
use leasehold_raft_core::state::{Retiring, State};

use super::cluster::{A, B, Cluster, Item, Message, NODES, Process, WEB, clock, id};
use super::steps::Action;
use super::{Fault, Lease, Scope};

/// No grant makes the log longer than this: one that is given to and fro shows nothing new.
const LOG_MAX: usize = 4;
/// As many where the log begins long.
const LOG_MAX_OF_RETURNS: usize = 6;

impl Lease {
    pub(super) fn possible(&self, cluster: &Cluster, actions: &mut Vec<Action>) {
        if cluster.time < self.horizon {
            actions.push(Action::Tick);
        }
        let budget = self.scope.budget();
        for (number, message) in cluster.network.iter().enumerate() {
            for to in 0..NODES {
                if self.may_arrive(cluster, message, to) {
                    actions.push(Action::Deliver { message: number, to });
                    if cluster.copies < budget.copies {
                        actions.push(Action::Copy { message: number, to });
                    }
                }
            }
        }
        for node in 0..NODES {
            self.possible_at(cluster, node, actions);
        }
    }

    fn may_arrive(&self, cluster: &Cluster, message: &Message, to: usize) -> bool {
        let Some(process) = &cluster.nodes[to].process else { return false };
        match message {
            Message::Renewed { to: asker, .. } => *asker == to,
            Message::Renew { .. } => process.leads.is_some(),
            Message::Release { group, epoch } => {
                let state = self.state(&cluster.log[..cluster.nodes[to].applied]);
                let news = state.leases[group].epoch == *epoch;
                news && process.leads.is_some() && process.pending.is_none()
            }
            Message::Started { .. } => process.leads.is_some() && process.pending.is_none(),
        }
    }

    fn possible_at(&self, cluster: &Cluster, node: usize, actions: &mut Vec<Action>) {
        let budget = self.scope.budget();
        let one = &cluster.nodes[node];
        if !one.orphans.is_empty() {
            actions.push(Action::Guard(node));
        }
        let Some(process) = &one.process else {
            actions.push(Action::Restart(node));
            return;
        };
        let now = clock(node, cluster.time);
        let timer = process.holder.poll_timeout();
        // A renewal that asks for nothing is no news.
        let spent = cluster.renewals >= budget.renewals;
        if process.holder.leases().next().is_some()
            && !spent
            && timer.is_some_and(|(due, _)| due <= now)
        {
            actions.push(Action::Timer(node));
        }
        if one.applied < cluster.log.len() && process.leads.is_none() {
            actions.push(Action::Apply(node));
        }
        if one.programmed < one.applied {
            actions.push(Action::Program(node));
        }
        if cluster.crashes < budget.crashes && (node == A) == (self.scope == Scope::Crashes) {
            actions.push(Action::Kill(node));
        }
        let voters = (0..NODES).filter(|voter| *voter != node);
        let alive = voters.filter(|voter| cluster.nodes[*voter].process.is_some());
        // Which voter it is matters to later elections only.
        let choice = if budget.elections == 0 { 1 } else { NODES };
        for voter in alive.take(choice) {
            // The holder as a leader too adds little but states.
            if cluster.elections < budget.elections && node != A {
                actions.push(Action::Elect { node, voter, found: false });
                if cluster.left_behind().is_some() {
                    actions.push(Action::Elect { node, voter, found: true });
                }
            }
            let Some(term) = process.leads.filter(|term| *term == one.promise) else { continue };
            if cluster.nodes[voter].promise <= term {
                if process.round.is_some_and(|(_, confirmed)| !confirmed) {
                    actions.push(Action::Confirm { leader: node, voter });
                }
                if process.pending.is_some() {
                    actions.push(Action::Commit { leader: node, voter });
                }
            }
            if !process.asked && term > 1 && cluster.nodes[voter].promise >= term {
                actions.push(Action::Ask { leader: node, voter });
            }
        }
        if process.leads.is_some() {
            self.possible_as_leader(cluster, node, process, actions);
        }
    }

    fn possible_as_leader(
        &self,
        cluster: &Cluster,
        leader: usize,
        process: &Process,
        actions: &mut Vec<Action>,
    ) {
        if process.round.is_some_and(|(_, confirmed)| confirmed) {
            actions.push(Action::Finish(leader));
        }
        if process.pending.is_some() {
            return;
        }
        let budget = self.scope.budget();
        let state = self.state(&cluster.log[..cluster.nodes[leader].applied]);
        let now = clock(leader, cluster.time);
        let web = &state.leases[&WEB];
        let over = web.holder.is_none() || process.grantor.is_over(WEB, web.epoch, now);
        let most = if self.scope == Scope::Returns { LOG_MAX_OF_RETURNS } else { LOG_MAX };
        let room = cluster.log.len() < most;
        let free = room && self.scope != Scope::Moves && !process.grantor.is_blocked(WEB);
        if over && free {
            let others = [A, B].into_iter().filter(|to| Some(id(*to)) != web.holder);
            actions.extend(others.map(|to| Action::Propose { leader, to }));
        }
        if cluster.handovers < budget.handovers && web.holder == Some(id(A)) {
            actions.push(Action::ProposeHandover { leader });
        }
        if cluster.moves < budget.moves {
            actions.push(Action::ProposeMove { leader });
        }
        if !self.retired(process, &state, now).is_empty() {
            actions.push(Action::ProposeRetired { leader });
        }
    }

    pub(super) fn retired(
        &self,
        process: &Process,
        state: &State,
        now: BootNanos,
    ) -> Vec<Retiring> {
        let silent = |one: &Retiring| process.grantor.is_over(one.group, one.epoch, now);
        match self.fault {
            Fault::NoRetiring => state.retiring.clone(),
            Fault::RetireBySilence if state.retiring.iter().any(silent) => state.retiring.clone(),
            Fault::None
            | Fault::DeadlineFromReceipt
            | Fault::NoElectedWait
            | Fault::NoBlock
            | Fault::NoQuorum
            | Fault::NoDrift
            | Fault::GuardSpeaksFirst
            | Fault::GuardLetsLive
            | Fault::NoFence
            | Fault::ReleaseBeforeClose
            | Fault::ForgetfulVoter
            | Fault::NoSelfAcknowledgement
            | Fault::OpenUnprogrammed
            | Fault::RetireBySilence => process.grantor.retired(state, &process.programmed, now),
        }
    }
}

impl Cluster {
    /// An entry that was not committed, and may yet be in the log of the next leader.
    pub(super) fn left_behind(&self) -> Option<Item> {
        let leaders = self.nodes.iter().filter_map(|one| one.process.as_ref());
        let mut alive = leaders.filter(|one| one.leads.is_some_and(|term| term >= self.settled));
        alive.find_map(|one| one.pending.clone())
    }
}
