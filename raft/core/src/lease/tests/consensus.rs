//! Raft cut down to what the lease protocol leans on: votes, terms, a log that is sent whole,
//! commit by majority. It refuses no vote, so that nothing here is safe by a follower's patience.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use leasehold_model::{BootNanos, NodeId};

use super::node::{Fault, Log, MEMBERS, Message, Node, Role, patience};
use crate::state::{Command, Entry};

impl Node {
    pub(super) fn replicate(&mut self, round: u64) {
        let Some(process) = &self.process else { return };
        let (term, commit) = (self.term, process.commit);
        for to in MEMBERS.into_iter().filter(|to| *to != self.id) {
            let log = Rc::clone(&self.log);
            self.out.push((to, Message::Append { term, log, commit, round }));
        }
    }
    pub(super) fn see_term(&mut self, term: u64, now: BootNanos) {
        if term <= self.term {
            return;
        }
        self.term = term;
        self.voted = None;
        if let Some(process) = &mut self.process {
            process.role = Role::Follower;
            process.grantor.handle_deposed(now);
        }
    }

    pub(super) fn stand(&mut self, now: BootNanos, random: u64) {
        self.see_term(self.term + 1, now);
        self.voted = Some(self.id);
        let last_term = self.log.last().map_or(0, |last| last.0);
        let Some(process) = &mut self.process else { return };
        process.leader = None;
        process.role = Role::Candidate(BTreeSet::from([self.id]));
        process.election_at = now.after(patience(random));
        let vote = Message::Vote { term: self.term, last_term, len: self.log.len() };
        let others = MEMBERS.into_iter().filter(|to| *to != self.id);
        self.out.extend(others.map(|to| (to, vote.clone())));
    }

    pub(super) fn vote(
        &mut self,
        from: NodeId,
        term: u64,
        theirs: (u64, usize),
        now: BootNanos,
        random: u64,
    ) {
        self.see_term(term, now);
        let mine = (self.log.last().map_or(0, |last| last.0), self.log.len());
        let free = self.voted.is_none_or(|voted| voted == from);
        if term == self.term && free && theirs >= mine {
            self.voted = Some(from);
            self.out.push((from, Message::Voted { term }));
            if let Some(process) = &mut self.process {
                process.election_at = now.after(patience(random));
            }
        }
    }

    pub(super) fn count_vote(&mut self, from: NodeId, term: u64, now: BootNanos) {
        let Some(process) = &mut self.process else { return };
        let Role::Candidate(votes) = &mut process.role else { return };
        if term != self.term {
            return;
        }
        votes.insert(from);
        if votes.len() < 2 {
            return;
        }
        process.role = Role::Leader(Box::default());
        process.leader = Some(self.id);
        process.grantor.handle_elected(self.term, now);
        process.holder.handle_leader_changed(now);
        Rc::make_mut(&mut self.log).push((self.term, None));
        // A judgement of an earlier leadership: a careful shell has thrown it away.
        let judged = std::mem::take(&mut process.judged);
        if self.fault == Fault::StaleGrant {
            judged.into_iter().for_each(|command| self.propose(command));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(super) fn append(
        &mut self,
        from: NodeId,
        term: u64,
        theirs: &Log,
        commit: usize,
        round: u64,
        now: BootNanos,
        random: u64,
    ) {
        self.see_term(term, now);
        let Some(process) = &mut self.process else { return };
        if term < self.term {
            self.out.push((from, Message::Appended { term: self.term, len: 0, round: 0 }));
            return;
        }
        process.role = Role::Follower;
        process.election_at = now.after(patience(random));
        process.acks.handle_acknowledged(&term, now);
        if process.leader != Some(from) {
            process.leader = Some(from);
            process.holder.handle_leader_changed(now);
        }
        let both = self.log.iter().zip(theirs.iter());
        let common = both.take_while(|(mine, other)| mine.0 == other.0).count();
        if common < theirs.len() {
            self.log = Rc::clone(theirs);
        }
        process.commit = process.commit.max(commit);
        self.out.push((from, Message::Appended { term, len: theirs.len(), round }));
        self.apply(now, random);
    }

    pub(super) fn count_append(
        &mut self,
        from: NodeId,
        term: u64,
        len: usize,
        round: u64,
        now: BootNanos,
        random: u64,
    ) {
        let Some(process) = &mut self.process else { return };
        let Role::Leader(leader) = &mut process.role else { return };
        if term != self.term {
            return;
        }
        let matched = leader.matched.entry(from).or_default();
        *matched = len.max(*matched);
        // With its own copy, the best of the other two makes a majority.
        let majority = leader.matched.values().copied().max().unwrap_or(0);
        if majority > process.commit && self.log[majority - 1].0 == term {
            process.commit = majority;
        }
        if let Some((confirmed, _)) = leader.rounds.get_mut(&round) {
            confirmed.insert(from);
        }
        self.apply(now, random);
        self.finish_rounds(now);
    }

    pub(super) fn apply(&mut self, now: BootNanos, random: u64) {
        let Some(process) = &mut self.process else { return };
        if process.applied == process.commit {
            return;
        }
        while process.applied < process.commit.min(self.log.len()) {
            let index = process.applied as u64 + 2;
            match &self.log[process.applied].1 {
                None => process.state.skip(index),
                Some(command) => {
                    let entry = Entry { at_unix_ms: 0, command: command.clone() };
                    process.state.apply(index, &entry);
                }
            }
            process.applied += 1;
            if let Role::Leader(leader) = &mut process.role
                && let Some(group) = leader.ending.remove(&process.applied)
            {
                process.grantor.unblock(group);
            }
        }
        process.grantor.handle_applied(&process.state, now);
        let known = process.state.members[&self.id].incarnation >= self.incarnation
            || self.fault == Fault::NoStarted;
        let held = if known { process.state.held_by(self.id) } else { Vec::new() };
        let names: Vec<_> = held.iter().map(|one| (one.group, one.epoch)).collect();
        process.holder.handle_applied(&names, now);
        for one in held.iter().filter(|one| one.handover.is_some()) {
            process.holder.handle_surrender(one.group, now);
        }
        // The kernel follows a little later; what it may answer for is not less for that.
        let lag = Duration::from_millis(random % self.slowness_ms);
        process.program_at = Some(process.program_at.unwrap_or(now.after(lag)));
    }

    pub(super) fn propose(&mut self, command: Command) {
        let Some(process) = &mut self.process else { return };
        let Role::Leader(leader) = &mut process.role else { return };
        let log = Rc::make_mut(&mut self.log);
        log.push((self.term, Some(command.clone())));
        if let Command::Grant { group, .. } | Command::Release { group, .. } = command {
            process.grantor.block(group);
            leader.ending.insert(log.len(), group);
        }
        self.replicate(0);
    }
}
