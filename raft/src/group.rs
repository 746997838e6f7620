//! One member's part in the Raft group: openraft with what Leasehold asks of it.
//!
//! Nothing here decides who may hold a lease. It commits entries, proves leadership, tells what
//! it acknowledged to whom, and moves leadership when it is asked to.

mod acknowledged;
mod election;
mod members;
mod progress;
mod propose;
mod settings;
mod status;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leasehold_model::NodeId;
use leasehold_raft_core::state::State;
use openraft::error::{InitializeError, RaftError};
use openraft::storage::{RaftLogReader, RaftLogStorage, RaftStateMachine};
use openraft::type_config::alias::VoteOf;
use openraft::{LinearizerOption, Raft};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

pub use acknowledged::{Acknowledged, Acknowledgement, LastAcknowledgedError};
pub use election::{ElectionError, Leadership};
pub use members::{Members, MembershipError};
pub use propose::{ProposeError, Proposed};
pub use settings::{GroupSettings, SettingsError};
pub use status::Status;

use crate::TypeConfig;
use crate::ack::Acks;
use crate::clock::boot_now;
use crate::confirm::Confirmer;
use crate::network::{
    Caller, ChannelError, Channels, Lane, Network, Peers, RaftService, Served, Way,
};
use crate::types::Peer;

/// The stores a group runs on.
#[derive(Debug)]
pub struct Stores<LS, SM> {
    pub log: LS,
    pub state_machine: SM,
    /// Published by the state machine after each batch it applied.
    pub state: watch::Receiver<Arc<State>>,
}

/// Why a group did not start, or was not founded.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("the log in the data directory cannot be read: {0}")]
    Store(std::io::Error),
    #[error("consensus did not start on the data directory: {0}")]
    Start(String),
    #[error("this data directory belongs to a cluster already")]
    Founded,
    #[error("the new cluster did not elect its only member within {0:?}")]
    NoLeader(Duration),
}

/// This node could not prove that it leads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this node cannot prove that it leads: {reason}")]
pub struct NotLeader {
    /// Who does, as far as this node knows.
    pub leader: Option<NodeId>,
    pub reason: String,
}

impl NotLeader {
    fn because(reason: impl Into<String>) -> Self {
        Self { leader: None, reason: reason.into() }
    }

    pub(crate) fn stopped() -> Self {
        Self::because("consensus has stopped on this node")
    }

    pub(crate) fn no_quorum(limit: Duration) -> Self {
        Self::because(format!("no quorum answered within {limit:?}"))
    }
}

/// A handle on the group; clones share it.
pub struct Group<SM: RaftStateMachine<TypeConfig>> {
    inner: Arc<Inner<SM>>,
}

impl<SM: RaftStateMachine<TypeConfig>> Clone for Group<SM> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<SM: RaftStateMachine<TypeConfig>> std::fmt::Debug for Group<SM> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

struct Inner<SM: RaftStateMachine<TypeConfig>> {
    settings: GroupSettings,
    raft: Raft<TypeConfig, SM>,
    state: watch::Receiver<Arc<State>>,
    leadership: watch::Receiver<Leadership>,
    acks: Arc<Acks>,
    confirmer: Confirmer,
    peers: Arc<Peers>,
    /// The vote that was on disk when this process started.
    vote_at_start: Option<VoteOf<TypeConfig>>,
    votes_from: Instant,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl<SM: RaftStateMachine<TypeConfig>> Drop for Inner<SM> {
    fn drop(&mut self) {
        self.end_tasks();
    }
}

impl<SM: RaftStateMachine<TypeConfig>> Inner<SM> {
    fn end_tasks(&self) {
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }
}

impl<SM> Group<SM>
where
    SM: RaftStateMachine<TypeConfig, SnapshotData = Vec<u8>>,
{
    /// Starts consensus on what the data directory holds.
    pub async fn start<LS: RaftLogStorage<TypeConfig>>(
        settings: GroupSettings,
        stores: impl Into<Stores<LS, SM>>,
        channels: Arc<dyn Channels>,
    ) -> Result<Self, GroupError> {
        let config = Arc::new(settings.config()?);
        let Stores { mut log, state_machine, state } = stores.into();
        let vote_at_start =
            log.get_log_reader().await.read_vote().await.map_err(GroupError::Store)?;
        // Whatever was acknowledged before now counts as acknowledged now, and nothing is
        // acknowledged before openraft runs.
        let acks = Acks::new(boot_now());
        let votes_from = match &vote_at_start {
            Some(vote) if vote.committed => Instant::now() + settings.election_max,
            Some(_) | None => Instant::now(),
        };
        let peers = Peers::new(channels, settings.silence());
        let network = Network {
            me: settings.node,
            peers: Arc::clone(&peers),
            append_limit: settings.election_max,
        };
        let raft = Raft::new(settings.node.0, config, network, log, state_machine)
            .await
            .map_err(|error| GroupError::Start(error.to_string()))?;

        let (leadership, watch_leadership) = election::watch(&raft, settings.node);
        let (stalled, watch_progress) = progress::watch(&raft, &settings);
        let round = Round {
            raft: raft.clone(),
            acks: Arc::clone(&acks),
            stalled,
            limit: settings.confirm_limit(),
        };
        let (confirmer, serve_confirms) = Confirmer::new(move || {
            let round = round.clone();
            async move { round.run().await }
        });
        let tasks = vec![
            tokio::spawn(watch_leadership).abort_handle(),
            tokio::spawn(watch_progress).abort_handle(),
            tokio::spawn(serve_confirms).abort_handle(),
        ];
        Ok(Self {
            inner: Arc::new(Inner {
                settings,
                raft,
                state,
                leadership,
                acks,
                confirmer,
                peers,
                vote_at_start,
                votes_from,
                tasks: Mutex::new(tasks),
            }),
        })
    }

    /// The gRPC service for the peers' openraft. `caller` tells whom a connection belongs to;
    /// absent, everyone is believed, which only a test may want.
    #[must_use]
    pub fn raft_service(&self, caller: Option<Caller>) -> RaftService<SM> {
        let inner = &self.inner;
        Served {
            me: inner.settings.node,
            raft: inner.raft.clone(),
            acks: Arc::clone(&inner.acks),
            votes_from: inner.votes_from,
            caller,
        }
        .into_service()
    }
}

impl<SM: RaftStateMachine<TypeConfig>> Group<SM> {
    /// Makes this node the only voter of a new cluster, and waits until it leads it.
    pub async fn found(&self) -> Result<(), GroupError> {
        let settings = &self.inner.settings;
        let me = Peer { name: settings.name.clone(), address: settings.address.clone() };
        let members = std::collections::BTreeMap::from([(settings.node.0, me)]);
        match self.inner.raft.initialize(members).await {
            Ok(()) => {}
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {
                return Err(GroupError::Founded);
            }
            Err(RaftError::APIError(InitializeError::NotInMembers(error))) => {
                return Err(GroupError::Start(error.to_string()));
            }
            Err(RaftError::Fatal(error)) => return Err(GroupError::Start(error.to_string())),
        }
        let limit = settings.election_limit();
        let mut leadership = self.leadership();
        let elected = leadership.wait_for(|one| one.is_leader);
        match tokio::time::timeout(limit, elected).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(GroupError::NoLeader(limit)),
        }
    }

