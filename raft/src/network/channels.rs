//! One persistent connection to each peer for each kind of traffic.
//!
//! Heartbeats and votes never queue behind log entries or a snapshot: with one TCP connection,
//! a lost segment of a large snapshot would hold up the heartbeat that keeps a leader in office.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leasehold_model::NodeId;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

/// Takes requests to one peer. Of any make, so that a whole cluster can run in one process without
/// sockets.
pub type Way = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Status>;

/// Gives the way to a peer: its address with whatever proves both sides to each other.
pub trait Channels: Send + Sync + 'static {
    /// How to reach `node` at `address` (host:port); the peer must prove that it is `node`.
    fn endpoint(&self, node: NodeId, address: &str) -> Result<Endpoint, ChannelError>;

    /// Makes a way that connects when it is first used, and again after a failure.
    fn connect(&self, node: NodeId, endpoint: Endpoint) -> Way {
        let _ = node;
        over(endpoint.connect_lazy())
    }
}

/// The way that a channel is.
#[must_use]
pub fn over(channel: Channel) -> Way {
    Way::new(channel.map_err(|error| Status::from_error(Box::new(error))))
}

/// No channel to a peer can be made at all.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot reach node {node} at {address}: {reason}")]
pub struct ChannelError {
    pub node: NodeId,
    pub address: String,
    pub reason: String,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// Heartbeats and votes.
    Urgent,
    Log,
    Snapshot,
    /// Renewals, proposals and questions.
    Lease,
}

/// The connections to the peers, made as they are needed.
pub(crate) struct Peers {
    channels: Arc<dyn Channels>,
    /// After this long without a sign of life a connection is given up: a peer that lost its
    /// power sends no goodbye, and TCP alone would wait for minutes.
    silence: Duration,
    open: Mutex<HashMap<(NodeId, Lane), (String, Way)>>,
}

impl Peers {
    pub(crate) fn new(channels: Arc<dyn Channels>, silence: Duration) -> Arc<Self> {
        Arc::new(Self { channels, silence, open: Mutex::new(HashMap::new()) })
    }

    pub(crate) fn channel(
        &self,
        node: NodeId,
        address: &str,
        lane: Lane,
    ) -> Result<Way, ChannelError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, channel)) = open.get(&(node, lane))
            && at == address
        {
            return Ok(channel.clone());
        }
        let endpoint = tuned(self.channels.endpoint(node, address)?, self.silence);
        let channel = self.channels.connect(node, endpoint);
        open.insert((node, lane), (address.to_owned(), channel.clone()));
        Ok(channel)
    }

    /// Forgets the connections to a node that left.
    pub(crate) fn forget(&self, node: NodeId) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(of, _), _| *of != node);
    }
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peers").field("silence", &self.silence).finish_non_exhaustive()
    }
}

/// Sets what every connection between nodes needs: a limit on connecting, a sign of life while
/// idle too, and no delay of small messages.
#[must_use]
pub fn tuned(endpoint: Endpoint, silence: Duration) -> Endpoint {
    endpoint
        .connect_timeout(silence)
        .http2_keep_alive_interval(silence / 2)
        .keep_alive_timeout(silence)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(Duration::from_secs(10)))
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20)
}
