//! Bytes as adverts: every length is checked before it is used, and nothing may be left over.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::checksum::Sum;
use super::{Advert, Auth, PROTOCOL, PROTOCOL_AH, TTL, VrrpVersion, ah};

/// The fixed part of a VRRP packet.
const FIXED: usize = 8;
/// Version 2 ends with as many bytes, whatever its authentication.
const AUTH_DATA: usize = 8;
/// What keepalived 2.4 appends under `auth_hmac`, and the first byte of it.
const HMAC_TRAILER: usize = 28;
const HMAC_SCHEME: u8 = 1;

/// A packet that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    source: IpAddr,
    destination: IpAddr,
    ttl: u8,
    /// IPv4: the whole datagram. IPv6: what follows the IP header.
    bytes: Vec<u8>,
    /// Where the VRRP packet, or the authentication header before it, begins.
    start: usize,
    authenticated: bool,
}

impl Received {
    /// A whole IPv4 datagram, as a raw socket yields it. Its header checksum is the kernel's care.
    ///
    /// # Errors
    /// Where the IP header makes no sense or announces another protocol.
    pub fn ipv4(bytes: Vec<u8>) -> Result<Self, Malformed> {
        let Some(ip) = bytes.first_chunk::<20>() else {
            return Err(Malformed::TooShort { need: 20, have: bytes.len() });
        };
        let start = usize::from(ip[0] & 0xf) * 4;
        if ip[0] >> 4 != 4 || start < 20 {
            return Err(Malformed::BadIpHeader);
        }
        let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
        if total > bytes.len() || start > total {
            return Err(Malformed::TooShort { need: total.max(start), have: bytes.len() });
        }
        if total < bytes.len() {
            return Err(Malformed::TrailingBytes(bytes.len() - total));
        }
        let authenticated = match ip[9] {
            PROTOCOL => false,
            PROTOCOL_AH => match bytes.get(start) {
                Some(&PROTOCOL) | None => true,
                Some(&other) => return Err(Malformed::BadProtocol(other)),
            },
            other => return Err(Malformed::BadProtocol(other)),
        };
        Ok(Self {
            source: Ipv4Addr::new(ip[12], ip[13], ip[14], ip[15]).into(),
            destination: Ipv4Addr::new(ip[16], ip[17], ip[18], ip[19]).into(),
            ttl: ip[8],
            start,
            authenticated,
            bytes,
        })
    }

    /// What followed an IPv6 header, and what that said.
    #[must_use]
    pub fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, hop_limit: u8, bytes: Vec<u8>) -> Self {
        Self {
            source: source.into(),
            destination: destination.into(),
            ttl: hop_limit,
            bytes,
            start: 0,
            authenticated: false,
        }
    }

    #[must_use]
    pub const fn source(&self) -> IpAddr {
        self.source
    }

    #[must_use]
    pub const fn destination(&self) -> IpAddr {
        self.destination
    }

    #[must_use]
    pub const fn ttl(&self) -> u8 {
        self.ttl
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The virtual router that it names, before anything of it is checked: to find who expects it.
    #[must_use]
    pub fn vrid(&self) -> Option<u8> {
        let header = if self.authenticated { ah::HEADER } else { 0 };
        self.bytes.get(self.start + header + 1).copied()
    }
}

/// Why a packet is no advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("{have} bytes where {need} are announced")]
    TooShort { need: usize, have: usize },
    #[error("{0} bytes more than announced")]
    TrailingBytes(usize),
    #[error("a trailer as of keepalived's auth_hmac, which is not spoken here: remove it there")]
    HmacTrailer,
    #[error("no IPv4 header")]
    BadIpHeader,
    #[error("protocol {0} is neither VRRP (112) nor an authentication header (51)")]
    BadProtocol(u8),
    #[error("a TTL of {0} where 255 shows that no router lies between")]
    BadTtl(u8),
    #[error("version {0} is not spoken over this family")]
    BadVersion(u8),
    #[error("type {0} is no advertisement")]
    BadType(u8),
    #[error("the checksum is wrong: set v3_checksum_as_v2 if its sender follows RFC 9568")]
    BadChecksum,
    #[error("0 is no virtual router's number")]
    BadVrid,
    #[error("an advert of version 3 without addresses")]
    BadCount,
    #[error("an interval of 0")]
    BadInterval,
    #[error("authentication type {0} is none of 0, 1 and 2")]
    BadAuthType(u8),
    #[error("the authentication header {0}")]
    BadAh(AhFault),
}

