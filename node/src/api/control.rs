//! What operators ask for.

use crate::Group;
use leasehold_raft::network::{Channels, tuned};
use std::sync::Arc;
use std::time::Duration;

use leasehold_model::{NodeId, Revision, Role};
use leasehold_proto::control::change_member_request::Change;
use leasehold_proto::control::control_client::ControlClient;
use leasehold_proto::control::control_server::Control;
use leasehold_proto::control::{
    ApplyRequest, ApplyResponse, ChangeMemberRequest, CreateTokenRequest, CreateTokenResponse,
    Done, DrainRequest, ExplainRequest, ExplainResponse, ExportRequest, ExportResponse,
    HistoryRequest, HistoryResponse, KernelTableRequest, KernelTableResponse, MoveRequest,
    OverrideRealServerRequest, RollbackRequest, StatusRequest, StatusResponse, WatchRequest,
};
use leasehold_raft::identity::{Fingerprint, Token};
use leasehold_raft::state::{Command, State};
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::author::Authors;
use super::serve::MESSAGE_LIMIT;
use super::status::View;
use super::{forwarded, heard, kernel_table, overrides, watch, written};
use crate::daemon::situation::unix_ms;

pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A week.
const TOKEN_SECONDS_MAX: u64 = 604_800;

/// A new leader is there by then, if there can be one.
pub(super) const LEADER_WITHIN: Duration = Duration::from_secs(5);

/// How long `move` and `drain` wait to see it done.
const DONE_WITHIN: Duration = Duration::from_secs(10);

/// What a leader needs for the longest of its answers.
const FORWARD_WITHIN: Duration = Duration::from_secs(28);

#[derive(Clone)]
pub(crate) struct ControlService {
    pub(crate) group: Group,
    pub(crate) view: View,
    pub(crate) ca: Fingerprint,
    pub(crate) channels: Arc<dyn Channels>,
    pub(crate) authors: Authors,
    /// A new leader changes no members before.
    pub(crate) settled: Duration,
    pub(crate) watching: watch::Watching,
}

