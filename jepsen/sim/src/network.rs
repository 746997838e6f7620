//! The network: calls between hosts as messages that are late, lost, doubled and out of order.
//!
//! A call is carried as the gRPC request that the product's client made, and handed to the
//! product's service at the other end; sockets, HTTP/2 and TLS are what is left out. Messages are
//! lost and doubled one by one, which is worse than what TCP does.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Full};
use leasehold_model::NodeId;
use leasehold_raft::network::{ChannelError, Channels, Way};
use prost::bytes::Bytes;
use tokio::sync::oneshot;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tower::Service;

use crate::random::Random;
use crate::world::Shared;

/// How one direction between two hosts treats messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) cut: bool,
    /// In microseconds, the least and the most.
    pub(crate) delay: (u64, u64),
    /// In millionths.
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
}

impl Default for Link {
    fn default() -> Self {
        Self { cut: false, delay: (200, 1_500), lost: 0, doubled: 0 }
    }
}

/// One run of a host's daemon.
pub(crate) type Life = (usize, u64);

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) from: Life,
    pub(crate) to: usize,
    pub(crate) id: u64,
    pub(crate) path: String,
    pub(crate) body: Bytes,
}

/// An answer, with the head and the trailers that gRPC's status is in.
pub(crate) type Answer = (http::HeaderMap, Bytes, Option<http::HeaderMap>);

#[derive(Clone, Debug)]
pub(crate) enum Packet {
    Call(Call),
    Answer { from: usize, to: Life, id: u64, answer: Answer },
}

struct Inner {
    links: BTreeMap<(usize, usize), Link>,
    /// By the instant of arrival, then in the order of sending.
    under_way: BTreeMap<(u64, u64), Packet>,
    waiting: BTreeMap<u64, (Life, oneshot::Sender<Answer>)>,
    next: u64,
    random: Random,
    world: Shared,
}

#[derive(Clone)]
pub(crate) struct Network(Arc<Mutex<Inner>>);

impl Network {
    pub(crate) fn new(random: Random, world: Shared) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            links: BTreeMap::new(),
            under_way: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next: 0,
            random,
            world,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change(&self, from: usize, to: usize, change: impl FnOnce(&mut Link)) {
        change(self.lock().links.entry((from, to)).or_default());
    }

    pub(crate) fn heal(&self) {
        self.lock().links.clear();
    }

    /// Sends a call that nobody waits for.
    pub(crate) fn tell(&self, from: Life, to: usize, path: &str, body: Bytes) {
        drop(self.call(from, to, path.to_owned(), body));
    }

    fn call(&self, from: Life, to: usize, path: String, body: Bytes) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let mut inner = self.lock();
        let id = inner.next;
        inner.waiting.insert(id, (from, answer));
        inner.send(Packet::Call(Call { from, to, id, path, body }));
        answered
    }

    pub(crate) fn answer(&self, from: usize, to: Life, id: u64, answer: Answer) {
        self.lock().send(Packet::Answer { from, to, id, answer });
    }

    /// Takes out what has arrived by `now`, in order.
    pub(crate) fn arrived(&self, now: u64) -> Vec<Packet> {
        let mut inner = self.lock();
        let later = inner.under_way.split_off(&(now + 1, 0));
        std::mem::replace(&mut inner.under_way, later).into_values().collect()
    }

    /// Whoever waits for this answer, if that life still lasts.
    pub(crate) fn waiter(&self, to: Life, id: u64) -> Option<oneshot::Sender<Answer>> {
        let mut inner = self.lock();
        let (of, _) = inner.waiting.get(&id)?;
        if *of != to {
            return None;
        }
        inner.waiting.remove(&id).map(|(_, waiter)| waiter)
    }

    /// A life has ended: nobody waits for its answers.
    pub(crate) fn forget(&self, life: Life) {
        self.lock().waiting.retain(|_, (of, _)| *of != life);
    }

    /// Forgets callers that gave up.
    pub(crate) fn sweep(&self) {
        self.lock().waiting.retain(|_, (_, waiter)| !waiter.is_closed());
    }
}

impl Inner {
    fn send(&mut self, packet: Packet) {
        let (ends, bytes) = match &packet {
            Packet::Call(call) => ((call.from.0, call.to), call.body.clone()),
            Packet::Answer { from, to, answer, .. } => ((*from, to.0), answer.1.clone()),
        };
        let now = {
            let mut world = self.world.lock();
            let now = world.now;
            world.trace.message(now, ends, &bytes);
            now
        };
        let link = self.links.get(&ends).copied().unwrap_or_default();
        if link.cut || self.random.in_a_million(link.lost) {
            self.next += 1;
            return;
        }
        let copies = if self.random.in_a_million(link.doubled) { 2 } else { 1 };
        for _ in 0..copies {
            let late = self.random.between(link.delay.0, link.delay.1 + 1) * 1_000;
            self.under_way.insert((now + late, self.next), packet.clone());
            self.next += 1;
        }
    }
}

/// One life's way out.
pub(crate) struct Wires {
    pub(crate) life: Life,
    pub(crate) network: Network,
}

/// The host at an address of the form `http://host-3:7400`.
fn host_of(address: &str) -> Option<usize> {
    address.split("host-").nth(1)?.split(':').next()?.parse().ok()
}

pub(crate) fn address_of(host: usize) -> String {
    format!("host-{host}:7400")
}

impl Channels for Wires {
    fn endpoint(&self, node: NodeId, address: &str) -> Result<Endpoint, ChannelError> {
        Endpoint::from_shared(format!("http://{address}")).map_err(|error| ChannelError {
            node,
            address: address.to_owned(),
            reason: error.to_string(),
        })
    }

    fn connect(&self, _node: NodeId, endpoint: Endpoint) -> Way {
        let to = host_of(&endpoint.uri().to_string());
        Way::new(Wire { life: self.life, to, network: self.network.clone() })
    }
}

#[derive(Clone)]
struct Wire {
    life: Life,
    to: Option<usize>,
    network: Network,
}

impl Service<http::Request<Body>> for Wire {
    type Response = http::Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let to = this.to.ok_or_else(|| Status::unavailable("an address of no host"))?;
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let answered = this.network.call(this.life, to, head.uri.path().to_owned(), body);
            let (headers, body, trailers) =
                answered.await.map_err(|_| Status::unavailable("the connection was closed"))?;
            let mut response = http::Response::new(Body::new(
                Full::new(body).with_trailers(std::future::ready(trailers.map(Ok))),
            ));
            *response.headers_mut() = headers;
            Ok(response)
        })
    }
}
