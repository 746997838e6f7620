//! What this node answers to its peers' openraft.

use std::sync::Arc;
use std::time::Duration;

use leasehold_model::NodeId;
use leasehold_proto::peer::RaftMessage;
use leasehold_proto::peer::raft_server::{Raft as RaftRpc, RaftServer};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest,
};
use openraft::storage::RaftStateMachine;
use openraft::type_config::alias::VoteOf;
use openraft::{Raft, Snapshot};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tonic::transport::Server;
use tonic::{Extensions, Request, Response, Status, Streaming};

use super::wire::{self, MESSAGE_LIMIT, SNAPSHOT_LIMIT, SnapshotHead};
use crate::TypeConfig;
use crate::ack::Acks;
use crate::clock::boot_now;

/// Tells which member a connection belongs to, or why it may not speak.
pub type Caller = Arc<dyn Fn(&Extensions) -> Result<NodeId, Status> + Send + Sync>;

/// The gRPC service `Raft`, to be added to the node's server.
pub type RaftService<SM> = RaftServer<Served<SM>>;

/// A server builder with the settings that connections between nodes need.
pub fn server_builder(silence: Duration) -> Server {
    Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(silence))
        .http2_keepalive_timeout(Some(silence))
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20)
}

/// What [`RaftService`] serves.
pub struct Served<SM: RaftStateMachine<TypeConfig>> {
    pub(crate) me: NodeId,
    pub(crate) raft: Raft<TypeConfig, SM>,
    pub(crate) acks: Arc<Acks>,
    /// Before this no vote is given but in a transfer: openraft forgets at a restart that it
    /// acknowledged a leader a moment ago, and would vote it out of office.
    pub(crate) votes_from: Instant,
    pub(crate) caller: Option<Caller>,
}

impl<SM: RaftStateMachine<TypeConfig>> std::fmt::Debug for Served<SM> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").field("me", &self.me).finish_non_exhaustive()
    }
}

impl<SM> Served<SM>
where
    SM: RaftStateMachine<TypeConfig, SnapshotData = Vec<u8>>,
{
    pub(crate) fn into_service(self) -> RaftService<SM> {
        RaftServer::new(self)
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT)
    }

    fn read<T: DeserializeOwned>(&self, message: &RaftMessage) -> Result<T, Status> {
        if message.to != self.me.0 {
            return Err(Status::failed_precondition(format!(
                "this is node {}, not node {}: the address belongs to another node now",
                self.me, message.to
            )));
        }
        wire::decode(&message.payload).map_err(|error| {
            Status::invalid_argument(format!("a message that openraft's JSON is not: {error}"))
        })
    }

    /// A member speaks in its own name only.
    fn check(&self, extensions: &Extensions, vote: &VoteOf<TypeConfig>) -> Result<(), Status> {
        let Some(caller) = &self.caller else { return Ok(()) };
        let node = caller(extensions)?;
        if node.0 == vote.leader_id.voted_for {
            Ok(())
        } else {
            Err(Status::permission_denied(format!(
                "node {node} spoke as node {}",
                vote.leader_id.voted_for
            )))
        }
    }

    fn may_vote(&self) -> Result<(), Status> {
        if Instant::now() >= self.votes_from {
            Ok(())
        } else {
            Err(Status::unavailable("started a moment ago: no vote yet"))
        }
    }

    fn answer<T: Serialize>(&self, message: &T) -> Response<RaftMessage> {
        Response::new(RaftMessage { to: 0, payload: wire::encode(message) })
    }
}

fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("consensus has stopped on this node: {error}"))
}

#[tonic::async_trait]
impl<SM> RaftRpc for Served<SM>
where
    SM: RaftStateMachine<TypeConfig, SnapshotData = Vec<u8>>,
{
    async fn append_entries(
        &self,
        request: Request<RaftMessage>,
    ) -> Result<Response<RaftMessage>, Status> {
        let rpc: AppendEntriesRequest<TypeConfig> = self.read(request.get_ref())?;
        self.check(request.extensions(), &rpc.vote)?;
        let ack = self.acks.begin(rpc.vote.leader_id.term, boot_now());
        let answer = self.raft.append_entries(rpc).await.map_err(stopped)?;
        match &answer {
            AppendEntriesResponse::HigherVote(_) => ack.refused(),
            // A conflict is about the log; the leader counts it as a sign of allegiance.
            AppendEntriesResponse::Success
            | AppendEntriesResponse::PartialSuccess(_)
            | AppendEntriesResponse::Conflict => drop(ack),
        }
        Ok(self.answer(&answer))
    }

    async fn vote(&self, request: Request<RaftMessage>) -> Result<Response<RaftMessage>, Status> {
        let rpc: VoteRequest<TypeConfig> = self.read(request.get_ref())?;
        self.check(request.extensions(), &rpc.vote)?;
        if !rpc.leadership_transfer {
            self.may_vote()?;
        }
        Ok(self.answer(&self.raft.vote(rpc).await.map_err(stopped)?))
    }

    async fn pre_vote(
        &self,
        request: Request<RaftMessage>,
    ) -> Result<Response<RaftMessage>, Status> {
        let rpc: VoteRequest<TypeConfig> = self.read(request.get_ref())?;
        self.check(request.extensions(), &rpc.vote)?;
        self.may_vote()?;
        Ok(self.answer(&self.raft.pre_vote(rpc).await.map_err(stopped)?))
    }

    async fn transfer_leader(
        &self,
        request: Request<RaftMessage>,
    ) -> Result<Response<RaftMessage>, Status> {
        let rpc: TransferLeaderRequest<TypeConfig> = self.read(request.get_ref())?;
        self.check(request.extensions(), rpc.from_leader())?;
        let answer = self.raft.handle_transfer_leader(rpc).await.map_err(stopped)?;
        Ok(self.answer(&answer))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<RaftMessage>>,
    ) -> Result<Response<RaftMessage>, Status> {
        let (_, extensions, mut pieces) = request.into_parts();
        let Some(first) = pieces.message().await? else {
            return Err(Status::invalid_argument("a snapshot without a head"));
        };
        let head: SnapshotHead = self.read(&first)?;
        self.check(&extensions, &head.vote)?;
        if head.length > SNAPSHOT_LIMIT {
            return Err(Status::resource_exhausted("a snapshot beyond any size of ours"));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.message().await? {
            bytes.extend_from_slice(&piece.payload);
            if bytes.len() as u64 > head.length {
                return Err(Status::invalid_argument("a snapshot longer than its head says"));
            }
        }
        if bytes.len() as u64 != head.length {
            return Err(Status::data_loss("a snapshot shorter than its head says"));
        }
        let snapshot = Snapshot { meta: head.meta, snapshot: bytes };
        let term = head.vote.leader_id.term;
        let ack = self.acks.begin(term, boot_now());
        let answer = self.raft.install_full_snapshot(head.vote, snapshot).await.map_err(stopped)?;
        if answer.vote.leader_id.term > term {
            ack.refused();
        }
        Ok(self.answer(&answer))
    }
}
