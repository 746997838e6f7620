//! The Internet checksum (RFC 1071), with the pseudo-headers of both families.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::PROTOCOL;

/// A sum in progress.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    /// Adds `bytes`; an odd one at the end counts as if a zero followed.
    pub(crate) fn add(self, bytes: &[u8]) -> Self {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let whole: u64 = pairs.iter().map(|pair| u64::from(u16::from_be_bytes(*pair))).sum();
        let odd: u64 = rest.iter().map(|byte| u64::from(*byte) << 8).sum();
        Self(self.0 + whole + odd)
    }

    /// Starts with the pseudo-header of a VRRP packet of `length` bytes.
    ///
    /// For IPv6 it always counts. For IPv4 RFC 5798, 5.2.8 was read both ways: keepalived counts
    /// it, and RFC 9568, 5.2.8 leaves it out.
    pub(super) fn pseudo_header(source: IpAddr, destination: IpAddr, length: usize) -> Self {
        let sum = Self::default().octets(source).octets(destination);
        Self(sum.0 + length as u64 + u64::from(PROTOCOL))
    }

    fn octets(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.add(&Ipv4Addr::octets(&address)),
            IpAddr::V6(address) => self.add(&Ipv6Addr::octets(&address)),
        }
    }

    /// What goes into the checksum field; zero over data that holds its own checksum.
    pub(crate) fn finish(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        !(sum as u16)
    }
}
