//! From a command to its outcome, wherever the leader is.

use std::time::Duration;

use leasehold_model::NodeId;
use leasehold_proto::peer::ProposeRequest;
use leasehold_proto::peer::lease_client::LeaseClient;
use leasehold_raft_core::state::{Command, Entry, Outcome};
use openraft::error::{ClientWriteError, Fatal, RaftError};
use openraft::impls::ProgressResponder;
use openraft::raft::ClientWriteResponse;
use openraft::storage::RaftStateMachine;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status};

use super::Group;
use crate::clock::unix_ms;
use crate::network::Lane;
use crate::types::Proposal;
use crate::{CommittedLeaderId, TypeConfig};

/// Pause between attempts while the group has no leader that answers.
const RETRY_PAUSE: Duration = Duration::from_millis(10);
const MESSAGE_LIMIT: usize = 64 << 20;

type WriteError = RaftError<TypeConfig, ClientWriteError<TypeConfig>>;

/// A command that was committed and applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    pub outcome: Outcome,
    /// The log index of its entry.
    pub index: u64,
}

/// Why a proposal has no outcome. See [`is_definite`](Self::is_definite).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    #[error("this node does not lead the cluster")]
    NotLeader { leader: Option<NodeId> },
    #[error(
        "no leader took the proposal within {waited:?}: nothing was changed; is a majority of \
         the voters up and connected? ({last})"
    )]
    NoLeader { waited: Duration, last: String },
    #[error("the leader refused the proposal: nothing was changed ({0})")]
    Rejected(String),
    #[error("the outcome is unknown, the change may yet take effect: look before you retry ({0})")]
    Unknown(String),
}

impl ProposeError {
    /// Whether the command certainly did not and will not take effect.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        match self {
            Self::NotLeader { .. } | Self::NoLeader { .. } | Self::Rejected(_) => true,
            Self::Unknown(_) => false,
        }
    }
}

impl From<ProposeError> for Status {
    fn from(error: ProposeError) -> Self {
        let code = match &error {
            ProposeError::NotLeader { .. } | ProposeError::NoLeader { .. } => {
                Code::FailedPrecondition
            }
            ProposeError::Rejected(_) => Code::InvalidArgument,
            ProposeError::Unknown(_) => Code::Unknown,
        };
        Self::new(code, error.to_string())
    }
}

/// What became of one attempt.
enum Attempt {
    Done(Result<Proposed, ProposeError>),
    /// It certainly had no effect, and another leader may take it.
    Again(String),
}

impl<SM: RaftStateMachine<TypeConfig>> Group<SM> {
    /// Has the leader commit `command`, wherever it is, and gives the outcome of applying it
    /// there. Attempts that certainly had no effect are repeated while there is time.
    pub async fn propose(&self, command: Command) -> Result<Proposed, ProposeError> {
        let waited = self.inner.settings.propose_limit();
        let until = Instant::now() + waited;
        let mut leadership = self.leadership();
        let mut last = "no leader is known".to_owned();
        loop {
            let known = leadership.wait_for(|one| one.leader.is_some());
            let known = timeout_at(until, known).await.map(|known| known.map(|one| one.clone()));
            let (leader, address) = match known {
                Ok(Ok(one)) => (one.leader, one.leader_address),
                Ok(Err(_)) => return Err(ProposeError::Rejected("consensus stopped".to_owned())),
                Err(_) => return Err(ProposeError::NoLeader { waited, last }),
            };
            let attempt = match (leader, address) {
                (Some(leader), _) if leader == self.node() => {
                    match self.propose_until(command.clone(), until).await {
                        Err(ProposeError::NotLeader { .. }) => {
                            Attempt::Again("this node leads no more".to_owned())
                        }
                        done => Attempt::Done(done),
                    }
                }
                (Some(leader), Some(address)) => {
                    self.forward(leader, &address, &command, until).await
                }
                (Some(_), None) | (None, _) => {
                    Attempt::Again("the leader's address is not known yet".to_owned())
                }
            };
            match attempt {
                Attempt::Done(done) => return done,
                Attempt::Again(reason) => last = reason,
            }
            if Instant::now() >= until {
                return Err(ProposeError::NoLeader { waited, last });
            }
            // A change of leadership ends the pause early.
            let _ = tokio::time::timeout(RETRY_PAUSE, leadership.changed()).await;
        }
    }

