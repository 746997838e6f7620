//! What changes in the kernel without our doing: interfaces, addresses, filters.
//!
//! Events say where to look, not what is there: whoever gets one reads the state again. The bound
//! is the socket's own buffer. Where it overflows the kernel says so, and [`Event::Resync`] means
//! that anything may have changed.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::AsFd;

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use nix::sys::socket::{setsockopt, sockopt};

use crate::DataplaneError;

/// Something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An interface came, went, or changed its state.
    Link {
        name: String,
    },
    AddressAdded {
        address: IpAddr,
    },
    AddressRemoved {
        address: IpAddr,
    },
    /// A filter or qdisc came or went: the fence may have been taken down.
    Filters,
    /// Events were lost.
    Resync,
}

/// The stream of events of one network namespace.
pub struct Watch {
    socket: TokioSocket,
    /// Read and not yet handed out: at most one datagram's worth.
    pending: VecDeque<Event>,
}

/// Room for the events of some thousand addresses that are renewed at once.
const BUFFER: usize = 1 << 20;

/// RTNLGRP_LINK, _TC, _IPV4_IFADDR and _IPV6_IFADDR, as the bits of `nl_groups`.
const GROUPS: u32 = 1 | 1 << 3 | 1 << 4 | 1 << 8;

impl Watch {
    /// Begins to listen, in the calling thread's network namespace.
    ///
    /// # Errors
    /// Where the kernel gives no socket.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open() -> Result<Self, DataplaneError> {
        let open = || {
            let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
            // Renewing an address is an event too. Where it is refused, events are lost sooner.
            let _ = setsockopt(&socket.socket_ref().as_fd(), sockopt::RcvBufForce, &BUFFER);
            socket.socket_mut().bind(&SocketAddr::new(0, GROUPS))?;
            Ok(socket)
        };
        let socket = open().map_err(DataplaneError::Netlink)?;
        Ok(Self { socket, pending: VecDeque::new() })
    }

    /// The next event. May be dropped and called again: no event is lost by it.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return event;
            }
            match self.socket.recv_from_full().await {
                Ok((datagram, _)) => parse(&datagram, &mut self.pending),
                // ENOBUFS: the buffer ran over. Any other error, too, leaves us not knowing.
                Err(_) => self.pending.push_back(Event::Resync),
            }
        }
    }
}

fn parse(mut rest: &[u8], events: &mut VecDeque<Event>) {
    while let Some(len) = rest.first_chunk::<4>().map(|four| u32::from_ne_bytes(*four) as usize) {
        let Some(one) = rest.get(..len).filter(|one| one.len() >= 16) else {
            events.push_back(Event::Resync);
            return;
        };
        events.extend(event(one));
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
}

fn event(message: &[u8]) -> Option<Event> {
    let kind = u16::from_ne_bytes([message[4], message[5]]);
    // Filters and qdiscs of every kind come by; that they changed is all that is read.
    const QDISCS_AND_FILTERS: [u16; 4] = [36, 37, 44, 45];
    if QDISCS_AND_FILTERS.contains(&kind) {
        return Some(Event::Filters);
    }
    let Ok(parsed) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) else {
        return Some(Event::Resync);
    };
    let NetlinkPayload::InnerMessage(inner) = parsed.payload else { return None };
    if let RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link) = &inner {
        return name(link).map(|name| Event::Link { name });
    }
    if let RouteNetlinkMessage::NewAddress(added) = &inner {
        return address(added).map(|address| Event::AddressAdded { address });
    }
    if let RouteNetlinkMessage::DelAddress(removed) = &inner {
        return address(removed).map(|address| Event::AddressRemoved { address });
    }
    None
}

fn name(link: &LinkMessage) -> Option<String> {
    link.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::IfName(name) = attribute { Some(name.clone()) } else { None }
    })
}

fn address(message: &AddressMessage) -> Option<IpAddr> {
    let local = message.attributes.iter().find_map(|attribute| {
        if let AddressAttribute::Local(address) = attribute { Some(*address) } else { None }
    });
    let only = message.attributes.iter().find_map(|attribute| {
        if let AddressAttribute::Address(address) = attribute { Some(*address) } else { None }
    });
    local.or(only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_datagram_asks_for_a_resync() {
        let mut events = VecDeque::new();
        parse(&[40, 0, 0, 0, 16, 0, 0, 0], &mut events);
        assert_eq!(events, [Event::Resync]);
    }

    #[test]
    fn a_filter_is_told_whatever_is_in_it() {
        let mut message = 20u32.to_ne_bytes().to_vec();
        message.extend(45u16.to_ne_bytes());
        message.extend([0xff; 14]);
        let mut events = VecDeque::new();
        parse(&message, &mut events);
        assert_eq!(events, [Event::Filters]);
    }
}
