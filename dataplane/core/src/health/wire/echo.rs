//! ICMP echoes of both families (RFC 792, RFC 4443): asked, and known again.
//!
//! ```text
//!  0      1      2          4            6          8
//! +------+------+----------+------------+----------+--------------------------------+
//! | type | code | checksum | identifier | sequence | a number nobody else can guess |
//! +------+------+----------+------------+----------+--------------------------------+
//! ```

use crate::vrrp::checksum::Sum;

const HEADER: usize = 8;

/// Enough that no two echoes under way are the same by chance.
pub const NONCE: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// The types of a request and of its reply.
    #[must_use]
    pub fn types(self) -> (u8, u8) {
        match self {
            Self::V4 => (8, 0),
            Self::V6 => (128, 129),
        }
    }
}

/// One echo, which its reply must repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    pub family: Family,
    /// Absent: the kernel writes it, and gives the socket only replies to it.
    pub identifier: Option<u16>,
    pub sequence: u16,
    pub nonce: [u8; NONCE],
}

impl Echo {
    /// The request. The kernel puts its own checksum in ICMPv6's, where the addresses count.
    #[must_use]
    pub fn request(&self) -> Vec<u8> {
        let mut bytes = vec![self.family.types().0, 0, 0, 0];
        bytes.extend(self.identifier.unwrap_or(0).to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.nonce);
        match self.family {
            Family::V4 => {
                let sum = Sum::default().add(&bytes).finish();
                bytes[2..4].copy_from_slice(&sum.to_be_bytes());
            }
            Family::V6 => {}
        }
        bytes
    }

    /// Whether `message` is this echo's reply.
    #[must_use]
    pub fn is_answered_by(&self, message: &[u8]) -> bool {
        self.is_headed(self.family.types().1, message)
            && message.get(HEADER..) == Some(self.nonce.as_slice())
    }

    /// Whether `message` is the beginning of this echo's request, as an ICMP error quotes it.
    #[must_use]
    pub fn is_quoted_by(&self, message: &[u8]) -> bool {
        self.is_headed(self.family.types().0, message)
    }

    fn is_headed(&self, kind: u8, message: &[u8]) -> bool {
        let Some(&[its, 0, _, _, id0, id1, seq0, seq1]) = message.get(..HEADER) else {
            return false;
        };
        let own = |identifier| identifier == u16::from_be_bytes([id0, id1]);
        its == kind
            && self.identifier.is_none_or(own)
            && self.sequence == u16::from_be_bytes([seq0, seq1])
    }
}

/// What a raw IPv4 socket delivers, less the IP header. None where it is too short to have one.
#[must_use]
pub fn without_ip_header(packet: &[u8]) -> Option<&[u8]> {
    let words = packet.first()? & 0x0f;
    packet.get(usize::from(words) * 4..).filter(|_| words >= 5)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn echo(family: Family) -> Echo {
        Echo { family, identifier: Some(0x1234), sequence: 7, nonce: [0xa5; NONCE] }
    }

    /// The reply as a good neighbour makes it.
    fn reply(echo: &Echo) -> Vec<u8> {
        let mut bytes = echo.request();
        bytes[0] = echo.family.types().1;
        bytes
    }

    #[test]
    fn a_request_on_the_wire() {
        let request = echo(Family::V4).request();
        assert_eq!(request[..2], [8, 0]);
        assert_eq!(request[4..8], [0x12, 0x34, 0, 7]);
        assert_eq!(request[8..], [0xa5; 16]);
        assert_eq!(Sum::default().add(&request).finish(), 0, "a sum over all of it is right");
        assert_eq!(echo(Family::V6).request()[..4], [128, 0, 0, 0]);
    }

    #[test]
    fn only_its_own_reply_answers_an_echo() {
        for family in [Family::V4, Family::V6] {
            let echo = echo(family);
            let good = reply(&echo);
            assert!(echo.is_answered_by(&good));
            assert!(!echo.is_answered_by(&echo.request()), "the request itself");
            for at in [0, 1, 4, 5, 6, 7, 8, 23] {
                let mut other = good.clone();
                other[at] ^= 1;
                assert!(!echo.is_answered_by(&other), "{family:?}: byte {at} is another");
            }
            for length in 0..good.len() {
                assert!(!echo.is_answered_by(&good[..length]), "{family:?}: cut at {length}");
            }
            let long = [good.as_slice(), &[0]].concat();
            assert!(!echo.is_answered_by(&long), "{family:?}: with something behind");
            // The kernel looked at the identifier, where it chose it.
            let any = Echo { identifier: None, ..echo };
            assert!(any.is_answered_by(&good));
        }
    }

    #[test]
    fn an_error_quotes_at_least_the_header_of_the_request() {
        let echo = echo(Family::V4);
        let request = echo.request();
        assert!(echo.is_quoted_by(&request) && echo.is_quoted_by(&request[..8]));
        assert!(!echo.is_quoted_by(&request[..7]));
        let other = Echo { sequence: 8, ..echo };
        assert!(!echo.is_quoted_by(&other.request()));
        assert!(!echo.is_quoted_by(&reply(&echo)));
    }

    #[test]
    fn an_ip_header_has_at_least_five_words() {
        let mut packet = vec![0; 28];
        packet[0] = 0x45;
        assert_eq!(without_ip_header(&packet).map(<[u8]>::len), Some(8));
        packet[0] = 0x46;
        assert_eq!(without_ip_header(&packet).map(<[u8]>::len), Some(4));
        packet[0] = 0x44;
        assert_eq!(without_ip_header(&packet), None);
        assert_eq!(without_ip_header(&[0x45; 19]), None);
        assert_eq!(without_ip_header(&[]), None);
    }

    proptest! {
        #[test]
        fn noise_answers_nothing(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(!echo(Family::V4).is_answered_by(&bytes));
            prop_assert!(!echo(Family::V6).is_answered_by(&bytes));
            let _ = without_ip_header(&bytes);
        }
    }
}
