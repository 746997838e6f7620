//! What this node says to its peers on openraft's behalf.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use leasehold_model::NodeId;
use leasehold_proto::peer::RaftMessage;
use leasehold_proto::peer::raft_client::RaftClient;
use openraft::error::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RPCTypes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use openraft::{RaftNetworkFactory, RaftNetworkV2};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::{Code, Request, Response, Status};

use super::wire::{self, APPEND_LIMIT, MESSAGE_LIMIT, SNAPSHOT_CHUNK, SnapshotHead};
use super::{Lane, Peers, Way};
use crate::TypeConfig;
use crate::types::Peer;

type RpcError = RPCError<TypeConfig>;

/// Makes openraft's clients.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) me: NodeId,
    pub(crate) peers: Arc<Peers>,
    /// The least time an append may take. openraft's own limit is one heartbeat, which a slow
    /// disk at the other end exceeds: to give up there is to send the same entries again while
    /// the peer is writing them.
    pub(crate) append_limit: Duration,
}

impl Network {
    fn client(&self, target: u64, node: &Peer, lane: Lane) -> Client {
        Client {
            me: self.me,
            target: NodeId(target),
            address: node.address.clone(),
            lane,
            peers: Arc::clone(&self.peers),
            append_limit: self.append_limit,
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, node: &Peer) -> Client {
        self.client(target, node, Lane::Log)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Peer) -> Client {
        self.client(target, node, Lane::Urgent)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &Peer) -> Client {
        self.client(target, node, Lane::Snapshot)
    }
}

/// The way to one peer, for one kind of traffic.
#[derive(Debug)]
pub(crate) struct Client {
    me: NodeId,
    target: NodeId,
    address: String,
    lane: Lane,
    peers: Arc<Peers>,
    append_limit: Duration,
}

impl Client {
    fn service(&self, lane: Lane) -> Result<RaftClient<Way>, RpcError> {
        let channel = self
            .peers
            .channel(self.target, &self.address, lane)
            .map_err(|error| RPCError::Unreachable(Unreachable::new(&error)))?;
        Ok(RaftClient::new(channel)
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT))
    }

    fn message(&self, payload: Vec<u8>) -> RaftMessage {
        RaftMessage { to: self.target.0, payload }
    }

    /// Awaits `call` for at most `limit` and reads its answer.
    async fn answer<A, F>(&self, action: RPCTypes, limit: Duration, call: F) -> Result<A, RpcError>
    where
        A: DeserializeOwned,
        F: Future<Output = Result<Response<RaftMessage>, Status>>,
    {
        let Ok(response) = tokio::time::timeout(limit, call).await else {
            return Err(RPCError::Timeout(self.timeout(action, limit)));
        };
        let payload = response.map_err(|status| self.refusal(action, limit, &status))?;
        wire::decode(&payload.into_inner().payload)
            .map_err(|error| RPCError::Network(NetworkError::new(&error)))
    }

    fn timeout(&self, action: RPCTypes, limit: Duration) -> openraft::error::Timeout<TypeConfig> {
        openraft::error::Timeout { action, id: self.me.0, target: self.target.0, timeout: limit }
    }

    fn refusal(&self, action: RPCTypes, limit: Duration, status: &Status) -> RpcError {
        match status.code() {
            Code::DeadlineExceeded | Code::Cancelled => {
                RPCError::Timeout(self.timeout(action, limit))
            }
            // openraft waits before it tries an unreachable node again.
            Code::Unavailable
            | Code::FailedPrecondition
            | Code::PermissionDenied
            | Code::Unauthenticated => RPCError::Unreachable(Unreachable::new(status)),
            Code::Ok
            | Code::Unknown
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss => RPCError::Network(NetworkError::new(status)),
        }
    }

    fn request<T: Serialize>(&self, message: &T) -> Request<RaftMessage> {
        Request::new(self.message(wire::encode(message)))
    }
}

impl RaftNetworkV2<TypeConfig> for Client {
    type SnapshotData = Vec<u8>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        let limit = match self.lane {
            Lane::Log => option.hard_ttl().max(self.append_limit),
            Lane::Urgent | Lane::Snapshot | Lane::Lease => option.hard_ttl(),
        };
        let (payload, cut_at) = fit(rpc);
        let mut service = self.service(self.lane)?;
        let request = Request::new(self.message(payload));
        let call = service.append_entries(request);
        let answer = self.answer(RPCTypes::AppendEntries, limit, call).await?;
        Ok(match (answer, cut_at) {
            (AppendEntriesResponse::Success, Some(last)) => {
                AppendEntriesResponse::PartialSuccess(last)
            }
            (answer, _) => answer,
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let mut service = self.service(Lane::Urgent)?;
        let call = service.vote(self.request(&rpc));
        self.answer(RPCTypes::Vote, option.hard_ttl(), call).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let mut service = self.service(Lane::Urgent)?;
        let call = service.pre_vote(self.request(&rpc));
        self.answer(RPCTypes::Vote, option.hard_ttl(), call).await
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        let mut service = self.service(Lane::Urgent)?;
        let call = service.transfer_leader(self.request(&rpc));
        self.answer(RPCTypes::TransferLeader, option.hard_ttl(), call).await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, Vec<u8>>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let bytes = snapshot.snapshot;
        let length = u64::try_from(bytes.len()).expect("usize fits in u64");
        let head = wire::encode(&SnapshotHead { vote, meta: snapshot.meta, length });
        let pieces: Vec<RaftMessage> = std::iter::once(self.message(head))
            .chain(bytes.chunks(SNAPSHOT_CHUNK).map(|piece| self.message(piece.to_vec())))
            .collect();
        drop(bytes);
        let mut service = self.service(Lane::Snapshot)?;
        let call = service.snapshot(stream::iter(pieces));
        tokio::select! {
            closed = cancel => Err(closed.into()),
            answer = self.answer(RPCTypes::InstallSnapshot, option.hard_ttl(), call) => {
                Ok(answer?)
            }
        }
    }
}

/// Encodes as many of the request's entries as go into one message. Where that is not all of
/// them, also tells the last one that does.
fn fit(
    mut rpc: AppendEntriesRequest<TypeConfig>,
) -> (Vec<u8>, Option<Option<openraft::type_config::alias::LogIdOf<TypeConfig>>>) {
    let mut cut = false;
    loop {
        let payload = wire::encode(&rpc);
        if payload.len() <= APPEND_LIMIT || rpc.entries.len() <= 1 {
            let last = rpc.entries.last().map(|entry| entry.log_id);
            return (payload, cut.then_some(last));
        }
        let half = rpc.entries.len() / 2;
        rpc.entries.truncate(half);
        cut = true;
    }
}