/// What is wrong with an authentication header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AhFault {
    #[error("is of another form than keepalived's")]
    Form,
    #[error("is missing, or is there against the authentication type")]
    Presence,
    #[error("stands before VRRP version 3, which knows none")]
    Version,
    #[error("can not be verified without a key")]
    NoKey,
    #[error("has a wrong value: another password, or a changed packet")]
    Value,
    #[error("has another index than the sender's address")]
    Index,
}

/// What must be known to read a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Of the authentication header.
    pub key: Option<[u8; 8]>,
    /// A checksum of version 3 over IPv4 may leave out the pseudo-header. One that includes it
    /// stays right: the two ends need not be switched at the same instant.
    pub checksum_as_v2: bool,
}

/// A packet of sound form; its authentication is still to be verified.
#[derive(Clone, Copy, Debug)]
pub struct Opened<'a> {
    received: &'a Received,
    /// The authentication header, or nothing.
    header: &'a [u8],
    payload: &'a [u8],
    pub version: VrrpVersion,
    pub vrid: u8,
    pub(super) auth: Seen,
}

/// The authentication that a packet shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    None,
    Pass([u8; 8]),
    Ah { sequence: u32 },
}

/// Reads a packet as an advert.
///
/// # Errors
/// The first rule of RFC 9568, 7.1 (or of RFC 3768, 7.1) that it breaks.
pub fn decode(received: &Received, reading: Reading) -> Result<Advert, Malformed> {
    let opened = open(received, reading.checksum_as_v2)?;
    opened.verify(reading.key)?;
    Ok(opened.advert(reading.key.unwrap_or_default()))
}

/// Checks everything of a packet that can be checked without knowing who it is for.
///
/// # Errors
/// The first rule that it breaks.
pub fn open(received: &Received, checksum_as_v2: bool) -> Result<Opened<'_>, Malformed> {
    let rest = received.bytes.get(received.start..).unwrap_or_default();
    let (header, payload) = if received.authenticated {
        let short = Malformed::TooShort { need: ah::HEADER + FIXED, have: rest.len() };
        rest.split_at_checked(ah::HEADER).ok_or(short)?
    } else {
        (&[][..], rest)
    };
    let Some(&[first, vrid, _, count, auth_type, low, ..]) = payload.first_chunk::<FIXED>() else {
        return Err(Malformed::TooShort { need: FIXED, have: payload.len() });
    };
    // A packet to one host may have been routed, and is sent by configuration only.
    if received.destination.is_multicast() && received.ttl != TTL {
        return Err(Malformed::BadTtl(received.ttl));
    }
    let v4 = received.destination.is_ipv4();
    let version = match first >> 4 {
        2 if v4 => VrrpVersion::V2,
        3 => VrrpVersion::V3,
        other => return Err(Malformed::BadVersion(other)),
    };
    if first & 0xf != 1 {
        return Err(Malformed::BadType(first & 0xf));
    }
    check_length(payload, version, v4, count)?;
    check_sum(received, payload, version, checksum_as_v2)?;
    if vrid == 0 {
        return Err(Malformed::BadVrid);
    }
    let interval_is_zero = match version {
        VrrpVersion::V2 => low == 0,
        VrrpVersion::V3 => auth_type & 0xf == 0 && low == 0,
    };
    if interval_is_zero {
        return Err(Malformed::BadInterval);
    }
    let auth = seen(version, auth_type, header, payload)?;
    Ok(Opened { received, header, payload, version, vrid, auth })
}

fn check_length(
    payload: &[u8],
    version: VrrpVersion,
    v4: bool,
    count: u8,
) -> Result<(), Malformed> {
    let (each, after) = match (v4, version) {
        (true, VrrpVersion::V2) => (4, AUTH_DATA),
        (true, VrrpVersion::V3) => (4, 0),
        (false, VrrpVersion::V2 | VrrpVersion::V3) => (16, 0),
    };
    let (need, have) = (FIXED + usize::from(count) * each + after, payload.len());
    match have.checked_sub(need) {
        None => Err(Malformed::TooShort { need, have }),
        // RFC 9568, 5.2.5: such an advert must be ignored. keepalived sends one of version 2
        // where all its addresses are excluded ones.
        Some(0) if count == 0 && version == VrrpVersion::V3 => Err(Malformed::BadCount),
        Some(0) => Ok(()),
        Some(HMAC_TRAILER) if payload.get(need) == Some(&HMAC_SCHEME) => {
            Err(Malformed::HmacTrailer)
        }
        Some(more) => Err(Malformed::TrailingBytes(more)),
    }
}