#[tonic::async_trait]
impl Control for ControlService {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(StatusResponse { json: self.view.status().to_string() }))
    }

    async fn kernel_table(
        &self,
        _: Request<KernelTableRequest>,
    ) -> Result<Response<KernelTableResponse>, Status> {
        let state = self.state();
        let read = tokio::task::spawn_blocking(move || kernel_table::read(&state.config)).await;
        match read {
            Ok(Ok(table)) => Ok(Response::new(KernelTableResponse { json: table.to_string() })),
            Ok(Err(error)) => Err(Status::failed_precondition(error.to_string())),
            Err(error) => Err(Status::internal(error.to_string())),
        }
    }

    async fn explain(
        &self,
        request: Request<ExplainRequest>,
    ) -> Result<Response<ExplainResponse>, Status> {
        if let Some(mut leader) = self.leader().await? {
            return forwarded::question(leader.explain(request.into_inner()).await);
        }
        let instance = request.into_inner().instance;
        let (json, text) = self.view.explain(&instance).await?;
        Ok(Response::new(ExplainResponse { json, text }))
    }

    async fn export(
        &self,
        request: Request<ExportRequest>,
    ) -> Result<Response<ExportResponse>, Status> {
        self.read_document(request.into_inner()).await
    }

    async fn apply(
        &self,
        request: Request<ApplyRequest>,
    ) -> Result<Response<ApplyResponse>, Status> {
        let author = self.authors.of(&request, &request.get_ref().author).await?;
        let request = written::read(request.into_inner())?;
        self.replace(ApplyRequest { author, ..request }).await
    }

    async fn history(
        &self,
        request: Request<HistoryRequest>,
    ) -> Result<Response<HistoryResponse>, Status> {
        self.read_history(request.into_inner()).await
    }

    async fn rollback(
        &self,
        request: Request<RollbackRequest>,
    ) -> Result<Response<ApplyResponse>, Status> {
        let author = self.authors.of(&request, &request.get_ref().author).await?;
        self.roll_back(RollbackRequest { author, ..request.into_inner() }).await
    }

    type WatchStream = watch::Events;

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<watch::Events>, Status> {
        self.watching.begin(Revision(request.into_inner().from_revision))
    }

    async fn r#move(&self, request: Request<MoveRequest>) -> Result<Response<Done>, Status> {
        if let Some(mut leader) = self.leader().await? {
            return forwarded::change(leader.r#move(request.into_inner()).await, "status");
        }
        let MoveRequest { instance, to } = request.into_inner();
        let state = self.state();
        let Some(group) = state.group_named(&instance) else {
            return Err(no_instance(&state, &instance));
        };
        let node = named(&state, &to)?;
        self.view.can_hold(&instance, node)?;
        heard(self.group.propose(Command::Pin { group, node }).await)?;
        let there = |state: &Arc<State>| {
            state.leases.get(&group).is_some_and(|lease| lease.holder == Some(node))
        };
        let pending = || {
            format!(
                "{instance} has not reached {to} yet, and will go there as soon as {to} can hold \
                 it: `leasehold drain {to}` and `undrain {to}` call that off"
            )
        };
        self.wait(there, pending).await?;
        Ok(done(format!("{instance} is on {to}")))
    }

    async fn drain(&self, request: Request<DrainRequest>) -> Result<Response<Done>, Status> {
        let DrainRequest { node: name, drain } = request.into_inner();
        let node = named(&self.state(), &name)?;
        heard(self.group.propose(Command::Drain { node, drained: drain }).await)?;
        if !drain {
            return Ok(done(format!("{name} may hold instances again")));
        }
        let empty = |state: &Arc<State>| state.held_by(node).is_empty();
        let why = || format!("{name} is drained, and still holds what no other director can");
        self.wait(empty, why).await?;
        Ok(done(format!("{name} holds nothing and will be given nothing")))
    }

    async fn override_real_server(
        &self,
        request: Request<OverrideRealServerRequest>,
    ) -> Result<Response<Done>, Status> {
        // This node may not have heard yet what is configured.
        if let Some(mut leader) = self.leader().await? {
            return forwarded::change(
                leader.override_real_server(request.into_inner()).await,
                "status",
            );
        }
        let (command, said) = overrides::wanted(request.get_ref(), &self.state())?;
        heard(self.group.propose(command).await)?;
        Ok(done(said))
    }

    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        let request = request.into_inner();
        let role = match request.role.as_str() {
            "director" => Role::Director,
            "witness" => Role::Witness,
            other => {
                let why = format!("role {other}: a token is for a director or a witness");
                return Err(Status::invalid_argument(why));
            }
        };
        if !(1..=TOKEN_SECONDS_MAX).contains(&request.ttl_seconds) {
            let why = format!("a token is good for 1 to {TOKEN_SECONDS_MAX} seconds");
            return Err(Status::invalid_argument(why));
        }
        let token = Token::new(self.ca);
        let hash = token.secret_hash();
        let expires_unix_ms = unix_ms().saturating_add(request.ttl_seconds.saturating_mul(1000));
        heard(self.group.propose(Command::AddToken { hash, role, expires_unix_ms }).await)?;
        Ok(Response::new(CreateTokenResponse { token: token.reveal() }))
    }

    async fn change_member(
        &self,
        request: Request<ChangeMemberRequest>,
    ) -> Result<Response<Done>, Status> {
        if let Some(mut leader) = self.leader().await? {
            return forwarded::change(leader.change_member(request.into_inner()).await, "status");
        }
        let change = request.get_ref().change();
        let name = request.into_inner().node;
        let state = self.state();
        let node = named(&state, &name)?;
        match change {
            Change::Promote => {
                heard(self.group.propose(Command::Vote { node, votes: true }).await)?;
                self.membership(node, true).await?;
                Ok(done(format!("{name} votes")))
            }
            Change::Demote | Change::Remove if self.group.node() == node => {
                self.let_go(&name).await?;
                let mut leader = self.leader().await?.ok_or_else(|| {
                    Status::aborted(format!("{name} was elected once more: try again"))
                })?;
                let request = ChangeMemberRequest { node: name, change: change.into() };
                forwarded::change(leader.change_member(request).await, "status")
            }
            Change::Demote => {
                heard(self.group.propose(Command::Vote { node, votes: false }).await)?;
                self.membership(node, false).await?;
                Ok(done(format!("{name} no longer votes")))
            }
            Change::Remove => {
                heard(self.group.propose(Command::Remove { node }).await)?;
                self.membership(node, false).await?;
                Ok(done(format!(
                    "{name} is no member any more: wipe its data directory, which holds keys of \
                     the cluster"
                )))
            }
            Change::Unspecified => Err(Status::invalid_argument("promote, demote or remove?")),
        }
    }
}

