//! When the voters last acknowledged an older leader: asked by a new one, answered by all.

use std::collections::BTreeSet;
use std::time::Duration;

use leasehold_model::{BootNanos, NodeId};
use leasehold_proto::peer::LastAcknowledgedRequest;
use leasehold_proto::peer::lease_client::LeaseClient;
use openraft::storage::RaftStateMachine;
use openraft::type_config::alias::VoteOf;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::{Group, NotLeader};
use crate::TypeConfig;
use crate::clock::boot_now;
use crate::network::Lane;

/// Pause before a voter is asked again that could not answer yet.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// Why a voter does not say when it last acknowledged an older leader.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LastAcknowledgedError {
    #[error("this node has not seen term {asked} yet and could acknowledge an older leader still")]
    NotYet { asked: u64 },
    #[error("the vote of the new leader is not one: {0}")]
    Malformed(String),
}

impl From<LastAcknowledgedError> for Status {
    fn from(error: LastAcknowledgedError) -> Self {
        let code = match &error {
            LastAcknowledgedError::NotYet { .. } => Code::Unavailable,
            LastAcknowledgedError::Malformed(_) => Code::InvalidArgument,
        };
        Self::new(code, error.to_string())
    }
}

/// One voter's answer, with the asker's own instants around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    pub node: NodeId,
    pub asked_at: BootNanos,
    pub received_at: BootNanos,
    /// By the voter's clock, when it answered.
    pub ago: Duration,
}

/// What the voters of the current membership answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The term of the leader who asked.
    pub term: u64,
    pub voter_sets: Vec<BTreeSet<NodeId>>,
    pub answers: Vec<Acknowledgement>,
}

impl Acknowledged {
    /// A majority of every voter set has answered.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        self.voter_sets.iter().all(|set| {
            let answered = self.answers.iter().filter(|one| set.contains(&one.node)).count();
            answered > set.len() / 2
        })
    }
}

impl<SM: RaftStateMachine<TypeConfig>> Group<SM> {
    /// For `Lease.LastAcknowledged`: how long ago this node last acknowledged a leader older
    /// than the one whose vote this is. It answers only once its own vote, on disk, is of that
    /// leader's term or a later one: from then on it can acknowledge no older leader.
    pub fn last_acknowledged(&self, vote: &[u8]) -> Result<Duration, LastAcknowledgedError> {
        let vote: VoteOf<TypeConfig> = serde_json::from_slice(vote)
            .map_err(|error| LastAcknowledgedError::Malformed(error.to_string()))?;
        self.acknowledged_before(vote.leader_id.term)
    }

    fn acknowledged_before(&self, asked: u64) -> Result<Duration, LastAcknowledgedError> {
        let at_start = self.inner.vote_at_start.as_ref().map(|vote| vote.leader_id.term);
        let since = self.inner.raft.watch_vote_progress().get().map(|vote| vote.leader_id.term);
        if at_start.max(since) < Some(asked) {
            return Err(LastAcknowledgedError::NotYet { asked });
        }
        let latest = self.inner.acks.latest_before(asked);
        Ok(boot_now().since(latest))
    }

    /// Asks the voters, this node included, when each last acknowledged an older leader.
    /// Returns as soon as a majority of each voter set has answered, or with what there is
    /// when the time is up: check [`Acknowledged::is_enough`].
    pub async fn ask_last_acknowledged(&self) -> Result<Acknowledged, NotLeader> {
        let limit = self.inner.settings.election_limit();
        let leadership = self.inner.leadership.borrow().clone();
        if !leadership.is_leader {
            let reason = "it does not lead".to_owned();
            return Err(NotLeader { leader: leadership.leader, reason });
        }
        let term = leadership.term;
        let members = self.members();
        let mut collected =
            Acknowledged { term, voter_sets: members.voter_sets, answers: Vec::new() };
        let mut asking = JoinSet::new();
        for (node, peer) in members.voters {
            let group = self.clone();
            asking.spawn(async move { group.ask(node, &peer.address, term).await });
        }
        let collect = async {
            while !collected.is_enough() {
                match asking.join_next().await {
                    Some(Ok(answer)) => collected.answers.push(answer),
                    // A task that panicked gave no answer; the others may suffice.
                    Some(Err(_)) => {}
                    None => return,
                }
            }
        };
        let _ = tokio::time::timeout(limit, collect).await;
        Ok(collected)
    }

    /// Asks until there is an answer.
    async fn ask(&self, node: NodeId, address: &str, term: u64) -> Acknowledgement {
        loop {
            let asked_at = boot_now();
            let answer = if node == self.node() {
                self.acknowledged_before(term).map_err(|error| error.to_string())
            } else {
                self.ask_peer(node, address, term).await
            };
            match answer {
                Ok(ago) => {
                    return Acknowledgement { node, asked_at, received_at: boot_now(), ago };
                }
                Err(error) => tracing::debug!(%node, error, "no last acknowledgement yet"),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn ask_peer(&self, node: NodeId, address: &str, term: u64) -> Result<Duration, String> {
        let channel = self
            .inner
            .peers
            .channel(node, address, Lane::Lease)
            .map_err(|error| error.to_string())?;
        let vote = VoteOf::<TypeConfig>::new_committed(term, self.node().0);
        let vote = serde_json::to_vec(&vote).expect("a vote has no map keys");
        let mut service = LeaseClient::new(channel);
        let call = service.last_acknowledged(LastAcknowledgedRequest { vote });
        let limit = self.inner.settings.election_min;
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(response)) => Ok(Duration::from_nanos(response.into_inner().ago_nanos)),
            Ok(Err(status)) => Err(status.to_string()),
            Err(_) => Err(format!("no answer within {limit:?}")),
        }
    }
}
