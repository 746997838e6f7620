//! ARP for IPv4 over Ethernet (RFC 826).
//!
//! ```text
//! | hardware = 1 | protocol = 0x0800 | 6 | 4 | operation | sender MAC | sender IP | target MAC | target IP |
//! ```

use std::net::Ipv4Addr;

use super::ethernet::{self, Ethernet, Mac, be16};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArpOperation {
    Request,
    Reply,
}

/// An ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    pub operation: ArpOperation,
    pub sender_mac: Mac,
    pub sender: Ipv4Addr,
    pub target_mac: Mac,
    pub target: Ipv4Addr,
}

/// Hardware type 1, protocol type IPv4, and the lengths of their addresses.
const HEAD: [u8; 6] = [0x00, 0x01, 0x08, 0x00, 6, 4];

impl Arp {
    /// "Who has `target`?"
    #[must_use]
    pub fn request(sender: Ipv4Addr, sender_mac: Mac, target: Ipv4Addr) -> Self {
        let target_mac = Mac::UNSPECIFIED;
        Self { operation: ArpOperation::Request, sender_mac, sender, target_mac, target }
    }

    /// "`address` is at `mac`", said to all: a request for one's own address.
    #[must_use]
    pub fn gratuitous(address: Ipv4Addr, mac: Mac) -> Self {
        // RFC 5227, 3: the announcement in the form of a request is the one that every stack
        // takes; a broadcast reply is dropped by some.
        Self::request(address, mac, address)
    }

    /// Whether the sender speaks of itself.
    #[must_use]
    pub fn is_gratuitous(&self) -> bool {
        self.sender == self.target
    }

    /// The packet without an Ethernet header.
    #[must_use]
    pub fn packet(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(28);
        bytes.extend(HEAD);
        bytes.extend(match self.operation {
            ArpOperation::Request => 1u16.to_be_bytes(),
            ArpOperation::Reply => 2u16.to_be_bytes(),
        });
        bytes.extend(self.sender_mac.0);
        bytes.extend(self.sender.octets());
        bytes.extend(self.target_mac.0);
        bytes.extend(self.target.octets());
        bytes
    }

    /// The whole frame: a request goes to all, a reply to the one who asked.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let destination = match self.operation {
            ArpOperation::Request => Mac::BROADCAST,
            ArpOperation::Reply => self.target_mac,
        };
        Ethernet::new(destination, self.sender_mac, ethernet::ARP).frame(&self.packet())
    }

    /// The ARP packet in a frame, under any VLAN tags.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let (header, payload) = Ethernet::parse(frame)?;
        if header.protocol != ethernet::ARP {
            return None;
        }
        let rest = payload.strip_prefix(&HEAD)?;
        let (operation, rest) = be16(rest)?;
        let operation = match operation {
            1 => ArpOperation::Request,
            2 => ArpOperation::Reply,
            _ => return None,
        };
        let (sender_mac, rest) = rest.split_first_chunk()?;
        let (sender, rest) = rest.split_first_chunk::<4>()?;
        let (target_mac, rest) = rest.split_first_chunk()?;
        let (target, _) = rest.split_first_chunk::<4>()?;
        Some(Self {
            operation,
            sender_mac: Mac(*sender_mac),
            sender: Ipv4Addr::from(*sender),
            target_mac: Mac(*target_mac),
            target: Ipv4Addr::from(*target),
        })
    }
}
