//! `PING_CHECK`: an ICMP echo that comes back.
//!
//! Each question has a socket of its own: one for datagrams where `net.ipv4.ping_group_range`
//! allows, which the kernel gives only what is its own, or else a raw one. That one would get a
//! copy of every ICMP message of the machine, so a filter leaves it only its own reply, and of
//! errors those that quote its own request count. keepalived writes `ping_group_range` instead;
//! here nobody's setting is changed.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use leasehold_dataplane_core::health::wire::echo::{Echo, Family, NONCE, without_ip_header};
use nix::sys::socket::{MsgFlags, recvmsg};
use socket2::{Protocol, SockFilter, Type};

use super::datagram::Datagrams;
use super::{CheckError, Target};

/// An IPv4 header with all its options, and a reply.
const PACKET_MAX: usize = 60 + 8 + NONCE + 1;

/// Waits for the reply. What is an answer to something else is passed over, and so the
/// real server is as silent as it is.
pub(super) async fn ask(target: &Target) -> Result<(), CheckError> {
    let failed = |error| target.failed(error);
    let (socket, echo) = open(target)?;
    socket.send(&echo.request()).map_err(failed)?;
    let is_raw = echo.identifier.is_some();
    let answer = async {
        let mut packet = [0; PACKET_MAX];
        loop {
            let length = match socket.receive(&mut packet).await {
                Ok(length) => length,
                Err(_) if is_raw && is_of_others(&socket, &echo) => continue,
                Err(error) => return Err(failed(error)),
            };
            let received = &packet[..length];
            let message = if is_raw && echo.family == Family::V4 {
                without_ip_header(received)
            } else {
                Some(received)
            };
            if message.is_some_and(|message| echo.is_answered_by(message)) {
                return Ok(());
            }
        }
    };
    target.within(answer).await
}

fn open(target: &Target) -> Result<(Datagrams, Echo), CheckError> {
    let (family, protocol) = match target.address {
        SocketAddr::V4(_) => (Family::V4, Protocol::ICMPV4),
        SocketAddr::V6(_) => (Family::V6, Protocol::ICMPV6),
    };
    // ICMP knows no ports.
    let mut target = target.clone();
    target.address.set_port(0);
    target.source.bind_port = None;
    let mut echo =
        Echo { family, identifier: None, sequence: rand::random(), nonce: rand::random() };
    match Datagrams::open(&target, Type::DGRAM, Some(protocol)) {
        Err(CheckError::Unknown(_, error)) if is_not_to_be_had(&error) => {}
        socket => return Ok((socket?, echo)),
    }
    let socket = Datagrams::open(&target, Type::RAW, Some(protocol))?;
    let identifier: u16 = rand::random();
    echo.identifier = Some(identifier);
    let filtered = socket.socket().attach_filter(&filter(family, identifier, echo.sequence));
    filtered.map_err(|error| target.unknown(error))?;
    Ok((socket, echo))
}

fn is_not_to_be_had(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    number.is_some_and(|one| [libc::EACCES, libc::EPERM, libc::EPROTONOSUPPORT].contains(&one))
}

/// Lets pass only replies with this identifier and sequence. A raw IPv4 socket's packets begin
/// with the IP header, those of IPv6 with ICMP's.
fn filter(family: Family, identifier: u16, sequence: u16) -> [SockFilter; 7] {
    const X_IS_HEADER_LENGTH: u16 = 0xb1;
    const X_IS: u16 = 0x01;
    const LOAD_BYTE_AT_X: u16 = 0x50;
    const LOAD_WORD_AT_X: u16 = 0x40;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let x = match family {
        Family::V4 => SockFilter::new(X_IS_HEADER_LENGTH, 0, 0, 0),
        Family::V6 => SockFilter::new(X_IS, 0, 0, 0),
    };
    let (_, reply) = family.types();
    let own = u32::from(identifier) << 16 | u32::from(sequence);
    [
        x,
        SockFilter::new(LOAD_BYTE_AT_X, 0, 0, 0),
        SockFilter::new(JUMP_IF_EQUAL, 0, 3, u32::from(reply)),
        SockFilter::new(LOAD_WORD_AT_X, 0, 0, 4),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, own),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

/// Whether the errors that a raw socket has are all of others' requests to the same address, as
/// those of a traceroute. One whose quote is gone already was looked at with the one before.
fn is_of_others(socket: &Datagrams, echo: &Echo) -> bool {
    loop {
        let mut bytes = [0; PACKET_MAX];
        let mut room = [io::IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let descriptor = socket.socket().as_raw_fd();
        let Ok(quote) = recvmsg::<()>(descriptor, &mut room, None, flags) else {
            return true;
        };
        let length = quote.bytes;
        if echo.is_quoted_by(&bytes[..length]) {
            return false;
        }
    }
}
