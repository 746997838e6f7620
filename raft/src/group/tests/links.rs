//! Links between nodes that can be cut: bytes then stay where they are, as on a real network.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use hyper_util::rt::TokioIo;
use leasehold_model::NodeId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::transport::{Endpoint, Uri};
use tower::service_fn;

use crate::network::{ChannelError, Channels, Way, over};

/// All links of one cluster.
#[derive(Debug, Default)]
pub(super) struct Wires {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    cut: BTreeSet<(NodeId, NodeId)>,
    waiting: Vec<Waker>,
}

impl Wires {
    /// Cuts `node` off from everyone, in both directions.
    pub(super) fn isolate(&self, node: NodeId, others: impl IntoIterator<Item = NodeId>) {
        let mut inner = self.inner.lock().unwrap();
        for other in others {
            inner.cut.insert((node, other));
            inner.cut.insert((other, node));
        }
    }

    pub(super) fn heal(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.cut.clear();
        inner.waiting.drain(..).for_each(Waker::wake);
    }

    fn is_cut(&self, link: (NodeId, NodeId), context: &Context<'_>) -> bool {
        let mut inner = self.inner.lock().unwrap();
        let cut = inner.cut.contains(&link);
        if cut {
            inner.waiting.push(context.waker().clone());
        }
        cut
    }
}

/// The channels of one node over those links, without TLS.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) me: NodeId,
    pub(super) wires: Arc<Wires>,
}

impl Channels for Plain {
    fn endpoint(&self, node: NodeId, address: &str) -> Result<Endpoint, ChannelError> {
        Endpoint::from_shared(format!("http://{address}")).map_err(|error| ChannelError {
            node,
            address: address.to_owned(),
            reason: error.to_string(),
        })
    }

    fn connect(&self, node: NodeId, endpoint: Endpoint) -> Way {
        let (link, wires) = ((self.me, node), Arc::clone(&self.wires));
        let channel = endpoint.connect_with_connector_lazy(service_fn(move |uri: Uri| {
            let wires = Arc::clone(&wires);
            async move {
                let authority = uri.authority().ok_or(io::ErrorKind::InvalidInput)?;
                std::future::poll_fn(|context| match wires.is_cut(link, context) {
                    true => Poll::Pending,
                    false => Poll::Ready(()),
                })
                .await;
                let stream = TcpStream::connect(authority.as_str()).await?;
                stream.set_nodelay(true)?;
                Ok::<_, io::Error>(TokioIo::new(Wire { stream, link, wires }))
            }
        }));
        over(channel)
    }
}

struct Wire {
    stream: TcpStream,
    link: (NodeId, NodeId),
    wires: Arc<Wires>,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.wires.is_cut(self.link, context) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.wires.is_cut(self.link, context) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