    /// Commits `command` where this node leads.
    pub async fn propose_local(&self, command: Command) -> Result<Proposed, ProposeError> {
        self.propose_until(command, Instant::now() + self.inner.settings.propose_limit()).await
    }

    /// Commits `command` if this node still leads in `term`. What a leader judged in one term is
    /// not its to say in another: a lease that was over then may have been renewed since.
    pub async fn propose_in(&self, term: u64, command: Command) -> Result<Proposed, ProposeError> {
        let until = Instant::now() + self.inner.settings.propose_limit();
        self.propose_as(Some(term), command, until).await
    }

    async fn propose_until(
        &self,
        command: Command,
        until: Instant,
    ) -> Result<Proposed, ProposeError> {
        self.propose_as(None, command, until).await
    }

    async fn write(
        &self,
        term: Option<u64>,
        proposal: Proposal,
    ) -> Result<ClientWriteResponse<TypeConfig>, WriteError> {
        let Some(term) = term else { return self.inner.raft.client_write(proposal).await };
        let (responder, done) = ProgressResponder::complete_only();
        let request = self.inner.raft.write(proposal).responder(responder);
        request.with_leader(CommittedLeaderId { term }).await.map_err(RaftError::Fatal)?;
        match done.await {
            Ok(written) => written.map_err(RaftError::APIError),
            Err(_) => Err(RaftError::Fatal(Fatal::Stopped)),
        }
    }

    async fn propose_as(
        &self,
        term: Option<u64>,
        command: Command,
        until: Instant,
    ) -> Result<Proposed, ProposeError> {
        let proposal = Proposal::new(Entry { at_unix_ms: unix_ms(), command });
        let Ok(written) = timeout_at(until, self.write(term, proposal)).await else {
            return Err(ProposeError::Unknown("no quorum stored it in time".to_owned()));
        };
        match written {
            Ok(written) => match written.data.0 {
                Some(outcome) => Ok(Proposed { outcome, index: written.log_id.index }),
                None => Err(ProposeError::Unknown("it was applied without an outcome".to_owned())),
            },
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
                Err(ProposeError::NotLeader { leader: forward.leader_id.map(NodeId) })
            }
            Err(RaftError::APIError(ClientWriteError::LogEntryDiscarded(_))) => {
                Err(ProposeError::Unknown("leadership was lost before it was committed".to_owned()))
            }
            Err(RaftError::APIError(
                error @ (ClientWriteError::ChangeMembershipError(_)
                | ClientWriteError::PreconditionFailed(_)),
            )) => Err(ProposeError::Rejected(error.to_string())),
            Err(RaftError::Fatal(error)) => Err(ProposeError::Unknown(error.to_string())),
        }
    }

    async fn forward(
        &self,
        leader: NodeId,
        address: &str,
        command: &Command,
        until: Instant,
    ) -> Attempt {
        let channel = match self.inner.peers.channel(leader, address, Lane::Lease) {
            Ok(channel) => channel,
            Err(error) => return Attempt::Again(error.to_string()),
        };
        let mut service = LeaseClient::new(channel).max_encoding_message_size(MESSAGE_LIMIT);
        let command = serde_json::to_vec(command).expect("a command has no map keys JSON lacks");
        let call = service.propose(ProposeRequest { command });
        let response = match timeout_at(until, call).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return refused(leader, &status),
            Err(_) => {
                return Attempt::Done(Err(ProposeError::Unknown(format!(
                    "node {leader}, the leader, did not answer in time"
                ))));
            }
        };
        Attempt::Done(match serde_json::from_slice(&response.outcome) {
            Ok(outcome) => Ok(Proposed { outcome, index: response.log_index }),
            Err(error) => Err(ProposeError::Unknown(format!("an outcome this is not: {error}"))),
        })
    }
}

fn refused(leader: NodeId, status: &Status) -> Attempt {
    let message = format!("node {leader}: {}", status.message());
    if never_sent(status) {
        return Attempt::Again(message);
    }
    match status.code() {
        Code::FailedPrecondition => Attempt::Again(message),
        Code::InvalidArgument
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::Unimplemented => Attempt::Done(Err(ProposeError::Rejected(message))),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Attempt::Done(Err(ProposeError::Unknown(message))),
    }
}

/// The connection itself failed, before the request was on it.
fn never_sent(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}
