//! Real TLS and gRPC over loopback: who gets through to what.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use leasehold_proto::peer::admission_client::AdmissionClient;
use leasehold_proto::peer::admission_server::{Admission, AdmissionServer};
use leasehold_proto::peer::lease_client::LeaseClient;
use leasehold_proto::peer::lease_server::{Lease, LeaseServer};
use leasehold_proto::peer::*;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status};

use super::*;

/// Answers anything, and remembers who asked.
#[derive(Clone, Default)]
struct Service {
    callers: Arc<Mutex<Vec<Caller>>>,
}

#[tonic::async_trait]
impl Lease for Service {
    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let caller = request.extensions().get::<Caller>().cloned().unwrap();
        self.callers.lock().unwrap().push(caller);
        Ok(Response::new(RenewResponse::default()))
    }
    async fn propose(
        &self,
        _: Request<ProposeRequest>,
    ) -> Result<Response<ProposeResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn last_acknowledged(
        &self,
        _: Request<LastAcknowledgedRequest>,
    ) -> Result<Response<LastAcknowledgedResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn daemon_died(
        &self,
        _: Request<DaemonDiedRequest>,
    ) -> Result<Response<DaemonDiedResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

struct Door(Arc<Identity>);

#[tonic::async_trait]
impl Admission for Door {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let csr = SigningRequest::parse(&request.get_ref().csr)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let answer = answer_join(&self.0, &csr, NodeId(7), Role::Director, &[], &json!(null));
        answer.map(Response::new).map_err(|error| Status::internal(error.to_string()))
    }
}

struct Node {
    _temp: tempfile::TempDir,
    identity: Arc<Identity>,
    address: SocketAddr,
    callers: Arc<Mutex<Vec<Caller>>>,
    removed: Arc<AtomicU64>,
}

/// Node 1 of a new cluster, served on loopback: `Lease` behind a gate, `Admission` in the open.
async fn serve(only_nodes: bool) -> Node {
    let temp = tempfile::tempdir().unwrap();
    let identity = found_in(&temp.path().join("1")).directory.identity();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = Service::default();
    let callers = Arc::clone(&service.callers);
    let removed = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&removed);
    let is_member = move |node: NodeId| node.0 != seen.load(Ordering::SeqCst);
    let gate =
        if only_nodes { identity.require_node(is_member) } else { identity.require_any(is_member) };
    let server = Server::builder()
        .tls_config(identity.server_config())
        .unwrap()
        .add_service(LeaseServer::with_interceptor(service, gate))
        .add_service(AdmissionServer::new(Door(Arc::clone(&identity))));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    Node { _temp: temp, identity, address, callers, removed }
}

impl Node {
    fn address(&self) -> String {
        self.address.to_string()
    }

    /// Another node of the same cluster.
    fn member(&self, node: u64) -> Arc<Identity> {
        let dir = self._temp.path().join(node.to_string());
        join_in(&dir, &self.identity, NodeId(node), Role::Director).identity()
    }
}

async fn renew(channel: Channel) -> Result<(), Status> {
    LeaseClient::new(channel).renew(RenewRequest::default()).await.map(|_| ())
}

/// The whole chain of causes, as a log would have it.
async fn refused(endpoint: Endpoint) -> String {
    let mut text = String::new();
    let error = endpoint.connect().await.expect_err("the handshake should fail");
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(one) = cause {
        text.push_str(&format!("{one}: "));
        cause = one.source();
    }
    text
}

#[tokio::test]
async fn a_member_is_let_in_by_its_number() {
    let node = serve(true).await;
    let endpoint = node.member(7).endpoint(NodeId(1), &node.address()).unwrap();
    renew(endpoint.connect().await.unwrap()).await.unwrap();
    assert_eq!(*node.callers.lock().unwrap(), [Caller::Node(NodeId(7))]);
}

#[tokio::test]
async fn a_removed_member_is_out_on_its_open_connection_too() {
    let node = serve(true).await;
    let endpoint = node.member(7).endpoint(NodeId(1), &node.address()).unwrap();
    let channel = endpoint.connect().await.unwrap();
    renew(channel.clone()).await.unwrap();
    node.removed.store(7, Ordering::SeqCst);
    let status = renew(channel).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("node 7 is not a member"), "{status}");
}

#[tokio::test]
async fn another_node_at_the_address_is_noticed() {
    let node = serve(true).await;
    let endpoint = node.member(7).endpoint(NodeId(3), &node.address()).unwrap();
    let why = refused(endpoint).await;
    assert!(why.contains("node-3") || why.contains("NotValidForName"), "{why}");
}

#[tokio::test]
async fn two_clusters_never_speak() {
    let (node, stranger) = (serve(true).await, serve(true).await);
    let there = node.identity.endpoint(NodeId(1), &stranger.address()).unwrap();
    assert!(refused(there).await.contains("certificate"));

    // Even one that would trust the server: the server does not trust it.
    let forged = ClientCertificate {
        ca_pem: node.identity.ca_pem.clone(),
        certificate_pem: stranger.identity.certificate_pem.clone(),
        key_pem: stranger.identity.key_pem.clone(),
    };
    let endpoint = forged.endpoint(&node.address()).unwrap();
    // TLS 1.3 tells a client of its refusal only after the client's part is done.
    if let Ok(channel) = endpoint.connect().await {
        assert!(renew(channel).await.is_err());
    }
    assert!(node.callers.lock().unwrap().is_empty());
}

