//! Letting a machine with a token in.

use crate::Group;
use leasehold_raft::Peer;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold_proto::peer::admission_server::Admission;
use leasehold_proto::peer::{JoinRequest, JoinResponse};
use leasehold_raft::identity::{
    Identity, KnownPeer, Refusals, SigningRequest, Token, answer_join, check_address, check_name,
};
use leasehold_raft::state::{Command, Outcome};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::heard;

pub(crate) struct AdmissionService {
    pub(crate) group: Group,
    pub(crate) identity: Arc<Identity>,
    /// The cluster's timing, passed on as it is.
    pub(crate) timing: serde_json::Value,
    pub(crate) refusals: Refusals,
    pub(crate) at_once: Semaphore,
}

/// Joins under way. A refusal costs a stranger time, and us next to nothing.
pub(crate) const AT_ONCE: usize = 16;

/// A token that was made a moment ago on another node is known here by then.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);

#[tonic::async_trait]
impl Admission for AdmissionService {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let stranger = request.remote_addr();
        let answer = self.admit(request.into_inner()).await;
        match &answer {
            Ok(joined) => tracing::info!(?stranger, node = joined.node, "a machine joined"),
            Err(refusal) => {
                if let Some(unlogged) = self.refusals.due(Instant::now()) {
                    let why = refusal.message();
                    tracing::warn!(?stranger, why, unlogged, "a join was refused");
                }
            }
        }
        answer.map(Response::new)
    }
}

impl AdmissionService {
    async fn admit(&self, request: JoinRequest) -> Result<JoinResponse, Status> {
        let refused =
            |error: &dyn std::fmt::Display| Status::failed_precondition(error.to_string());
        // Whatever can fail without the token fails before it is used up.
        self.identity.authority().map_err(|error| refused(&error))?;
        let busy = |_| Status::resource_exhausted("too many machines are joining: try again");
        let _slot = self.at_once.try_acquire().map_err(busy)?;
        let token: Token = request.token.parse().map_err(|error| refused(&error))?;
        if token.ca() != self.identity.ca_fingerprint() {
            return Err(Status::failed_precondition("the token is of another cluster"));
        }
        check_name(&request.name).map_err(|error| refused(&error))?;
        check_address(&request.address).map_err(|error| refused(&error))?;
        let signing = SigningRequest::parse(&request.csr).map_err(|error| refused(&error))?;
        self.expect(&token.secret_hash()).await?;
        let JoinRequest { name, address, .. } = request;
        let command = Command::Admit {
            token_hash: token.secret_hash(),
            name: name.clone(),
            address: address.clone(),
        };
        let proposed = heard(self.group.propose(command).await)?;
        let Outcome::Admitted { node, role } = proposed.outcome else {
            return Err(Status::internal("an admission was answered with something else"));
        };
        let mut state = self.group.state();
        let state = state
            .wait_for(|state| state.applied >= proposed.index)
            .await
            .map_err(|_| Status::unavailable("this node is stopping"))?
            .clone();
        let known = |(id, one): (&_, &leasehold_raft::state::Member)| KnownPeer {
            id: *id,
            name: one.name.clone(),
            address: one.address.clone(),
        };
        let members: Vec<_> = state.members.iter().map(known).collect();
        answer_join(&self.identity, &signing, node, role, &members, &self.timing)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

impl AdmissionService {
    /// Whoever shows a token that nobody made writes nothing to the log.
    async fn expect(&self, hash: &str) -> Result<(), Status> {
        let mut state = self.group.state();
        let known = state.wait_for(|state| state.tokens.contains_key(hash));
        match tokio::time::timeout(KNOWN_WITHIN, known).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Status::unavailable("this node is stopping")),
            Err(_) => Err(Status::failed_precondition("the token is unknown, or was used before")),
        }
    }
}

/// What Raft's membership keeps of a member.
pub(crate) fn peer(member: &leasehold_raft::state::Member) -> Peer {
    Peer { name: member.name.clone(), address: member.address.clone() }
}