    #[must_use]
    pub fn node(&self) -> NodeId {
        self.inner.settings.node
    }

    /// How long a connection between members may be silent before it is given up.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.inner.settings.silence()
    }

    /// The replicated state as far as this node has applied the log.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<Arc<State>> {
        self.inner.state.clone()
    }

    /// Who leads, as far as this node knows. Proof is [`confirm`](Self::confirm)'s.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// Proves, by a round of answers from a quorum that began after this call, that this node
    /// leads, and that its state holds everything committed before.
    pub async fn confirm(&self) -> Result<(), NotLeader> {
        let limit = self.inner.settings.confirm_limit();
        // Twice: a call may have to wait for the round under way before its own begins.
        let verdict = self.inner.confirmer.confirm(limit * 2).await;
        verdict.map_err(|refusal| NotLeader {
            leader: self.inner.leadership.borrow().leader.or(refusal.leader),
            ..refusal
        })
    }

    /// A channel to a peer for renewals and questions, kept open between calls.
    pub fn lease_channel(&self, node: NodeId, address: &str) -> Result<Way, ChannelError> {
        self.inner.peers.channel(node, address, Lane::Lease)
    }

    /// Resolves when consensus has died in this process, with the reason. The process must end
    /// then: it would look alive and do nothing.
    pub async fn fatal(&self) -> String {
        status::died(&self.inner.raft).await
    }

    /// Stops consensus. A leader that has peers should have transferred its leadership before.
    pub async fn shutdown(&self) {
        self.inner.end_tasks();
        if let Err(error) = self.inner.raft.shutdown().await {
            tracing::warn!(%error, "consensus did not end as it should");
        }
    }
}

/// One proof of leadership.
struct Round<SM: RaftStateMachine<TypeConfig>> {
    raft: Raft<TypeConfig, SM>,
    acks: Arc<Acks>,
    stalled: watch::Receiver<bool>,
    limit: Duration,
}

impl<SM: RaftStateMachine<TypeConfig>> Clone for Round<SM> {
    fn clone(&self) -> Self {
        Self {
            raft: self.raft.clone(),
            acks: Arc::clone(&self.acks),
            stalled: self.stalled.clone(),
            limit: self.limit,
        }
    }
}

impl<SM: RaftStateMachine<TypeConfig>> Round<SM> {
    async fn run(&self) -> Result<(), NotLeader> {
        self.check_progress()?;
        // A leader counts itself in its quorum: that is an acknowledgement too. The term may lag
        // behind the real one, which only makes the record more cautious.
        let ack = self.acks.begin(status::term(&self.raft), boot_now());
        match tokio::time::timeout(self.limit, self.prove()).await {
            Ok(Ok(())) => {
                drop(ack);
                self.check_progress()
            }
            Ok(Err(refusal)) => {
                ack.refused();
                Err(refusal)
            }
            Err(_) => {
                ack.refused();
                Err(NotLeader::no_quorum(self.limit))
            }
        }
    }

    async fn prove(&self) -> Result<(), NotLeader> {
        let read_index =
            LinearizerOption::new(Some(Duration::ZERO), true).with_wait_timeout(self.limit);
        let linearizer = self
            .raft
            .get_read_linearizer(read_index)
            .await
            .map_err(|error| NotLeader::because(error.to_string()))?;
        // The state must hold what earlier leaders committed: an approval judged by an older
        // state could approve a lease that was given away since.
        linearizer.await_ready(&self.raft).await.map_err(|_| NotLeader::stopped())?;
        Ok(())
    }

    fn check_progress(&self) -> Result<(), NotLeader> {
        if *self.stalled.borrow() {
            return Err(NotLeader::because(
                "the log has entries that are not applied for too long (a stalled disk?)",
            ));
        }
        Ok(())
    }
}