/// As after a recovery that kept the CA: TLS is content, the gate is not.
#[tokio::test]
async fn the_same_ca_under_another_name_is_another_cluster() {
    let node = serve(false).await;
    let key = node.identity.authority().unwrap().key_pem();
    let other = Authority::load("0123456789abcdef", &node.identity.ca_pem, &key).unwrap();
    let client = other.issue_client("ops").unwrap();
    let channel = client.endpoint(&node.address()).unwrap().connect().await.unwrap();
    let status = renew(channel).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(node.callers.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_stranger_can_join_and_do_nothing_else() {
    let node = serve(true).await;
    let temp = tempfile::tempdir().unwrap();
    let token = Token::new(node.identity.ca_fingerprint());
    let pending = prepare_join(temp.path(), "ds2", "192.0.2.2:7400", token).unwrap();
    let channel = pending.endpoint(&node.address()).unwrap().connect().await.unwrap();
    let status = renew(channel.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let answer = AdmissionClient::new(channel).join(pending.request()).await.unwrap();
    let joined = complete_join(pending, answer.into_inner()).unwrap();
    let endpoint = joined.identity().endpoint(NodeId(1), &node.address()).unwrap();
    renew(endpoint.connect().await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_token_of_another_cluster_stops_at_the_handshake() {
    let (node, other) = (serve(true).await, serve(true).await);
    let temp = tempfile::tempdir().unwrap();
    let token = Token::new(other.identity.ca_fingerprint());
    let pending = prepare_join(temp.path(), "ds2", "192.0.2.2:7400", token).unwrap();
    let why = refused(pending.endpoint(&node.address()).unwrap()).await;
    assert!(why.contains("it shows another CA"), "{why}");
}

/// Somebody in between who shows the right CA, which is no secret, under a certificate of his own.
#[tokio::test]
async fn showing_the_right_ca_is_not_enough() {
    let right = serve(true).await.identity;
    let temp = tempfile::tempdir().unwrap();
    let wrong = found_in(temp.path()).directory.identity();
    let client = right.authority().unwrap().issue_client("ops").unwrap();
    let pairs = [
        (wrong.certificate_pem.clone(), wrong.key_pem.clone()),
        (client.certificate_pem, client.key_pem),
    ];
    for (certificate, key) in pairs {
        let chain = format!("{certificate}{}", right.ca_pem);
        let own = tonic::transport::Identity::from_pem(chain, key);
        let tls = tonic::transport::ServerTlsConfig::new().identity(own);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = Server::builder().tls_config(tls).unwrap();
        let server = { server }.add_service(AdmissionServer::new(Door(Arc::clone(&wrong))));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let why = refused(any_node_endpoint(&address, right.ca_fingerprint(), None).unwrap()).await;
        assert!(why.contains("certificate"), "{why}");
    }
}

#[tokio::test]
async fn a_client_may_command_but_not_pose_as_a_node() {
    let (open, closed) = (serve(false).await, serve(true).await);
    let client = open.identity.authority().unwrap().issue_client("ops").unwrap();
    let channel = client.endpoint(&open.address()).unwrap().connect().await.unwrap();
    renew(channel).await.unwrap();
    assert_eq!(*open.callers.lock().unwrap(), [Caller::Client("ops".into())]);

    let client = closed.identity.authority().unwrap().issue_client("ops").unwrap();
    let channel = client.endpoint(&closed.address()).unwrap().connect().await.unwrap();
    let status = renew(channel).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn the_control_socket_needs_no_certificate() {
    let temp = tempfile::tempdir().unwrap();
    let directory = found_in(temp.path()).directory;
    let identity = directory.identity();
    let service = Service::default();
    let callers = Arc::clone(&service.callers);
    let gate = identity.require_any(|_| false);
    let incoming =
        tokio_stream::wrappers::UnixListenerStream::new(directory.listen_for_clients().unwrap());
    let server = Server::builder().add_service(LeaseServer::with_interceptor(service, gate));
    tokio::spawn(server.serve_with_incoming(incoming));
    let path = Directory::control_socket(temp.path()).unwrap();
    let endpoint = Endpoint::from_shared(format!("unix://{}", path.display())).unwrap();
    renew(endpoint.connect().await.unwrap()).await.unwrap();
    assert_eq!(*callers.lock().unwrap(), [Caller::Local]);
}

#[tokio::test]
async fn plain_text_gets_nowhere() {
    let node = serve(false).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", node.address())).unwrap();
    if let Ok(channel) = endpoint.connect().await {
        assert!(renew(channel).await.is_err());
    }
    assert!(node.callers.lock().unwrap().is_empty());
}
