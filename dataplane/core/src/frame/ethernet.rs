//! The Ethernet header, with or without 802.1Q tags.

use std::fmt;

/// A hardware address.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    pub const BROADCAST: Self = Self([0xff; 6]);
    pub const UNSPECIFIED: Self = Self([0; 6]);
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One 802.1Q or 802.1ad tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// True for the provider's tag (802.1ad, 0x88a8).
    pub service: bool,
    /// Priority, drop eligibility and VLAN number, as they are on the wire.
    pub control: u16,
}

impl Tag {
    /// A customer's tag of priority 0.
    #[must_use]
    pub fn vlan(number: u16) -> Self {
        Self { service: false, control: number & 0x0fff }
    }

    fn protocol(self) -> u16 {
        if self.service { PROVIDER } else { CUSTOMER }
    }
}

/// An Ethernet header; the payload is the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ethernet {
    pub destination: Mac,
    pub source: Mac,
    /// The outermost first.
    pub tags: Vec<Tag>,
    /// Of what follows the tags.
    pub protocol: u16,
}

pub(crate) const IPV6: u16 = 0x86dd;
pub(crate) const ARP: u16 = 0x0806;
const CUSTOMER: u16 = 0x8100;
const PROVIDER: u16 = 0x88a8;
/// More tags than any switch writes.
const MAX_TAGS: usize = 4;

impl Ethernet {
    #[must_use]
    pub fn new(destination: Mac, source: Mac, protocol: u16) -> Self {
        Self { destination, source, tags: Vec::new(), protocol }
    }

    /// The whole frame.
    #[must_use]
    pub fn frame(&self, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(14 + 4 * self.tags.len() + payload.len());
        bytes.extend(self.destination.0);
        bytes.extend(self.source.0);
        for tag in &self.tags {
            bytes.extend(tag.protocol().to_be_bytes());
            bytes.extend(tag.control.to_be_bytes());
        }
        bytes.extend(self.protocol.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    /// The header of a frame, and what follows it.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<(Self, &[u8])> {
        let (destination, rest) = frame.split_first_chunk()?;
        let (source, rest) = rest.split_first_chunk()?;
        let (protocol, mut rest) = be16(rest)?;
        let mut header = Self::new(Mac(*destination), Mac(*source), protocol);
        while header.protocol == CUSTOMER || header.protocol == PROVIDER {
            if header.tags.len() == MAX_TAGS {
                return None;
            }
            let (control, after) = be16(rest)?;
            let (inner, after) = be16(after)?;
            header.tags.push(Tag { service: header.protocol == PROVIDER, control });
            (header.protocol, rest) = (inner, after);
        }
        Some((header, rest))
    }
}

/// The next two bytes, and what follows them.
pub(crate) fn be16(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (two, rest) = bytes.split_first_chunk()?;
    Some((u16::from_be_bytes(*two), rest))
}
