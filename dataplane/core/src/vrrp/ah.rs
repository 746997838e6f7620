//! The authentication header as keepalived uses it: HMAC-MD5-96 over the datagram (RFC 2402,
//! RFC 2403), the sender's address as index, numbers that only rise.

use std::net::Ipv4Addr;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

use super::PROTOCOL;

/// The header's length, and that of the value it ends with.
pub(super) const HEADER: usize = 24;
pub(super) const VALUE: usize = 12;
/// In units of four bytes, less two.
pub(super) const LENGTH_FIELD: u8 = 4;

/// The header with an empty integrity check value.
pub(super) fn header(source: Ipv4Addr, sequence: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0] = PROTOCOL;
    header[1] = LENGTH_FIELD;
    header[4..8].copy_from_slice(&source.octets());
    header[8..12].copy_from_slice(&sequence.to_be_bytes());
    header
}

/// The integrity check value over an IPv4 header, an authentication header and what follows it.
///
/// Routers may change the type of service, the fragment field and the header checksum: they
/// count as zero. The TTL counts as zero only where it may change: a packet to a group stays on
/// the link, and keepalived protects its TTL.
pub(super) fn value(key: [u8; 8], ip: &[u8], header: &[u8], payload: &[u8]) -> [u8; VALUE] {
    let routed = ip.get(16).is_some_and(|first| first >> 4 != 0xe);
    let mut fixed = ip.to_vec();
    for at in [1, 6, 7, 10, 11].into_iter().chain(routed.then_some(8)) {
        if let Some(byte) = fixed.get_mut(at) {
            *byte = 0;
        }
    }
    let mut mac = Hmac::<Md5>::new_from_slice(&key).expect("HMAC takes keys of any length");
    mac.update(&fixed);
    mac.update(header.get(..HEADER - VALUE).unwrap_or_default());
    mac.update(&[0; VALUE]);
    mac.update(payload);
    let whole = mac.finalize().into_bytes();
    std::array::from_fn(|at| whole[at])
}

/// Compares two values without telling by its time how many bytes are right.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// The sequence numbers of an instance: a receiver takes no number twice, whoever sends it.
///
/// Seconds since 1970 outrun one advert a second, so a director that takes over, or comes back,
/// goes on above the last one without being told its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    highest: u32,
}

impl Sequence {
    /// Another's number that was heard, and authentic.
    pub fn hear(&mut self, sequence: u32) {
        self.highest = self.highest.max(sequence);
    }

    /// The number to send now. `None`: no number is left under this key.
    pub fn next(&mut self, unix_seconds: u64) -> Option<u32> {
        let after = self.highest.checked_add(1)?;
        let clock = u32::try_from(unix_seconds).unwrap_or(after);
        self.highest = after.max(clock);
        Some(self.highest)
    }

    /// The highest number sent or heard.
    #[must_use]
    pub const fn highest(&self) -> u32 {
        self.highest
    }
}
