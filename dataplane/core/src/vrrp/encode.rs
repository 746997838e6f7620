//! Adverts as bytes: for IPv4 the whole datagram, for IPv6 what follows the IP header.

use std::net::{IpAddr, Ipv4Addr};

use super::checksum::Sum;
use super::{Advert, Auth, PROTOCOL, PROTOCOL_AH, VrrpVersion, ah, number};

/// Internetwork control (RFC 791).
const TOS: u8 = 0xc0;
/// Milliseconds in the unit of the interval field.
const SECOND_MS: u32 = 1000;
const CENTISECOND_MS: u32 = 10;
/// The interval field of version 3 has twelve bits.
const LONGEST_V3_CS: u32 = 0xfff;

/// What is around an advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub source: IpAddr,
    pub destination: IpAddr,
    /// Of IPv4; for IPv6 the socket sets the hop limit.
    pub ttl: u8,
    /// IPv4's identification. 0: the kernel chooses one, except where it is authenticated.
    pub id: u16,
    /// The checksum of version 3 over IPv4 leaves out the pseudo-header, as RFC 9568 has it;
    /// otherwise it is there, as keepalived has it.
    pub checksum_as_v2: bool,
}

/// Why an advert has no form on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unspeakable {
    #[error("the addresses and both ends of an advert must be of one family")]
    MixedFamilies,
    #[error("VRRP version 2 knows no IPv6: set version 3")]
    Ipv6InV2,
    #[error("VRRP version 3 has no authentication: remove it or set version 2")]
    AuthInV3,
    #[error("{0} addresses do not fit an advert: at most 255, move the rest to the excluded ones")]
    TooMany(usize),
    #[error("an advert of version 3 needs an address")]
    NoAddress,
    #[error(
        "an interval of {0} ms has no form: version 2 takes whole seconds from 1 to 255, \
         version 3 hundredths of a second from 0.01 to 40.95"
    )]
    Interval(u32),
    #[error("0 is no virtual router's number: set one from 1 to 255")]
    Vrid,
}

/// Writes an advert.
///
/// # Errors
/// Where the version has no form for what the advert says.
pub fn encode(advert: &Advert, envelope: &Envelope) -> Result<Vec<u8>, Unspeakable> {
    let payload = payload(advert, envelope)?;
    match (envelope.source, envelope.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            Ok(datagram(advert.auth, envelope, source, destination, &payload))
        }
        (IpAddr::V6(_), IpAddr::V6(_)) => Ok(payload),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            Err(Unspeakable::MixedFamilies)
        }
    }
}

fn payload(advert: &Advert, envelope: &Envelope) -> Result<Vec<u8>, Unspeakable> {
    let (v4, version) = (envelope.source.is_ipv4(), advert.version);
    let one_family = |address: &IpAddr| address.is_ipv4() == v4;
    if !advert.addresses.iter().chain([&envelope.destination]).all(one_family) {
        return Err(Unspeakable::MixedFamilies);
    }
    match version {
        VrrpVersion::V2 if !v4 => return Err(Unspeakable::Ipv6InV2),
        VrrpVersion::V3 if advert.auth != Auth::None => return Err(Unspeakable::AuthInV3),
        VrrpVersion::V3 if advert.addresses.is_empty() => return Err(Unspeakable::NoAddress),
        VrrpVersion::V2 | VrrpVersion::V3 => {}
    }
    if advert.vrid == 0 {
        return Err(Unspeakable::Vrid);
    }
    let count = advert.addresses.len();
    let count = u8::try_from(count).map_err(|_| Unspeakable::TooMany(count))?;
    let mut bytes = vec![number(version) << 4 | 1, advert.vrid, advert.priority, count];
    bytes.extend(interval(advert)?);
    bytes.extend([0, 0]);
    for address in &advert.addresses {
        match address {
            IpAddr::V4(address) => bytes.extend(address.octets()),
            IpAddr::V6(address) => bytes.extend(address.octets()),
        }
    }
    if version == VrrpVersion::V2 {
        bytes.extend(match advert.auth {
            Auth::Pass(password) => password,
            // Eight bytes are there all the same (RFC 3768, 5.3.10).
            Auth::None | Auth::Ah { .. } => [0; 8],
        });
    }
    let plain = version == VrrpVersion::V2 || (v4 && envelope.checksum_as_v2);
    let start = if plain {
        Sum::default()
    } else {
        Sum::pseudo_header(envelope.source, envelope.destination, bytes.len())
    };
    let checksum = start.add(&bytes).finish();
    bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
    Ok(bytes)
}

/// The two bytes before the checksum.
fn interval(advert: &Advert) -> Result<[u8; 2], Unspeakable> {
    let ms = advert.interval_ms;
    let unspeakable = Unspeakable::Interval(ms);
    let units = |unit: u32| {
        if ms > 0 && ms.is_multiple_of(unit) { Ok(ms / unit) } else { Err(unspeakable) }
    };
    match advert.version {
        VrrpVersion::V2 => {
            let seconds = u8::try_from(units(SECOND_MS)?).map_err(|_| unspeakable)?;
            Ok([advert.auth.number(), seconds])
        }
        VrrpVersion::V3 => {
            let hundredths = units(CENTISECOND_MS)?;
            if hundredths > LONGEST_V3_CS {
                return Err(unspeakable);
            }
            Ok([(hundredths >> 8) as u8, hundredths as u8])
        }
    }
}

fn datagram(
    auth: Auth,
    envelope: &Envelope,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    payload: &[u8],
) -> Vec<u8> {
    let protected = match auth {
        Auth::Ah { key, sequence } => Some((key, ah::header(source, sequence))),
        Auth::None | Auth::Pass(_) => None,
    };
    let (protocol, extra, id) = match protected {
        // The kernel would fill in a 0 after it was authenticated.
        Some(_) => (PROTOCOL_AH, ah::HEADER, envelope.id.max(1)),
        None => (PROTOCOL, 0, envelope.id),
    };
    let total = (20 + extra + payload.len()) as u16;
    let mut ip = vec![0x45, TOS];
    ip.extend(total.to_be_bytes());
    ip.extend(id.to_be_bytes());
    // It may be fragmented: 255 addresses are longer than some links take.
    ip.extend([0, 0, envelope.ttl, protocol, 0, 0]);
    ip.extend(source.octets());
    ip.extend(destination.octets());
    let checksum = Sum::default().add(&ip).finish();
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    if let Some((key, mut header)) = protected {
        let value = ah::value(key, &ip, &header, payload);
        header[ah::HEADER - ah::VALUE..].copy_from_slice(&value);
        ip.extend(header);
    }
    ip.extend(payload);
    ip
}