fn check_sum(
    received: &Received,
    payload: &[u8],
    version: VrrpVersion,
    checksum_as_v2: bool,
) -> Result<(), Malformed> {
    let plain = Sum::default().add(payload).finish() == 0;
    let (source, destination) = (received.source, received.destination);
    let full = || Sum::pseudo_header(source, destination, payload.len()).add(payload).finish() == 0;
    let right = match version {
        VrrpVersion::V2 => plain,
        VrrpVersion::V3 => full() || (checksum_as_v2 && source.is_ipv4() && plain),
    };
    if right { Ok(()) } else { Err(Malformed::BadChecksum) }
}

fn seen(
    version: VrrpVersion,
    auth_type: u8,
    header: &[u8],
    payload: &[u8],
) -> Result<Seen, Malformed> {
    if version == VrrpVersion::V3 {
        let none = header.is_empty();
        return if none { Ok(Seen::None) } else { Err(Malformed::BadAh(AhFault::Version)) };
    }
    match (auth_type, header.first_chunk::<12>()) {
        (0, None) => Ok(Seen::None),
        (1, None) => Ok(Seen::Pass(payload.last_chunk().copied().unwrap_or_default())),
        (2, Some([_, ah::LENGTH_FIELD, 0, 0, _, _, _, _, sequence @ ..])) => {
            Ok(Seen::Ah { sequence: u32::from_be_bytes(*sequence) })
        }
        (2, Some(_)) => Err(Malformed::BadAh(AhFault::Form)),
        (0 | 1, Some(_)) | (2, None) => Err(Malformed::BadAh(AhFault::Presence)),
        (other, _) => Err(Malformed::BadAuthType(other)),
    }
}

impl Opened<'_> {
    /// Checks the value of an authentication header, if there is one.
    ///
    /// # Errors
    /// Where it is not of this key.
    pub fn verify(&self, key: Option<[u8; 8]>) -> Result<(), Malformed> {
        let (Seen::Ah { .. }, Some((index, value))) = (self.auth, index_and_value(self.header))
        else {
            return Ok(());
        };
        let key = key.ok_or(Malformed::BadAh(AhFault::NoKey))?;
        let ip = self.received.bytes.get(..self.received.start).unwrap_or_default();
        if !ah::same(&ah::value(key, ip, self.header, self.payload), value) {
            return Err(Malformed::BadAh(AhFault::Value));
        }
        if IpAddr::from(index) != self.received.source {
            return Err(Malformed::BadAh(AhFault::Index));
        }
        Ok(())
    }

    /// What the packet says; with `key` where it is authenticated, which [`Self::verify`] proves.
    pub(super) fn advert(&self, key: [u8; 8]) -> Advert {
        let [_, vrid, priority, _, high, low, _, _] =
            self.payload.first_chunk::<FIXED>().copied().unwrap_or_default();
        let (interval_ms, after) = match self.version {
            VrrpVersion::V2 => (u32::from(low) * 1000, AUTH_DATA),
            VrrpVersion::V3 => (u32::from(u16::from_be_bytes([high & 0xf, low])) * 10, 0),
        };
        let end = self.payload.len().saturating_sub(after);
        let addresses = self.payload.get(FIXED..end).unwrap_or_default();
        let addresses = if self.received.destination.is_ipv4() {
            addresses.as_chunks::<4>().0.iter().map(|octets| IpAddr::from(*octets)).collect()
        } else {
            addresses.as_chunks::<16>().0.iter().map(|octets| IpAddr::from(*octets)).collect()
        };
        let auth = match self.auth {
            Seen::None => Auth::None,
            Seen::Pass(password) => Auth::Pass(password),
            Seen::Ah { sequence } => Auth::Ah { key, sequence },
        };
        Advert { version: self.version, vrid, priority, interval_ms, addresses, auth }
    }
}

/// The sender's index and the integrity check value of an authentication header.
fn index_and_value(header: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let index: [u8; 4] = *header.get(4..)?.first_chunk()?;
    Some((index.into(), header.get(ah::HEADER - ah::VALUE..)?))
}
