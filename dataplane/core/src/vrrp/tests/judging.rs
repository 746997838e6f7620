//! One packet for each reason, and those that count.

use super::super::VrrpVersion::{V2, V3};
use super::super::checksum::Sum;
use super::super::{Advert, Auth, Envelope, Expected, Heard, Reason, Received, judge};
use super::super::{Malformed, Reading, Sequence, decode, encode};
use super::{advert, arrived, envelope, expected, ip, sent};

const KEY: [u8; 8] = *b"12345678";
const VIP: &[&str] = &["192.0.2.100"];

fn group() -> Envelope {
    envelope("192.0.2.1", "224.0.0.18")
}

fn reason(heard: &Heard) -> Option<Reason> {
    match heard {
        Heard::Dropped(reason) => Some(*reason),
        Heard::Advert { note, .. } => *note,
    }
}

/// What an instance with the settings of `ours` makes of `theirs`.
fn judged(ours: &Advert, theirs: &Advert) -> Option<Reason> {
    reason(&judge(&expected(ours, &group()), &sent(theirs, &group())))
}

/// The advert as `spoil` changed it, with its length and plain checksum put right.
fn changed(ours: &Advert, spoil: impl FnOnce(&mut Vec<u8>)) -> Received {
    let mut bytes = encode(ours, &group()).unwrap();
    spoil(&mut bytes);
    let total = bytes.len() as u16;
    bytes[2..4].copy_from_slice(&total.to_be_bytes());
    arrived(mended(bytes, 20), &group())
}

