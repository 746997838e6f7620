//! What an instance makes of a packet: another master's advert, or nothing, for one reason.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::decode::Seen;
use super::{Advert, AhFault, Auth, Malformed, Received, VrrpVersion, ah, open};

/// What an instance takes for an advert of its virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub version: VrrpVersion,
    pub vrid: u8,
    /// With AH, its sequence number is the highest that was heard: no number is taken twice.
    pub auth: Auth,
    pub interval_ms: u32,
    pub addresses: BTreeSet<IpAddr>,
    pub audience: Audience,
    /// A checksum of version 3 over IPv4 may leave out the pseudo-header.
    pub checksum_as_v2: bool,
}

/// Where the instance's adverts go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    Group(IpAddr),
    /// Adverts of others do not count.
    Peers(BTreeSet<IpAddr>),
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Advert {
        advert: Advert,
        source: IpAddr,
        /// What is odd about it: it counts all the same.
        note: Option<Reason>,
    },
    Dropped(Reason),
}

/// Why a packet does not count. The names are those of a metric's label, and stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Shorter than it says.
    Truncated,
    /// Longer than it says.
    TrailingBytes,
    /// Carries the trailer of keepalived's `auth_hmac`.
    AuthHmac,
    /// Its IP header makes no sense.
    IpHeader,
    Ttl,
    Version,
    /// No advertisement.
    Type,
    Checksum,
    /// An advert of version 3 without addresses.
    AddressCount,
    /// Of a virtual router that nobody here has.
    VridUnknown,
    /// To a group where peers are configured, to one host where a group is, or to another group.
    Destination,
    /// Another kind of authentication.
    AuthType,
    /// Another password or key, or a changed packet.
    Auth,
    /// An authentication header of another form.
    AhHeader,
    /// A sequence number that has been heard, or one below it.
    AhSequence,
    /// Not from a configured peer.
    UnicastSource,
    /// Another interval, in version 2.
    Interval,
    /// Other addresses. Only a note: two versions of a configuration must not make two masters.
    AddressList,
}

impl Reason {
    /// Every reason, in the order of the checks.
    pub const ALL: [Self; 18] = [
        Self::Truncated,
        Self::TrailingBytes,
        Self::AuthHmac,
        Self::IpHeader,
        Self::Ttl,
        Self::Version,
        Self::Type,
        Self::Checksum,
        Self::AddressCount,
        Self::VridUnknown,
        Self::Destination,
        Self::AuthType,
        Self::Auth,
        Self::AhHeader,
        Self::AhSequence,
        Self::UnicastSource,
        Self::Interval,
        Self::AddressList,
    ];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::TrailingBytes => "trailing_bytes",
            Self::AuthHmac => "auth_hmac",
            Self::IpHeader => "ip_header",
            Self::Ttl => "ttl",
            Self::Version => "version",
            Self::Type => "type",
            Self::Checksum => "checksum",
            Self::AddressCount => "address_count",
            Self::VridUnknown => "vrid_unknown",
            Self::Destination => "destination",
            Self::AuthType => "auth_type",
            Self::Auth => "auth",
            Self::AhHeader => "ah_header",
            Self::AhSequence => "ah_sequence",
            Self::UnicastSource => "unicast_source",
            Self::Interval => "interval",
            Self::AddressList => "address_list",
        }
    }
}

impl From<Malformed> for Reason {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::TooShort { .. } => Self::Truncated,
            Malformed::TrailingBytes(_) => Self::TrailingBytes,
            Malformed::HmacTrailer => Self::AuthHmac,
            Malformed::BadIpHeader | Malformed::BadProtocol(_) => Self::IpHeader,
            Malformed::BadTtl(_) => Self::Ttl,
            Malformed::BadVersion(_) => Self::Version,
            Malformed::BadType(_) => Self::Type,
            Malformed::BadChecksum => Self::Checksum,
            Malformed::BadVrid => Self::VridUnknown,
            Malformed::BadCount => Self::AddressCount,
            Malformed::BadInterval => Self::Interval,
            Malformed::BadAuthType(_) | Malformed::BadAh(AhFault::Presence | AhFault::NoKey) => {
                Self::AuthType
            }
            Malformed::BadAh(AhFault::Form | AhFault::Version) => Self::AhHeader,
            Malformed::BadAh(AhFault::Value | AhFault::Index) => Self::Auth,
        }
    }
}

/// Judges a packet as the instance that `expected` describes.
#[must_use]
pub fn judge(expected: &Expected, received: &Received) -> Heard {
    match accept(expected, received) {
        Ok((advert, note)) => Heard::Advert { advert, source: received.source(), note },
        Err(reason) => Heard::Dropped(reason),
    }
}

fn accept(expected: &Expected, received: &Received) -> Result<(Advert, Option<Reason>), Reason> {
    let opened = open(received, expected.checksum_as_v2)?;
    if opened.vrid != expected.vrid {
        return Err(Reason::VridUnknown);
    }
    if opened.version != expected.version {
        return Err(Reason::Version);
    }
    check_addressing(expected, received)?;
    let key = match (expected.auth, opened.auth) {
        (Auth::None, Seen::None) => [0; 8],
        (Auth::Pass(ours), Seen::Pass(theirs)) if ah::same(&ours, &theirs) => [0; 8],
        (Auth::Pass(_), Seen::Pass(_)) => return Err(Reason::Auth),
        (Auth::Ah { key, sequence }, Seen::Ah { sequence: theirs }) => {
            opened.verify(Some(key))?;
            if theirs <= sequence {
                return Err(Reason::AhSequence);
            }
            key
        }
        (Auth::None | Auth::Pass(_) | Auth::Ah { .. }, _) => return Err(Reason::AuthType),
    };
    let advert = opened.advert(key);
    // Version 3 takes the sender's interval (RFC 9568, 6.4.2); version 2 has no way to follow.
    if advert.version == VrrpVersion::V2 && advert.interval_ms != expected.interval_ms {
        return Err(Reason::Interval);
    }
    let same = advert.addresses.iter().copied().collect::<BTreeSet<_>>() == expected.addresses;
    Ok((advert, (!same).then_some(Reason::AddressList)))
}

fn check_addressing(expected: &Expected, received: &Received) -> Result<(), Reason> {
    match &expected.audience {
        Audience::Group(group) if received.destination() == *group => Ok(()),
        Audience::Group(_) => Err(Reason::Destination),
        Audience::Peers(_) if received.destination().is_multicast() => Err(Reason::Destination),
        Audience::Peers(peers) if peers.contains(&received.source()) => Ok(()),
        Audience::Peers(_) => Err(Reason::UnicastSource),
    }
}