impl ControlService {
    pub(super) fn state(&self) -> Arc<State> {
        self.group.state().borrow().clone()
    }

    /// The leader, where another node leads: it alone hears the members. Waits for one that is
    /// being elected.
    pub(super) async fn leader(&self) -> Result<Option<ControlClient<Channel>>, Status> {
        let mut leadership = self.group.leadership();
        let until = Instant::now() + LEADER_WITHIN;
        loop {
            let now = leadership.borrow_and_update().clone();
            if now.is_leader {
                return Ok(None);
            }
            let why = match (now.leader, now.leader_address) {
                (Some(node), Some(address)) => match self.connect(node, &address).await {
                    Ok(client) => return Ok(Some(client)),
                    Err(error) => format!("node {node} leads, and does not answer: {error}"),
                },
                (Some(_), None) | (None, _) => "no leader is known".to_owned(),
            };
            if Instant::now() >= until {
                return Err(Status::unavailable(format!(
                    "{why}; is a majority of the members up? `leasehold status` tells"
                )));
            }
            let _ = tokio::time::timeout(LOOK_AGAIN, leadership.changed()).await;
        }
    }

    async fn connect(&self, node: NodeId, address: &str) -> anyhow::Result<ControlClient<Channel>> {
        let endpoint = self.channels.endpoint(node, address)?;
        let endpoint = tuned(endpoint, self.group.silence()).timeout(FORWARD_WITHIN);
        let channel = endpoint.connect().await;
        let channel = channel.map_err(|error| anyhow::anyhow!("{}", crate::cli::cause(&error)))?;
        Ok(ControlClient::new(channel)
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT))
    }

    /// This node, which leads, hands leadership over before it loses its vote.
    async fn let_go(&self, name: &str) -> Result<(), Status> {
        let node = self.group.node();
        let mut leadership = self.group.leadership();
        let Some(to) = self.group.successor() else {
            return Err(Status::failed_precondition(format!("{name} is the only voter")));
        };
        self.group
            .transfer_leadership(to)
            .await
            .map_err(|error| Status::failed_precondition(format!("{name} leads: {error}")))?;
        let elsewhere = leadership.wait_for(|now| now.leader.is_some_and(|leader| leader != node));
        match tokio::time::timeout(DONE_WITHIN, elsewhere).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Status::failed_precondition(format!(
                "{name} leads, and no other voter took over: nothing was changed"
            ))),
        }
    }

    /// Waits until Raft's own membership says what the state wants.
    async fn membership(&self, node: NodeId, votes: bool) -> Result<(), Status> {
        let settled = async {
            while self.group.members().voters.contains_key(&node) != votes {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(self.settled + DONE_WITHIN, settled).await.map_err(|_| {
            Status::deadline_exceeded(
                "it is recorded, and will be done as soon as the member has caught up",
            )
        })
    }

    async fn wait(
        &self,
        done: impl FnMut(&Arc<State>) -> bool,
        otherwise: impl Fn() -> String,
    ) -> Result<(), Status> {
        let mut state = self.group.state();
        match tokio::time::timeout(DONE_WITHIN, state.wait_for(done)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Status::unavailable("this node is stopping")),
            Err(_) => Err(Status::deadline_exceeded(format!(
                "{}; `leasehold explain` tells why",
                otherwise()
            ))),
        }
    }
}

fn named(state: &State, name: &str) -> Result<NodeId, Status> {
    state.node_named(name).map(|(node, _)| node).ok_or_else(|| {
        let known: Vec<_> = state.members.values().map(|one| one.name.as_str()).collect();
        Status::not_found(format!("no node is called {name}; there are {}", known.join(", ")))
    })
}

pub(crate) fn no_instance(state: &State, name: &str) -> Status {
    let known: Vec<_> = state.config.instances.keys().map(String::as_str).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Status::not_found(format!("no instance is called {name}; configured: {known}"))
}

fn done(message: String) -> Response<Done> {
    Response::new(Done { message })
}
