//! A cluster to test on.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use leasehold_model::NodeId;
use leasehold_proto::peer::lease_server::{Lease, LeaseServer};
use leasehold_proto::peer::{
    DaemonDiedRequest, DaemonDiedResponse, LastAcknowledgedRequest, LastAcknowledgedResponse,
    ProposeRequest, ProposeResponse, RenewRequest, RenewResponse,
};
use leasehold_raft_core::state::{Command, Outcome};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use super::links::{Plain, Wires};
use super::store::{Machine, Memory};
use crate::group::{Group, GroupSettings};
use crate::network::server_builder;
use crate::types::Peer;

/// Far beyond what anything takes here.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Node {
    pub(super) group: Group<Machine>,
    pub(super) disk: Memory,
    pub(super) peer: Peer,
    server: JoinHandle<()>,
}

impl Node {
    /// Ends the node at once, as a crash does: nothing is said to anyone.
    pub(super) fn kill(self) -> Memory {
        self.server.abort();
        self.group.inner.end_tasks();
        let raft = self.group.inner.raft.clone();
        tokio::spawn(async move { raft.shutdown().await });
        self.disk
    }
}

pub(super) struct Cluster {
    pub(super) wires: Arc<Wires>,
    pub(super) nodes: BTreeMap<NodeId, Node>,
}

impl Cluster {
    /// A cluster of `voters` nodes, numbered from 1, in which node 1 leads.
    pub(super) async fn of(voters: u64) -> Self {
        let mut cluster = Self { wires: Arc::default(), nodes: BTreeMap::new() };
        cluster.start(1, Memory::new()).await;
        cluster.group(1).found().await.unwrap();
        for id in 2..=voters {
            cluster.join(id).await;
            cluster.group(1).promote(NodeId(id)).await.unwrap();
        }
        cluster
    }

    /// Starts a node and makes it a learner.
    pub(super) async fn join(&mut self, id: u64) {
        self.start(id, Memory::new()).await;
        let peer = self.nodes[&NodeId(id)].peer.clone();
        self.leader().add_learner(NodeId(id), peer).await.unwrap();
    }

    pub(super) async fn start(&mut self, id: u64, disk: Memory) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let settings = GroupSettings {
            node: NodeId(id),
            name: format!("ds{id}"),
            address: address.clone(),
            heartbeat: Duration::from_millis(75),
            election_min: Duration::from_millis(200),
            election_max: Duration::from_millis(400),
        };
        let silence = settings.silence();
        let channels = Plain { me: NodeId(id), wires: Arc::clone(&self.wires) };
        let group = Group::start(settings, disk.open(), Arc::new(channels)).await.unwrap();
        let router = server_builder(silence)
            .add_service(group.raft_service(None))
            .add_service(LeaseServer::new(Answers(group.clone())));
        let server = tokio::spawn(async move {
            router.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        let peer = Peer { name: format!("ds{id}"), address };
        self.nodes.insert(NodeId(id), Node { group, disk, peer, server });
    }

    pub(super) fn group(&self, id: u64) -> &Group<Machine> {
        &self.nodes[&NodeId(id)].group
    }

    /// The node that most recently came to lead.
    pub(super) fn leader(&self) -> &Group<Machine> {
        self.nodes
            .values()
            .map(|node| &node.group)
            .filter(|group| group.leadership().borrow().is_leader)
            .max_by_key(|group| group.leadership().borrow().term)
            .expect("someone leads")
    }

    pub(super) fn kill(&mut self, id: u64) -> Memory {
        self.nodes.remove(&NodeId(id)).unwrap().kill()
    }

    /// Waits until one of the nodes other than `not` leads, and names it.
    pub(super) async fn led_by_another(&self, not: u64) -> NodeId {
        let waits = self.nodes.iter().filter(|(id, _)| id.0 != not).map(|(id, node)| {
            let mut leadership = node.group.leadership();
            Box::pin(async move {
                leadership.wait_for(|one| one.is_leader).await.unwrap();
                *id
            })
        });
        within(futures::future::select_all(waits)).await.0
    }

    /// Waits until every node that runs has applied the log up to `index`.
    pub(super) async fn applied(&self, index: u64) {
        for node in self.nodes.values() {
            let mut state = node.group.state();
            within(state.wait_for(|state| state.applied >= index)).await.unwrap();
        }
    }
}

pub(super) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("done in time")
}

/// A command that changes the state visibly and is never refused.
pub(super) fn token(number: u64) -> Command {
    Command::AddToken {
        hash: format!("{number:016x}"),
        role: leasehold_model::Role::Director,
        expires_unix_ms: u64::MAX,
    }
}

pub(super) fn is_done(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Done)
}

/// What a daemon answers on behalf of its group.
struct Answers(Group<Machine>);

#[tonic::async_trait]
impl Lease for Answers {
    async fn renew(&self, _: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn propose(
        &self,
        request: Request<ProposeRequest>,
    ) -> Result<Response<ProposeResponse>, Status> {
        let command = serde_json::from_slice(&request.into_inner().command).unwrap();
        let proposed = self.0.propose_local(command).await?;
        let outcome = serde_json::to_vec(&proposed.outcome).unwrap();
        Ok(Response::new(ProposeResponse { outcome, log_index: proposed.index }))
    }

    async fn last_acknowledged(
        &self,
        request: Request<LastAcknowledgedRequest>,
    ) -> Result<Response<LastAcknowledgedResponse>, Status> {
        let ago = self.0.last_acknowledged(&request.into_inner().vote)?;
        let ago_nanos = u64::try_from(ago.as_nanos()).unwrap();
        Ok(Response::new(LastAcknowledgedResponse { ago_nanos }))
    }

    async fn daemon_died(
        &self,
        _: Request<DaemonDiedRequest>,
    ) -> Result<Response<DaemonDiedResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}
