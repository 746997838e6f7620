//! Bytes that were worked out from the RFCs, and bytes that Debian's keepalived 2.2.7 sent.

use super::super::VrrpVersion::{V2, V3};
use super::super::{Advert, Auth, Envelope, Reading, Unspeakable, decode, encode};
use super::{advert, envelope, ip, sent};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Both directions: what we write is this, and this reads as what we wrote.
fn check(name: &str, advert: &Advert, envelope: &Envelope, hex: &str) {
    let golden = bytes(hex);
    assert_eq!(encode(advert, envelope).unwrap(), golden, "{name}");
    let key = match advert.auth {
        Auth::Ah { key, .. } => Some(key),
        Auth::None | Auth::Pass(_) => None,
    };
    let reading = Reading { key, checksum_as_v2: envelope.checksum_as_v2 };
    let read = decode(&super::arrived(golden, envelope), reading);
    assert_eq!(read.as_ref(), Ok(advert), "{name}");
}

/// Captured with `tcpdump -xx` from keepalived 2.2.7, `state MASTER`, `priority 255`,
/// `auth_pass secret`.
#[test]
fn bytes_of_keepalived() {
    let group = envelope("192.0.2.1", "224.0.0.18");
    let peer = envelope("192.0.2.1", "192.0.2.2");
    let secret = Auth::padded("secret");
    let one = &["192.0.2.100"][..];
    check(
        "v2",
        &advert(V2, Auth::None, one),
        &group,
        "45c0 0028 0001 0000 ff70 1891 c000 0201 e000 0012
         2133 ff01 0001 1d65 c000 0264 0000 0000 0000 0000",
    );
    check(
        "v2 PASS, two addresses",
        &advert(V2, Auth::Pass(secret), &["192.0.2.100", "192.0.2.101"]),
        &group,
        "45c0 002c 0001 0000 ff70 188d c000 0201 e000 0012
         2133 ff02 0101 1db2 c000 0264 c000 0265 7365 6372 6574 0000",
    );
    check(
        "v2 AH to the group: the TTL is protected",
        &advert(V2, Auth::Ah { key: secret, sequence: 1 }, one),
        &group,
        "45c0 0040 0001 0000 ff33 18b6 c000 0201 e000 0012
         7004 0000 c000 0201 0000 0001 3f76 acab 3c95 ad0a bf17 0401
         2133 ff01 0201 1b65 c000 0264 0000 0000 0000 0000",
    );
    check(
        "v2 AH to a peer: the TTL counts as zero",
        &advert(V2, Auth::Ah { key: secret, sequence: 1 }, one),
        &peer,
        "45c0 0040 0001 0000 ff33 36c6 c000 0201 c000 0202
         7004 0000 c000 0201 0000 0001 5093 bf33 76e4 dbad 889c 0eab
         2133 ff01 0201 1b65 c000 0264 0000 0000 0000 0000",
    );
    check(
        "v3",
        &advert(V3, Auth::None, one),
        &group,
        "45c0 0020 0001 0000 ff70 1899 c000 0201 e000 0012 3133 ff01 0064 6a71 c000 0264",
    );
    check(
        "v3 to a peer",
        &advert(V3, Auth::None, one),
        &peer,
        "45c0 0020 0001 0000 ff70 36a9 c000 0201 c000 0202 3133 ff01 0064 8881 c000 0264",
    );
    check(
        "v3 over IPv6",
        &advert(V3, Auth::None, &["fe80::100"]),
        &envelope("fe80::1", "ff02::12"),
        "3133 ff01 0064 d1c6 fe80 0000 0000 0000 0000 0000 0000 0100",
    );
}

/// By hand. RFC 3768, 5.3: 2101 + 6401 + 0001 + 0a00 + 0001 = 8f04, and ffff - 8f04 = 70fb.
/// RFC 5798, 5.2, over IPv4: 3101 + 6401 + 0fff + 0a00 + 0001, with the pseudo-header
/// 0a00 + 0002 + e000 + 0012 + 0070 + 000c, is 19992: 9993 with its carry, so the field is
/// 666c; without it, as in RFC 9568, af02,
/// so 50fd.
#[test]
fn bytes_by_hand() {
    let group = envelope("10.0.0.2", "224.0.0.18");
    let payload =
        |advert: &Advert, envelope: &Envelope| encode(advert, envelope).unwrap()[20..].to_vec();
    let two = Advert { vrid: 1, priority: 100, ..advert(V2, Auth::None, &["10.0.0.1"]) };
    assert_eq!(payload(&two, &group), bytes("2101 6401 0001 70fb 0a00 0001 0000 0000 0000 0000"));
    let three = Advert { version: V3, interval_ms: 40_950, ..two };
    assert_eq!(payload(&three, &group), bytes("3101 6401 0fff 666c 0a00 0001"));
    let plain = Envelope { checksum_as_v2: true, ..group };
    assert_eq!(payload(&three, &plain), bytes("3101 6401 0fff 50fd 0a00 0001"));
}

