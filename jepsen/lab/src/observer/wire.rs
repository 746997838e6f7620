//! Packet sockets of the witness: frames out, sayings in.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{LinkAddr, MsgFlags, bind, send};

use super::dated::Dated;
use super::frame::{ETHERTYPE_ARP, ETHERTYPE_IPV6, Saying, parse};
use crate::{LabError, Mac, Result};

/// One packet socket per family that is asked for.
#[derive(Debug)]
pub(super) struct Wire {
    mac: Mac,
    v4: Option<Dated>,
    v6: Option<Dated>,
}

impl Wire {
    /// Opens sockets in the namespace of the calling thread.
    pub(super) fn open(interface: &str, vips: &[IpAddr]) -> Result<Wire> {
        let address = link_address(interface)?;
        let mac = address.addr().map(Mac).ok_or_else(|| {
            LabError::Argument(format!("{interface} has no Ethernet address to ask from"))
        })?;
        let socket = |needed: bool, ethertype| {
            needed.then(|| packet_socket(&address, ethertype).and_then(Dated::new)).transpose()
        };
        Ok(Wire {
            mac,
            v4: socket(vips.iter().any(IpAddr::is_ipv4), ETHERTYPE_ARP)?,
            v6: socket(vips.iter().any(IpAddr::is_ipv6), ETHERTYPE_IPV6)?,
        })
    }

    pub(super) fn mac(&self) -> Mac {
        self.mac
    }

    /// Sends a frame about `vip`; false if the link is down.
    pub(super) fn send(&self, vip: IpAddr, frame: &[u8]) -> Result<bool> {
        let dated = if vip.is_ipv4() { &self.v4 } else { &self.v6 };
        let Some(dated) = dated else { return Ok(false) };
        match send(dated.socket.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT) {
            Ok(_) => Ok(true),
            Err(Errno::ENETDOWN | Errno::ENXIO | Errno::ENOBUFS | Errno::EAGAIN) => Ok(false),
            Err(errno) => Err(LabError::errno("sending a question")(errno)),
        }
    }

    /// Everything that was heard since the last call, with the instant of its arrival.
    pub(super) fn drain(&mut self) -> Result<Vec<(Saying, u64)>> {
        let (own, mut heard) = (self.mac, Vec::new());
        for dated in [&mut self.v4, &mut self.v6].into_iter().flatten() {
            dated.drain(|arrival| {
                let saying = parse(arrival.packet).filter(|saying| saying.mac != own);
                heard.extend(saying.map(|saying| (saying, arrival.received_ns)));
            })?;
        }
        Ok(heard)
    }

    pub(super) fn frames_lost(&self) -> u64 {
        [&self.v4, &self.v6].into_iter().flatten().map(|dated| dated.frames_lost).sum()
    }
}

pub(crate) fn packet_socket(address: &LinkAddr, ethertype: u16) -> Result<OwnedFd> {
    let protocol = socket2::Protocol::from(i32::from(ethertype.to_be()));
    let socket = socket2::Socket::new(socket2::Domain::PACKET, socket2::Type::RAW, Some(protocol))
        .map_err(LabError::system("opening a packet socket"))?;
    // The address of an interface carries no protocol, so the bind keeps the socket's own.
    bind(socket.as_raw_fd(), address).map_err(LabError::errno("binding a packet socket"))?;
    Ok(socket.into())
}

pub(crate) fn link_address(interface: &str) -> Result<LinkAddr> {
    let index = if_nametoindex(interface)
        .map_err(LabError::errno(format!("looking up the interface {interface}")))?;
    getifaddrs()
        .map_err(LabError::errno("listing the interfaces"))?
        .filter_map(|entry| entry.address?.as_link_addr().copied())
        .find(|address| address.ifindex() == index as usize)
        .ok_or_else(|| LabError::Argument(format!("{interface} has no link-layer address")))
}
