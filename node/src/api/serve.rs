//! Where the services are reached: the node's TLS port and its unix socket.

use crate::Group;
use std::sync::Arc;

use anyhow::Context;
use leasehold_model::NodeId;
use leasehold_proto::control::control_server::ControlServer;
use leasehold_proto::peer::admission_server::AdmissionServer;
use leasehold_proto::peer::lease_server::LeaseServer;
use leasehold_raft::identity::{Caller, Gate, Identity, counts};
use leasehold_raft::network::server_builder;
use leasehold_raft::state::State;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::{Extensions, Request, Status};
use tonic_health::pb::health_server::{Health, HealthServer};

use super::admission::AdmissionService;
use super::control::ControlService;
use super::door::{self, Door};
use super::lease::LeaseService;
use super::standard;

/// The largest message: a configuration of 16384 VIPs with room to spare.
pub(crate) const MESSAGE_LIMIT: usize = 32 * 1024 * 1024;

/// A join is a token, a name, an address and a request for a certificate.
const JOIN_LIMIT: usize = 16 * 1024;

/// Calls at a time on one connection.
const STREAMS: u32 = 256;

pub(crate) struct Services {
    pub(crate) group: Group,
    pub(crate) lease: LeaseService,
    pub(crate) admission: AdmissionService,
    pub(crate) control: ControlService,
    pub(crate) state: watch::Receiver<Arc<State>>,
}

/// The member that calls. The gate before the service has let only members through.
pub(crate) fn member<T>(request: &Request<T>) -> Result<NodeId, Status> {
    caller_of(request.extensions())
}

fn caller_of(extensions: &Extensions) -> Result<NodeId, Status> {
    match extensions.get::<Caller>() {
        Some(Caller::Node(node)) => Ok(*node),
        Some(Caller::Client(_) | Caller::Local) | None => {
            Err(Status::permission_denied("only nodes may call this service"))
        }
    }
}

/// The gate; and whoever it lets through is no stranger at the door from then on.
fn recognising<M>(door: &Door, mut gate: Gate<M>) -> impl Interceptor + Clone + use<M>
where
    M: Fn(NodeId) -> bool + Clone,
{
    let door = door.clone();
    move |request: Request<()>| {
        let request = gate.call(request)?;
        let ends = request.local_addr().zip(request.remote_addr());
        if let (Some(ends), Some(caller)) = (ends, request.extensions().get::<Caller>()) {
            door.recognise(ends, caller);
        }
        Ok(request)
    }
}

/// Serves until `stop`. Binding has happened before: an address in use is a refusal to start.
pub(crate) async fn peers(
    listener: TcpListener,
    identity: &Identity,
    services: Services,
    health: HealthServer<impl Health>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let state = services.state;
    let door = Door::default();
    let is_member = move |node| counts(&state.borrow(), node);
    let nodes = recognising(&door, identity.require_node(is_member.clone()));
    let anyone = recognising(&door, identity.require_any(is_member));
    let known = |extensions: &Extensions| caller_of(extensions);
    let raft = services.group.raft_service(Some(Arc::new(known)));
    let lease = LeaseServer::new(services.lease).max_decoding_message_size(MESSAGE_LIMIT);
    let control = ControlServer::new(services.control).max_decoding_message_size(MESSAGE_LIMIT);
    let admission = AdmissionServer::new(services.admission).max_decoding_message_size(JOIN_LIMIT);
    server_builder(services.group.silence())
        .max_concurrent_streams(Some(STREAMS))
        .tls_config(identity.server_config())
        .context("setting up TLS")?
        .add_service(InterceptedService::new(raft, nodes.clone()))
        .add_service(InterceptedService::new(lease, nodes))
        .add_service(admission)
        .add_service(InterceptedService::new(control, anyone.clone()))
        .add_service(InterceptedService::new(health, anyone.clone()))
        .add_service(InterceptedService::new(standard::reflection()?, anyone))
        .serve_with_incoming_shutdown(door::open(listener, door), stop)
        .await
        .context("serving peers")
}

pub(crate) async fn local(
    listener: UnixListener,
    control: ControlService,
    health: HealthServer<impl Health>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let control = ControlServer::new(control).max_decoding_message_size(MESSAGE_LIMIT);
    Server::builder()
        .add_service(control)
        .add_service(health)
        .add_service(standard::reflection()?)
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop)
        .await
        .context("serving the control socket")
}
