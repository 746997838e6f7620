//! Figures for people and metrics.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::storage::RaftStateMachine;
use openraft::{Instant as _, Raft};

use super::Group;
use crate::TypeConfig;
use crate::clock::boot_now;

/// Where this node's copy of the log stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub term: u64,
    pub last_log: Option<u64>,
    /// The last entry that this node knows to be committed.
    pub committed: Option<u64>,
    pub applied: Option<u64>,
    pub snapshot: Option<u64>,
    /// On the leader: how long ago the messages were sent that a quorum last acknowledged.
    pub millis_since_quorum_ack: Option<u64>,
}

impl<SM: RaftStateMachine<TypeConfig>> Group<SM> {
    #[must_use]
    pub fn status(&self) -> Status {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        Status {
            term: metrics.current_term,
            last_log: metrics.last_log_index,
            committed: metrics.cluster_committed.as_ref().map(|id| id.index),
            applied: metrics.last_applied.as_ref().map(|id| id.index),
            snapshot: metrics.snapshot.as_ref().map(|id| id.index),
            millis_since_quorum_ack: metrics
                .last_quorum_acked
                .map(|at| u64::try_from(at.into_inner().elapsed().as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// Whether this node leads with a quorum behind it, or has heard from the one that does: as
    /// lately as a leader's loss takes to be noticed. [`leadership`](Self::leadership) keeps a
    /// leader that fell silent until there is another.
    #[must_use]
    pub fn has_leader(&self) -> bool {
        self.leader_heard_ago().is_some_and(|ago| ago < self.inner.settings.election_limit())
    }

    /// How long ago this node had a quorum behind it, where it leads, and otherwise heard from
    /// the leader that it knows. Absent where it knows none, or has only begun to lead. A voter
    /// without others is a quorum at any time.
    #[must_use]
    pub fn leader_heard_ago(&self) -> Option<Duration> {
        let leadership = self.inner.leadership.borrow().clone();
        if leadership.is_leader && self.votes_alone() {
            return Some(Duration::ZERO);
        }
        if leadership.is_leader {
            return self.status().millis_since_quorum_ack.map(Duration::from_millis);
        }
        let heard = self.inner.acks.latest_before(u64::MAX);
        leadership.leader.map(|_| boot_now().since(heard))
    }

    fn votes_alone(&self) -> bool {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.voter_ids().all(|voter| voter == self.node().0)
    }
}

pub(super) fn term<SM: RaftStateMachine<TypeConfig>>(raft: &Raft<TypeConfig, SM>) -> u64 {
    raft.server_metrics().borrow_watched().vote.leader_id.term
}

pub(super) async fn died<SM: RaftStateMachine<TypeConfig>>(raft: &Raft<TypeConfig, SM>) -> String {
    let mut metrics = raft.metrics();
    loop {
        if let Err(fatal) = &metrics.borrow_watched().running_state {
            return fatal.to_string();
        }
        if metrics.changed().await.is_err() {
            return "consensus ended without a word".to_owned();
        }
    }
}
