//! Every advert that can be said is read as it was said; broken in any one place it is refused,
//! or means the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::super::{Advert, Auth, Envelope, Malformed, Reading, Received, VrrpVersion, decode};
use super::super::{GROUP4, GROUP6, encode};
use super::{expected, sent};
use crate::vrrp::{Heard, Reason, judge};

fn auth() -> impl Strategy<Value = Auth> {
    prop_oneof![
        Just(Auth::None),
        any::<[u8; 8]>().prop_map(Auth::Pass),
        (any::<[u8; 8]>(), 1_u32..).prop_map(|(key, sequence)| Auth::Ah { key, sequence }),
    ]
}

/// The destination: the group, or one host.
fn v4_end() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        Just(GROUP4.into()),
        (1_u8..=223, any::<[u8; 3]>())
            .prop_map(|(a, [b, c, d])| { Ipv4Addr::new(a, b, c, d).into() })
    ]
}

fn addresses<T: Into<IpAddr>>(
    one: impl Strategy<Value = T>,
    least: usize,
) -> impl Strategy<Value = Vec<IpAddr>> {
    prop::collection::vec(one.prop_map(Into::into), least..40)
}

fn v4_source() -> impl Strategy<Value = IpAddr> {
    (1_u8..=223, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| Ipv4Addr::new(a, b, c, d).into())
}

type Ends = (IpAddr, IpAddr, bool);

fn said() -> impl Strategy<Value = (Advert, Envelope)> {
    let two = (
        addresses(any::<Ipv4Addr>(), 0),
        (v4_source(), v4_end(), any::<bool>()),
        1_u32..=255,
        auth(),
    )
        .prop_map(|(addresses, ends, seconds, auth)| {
            (VrrpVersion::V2, addresses, ends, seconds * 1000, auth)
        });
    let three =
        (addresses(any::<Ipv4Addr>(), 1), (v4_source(), v4_end(), any::<bool>()), 1_u32..=4095)
            .prop_map(|(addresses, ends, hundredths)| {
                (VrrpVersion::V3, addresses, ends, hundredths * 10, Auth::None)
            });
    let six_end = prop_oneof![Just(GROUP6), Just(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9))];
    let six = (addresses(any::<Ipv6Addr>(), 1), any::<u64>(), six_end, 1_u32..=4095).prop_map(
        |(addresses, host, end, hundredths)| {
            let source = Ipv6Addr::from(0xfe80_u128 << 112 | u128::from(host));
            let ends: Ends = (source.into(), end.into(), false);
            (VrrpVersion::V3, addresses, ends, hundredths * 10, Auth::None)
        },
    );
    (prop_oneof![two, three, six], 1_u8.., any::<u8>(), any::<u16>()).prop_map(
        |(
            (version, addresses, (source, destination, checksum_as_v2), interval_ms, auth),
            vrid,
            priority,
            id,
        )| {
            let advert = Advert { version, vrid, priority, interval_ms, addresses, auth };
            (advert, Envelope { source, destination, ttl: 255, id, checksum_as_v2 })
        },
    )
}

fn reading(advert: &Advert, envelope: &Envelope) -> Reading {
    let key = match advert.auth {
        Auth::Ah { key, .. } => Some(key),
        Auth::None | Auth::Pass(_) => None,
    };
    Reading { key, checksum_as_v2: envelope.checksum_as_v2 }
}

/// As a socket would yield these bytes, and as they would then be read.
fn read(bytes: Vec<u8>, advert: &Advert, envelope: &Envelope) -> Result<Advert, Malformed> {
    let received = match (envelope.source, envelope.destination) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Received::ipv6(source, destination, 255, bytes)
        }
        (IpAddr::V4(_), _) | (_, IpAddr::V4(_)) => Received::ipv4(bytes)?,
    };
    decode(&received, reading(advert, envelope))
}

