//! Asking the link who answers for an address.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use leasehold_dataplane_core::frame::{Arp, ArpOperation, Mac};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};

use crate::DataplaneError;
use crate::announce::link_addresses;

/// The largest frame that is looked at; ARP is far smaller.
const FRAME: usize = 2048;

/// Who answers for which address.
pub type Answers = BTreeMap<Ipv4Addr, BTreeSet<Mac>>;

/// Asks by ARP probes (RFC 5227, 2.1.1), which teach nobody anything, and collects the answers of
/// other machines. An interface without an Ethernet address has none. Blocks for all of `within`.
///
/// # Errors
/// Where the interface takes no frames.
pub fn who_answers(
    interface: &str,
    addresses: &[Ipv4Addr],
    within: Duration,
) -> Result<Answers, DataplaneError> {
    let failed = |source| DataplaneError::Announce { interface: interface.to_owned(), source };
    let links = link_addresses().map_err(failed)?;
    let Some(link) = links.get(interface) else { return Ok(Answers::new()) };
    ask(link, addresses, Instant::now() + within).map_err(failed)
}

fn ask(link: &LinkAddr, addresses: &[Ipv4Addr], until: Instant) -> io::Result<Answers> {
    let own = link.addr().map(Mac).ok_or_else(|| io::Error::other("no hardware address"))?;
    let socket = open(link)?;
    for address in addresses {
        let probe = Arp::request(Ipv4Addr::UNSPECIFIED, own, *address).frame();
        match send(socket.as_raw_fd(), &probe, MsgFlags::MSG_DONTWAIT) {
            // A full queue loses a frame as the wire might.
            Ok(_) | Err(Errno::EAGAIN | Errno::ENOBUFS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut answers = Answers::new();
    let mut frame = [0; FRAME];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(answers);
        }
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], left) {
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let length = match recv(socket.as_raw_fd(), &mut frame, MsgFlags::MSG_DONTWAIT) {
            Ok(length) => length,
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let heard = Arp::parse(&frame[..length]).filter(|arp| {
            arp.operation == ArpOperation::Reply
                && arp.sender_mac != own
                && addresses.contains(&arp.sender)
        });
        if let Some(arp) = heard {
            answers.entry(arp.sender).or_default().insert(arp.sender_mac);
        }
    }
}

fn open(link: &LinkAddr) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
    bind(socket.as_raw_fd(), link)?;
    Ok(socket)
}
