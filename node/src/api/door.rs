//! Who may have a connection at all, before anybody has said who they are.
//!
//! A stranger can complete a TLS handshake without a certificate, since that is how a machine
//! joins. So strangers share a bounded number of connections, and one address has fewer still;
//! addresses of members are never turned away on their account.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use leasehold_raft::state::State;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Connections of one address. A member has one for each kind of traffic and peer process.
const EACH: usize = 64;
/// Connections of all addresses that are no member's.
const STRANGERS: usize = 256;
/// After an error of `accept`, as a rule for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection that counts for as long as it lives.
pub(crate) struct Guest {
    stream: TcpStream,
    _pass: Pass,
}

/// Accepts until the receiving end is gone.
pub(crate) fn open(
    listener: TcpListener,
    state: watch::Receiver<Arc<State>>,
) -> ReceiverStream<io::Result<Guest>> {
    let (sender, guests) = mpsc::channel(1);
    tokio::spawn(async move {
        let door = Arc::new(Door::default());
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = sender.closed() => return,
            };
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let Some(pass) = door.let_in(from.ip(), is_member(&state.borrow(), from.ip())) else {
                tracing::debug!(%from, "too many connections");
                continue;
            };
            // What it delays is heartbeats; where it fails, the connection is going anyway.
            let _ = stream.set_nodelay(true);
            if sender.send(Ok(Guest { stream, _pass: pass })).await.is_err() {
                return;
            }
        }
    });
    ReceiverStream::new(guests)
}

fn is_member(state: &State, from: IpAddr) -> bool {
    let host = |address: &str| {
        let (host, _) = address.rsplit_once(':')?;
        host.trim_matches(['[', ']']).parse::<IpAddr>().ok()
    };
    state.members.values().any(|member| host(&member.address) == Some(from.to_canonical()))
}

#[derive(Debug, Default)]
struct Door {
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    by_address: HashMap<IpAddr, usize>,
    strangers: usize,
}

impl Door {
    fn let_in(self: &Arc<Self>, from: IpAddr, member: bool) -> Option<Pass> {
        let mut inside = self.inside();
        let count = inside.by_address.get(&from).copied().unwrap_or(0);
        if count >= EACH || (!member && inside.strangers >= STRANGERS) {
            return None;
        }
        inside.by_address.insert(from, count + 1);
        inside.strangers += usize::from(!member);
        Some(Pass { door: Arc::clone(self), from, member })
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Pass {
    door: Arc<Door>,
    from: IpAddr,
    member: bool,
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.door.inside();
        inside.strangers -= usize::from(!self.member);
        match inside.by_address.get_mut(&self.from) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(inside.by_address.remove(&self.from)),
        }
    }
}

impl Connected for Guest {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn one_address_can_t_take_all_and_gives_back_what_it_took() {
        let door = Arc::new(Door::default());
        let taken: Vec<_> = (0..EACH).filter_map(|_| door.let_in(address(1), false)).collect();
        assert_eq!(taken.len(), EACH);
        assert!(door.let_in(address(1), false).is_none());
        assert!(door.let_in(address(2), false).is_some());
        drop(taken);
        assert!(door.let_in(address(1), false).is_some());
        assert!(door.inside().by_address.is_empty());
    }

    #[test]
    fn strangers_can_t_keep_a_member_out() {
        let door = Arc::new(Door::default());
        let strangers = (0..=255).flat_map(|last| (0..EACH).map(move |_| last));
        let taken: Vec<_> =
            strangers.filter_map(|last| door.let_in(address(last), false)).collect();
        assert_eq!(taken.len(), STRANGERS);
        assert!(door.let_in(IpAddr::from([198, 51, 100, 1]), false).is_none());
        assert!(door.let_in(IpAddr::from([198, 51, 100, 1]), true).is_some());
    }
}
