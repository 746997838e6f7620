//! Figures for people and metrics.

use openraft::async_runtime::watch::WatchReceiver;
use openraft::storage::RaftStateMachine;
use openraft::{Instant as _, Raft};

use super::Group;
use crate::TypeConfig;

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
