//! What a new leader may infer from the voters about approvals of the leaders before it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leasehold_model::{BootNanos, NodeId};

use super::Timing;

/// A voter's answer to "when did you last acknowledge a leader before me?"
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastAcknowledged {
    /// By the voter's clock, when it answered; since its start, where it never did.
    pub ago: Duration,
    /// By this node's clock. For this node itself: when it looked.
    pub received_at: BootNanos,
}

/// The latest instant, on this node's clock, at which an earlier leader can have been confirmed;
/// absent until every voter set has a majority of answers.
///
/// `voters` are the voter sets in force **when this node was elected** (two while a membership
/// change is under way): a set it made since need not intersect the quorums of its predecessors.
/// `answers` come from voters that had seen this leader's vote when they answered, so that none
/// acknowledges an earlier leader afterwards; this node's own answer is among them.
#[must_use]
pub fn takeover(
    timing: &Timing,
    voters: &[BTreeSet<NodeId>],
    answers: &BTreeMap<NodeId, LastAcknowledged>,
) -> Option<BootNanos> {
    let quorum = |set: &BTreeSet<NodeId>| {
        let heard = set.iter().filter(|node| answers.contains_key(node)).count();
        heard > set.len() / 2
    };
    if voters.is_empty() || !voters.iter().all(quorum) {
        return None;
    }
    answers
        .iter()
        .filter(|(node, _)| voters.iter().any(|set| set.contains(node)))
        // The voter's clock may run faster than ours: less of our time has passed than it says.
        // And it answered before we received: the true instant is no later than this.
        .map(|(_, one)| one.received_at.before(timing.shrunk(one.ago)))
        .max()
}

/// A voter's memory of whom it acknowledged, for answering [`LastAcknowledged`].
///
/// "Acknowledged" is: answered an append-entries or heartbeat with success. A node that leads
/// acknowledges itself in each round it takes part in, so it calls this too. `V` is Raft's vote:
/// leaders of one term are told apart by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acknowledgements<V> {
    /// The greatest leader acknowledged since the start, and when last.
    latest: Option<(V, BootNanos)>,
    /// When any leader before that was last acknowledged: the start counts as one.
    before: BootNanos,
}

impl<V: Ord + Clone> Acknowledgements<V> {
    /// A process that starts knows nothing of what an earlier one acknowledged.
    #[must_use]
    pub fn new(started: BootNanos) -> Self {
        Self { latest: None, before: started }
    }

    /// Call before the acknowledgement is sent.
    pub fn handle_acknowledged(&mut self, leader: &V, now: BootNanos) {
        match &mut self.latest {
            Some((latest, at)) if latest == leader => *at = now,
            Some((latest, _)) if &*latest > leader => self.before = now,
            Some((_, at)) => {
                self.before = self.before.max(*at);
                self.latest = Some((leader.clone(), now));
            }
            None => self.latest = Some((leader.clone(), now)),
        }
    }

    /// How long ago a leader before `leader` was last acknowledged. Ask only once this node has
    /// seen the vote of `leader` or a later one.
    #[must_use]
    pub fn ago(&self, leader: &V, now: BootNanos) -> Duration {
        match &self.latest {
            Some((latest, at)) if latest < leader => now.since((*at).max(self.before)),
            Some(_) | None => now.since(self.before),
        }
    }
}
