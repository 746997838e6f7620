//! Who calls: the gate before every service that is not for strangers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use leasehold_raft_core::model::NodeId;
use leasehold_raft_core::state::State;
use tonic::service::Interceptor;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Status};
use tracing::warn;

use super::Identity;
use super::names::{self, Who};

/// A caller whose certificate TLS has verified, or who may open the control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    Node(NodeId),
    /// Holds a client certificate of this name.
    Client(String),
    /// Came over the control socket, which only the daemon's own user can open.
    Local,
}

/// Who sent `request`, which came over the control socket or over TLS with
/// [`Identity::server_config`].
pub fn caller<T>(request: &Request<T>, cluster: &str) -> Result<Caller, Status> {
    if request.extensions().get::<UdsConnectInfo>().is_some() {
        return Ok(Caller::Local);
    }
    let chain = request.peer_certs().unwrap_or_default();
    let Some(first) = chain.first() else {
        return Err(Status::unauthenticated(format!(
            "show a certificate of cluster {cluster}: a node's, or a client's"
        )));
    };
    match names::of_certificate(first) {
        Some(subject) if subject.cluster == cluster => Ok(match subject.who {
            Who::Node(node) => Caller::Node(node),
            Who::Client(name) => Caller::Client(name),
        }),
        Some(_) | None => Err(Status::unauthenticated(format!(
            "the certificate names neither a node nor a client of cluster {cluster}"
        ))),
    }
}

/// Whether `node`'s certificate counts, as far as `state` tells.
///
/// A node's id is the log index that admitted it, so a state that has not come so far cannot know
/// it: such a node is let in, or a member that lags could never hear a newer leader. An id that
/// the state has passed and does not list was removed. Node 1 is the exception, named before the
/// log has an index for it: until the founding entry is applied, everybody counts.
#[must_use]
pub fn counts(state: &State, node: NodeId) -> bool {
    state.cluster.is_empty() || state.members.contains_key(&node) || node.0 > state.applied
}

/// An interceptor that lets known callers through and leaves the [`Caller`] in the request's
/// extensions.
#[derive(Clone)]
pub struct Gate<M> {
    cluster: Arc<str>,
    only_nodes: bool,
    is_member: M,
    refusals: Arc<Refusals>,
}

impl Identity {
    /// A gate for nodes that `is_member` vouches for (see [`counts`]). It is asked on every call,
    /// so a removed node is out at once, its open connections too.
    pub fn require_node<M>(&self, is_member: M) -> Gate<M>
    where
        M: Fn(NodeId) -> bool + Clone,
    {
        self.gate(true, is_member)
    }

    /// A gate for nodes that `is_member` vouches for, for clients and for the control socket.
    pub fn require_any<M>(&self, is_member: M) -> Gate<M>
    where
        M: Fn(NodeId) -> bool + Clone,
    {
        self.gate(false, is_member)
    }

    fn gate<M>(&self, only_nodes: bool, is_member: M) -> Gate<M> {
        let refusals = Arc::default();
        Gate { cluster: self.cluster.as_str().into(), only_nodes, is_member, refusals }
    }
}

impl<M: Fn(NodeId) -> bool> Gate<M> {
    fn judge<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let caller = caller(request, &self.cluster)?;
        match &caller {
            Caller::Node(node) if (self.is_member)(*node) => Ok(caller),
            Caller::Node(node) => Err(Status::permission_denied(format!(
                "node {node} is not a member of cluster {}",
                self.cluster
            ))),
            Caller::Client(_) | Caller::Local if self.only_nodes => {
                Err(Status::permission_denied("only nodes may call this service"))
            }
            Caller::Client(_) | Caller::Local => Ok(caller),
        }
    }
}

impl<M: Fn(NodeId) -> bool> Interceptor for Gate<M> {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        match self.judge(&request) {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                Ok(request)
            }
            Err(status) => {
                self.refusals.log(request.remote_addr(), &status, Instant::now());
                Err(status)
            }
        }
    }
}

/// Keeps a stranger who knocks all day from filling the log.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    logged: Option<Instant>,
    unlogged: u64,
}

impl Refusals {
    const QUIET: Duration = Duration::from_secs(10);

    fn log(&self, from: Option<SocketAddr>, status: &Status, now: Instant) {
        if let Some(unlogged) = self.due(now) {
            let peer = from.map(|address| address.to_string()).unwrap_or_default();
            warn!(peer, why = status.message(), unlogged, "refused a caller");
        }
    }

    /// How many were passed over since the last line, if it is time for another.
    pub fn due(&self, now: Instant) -> Option<u64> {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.logged.is_some_and(|last| now.duration_since(last) < Self::QUIET) {
            recent.unlogged += 1;
            return None;
        }
        recent.logged = Some(now);
        Some(std::mem::take(&mut recent.unlogged))
    }
}

#[cfg(test)]
mod unit {
    use leasehold_raft_core::state::{Command, Entry, Outcome};

    use super::*;

    #[test]
    fn a_knocking_stranger_is_logged_once_in_a_while() {
        let refusals = Refusals::default();
        let start = Instant::now();
        assert_eq!(refusals.due(start), Some(0));
        assert_eq!(refusals.due(start + Duration::from_secs(1)), None);
        assert_eq!(refusals.due(start + Duration::from_secs(9)), None);
        assert_eq!(refusals.due(start + Duration::from_secs(10)), Some(2));
    }

    #[test]
    fn only_a_node_that_the_state_has_passed_can_be_missing() {
        let entry = |command| Entry { at_unix_ms: 0, command };
        let mut state = State { applied: 1, ..State::default() };
        assert!(counts(&state, NodeId(1)), "the founder, to one who has not read of it yet");
        let (cluster, name) = ("0123456789abcdef".to_owned(), "ds1".to_owned());
        let found = Command::Found { cluster, name, address: "192.0.2.1:7400".to_owned() };
        assert_eq!(state.apply(2, &entry(found)), Outcome::Done);
        assert!(counts(&state, NodeId(1)), "the founder");
        assert!(!counts(&state, NodeId(2)), "removed, or never there");
        assert!(counts(&state, NodeId(3)), "not heard of yet");
    }
}
