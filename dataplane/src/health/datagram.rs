//! A datagram to a real server, and what comes back: another, or an ICMP error.

use std::io::{self, Read};
use std::net::SocketAddr;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use socket2::{Protocol, SockRef, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::{CheckError, Target, source};

/// A socket of one question. Only what the asked address sends comes back on it.
///
/// To the runtime a socket of ICMP is the same as one of UDP.
#[derive(Debug)]
pub(super) struct Datagrams(UdpSocket);

impl Datagrams {
    pub(super) fn open(
        target: &Target,
        kind: Type,
        protocol: Option<Protocol>,
    ) -> Result<Self, CheckError> {
        let unknown = |error| target.unknown(error);
        let socket = source::open(&target.source, target.address, kind, protocol);
        let socket = socket.map_err(unknown)?;
        // All of them: without, only a refused port is told of, and a host or a network that
        // can't be reached is silence.
        match target.address {
            SocketAddr::V4(_) => setsockopt(&socket, Ipv4RecvErr, &true),
            SocketAddr::V6(_) => setsockopt(&socket, Ipv6RecvErr, &true),
        }
        .map_err(|errno| unknown(errno.into()))?;
        let connected = socket.connect(&target.address.into());
        connected.map_err(|error| target.failed(lacking(error, libc::EADDRNOTAVAIL)))?;
        Ok(Self(UdpSocket::from_std(socket.into()).map_err(unknown)?))
    }

    pub(super) fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.0)
    }

    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let sent = self.socket().send(bytes).map(drop);
        sent.map_err(|error| lacking(error, libc::ENOBUFS))
    }

    /// The length of the next datagram, of which `buffer` has what fits; or the error that an
    /// ICMP message stands for.
    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // An error wakes no reader, unless it asks for it.
        let interest = Interest::READABLE | Interest::ERROR;
        let socket = self.socket();
        self.0.async_io(interest, || (&*socket).read(buffer)).await
    }
}

/// Where a stream says which of this machine's ports or buffers are used up, datagrams only say
/// EAGAIN.
fn lacking(error: io::Error, what: i32) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        return io::Error::from_raw_os_error(what);
    }
    error
}
