//! Hearing: raw sockets for VRRP over both families, and for the authentication header.

use std::io::{self, IoSliceMut};
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use leasehold_dataplane_core::vrrp::{LONGEST, Malformed, PROTOCOL, PROTOCOL_AH, Received};
use nix::errno::Errno;
use nix::net::if_::if_indextoname;
use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo, RcvBufForce};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::VrrpError;
use super::membership::Memberships;

/// Room for some thousand adverts: a flood of nonsense must not push out what counts.
const BUFFER: usize = 1 << 20;
/// The longest packet with the longest headers, and a byte that shows that there was more.
const ROOM: usize = 60 + 24 + LONGEST + 1;

/// A packet that came in, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub interface: String,
    pub index: u32,
    /// It is not judged: it may be of any virtual router, and to any group that is joined here.
    pub packet: Result<Received, Malformed>,
}

/// Hears the adverts of the network namespace that it was made in, but not those that this
/// machine sends.
#[derive(Debug)]
pub struct Receiver {
    v4: AsyncFd<Socket>,
    ah: AsyncFd<Socket>,
    /// Absent where the kernel has no IPv6.
    v6: Option<AsyncFd<Socket>>,
    memberships: Memberships,
}

impl Receiver {
    /// Opens the sockets, in the calling thread's network namespace.
    ///
    /// # Errors
    /// Where the kernel gives no raw socket for IPv4.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open() -> Result<Self, VrrpError> {
        let v4 = |protocol| {
            open_v4(protocol).map_err(|source| VrrpError::Socket { family: "IPv4", source })
        };
        let v6 = match open_v6() {
            Ok(socket) => Some(socket),
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => None,
            Err(source) => return Err(VrrpError::Socket { family: "IPv6", source }),
        };
        let memberships = Memberships::default();
        Ok(Self { v4: v4(PROTOCOL)?, ah: v4(PROTOCOL_AH)?, v6, memberships })
    }

    /// Listens to a group on an interface. Packets to an address of ours are heard without.
    ///
    /// # Errors
    /// Where that fails now. The wish stays, and [`Self::refresh`] fulfils it.
    pub fn join(&mut self, interface: &str, group: IpAddr) -> Result<(), VrrpError> {
        self.memberships.join(interface, group)
    }

    /// Takes the wish back.
    pub fn leave(&mut self, interface: &str, group: IpAddr) {
        self.memberships.leave(interface, group);
    }

    /// Puts every wish into force again: call it when an interface came or went.
    ///
    /// Returns what is still missing, such as interfaces that are not there.
    pub fn refresh(&mut self) -> Vec<VrrpError> {
        self.memberships.refresh()
    }

    /// The next packet. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// Where the kernel refuses to go on: make a new receiver.
    pub async fn receive(&self) -> Result<Arrival, VrrpError> {
        loop {
            let arrival = tokio::select! {
                arrival = next(&self.v4, take_v4) => arrival,
                arrival = next(&self.ah, take_v4) => arrival,
                arrival = next_v6(self.v6.as_ref()) => arrival,
            };
            if let Some(arrival) = arrival.map_err(VrrpError::Receive)? {
                return Ok(arrival);
            }
        }
    }
}

async fn next(
    socket: &AsyncFd<Socket>,
    take: impl Fn(&Socket) -> io::Result<Option<Arrival>>,
) -> io::Result<Option<Arrival>> {
    socket.async_io(Interest::READABLE, take).await
}

async fn next_v6(socket: Option<&AsyncFd<Socket>>) -> io::Result<Option<Arrival>> {
    match socket {
        Some(socket) => next(socket, take_v6).await,
        None => std::future::pending().await,
    }
}

/// Reads one packet; `None` for one that is not ours to read.
fn take_v4(socket: &Socket) -> io::Result<Option<Arrival>> {
    let mut bytes = vec![0; ROOM];
    let mut space = nix::cmsg_space!(libc::in_pktinfo);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
    let message = recvmsg::<()>(fd, &mut slices, Some(&mut space), flags)?;
    let info = message.cmsgs()?.find_map(|one| {
        if let ControlMessageOwned::Ipv4PacketInfo(info) = one { Some(info) } else { None }
    });
    let length = message.bytes;
    bytes.truncate(length);
    let packet = Received::ipv4(bytes);
    // An authentication header before something else is a machine's that uses IPsec.
    if matches!(packet, Err(Malformed::BadProtocol(_))) {
        return Ok(None);
    }
    let index = info.and_then(|info| u32::try_from(info.ipi_ifindex).ok());
    Ok(index.and_then(|index| arrival(index, packet)))
}

fn take_v6(socket: &Socket) -> io::Result<Option<Arrival>> {
    let mut bytes = vec![0; ROOM];
    let mut space = nix::cmsg_space!(libc::in6_pktinfo, libc::c_int);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
    let message = recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut space), flags)?;
    let source = message.address.and_then(|from| Some(from.as_sockaddr_in6()?.ip()));
    let (mut info, mut hops) = (None, None);
    for control in message.cmsgs()? {
        if let ControlMessageOwned::Ipv6PacketInfo(it) = control {
            info = Some(it);
        } else if let ControlMessageOwned::Ipv6HopLimit(it) = control {
            hops = u8::try_from(it).ok();
        }
    }
    let length = message.bytes;
    bytes.truncate(length);
    let (Some(source), Some(info), Some(hops)) = (source, info, hops) else { return Ok(None) };
    let destination = info.ipi6_addr.s6_addr.into();
    let packet = Received::ipv6(source, destination, hops, bytes);
    Ok(arrival(info.ipi6_ifindex, Ok(packet)))
}

fn arrival(index: u32, packet: Result<Received, Malformed>) -> Option<Arrival> {
    // An interface that went away meanwhile has no name, and what it brought no meaning.
    let interface = if_indextoname(index).ok()?.into_string().ok()?;
    Some(Arrival { interface, index, packet })
}

fn open_v4(protocol: u8) -> io::Result<AsyncFd<Socket>> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(i32::from(protocol))))?;
    setsockopt(&socket, Ipv4PacketInfo, &true)?;
    finish(socket)
}

fn open_v6() -> io::Result<AsyncFd<Socket>> {
    let protocol = Protocol::from(i32::from(PROTOCOL));
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(protocol))?;
    setsockopt(&socket, Ipv6RecvPacketInfo, &true)?;
    socket.set_recv_hoplimit_v6(true)?;
    finish(socket)
}

fn finish(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    match setsockopt(&socket, RcvBufForce, &BUFFER) {
        // Without the capability the buffer is as large as others' are.
        Ok(()) | Err(Errno::EPERM) => {}
        Err(error) => return Err(error.into()),
    }
    socket.set_nonblocking(true)?;
    #[expect(
        deprecated,
        reason = "its successor is unsafe for types that may change their descriptor; a Socket \
                  keeps its own as long as it lives"
    )]
    AsyncFd::with_interest(socket, Interest::READABLE)
}
