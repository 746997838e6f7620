//! Neighbour solicitations and advertisements (RFC 4861, 4.3 and 4.4), in IPv6, in Ethernet.

use std::net::Ipv6Addr;

use super::ethernet::{self, Ethernet, Mac};

/// "Who has `target`?"
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solicitation {
    pub source: Ipv6Addr,
    pub source_mac: Mac,
    pub target: Ipv6Addr,
}

/// "`target` is at `mac`."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertisement {
    pub source: Ipv6Addr,
    pub destination: Ipv6Addr,
    pub destination_mac: Mac,
    pub target: Ipv6Addr,
    /// Of the target, in the option; also the frame's source.
    pub mac: Mac,
    pub router: bool,
    pub solicited: bool,
    pub r#override: bool,
}

/// Either of the two, as read from a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nd {
    Solicitation(Solicitation),
    Advertisement(Advertisement),
}

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

impl Solicitation {
    /// The whole frame, to the target's solicited-node group.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let destination = solicited_node(self.target);
        let mut body = vec![0; 4];
        body.extend(self.target.octets());
        body.extend([SOURCE_LINK_LAYER, 1]);
        body.extend(self.source_mac.0);
        let packet = packet(self.source, destination, SOLICITATION, &body);
        Ethernet::new(multicast(destination), self.source_mac, ethernet::IPV6).frame(&packet)
    }
}

impl Advertisement {
    /// The one that no one asked for: every neighbour replaces what it believed.
    #[must_use]
    pub fn unsolicited(address: Ipv6Addr, mac: Mac) -> Self {
        Self {
            source: address,
            destination: ALL_NODES,
            destination_mac: multicast(ALL_NODES),
            target: address,
            mac,
            router: false,
            solicited: false,
            r#override: true,
        }
    }

    /// The whole frame.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = flag(self.router, ROUTER)
            | flag(self.solicited, SOLICITED)
            | flag(self.r#override, OVERRIDE);
        let mut body = vec![flags, 0, 0, 0];
        body.extend(self.target.octets());
        body.extend([TARGET_LINK_LAYER, 1]);
        body.extend(self.mac.0);
        let packet = packet(self.source, self.destination, ADVERTISEMENT, &body);
        Ethernet::new(self.destination_mac, self.mac, ethernet::IPV6).frame(&packet)
    }
}

impl Nd {
    /// The message in a frame, under any VLAN tags, if its checksum is right.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let (header, packet) = Ethernet::parse(frame)?;
        if header.protocol != ethernet::IPV6 || packet.first()? >> 4 != 6 {
            return None;
        }
        let len = usize::from(u16::from_be_bytes([*packet.get(4)?, *packet.get(5)?]));
        let hop_limit = *packet.get(7)?;
        // RFC 4861, 7.1: "The IP Hop Limit field has a value of 255, i.e., the packet could not
        // possibly have been forwarded by a router."
        if *packet.get(6)? != ICMPV6 || hop_limit != 255 {
            return None;
        }
        let source = address(packet.get(8..24)?)?;
        let destination = address(packet.get(24..40)?)?;
        let message = packet.get(40..40 + len)?;
        if checksum(source, destination, message) != 0 || *message.get(1)? != 0 {
            return None;
        }
        let flags = *message.get(4)?;
        let target = address(message.get(8..24)?)?;
        let options = message.get(24..)?;
        match *message.first()? {
            SOLICITATION => {
                let source_mac = link_layer(options, SOURCE_LINK_LAYER).unwrap_or(header.source);
                Some(Self::Solicitation(Solicitation { source, source_mac, target }))
            }
            ADVERTISEMENT => Some(Self::Advertisement(Advertisement {
                source,
                destination,
                destination_mac: header.destination,
                target,
                mac: link_layer(options, TARGET_LINK_LAYER).unwrap_or(header.source),
                router: flags & ROUTER != 0,
                solicited: flags & SOLICITED != 0,
                r#override: flags & OVERRIDE != 0,
            })),
            _ => None,
        }
    }
}

/// The IPv6 packet around an ICMPv6 message that begins with `kind`, code 0 and the checksum.
fn packet(source: Ipv6Addr, destination: Ipv6Addr, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0];
    message.extend(body);
    let sum = checksum(source, destination, &message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);

    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(message.len()).expect("these messages are short").to_be_bytes());
    packet.extend([ICMPV6, 255]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(message);
    packet
}

/// RFC 8200, 8.1: over the pseudo-header and the message; 0 where the message's own is right.
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let mut sum = u32::try_from(message.len()).unwrap_or(u32::MAX) + u32::from(ICMPV6);
    let addresses = [source.octets(), destination.octets()];
    let pairs = addresses.iter().flat_map(|octets| octets.chunks(2)).chain(message.chunks(2));
    for pair in pairs {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded to sixteen bits")
}

/// The group in which `address` is asked for (RFC 4291, 2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    let low = u16::from_be_bytes([b, c]);
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), low)
}

/// Where Ethernet carries a group (RFC 2464, 7).
fn multicast(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

fn address(octets: &[u8]) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?))
}

/// The address in the link-layer option of this kind.
fn link_layer(mut options: &[u8], wanted: u8) -> Option<Mac> {
    while let [kind, len, ..] = options {
        let len = usize::from(*len) * 8;
        // RFC 4861, 4.6: "Nodes MUST silently discard an ND packet that contains an option with
        // length zero."
        let option = options.get(..len).filter(|option| !option.is_empty())?;
        if *kind == wanted {
            return option.get(2..8)?.try_into().ok().map(Mac);
        }
        options = &options[len..];
    }
    None
}