proptest! {
    #[test]
    fn what_is_said_is_read((advert, envelope) in said()) {
        let received = sent(&advert, &envelope);
        prop_assert_eq!(received.vrid(), Some(advert.vrid));
        prop_assert_eq!(received.source(), envelope.source);
        prop_assert_eq!(received.destination(), envelope.destination);
        prop_assert_eq!(decode(&received, reading(&advert, &envelope)), Ok(advert.clone()));
        let heard = judge(&expected(&advert, &envelope), &received);
        prop_assert_eq!(heard, Heard::Advert { advert, source: envelope.source, note: None });
    }

    #[test]
    fn no_part_of_it_is_an_advert((advert, envelope) in said()) {
        let whole = encode(&advert, &envelope).unwrap();
        for length in 0..whole.len() {
            let read = read(whole[..length].to_vec(), &advert, &envelope);
            prop_assert!(matches!(read, Err(Malformed::TooShort { .. })), "{length}: {read:?}");
        }
        // A header that agrees with the cut does not help.
        for length in 20..whole.len() {
            let mut cut = whole[..length].to_vec();
            if envelope.source.is_ipv4() {
                cut[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            }
            let read = read(cut, &advert, &envelope);
            prop_assert!(matches!(read, Err(Malformed::TooShort { .. })), "{length}: {read:?}");
        }
        let mut longer = whole;
        longer.push(0);
        prop_assert_eq!(read(longer, &advert, &envelope), Err(Malformed::TrailingBytes(1)));
    }

    #[test]
    fn one_wrong_bit_is_refused_or_without_meaning((advert, envelope) in said()) {
        let whole = encode(&advert, &envelope).unwrap();
        // Of the IP header VRRP reads the version, the lengths, the TTL, the protocol and both
        // ends; where the checksum is plain the ends are checked by who hears it.
        let from = if envelope.source.is_ipv4() { 20 } else { 0 };
        for bit in 0..whole.len() * 8 {
            let mut wrong = whole.clone();
            wrong[bit / 8] ^= 0x80 >> (bit % 8);
            // Where either checksum counts, a packet of the one may with a wrong bit be one of the
            // other: the pseudo-header then adds up to just this bit.
            let strict = Envelope { checksum_as_v2: false, ..envelope };
            let of_the_other =
                envelope.checksum_as_v2 && read(wrong.clone(), &advert, &strict).is_ok();
            let read = read(wrong, &advert, &envelope);
            if of_the_other {
                prop_assert!(read.is_ok(), "bit {bit}");
            } else if bit / 8 >= from {
                prop_assert!(read.is_err(), "bit {bit}");
            } else if let Ok(read) = read {
                prop_assert_eq!(&read, &advert, "bit {}", bit);
            }
        }
    }

    #[test]
    fn an_authenticated_packet_protects_its_header(
        (advert, envelope) in said().prop_filter("AH", |(advert, _)| matches!(advert.auth, Auth::Ah { .. }))
    ) {
        let whole = encode(&advert, &envelope).unwrap();
        let group = envelope.destination.is_multicast();
        for bit in 0..160 {
            let mut wrong = whole.clone();
            wrong[bit / 8] ^= 0x80 >> (bit % 8);
            let mutable = matches!(bit / 8, 1 | 6 | 7 | 10 | 11) || (!group && bit / 8 == 8);
            let read = read(wrong, &advert, &envelope);
            // A destination that becomes a group's makes the TTL count.
            prop_assert_eq!(read.is_ok(), mutable, "bit {}: {:?}", bit, read);
        }
    }

    #[test]
    fn noise_is_no_advert(bytes in prop::collection::vec(any::<u8>(), 0..200), v6: bool) {
        let received = if v6 {
            Ok(Received::ipv6(Ipv6Addr::LOCALHOST, GROUP6, 255, bytes))
        } else {
            Received::ipv4(bytes)
        };
        if let Ok(received) = received {
            prop_assert!(decode(&received, Reading::default()).is_err());
        }
    }
}

#[test]
fn every_reason_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> =
        Reason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(names.len(), Reason::ALL.len());
    let snake = |name: &&str| name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase());
    assert!(names.iter().all(snake), "{names:?}");
}
