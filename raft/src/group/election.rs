//! Who leads, and moving leadership on request.

use std::future::Future;
use std::time::Duration;

use leasehold_model::{BootNanos, NodeId};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::TransferLeaderRequest;
use openraft::storage::RaftStateMachine;
use openraft::{Raft, ServerState};
use tokio::sync::watch;

use super::Group;
use crate::TypeConfig;
use crate::clock::boot_now;

/// Who leads, as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    pub leader: Option<NodeId>,
    pub term: u64,
    /// This node leads, as far as it knows.
    pub is_leader: bool,
    pub leader_address: Option<String>,
    /// When this node saw that leader and term come up; never before they did.
    pub since: BootNanos,
}

impl Leadership {
    fn is_of(&self, other: &Self) -> bool {
        (self.leader, self.term, self.is_leader) == (other.leader, other.term, other.is_leader)
    }
}

/// Why leadership did not move.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElectionError {
    #[error("this node does not lead")]
    NotLeader,
    #[error("node {0} is not a voter")]
    NotVoter(NodeId),
    #[error("nobody was elected within {0:?}")]
    Undecided(Duration),
    #[error("this node may not stand: {0}")]
    Refused(String),
    #[error("consensus has stopped on this node")]
    Stopped,
}

pub(super) fn watch<SM: RaftStateMachine<TypeConfig>>(
    raft: &Raft<TypeConfig, SM>,
    me: NodeId,
) -> (watch::Receiver<Leadership>, impl Future<Output = ()> + Send + 'static + use<SM>) {
    let first = observe(raft, me);
    let (send, seen) = watch::channel(first);
    (seen, follow(raft.clone(), me, send))
}

fn observe<SM: RaftStateMachine<TypeConfig>>(
    raft: &Raft<TypeConfig, SM>,
    me: NodeId,
) -> Leadership {
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow_watched();
    let leader = metrics.current_leader;
    let address = leader
        .and_then(|id| metrics.membership_config.get_node(&id).map(|peer| peer.address.clone()));
    Leadership {
        leader: leader.map(NodeId),
        term: metrics.vote.leader_id.term,
        is_leader: metrics.state == ServerState::Leader && leader == Some(me.0),
        leader_address: address,
        // Read after the metrics: later than what they show.
        since: boot_now(),
    }
}

async fn follow<SM: RaftStateMachine<TypeConfig>>(
    raft: Raft<TypeConfig, SM>,
    me: NodeId,
    send: watch::Sender<Leadership>,
) {
    let mut metrics = raft.server_metrics();
    loop {
        metrics.borrow_and_update();
        let seen = observe(&raft, me);
        send.send_if_modified(|now| {
            let since = if now.is_of(&seen) { now.since } else { seen.since };
            let next = Leadership { since, ..seen };
            let changed = *now != next;
            *now = next;
            changed
        });
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

impl<SM: RaftStateMachine<TypeConfig>> Group<SM> {
    /// Becomes a candidate at once, as if the leader had handed its leadership over: voters do
    /// not wait out the leader's silence. For when the leader's own guard says it is dead. It
    /// needs an up-to-date log to win; where it fails, another node may be asked to stand.
    pub async fn stand_for_election(&self) -> Result<(), ElectionError> {
        let raft = &self.inner.raft;
        let me = self.inner.settings.node;
        let vote = raft
            .with_raft_state(|state| *state.vote_ref())
            .await
            .map_err(|_| ElectionError::Stopped)?;
        let last = raft.data_metrics().borrow_watched().last_log;
        if vote.committed && vote.leader_id.voted_for == me.0 {
            return Ok(());
        }
        if !raft.voter_ids().any(|id| id == me.0) {
            return Err(ElectionError::NotVoter(me));
        }
        raft.handle_transfer_leader(TransferLeaderRequest::new(vote, me.0, last))
            .await
            .map_err(|_| ElectionError::Stopped)?
            .map_err(|refusal| ElectionError::Refused(refusal.to_string()))?;
        let term = vote.leader_id.term;
        self.elected(|one| one.term > term && one.leader.is_some()).await
    }

    /// The voter to hand leadership to: one that is to keep its vote, and was heard of last.
    #[must_use]
    pub fn successor(&self) -> Option<NodeId> {
        let me = self.node();
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        let heard = |id: &NodeId| {
            let all = metrics.heartbeat.as_ref()?;
            all.get(&id.0)?.as_ref().map(|at| **at)
        };
        let state = self.inner.state.borrow();
        let stays = |id: &NodeId| state.members.get(id).is_none_or(|one| one.votes);
        let others = self.members().voters.into_keys().filter(|id| *id != me && stays(id));
        others.max_by_key(heard)
    }

    /// Hands leadership to `to` and waits until someone else leads. From its call on this node
    /// proves no leadership and takes no proposal any more, whatever becomes of it.
    pub async fn transfer_leadership(&self, to: NodeId) -> Result<(), ElectionError> {
        let raft = &self.inner.raft;
        let before = self.inner.leadership.borrow().clone();
        if !before.is_leader {
            return Err(ElectionError::NotLeader);
        }
        if to == self.inner.settings.node {
            return Ok(());
        }
        if !raft.voter_ids().any(|id| id == to.0) {
            return Err(ElectionError::NotVoter(to));
        }
        raft.trigger().transfer_leader(to.0).await.map_err(|_| ElectionError::Stopped)?;
        self.elected(|one| one.term > before.term && one.leader.is_some()).await
    }

    async fn elected(&self, wanted: impl Fn(&Leadership) -> bool) -> Result<(), ElectionError> {
        let limit = self.inner.settings.election_limit();
        let mut leadership = self.leadership();
        match tokio::time::timeout(limit, leadership.wait_for(|one| wanted(one))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ElectionError::Stopped),
            Err(_) => Err(ElectionError::Undecided(limit)),
        }
    }
}