/// With a checksum that leaves out the pseudo-header.
fn mended(mut bytes: Vec<u8>, start: usize) -> Vec<u8> {
    bytes[start + 6..start + 8].copy_from_slice(&[0, 0]);
    let checksum = Sum::default().add(&bytes[start..]).finish();
    bytes[start + 6..start + 8].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// What an instance makes of it.
fn spoilt(ours: &Advert, spoil: impl FnOnce(&mut Vec<u8>)) -> Option<Reason> {
    reason(&judge(&expected(ours, &group()), &changed(ours, spoil)))
}

#[test]
fn what_no_instance_expects_is_no_advert_either() {
    let plain = Reading { key: None, checksum_as_v2: true };
    let two = advert(V2, Auth::None, VIP);
    let three = advert(V3, Auth::None, VIP);
    let read = |advert: &Advert, at: usize, value: u8| {
        decode(&changed(advert, |bytes| bytes[at] = value), plain)
    };
    assert_eq!(read(&two, 21, 0), Err(Malformed::BadVrid));
    assert_eq!(read(&two, 25, 0), Err(Malformed::BadInterval));
    assert_eq!(read(&three, 25, 0), Err(Malformed::BadInterval));
    assert_eq!(read(&two, 24, 9), Err(Malformed::BadAuthType(9)));
    // RFC 9568, 5.2.6: reserved bits are ignored.
    assert_eq!(read(&three, 24, 0xf0), Ok(three));

    // Version 2 over IPv6: its bytes are sound, its family is not.
    let bytes = encode(&two, &group()).unwrap();
    let six = envelope("fe80::1", "ff02::12");
    let mut bytes = bytes[20..].to_vec();
    bytes[3] = 0;
    bytes.truncate(8);
    let received = arrived(mended(bytes, 0), &six);
    assert_eq!(decode(&received, plain), Err(Malformed::BadVersion(2)));

    // The IP header announces less than there is, whatever the rest says.
    let mut bytes = encode(&two, &group()).unwrap();
    bytes[3] -= 4;
    assert_eq!(Received::ipv4(bytes), Err(Malformed::TrailingBytes(4)));
}

#[test]
fn a_foreign_advert_counts_with_any_priority() {
    for priority in [0, 1, 255] {
        let ours = advert(V2, Auth::None, VIP);
        let theirs = Advert { priority, ..ours.clone() };
        let heard = judge(&expected(&ours, &group()), &sent(&theirs, &group()));
        let source = ip("192.0.2.1");
        assert_eq!(heard, Heard::Advert { advert: theirs, source, note: None });
    }
}

#[test]
fn length_and_kind() {
    let ours = advert(V2, Auth::None, VIP);
    assert_eq!(spoilt(&ours, |_| {}), None);
    assert_eq!(spoilt(&ours, |bytes| bytes.truncate(39)), Some(Reason::Truncated));
    assert_eq!(spoilt(&ours, |bytes| bytes.push(0)), Some(Reason::TrailingBytes));
    let hmac = |bytes: &mut Vec<u8>| bytes.extend([&[1, 7][..], &[0; 26]].concat());
    assert_eq!(spoilt(&ours, hmac), Some(Reason::AuthHmac));
    assert_eq!(spoilt(&ours, |bytes| bytes.extend([0; 28])), Some(Reason::TrailingBytes));
    assert_eq!(spoilt(&ours, |bytes| bytes[20] = 0x22), Some(Reason::Type));
    assert_eq!(spoilt(&ours, |bytes| bytes[20] = 0x41), Some(Reason::Version));
    assert_eq!(spoilt(&ours, |bytes| bytes[21] = 0), Some(Reason::VridUnknown));
    assert_eq!(spoilt(&ours, |bytes| bytes[24] = 3), Some(Reason::AuthType));
    assert_eq!(spoilt(&ours, |bytes| bytes[25] = 0), Some(Reason::Interval));
}

#[test]
fn ip_headers_that_make_no_sense() {
    let packet = encode(&advert(V2, Auth::None, VIP), &group()).unwrap();
    let with = |at: usize, value: u8| {
        let mut bytes = packet.clone();
        bytes[at] = value;
        Received::ipv4(bytes).map_err(Reason::from).unwrap_err()
    };
    assert_eq!(with(0, 0x65), Reason::IpHeader, "version 6");
    assert_eq!(with(0, 0x44), Reason::IpHeader, "a header of sixteen bytes");
    assert_eq!(with(0, 0x4f), Reason::Truncated, "longer than the packet");
    assert_eq!(with(9, 17), Reason::IpHeader, "UDP");
    assert_eq!(Received::ipv4(vec![]), Err(Malformed::TooShort { need: 20, have: 0 }));
}

#[test]
fn an_ip_header_with_options_is_skipped() {
    let ours = advert(V3, Auth::None, VIP);
    let mut bytes = encode(&ours, &group()).unwrap();
    bytes.splice(20..20, [0x94, 4, 0, 0]);
    bytes[0] = 0x46;
    bytes[3] += 4;
    let heard = judge(&expected(&ours, &group()), &arrived(bytes, &group()));
    assert_eq!(reason(&heard), None);
}

#[test]
fn ttl_counts_for_a_group_and_not_for_a_peer() {
    let ours = advert(V3, Auth::None, VIP);
    let routed = Envelope { ttl: 254, ..group() };
    let heard = judge(&expected(&ours, &routed), &sent(&ours, &routed));
    assert_eq!(reason(&heard), Some(Reason::Ttl));
    let peer = Envelope { ttl: 64, ..envelope("192.0.2.1", "192.0.2.2") };
    let heard = judge(&expected(&ours, &peer), &sent(&ours, &peer));
    assert_eq!(reason(&heard), None);
    let six = Envelope { ttl: 254, ..envelope("fe80::1", "ff02::12") };
    let ours = advert(V3, Auth::None, &["fe80::100"]);
    let heard = judge(&expected(&ours, &six), &sent(&ours, &six));
    assert_eq!(reason(&heard), Some(Reason::Ttl));
}

#[test]
fn version_and_router() {
    let (two, three) = (advert(V2, Auth::None, VIP), advert(V3, Auth::None, VIP));
    assert_eq!(judged(&two, &three), Some(Reason::Version));
    assert_eq!(judged(&three, &two), Some(Reason::Version));
    assert_eq!(judged(&two, &Advert { vrid: 52, ..two.clone() }), Some(Reason::VridUnknown));
}

#[test]
fn checksum_compatibility() {
    let ours = advert(V3, Auth::None, VIP);
    let plain = Envelope { checksum_as_v2: true, ..group() };
    let strict = expected(&ours, &group());
    assert_eq!(reason(&judge(&strict, &sent(&ours, &plain))), Some(Reason::Checksum));
    let lenient = expected(&ours, &plain);
    assert_eq!(reason(&judge(&lenient, &sent(&ours, &plain))), None);
    assert_eq!(reason(&judge(&lenient, &sent(&ours, &group()))), None);
    // IPv6 has one form only.
    let six = Envelope { checksum_as_v2: true, ..envelope("fe80::1", "ff02::12") };
    let ours = advert(V3, Auth::None, &["fe80::100"]);
    let bytes = mended(encode(&ours, &six).unwrap(), 0);
    let heard = judge(&expected(&ours, &six), &arrived(bytes, &six));
    assert_eq!(reason(&heard), Some(Reason::Checksum));
}

#[test]
fn an_advert_of_version_three_names_an_address() {
    let ours = advert(V3, Auth::None, VIP);
    let mut bytes = encode(&ours, &Envelope { checksum_as_v2: true, ..group() }).unwrap();
    bytes.truncate(28);
    (bytes[3], bytes[23]) = (28, 0);
    let bytes = mended(bytes, 20);
    let lenient = Expected { checksum_as_v2: true, ..expected(&ours, &group()) };
    let heard = judge(&lenient, &arrived(bytes, &group()));
    assert_eq!(reason(&heard), Some(Reason::AddressCount));
}

#[test]
fn authentication_by_password() {
    let with = |auth| advert(V2, auth, VIP);
    let (plain, pass) = (with(Auth::None), with(Auth::Pass(KEY)));
    let ah = with(Auth::Ah { key: KEY, sequence: 1 });
    assert_eq!(judged(&pass, &pass), None);
    assert_eq!(judged(&pass, &with(Auth::Pass(*b"12345679"))), Some(Reason::Auth));
    for (ours, theirs) in [(&plain, &pass), (&pass, &plain), (&plain, &ah), (&ah, &pass)] {
        assert_eq!(judged(ours, theirs), Some(Reason::AuthType), "{ours:?} {theirs:?}");
    }
    // The type says AH, and no authentication header is there.
    assert_eq!(spoilt(&plain, |bytes| bytes[24] = 2), Some(Reason::AuthType));
}

#[test]
fn authentication_by_header() {
    let with = |key, sequence| advert(V2, Auth::Ah { key, sequence }, VIP);
    let ours = with(KEY, 10);
    assert_eq!(judged(&ours, &ours), None);
    assert_eq!(judged(&ours, &with(*b"12345679", 10)), Some(Reason::Auth));
    for (sequence, outcome) in
        [(9, Some(Reason::AhSequence)), (1, Some(Reason::AhSequence)), (99, None)]
    {
        assert_eq!(judged(&ours, &with(KEY, sequence)), outcome, "{sequence}");
    }
    // A second advert with the first one's number, once the first has been heard.
    let mut heard = Sequence::default();
    heard.hear(10);
    let after = Expected {
        auth: Auth::Ah { key: KEY, sequence: heard.highest() },
        ..expected(&ours, &group())
    };
    let again = judge(&after, &sent(&ours, &group()));
    assert_eq!(reason(&again), Some(Reason::AhSequence));
    let mut other = encode(&ours, &group()).unwrap();
    other[20] = 50;
    assert_eq!(Received::ipv4(other), Err(Malformed::BadProtocol(50)), "another's IPsec");
    for (at, value) in [(21, 5), (22, 1)] {
        let mut bytes = encode(&ours, &group()).unwrap();
        bytes[at] = value;
        let heard = judge(&expected(&ours, &group()), &arrived(bytes, &group()));
        assert_eq!(reason(&heard), Some(Reason::AhHeader), "byte {at}");
    }
}

/// The index is authentic, and another's address: keepalived refuses it, and so do we.
#[test]
fn an_index_of_another() {
    let ours = advert(V2, Auth::Ah { key: KEY, sequence: 10 }, VIP);
    let mut bytes = encode(&ours, &group()).unwrap();
    bytes[27] ^= 1;
    let (ip, rest) = bytes.split_at(20);
    let value = super::super::ah::value(KEY, ip, &rest[..24], &rest[24..]);
    bytes[32..44].copy_from_slice(&value);
    let heard = judge(&expected(&ours, &group()), &arrived(bytes, &group()));
    assert_eq!(reason(&heard), Some(Reason::Auth));
}

#[test]
fn the_interval_binds_version_two_and_is_taken_in_version_three() {
    let ours = advert(V2, Auth::None, VIP);
    let slower = |ours: &Advert| Advert { interval_ms: 3000, ..ours.clone() };
    assert_eq!(judged(&ours, &slower(&ours)), Some(Reason::Interval));
    let ours = advert(V3, Auth::None, VIP);
    let heard = judge(&expected(&ours, &group()), &sent(&slower(&ours), &group()));
    assert!(matches!(heard, Heard::Advert { advert, .. } if advert.interval_ms == 3000));
}

#[test]
fn other_addresses_are_a_note() {
    let ours = advert(V3, Auth::None, &["192.0.2.100", "192.0.2.101"]);
    let turned = advert(V3, Auth::None, &["192.0.2.101", "192.0.2.100"]);
    assert_eq!(judged(&ours, &turned), None, "their order means nothing");
    let other = advert(V3, Auth::None, VIP);
    let heard = judge(&expected(&ours, &group()), &sent(&other, &group()));
    let source = ip("192.0.2.1");
    let note = Some(Reason::AddressList);
    assert_eq!(heard, Heard::Advert { advert: other, source, note });
}

#[test]
fn who_it_is_from_and_to() {
    let ours = advert(V3, Auth::None, VIP);
    let to_peer = envelope("192.0.2.1", "192.0.2.2");
    let other_group = envelope("192.0.2.1", "224.0.0.81");
    let unicast = expected(&ours, &to_peer);
    let multicast = expected(&ours, &group());
    assert_eq!(reason(&judge(&unicast, &sent(&ours, &group()))), Some(Reason::Destination));
    assert_eq!(reason(&judge(&multicast, &sent(&ours, &to_peer))), Some(Reason::Destination));
    assert_eq!(reason(&judge(&multicast, &sent(&ours, &other_group))), Some(Reason::Destination));
    let stranger = sent(&ours, &envelope("192.0.2.9", "192.0.2.2"));
    assert_eq!(reason(&judge(&unicast, &stranger)), Some(Reason::UnicastSource));
}