#[test]
fn headers_of_the_datagram() {
    let mut envelope = envelope("10.0.0.2", "10.0.0.3");
    (envelope.ttl, envelope.id) = (64, 0x1234);
    let packet = encode(&advert(V2, Auth::None, &["10.0.0.1"]), &envelope).unwrap();
    assert_eq!(packet[..10], bytes("45c0 0028 1234 0000 4070"));
    envelope.id = 0;
    let ah = Auth::Ah { key: *b"12345678", sequence: 9 };
    let packet = encode(&advert(V2, ah, &["10.0.0.1"]), &envelope).unwrap();
    assert_eq!(packet[4..6], [0, 1], "the kernel must not fill it in");
}

#[test]
fn no_address_in_version_two() {
    let excluded = advert(V2, Auth::None, &[]);
    let packet = sent(&excluded, &envelope("10.0.0.2", "224.0.0.18"));
    assert_eq!(decode(&packet, Reading::default()), Ok(excluded));
}

#[test]
fn what_has_no_form() {
    let v4 = envelope("10.0.0.2", "224.0.0.18");
    let v6 = envelope("fe80::2", "ff02::12");
    let one = &["10.0.0.1"][..];
    let of = |version, interval_ms| Advert { interval_ms, ..advert(version, Auth::None, one) };
    let refused = |advert: &Advert, envelope: &Envelope| encode(advert, envelope).unwrap_err();
    let mixed = Unspeakable::MixedFamilies;
    assert_eq!(refused(&of(V3, 1000), &v6), mixed);
    assert_eq!(refused(&advert(V3, Auth::None, &["fe80::1", "10.0.0.1"]), &v6), mixed);
    let crossed = Envelope { destination: ip("ff02::12"), ..v4 };
    assert_eq!(refused(&of(V3, 1000), &crossed), mixed);
    assert_eq!(refused(&advert(V2, Auth::None, &["fe80::1"]), &v6), Unspeakable::Ipv6InV2);
    let pass = advert(V3, Auth::Pass(*b"12345678"), one);
    assert_eq!(refused(&pass, &v4), Unspeakable::AuthInV3);
    assert_eq!(refused(&advert(V3, Auth::None, &[]), &v4), Unspeakable::NoAddress);
    assert_eq!(refused(&Advert { vrid: 0, ..of(V3, 1000) }, &v4), Unspeakable::Vrid);
    for ms in [0, 999, 1500, 256_000] {
        assert_eq!(refused(&of(V2, ms), &v4), Unspeakable::Interval(ms));
    }
    for ms in [0, 5, 15, 40_960, 655_360] {
        assert_eq!(refused(&of(V3, ms), &v4), Unspeakable::Interval(ms));
    }
    for (version, ms) in [(V2, 255_000), (V2, 1000), (V3, 10), (V3, 40_950)] {
        encode(&of(version, ms), &v4).unwrap();
    }
    let full = Advert { addresses: vec![ip("10.0.0.1"); 255], ..of(V3, 1000) };
    encode(&full, &v4).unwrap();
    let over = Advert { addresses: vec![ip("10.0.0.1"); 256], ..of(V3, 1000) };
    assert_eq!(refused(&over, &v4), Unspeakable::TooMany(256));
}

#[test]
fn passwords_are_eight_bytes_and_not_shown() {
    assert_eq!(Auth::padded("k@l!ve"), *b"k@l!ve\0\0");
    assert_eq!(Auth::padded("longer than it"), *b"longer t");
    let shown =
        format!("{:?} {:?}", Auth::Pass(*b"hushhush"), Auth::Ah { key: *b"hushhush", sequence: 7 });
    assert_eq!(shown, "Pass Ah(7)");
}
