//! Who votes and who only listens. Only the leader changes it, by joint consensus.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leasehold_model::NodeId;
use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::error::{ClientWriteError, RaftError};
use openraft::raft::ClientWriteResponse;
use openraft::storage::RaftStateMachine;

use super::Group;
use crate::TypeConfig;
use crate::types::Peer;

/// How long a change of the membership may take, the new member's catching up included.
const CHANGE_LIMIT: Duration = Duration::from_secs(30);

/// The membership that this node's log ends with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    pub voters: BTreeMap<NodeId, Peer>,
    pub learners: BTreeMap<NodeId, Peer>,
    /// The sets that a decision needs a majority of, each: two during a change, else one.
    pub voter_sets: Vec<BTreeSet<NodeId>>,
}

/// Why the membership did not change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    #[error("this node does not lead the cluster")]
    NotLeader { leader: Option<NodeId> },
    #[error("node {0} leads the cluster: move the leadership first")]
    Leads(NodeId),
    #[error("the change of members was refused: {0}")]
    Refused(String),
    #[error("the change of members has no outcome yet: look before you retry ({0})")]
    Unknown(String),
}

impl<SM: RaftStateMachine<TypeConfig>> Group<SM> {
    #[must_use]
    pub fn members(&self) -> Members {
        let metrics = self.inner.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let voting: BTreeSet<u64> = membership.voter_ids().collect();
        let (voters, learners) = membership
            .nodes()
            .map(|(id, peer)| (NodeId(*id), peer.clone()))
            .partition(|(id, _)| voting.contains(&id.0));
        let voter_sets = membership
            .get_joint_config()
            .iter()
            .map(|set| set.iter().copied().map(NodeId).collect())
            .collect();
        Members { voters, learners, voter_sets }
    }

    /// Adds a node that is sent the log and does not vote. It need not run yet.
    pub async fn add_learner(&self, node: NodeId, peer: Peer) -> Result<(), MembershipError> {
        let added = self.inner.raft.add_learner(node.0, peer, false);
        self.settle(added).await
    }

    /// Makes a learner a voter, once it holds the log up to here.
    pub async fn promote(&self, node: NodeId) -> Result<(), MembershipError> {
        self.caught_up(node).await?;
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([node.0])), true).await
    }

    /// Makes a voter a learner.
    pub async fn demote(&self, node: NodeId) -> Result<(), MembershipError> {
        self.not_the_leader(node)?;
        self.change(ChangeMembers::RemoveVoters(BTreeSet::from([node.0])), true).await
    }

    /// Takes a voter or learner out of the group.
    pub async fn remove(&self, node: NodeId) -> Result<(), MembershipError> {
        self.not_the_leader(node)?;
        let ids = BTreeSet::from([node.0]);
        let members = self.members();
        if members.voters.contains_key(&node) {
            self.change(ChangeMembers::RemoveVoters(ids), false).await?;
        } else if members.learners.contains_key(&node) {
            self.change(ChangeMembers::RemoveNodes(ids), false).await?;
        }
        self.inner.peers.forget(node);
        Ok(())
    }

    /// Finishes a change that was interrupted between its two steps.
    pub async fn settle_members(&self) -> Result<(), MembershipError> {
        self.change(ChangeMembers::AddVoterIds(BTreeSet::new()), true).await
    }

    fn not_the_leader(&self, node: NodeId) -> Result<(), MembershipError> {
        if node == self.node() { Err(MembershipError::Leads(node)) } else { Ok(()) }
    }

    async fn change(
        &self,
        change: ChangeMembers<u64, Peer>,
        retain: bool,
    ) -> Result<(), MembershipError> {
        self.settle(self.inner.raft.change_membership(change, retain)).await
    }

    /// A voter that lacks the log would count towards the quorum and not be able to serve it.
    async fn caught_up(&self, node: NodeId) -> Result<(), MembershipError> {
        let mut metrics = self.inner.raft.metrics();
        let last = metrics.borrow_watched().last_log_index;
        let wait = async {
            loop {
                let (leads, matched) = {
                    let metrics = metrics.borrow_and_update();
                    let matched = metrics
                        .replication
                        .as_ref()
                        .and_then(|all| all.get(&node.0).copied().flatten())
                        .map(|id| id.index);
                    (metrics.replication.is_some(), matched)
                };
                if !leads {
                    return Err(MembershipError::NotLeader {
                        leader: self.inner.leadership.borrow().leader,
                    });
                }
                if matched >= last {
                    return Ok(());
                }
                if metrics.changed().await.is_err() {
                    return Err(MembershipError::Unknown("consensus has stopped".to_owned()));
                }
            }
        };
        tokio::time::timeout(CHANGE_LIMIT, wait).await.unwrap_or_else(|_| {
            Err(MembershipError::Refused(format!(
                "node {node} did not receive the log within {CHANGE_LIMIT:?}: does it run?"
            )))
        })
    }

    async fn settle(
        &self,
        change: impl Future<
            Output = Result<
                ClientWriteResponse<TypeConfig>,
                RaftError<TypeConfig, ClientWriteError<TypeConfig>>,
            >,
        >,
    ) -> Result<(), MembershipError> {
        match tokio::time::timeout(CHANGE_LIMIT, change).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
                Err(MembershipError::NotLeader { leader: forward.leader_id.map(NodeId) })
            }
            Ok(Err(RaftError::APIError(
                error @ (ClientWriteError::ChangeMembershipError(_)
                | ClientWriteError::PreconditionFailed(_)),
            ))) => Err(MembershipError::Refused(error.to_string())),
            Ok(Err(RaftError::APIError(error @ ClientWriteError::LogEntryDiscarded(_)))) => {
                Err(MembershipError::Unknown(error.to_string()))
            }
            Ok(Err(RaftError::Fatal(error))) => Err(MembershipError::Unknown(error.to_string())),
            Err(_) => Err(MembershipError::Unknown(format!("not done within {CHANGE_LIMIT:?}"))),
        }
    }
}
