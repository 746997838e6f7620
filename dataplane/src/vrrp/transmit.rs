//! Sending: two raw sockets for every interface of the namespace; each packet names its own.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;

use leasehold_dataplane_core::vrrp::{Advert, Envelope, PROTOCOL, TTL, encode};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, SockaddrIn6, sendmsg};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::{VrrpError, index_of};

/// Internetwork control, as in the IPv4 header.
const TRAFFIC_CLASS: u32 = 0xc0;

/// How an instance's adverts leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// 255, except where `unicast_ttl` says otherwise.
    pub ttl: u8,
    /// The checksum of version 3 over IPv4 leaves out the pseudo-header.
    pub checksum_as_v2: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self { ttl: TTL, checksum_as_v2: false }
    }
}

/// Sends adverts in the network namespace that it was made in.
///
/// Interfaces may come and go: each packet looks its own up.
#[derive(Debug)]
pub struct Transmitter {
    v4: Socket,
    /// Absent where the kernel has no IPv6.
    v6: Option<Socket>,
    id: u16,
}

impl Transmitter {
    /// Opens the sockets, in the calling thread's network namespace.
    ///
    /// # Errors
    /// Where the kernel gives no raw socket for IPv4.
    pub fn open() -> Result<Self, VrrpError> {
        let v4 = open_v4().map_err(|source| VrrpError::Socket { family: "IPv4", source })?;
        let v6 = match open_v6() {
            Ok(socket) => Some(socket),
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => None,
            Err(source) => return Err(VrrpError::Socket { family: "IPv6", source }),
        };
        Ok(Self { v4, v6, id: 0 })
    }

    /// Sends one advert to each of `to`, a group or peers, by `interface`. Waits for nothing.
    ///
    /// # Errors
    /// The first failure; the other destinations have been tried all the same.
    pub fn send(
        &mut self,
        interface: &str,
        source: IpAddr,
        to: &[IpAddr],
        advert: &Advert,
        manner: Manner,
    ) -> Result<(), VrrpError> {
        let index = index_of(interface)?;
        // The kernel would choose the identification in place of a 0.
        self.id = self.id.checked_add(1).unwrap_or(1);
        let mut outcome = Ok(());
        for destination in to.iter().copied() {
            let Manner { ttl, checksum_as_v2 } = manner;
            let envelope = Envelope { source, destination, ttl, id: self.id, checksum_as_v2 };
            let bytes = encode(advert, &envelope)?;
            let sent = self.pass_on(index, &envelope, &bytes);
            if let (Err(source), true) = (sent, outcome.is_ok()) {
                let interface = interface.to_owned();
                outcome = Err(VrrpError::Send { interface, destination, source });
            }
        }
        outcome
    }

    fn pass_on(&self, index: u32, envelope: &Envelope, bytes: &[u8]) -> io::Result<()> {
        let data = [IoSlice::new(bytes)];
        let flags = MsgFlags::MSG_DONTWAIT;
        match (envelope.source, envelope.destination) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let socket = self.v6.as_ref().ok_or(Errno::EAFNOSUPPORT)?;
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
                    ipi6_ifindex: index,
                };
                let hops = libc::c_int::from(envelope.ttl);
                let control =
                    [ControlMessage::Ipv6PacketInfo(&info), ControlMessage::Ipv6HopLimit(&hops)];
                let to = SockaddrIn6::from(SocketAddrV6::new(destination, 0, 0, index));
                sendmsg(socket.as_raw_fd(), &data, &control, flags, Some(&to))?;
            }
            (IpAddr::V4(_), IpAddr::V4(destination)) => {
                // The source stands in the packet's own header.
                let any = libc::in_addr { s_addr: 0 };
                let info = libc::in_pktinfo {
                    ipi_ifindex: libc::c_int::try_from(index).map_err(|_| Errno::ENODEV)?,
                    ipi_spec_dst: any,
                    ipi_addr: any,
                };
                let control = [ControlMessage::Ipv4PacketInfo(&info)];
                let to = SockaddrIn::from(SocketAddrV4::new(destination, 0));
                sendmsg(self.v4.as_raw_fd(), &data, &control, flags, Some(&to))?;
            }
            // No advert could be encoded for these.
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                return Err(Errno::EAFNOSUPPORT.into());
            }
        }
        Ok(())
    }
}

/// This protocol's sockets hear nothing.
fn open_v4() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))?;
    socket.set_header_included_v4(true)?;
    socket.set_multicast_loop_v4(false)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn open_v6() -> io::Result<Socket> {
    let protocol = Protocol::from(i32::from(PROTOCOL));
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(protocol))?;
    // It would hear every advert, and nobody would read them: a filter that takes no byte of any.
    socket.attach_filter(&[SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0)])?;
    socket.set_multicast_loop_v6(false)?;
    socket.set_tclass_v6(TRAFFIC_CLASS)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
