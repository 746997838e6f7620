//! VRRP on the wire: adverts written, read and judged (RFC 3768, RFC 9568, and what keepalived
//! makes of RFC 2338's authentication).
//!
//! A packet is opened first, as far as that goes without knowing who it is for; [`judge`] then
//! compares it with what an instance expects. Every packet that is turned away has one [`Reason`].

mod ah;
pub(crate) mod checksum;
mod decode;
mod encode;
mod judge;
mod router;
#[cfg(test)]
mod tests;
mod timer;

pub use ah::Sequence;
pub use decode::{AhFault, Malformed, Opened, Reading, Received, decode, open};
pub use encode::{Envelope, Unspeakable, encode};
pub use judge::{Audience, Expected, Heard, Reason, judge};
pub use router::{Command, Counters, Foreign, Router, Settings, Standing};
pub use timer::{DOWN_ADVERTS, master_down, master_down_after, skew};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use leasehold_model::VrrpVersion;

/// The protocol number of VRRP.
pub const PROTOCOL: u8 = 112;
/// The protocol number of the authentication header.
pub const PROTOCOL_AH: u8 = 51;
/// A router that is further away can not have sent a packet with this TTL (RFC 9568, 5.1.1.3).
pub const TTL: u8 = 255;
/// Where adverts go if nothing else is configured.
pub const GROUP4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
pub const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// The longest packet there is: 255 IPv6 addresses.
pub const LONGEST: usize = 8 + 255 * 16;

/// One advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    pub version: VrrpVersion,
    pub vrid: u8,
    /// 0: the sender stops being master; 255: it owns the addresses.
    pub priority: u8,
    /// Version 2: whole seconds up to 255 s; version 3: hundredths up to 40.95 s.
    pub interval_ms: u32,
    /// All of one family.
    pub addresses: Vec<IpAddr>,
    pub auth: Auth,
}

/// How an advert of version 2 shows that it is from one of us. Version 3 has nothing of the kind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    None,
    /// `auth_type PASS`: in plain text, padded with zeros.
    Pass([u8; 8]),
    /// `auth_type AH`: HMAC-MD5 with this key, padded with zeros.
    Ah {
        key: [u8; 8],
        /// Of the advert; where an advert is expected, the highest that was heard.
        sequence: u32,
    },
}

impl Auth {
    /// A configured password in the form that goes on the wire: its first eight bytes.
    #[must_use]
    pub fn padded(password: &str) -> [u8; 8] {
        let mut padded = [0; 8];
        for (to, from) in padded.iter_mut().zip(password.bytes()) {
            *to = from;
        }
        padded
    }

    /// The number in the header (RFC 2338, 5.3.6).
    const fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Pass(_) => 1,
            Self::Ah { .. } => 2,
        }
    }
}

/// Passwords stay out of logs.
impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Pass(_) => f.write_str("Pass"),
            Self::Ah { sequence, .. } => write!(f, "Ah({sequence})"),
        }
    }
}

/// The number in the first four bits.
const fn number(version: VrrpVersion) -> u8 {
    match version {
        VrrpVersion::V2 => 2,
        VrrpVersion::V3 => 3,
    }
}
