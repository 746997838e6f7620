//! Packets that no router sends, and what becomes of them: shared by the tests and by
//! `examples/fuzz_vrrp.rs`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use leasehold_dataplane_core::vrrp::{
    Advert, Audience, Auth, Envelope, Expected, GROUP4, GROUP6, Heard, Malformed, Reading, Reason,
    Received, VrrpVersion, decode, encode, judge,
};

const SECRET: [u8; 8] = *b"secret\0\0";
const SOURCE6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// Numbers by chance that are the same for the same seed (splitmix64).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).expect("below a usize")
    }
}

/// A packet as it is kept in the corpus: a byte that says how it came (6: by IPv6, to the
/// group; anything else: by IPv4), a hop limit for IPv6, and its bytes.
pub(crate) fn received(input: &[u8]) -> Result<Received, Malformed> {
    match input {
        [6, hops, bytes @ ..] => Ok(Received::ipv6(SOURCE6, GROUP6, *hops, bytes.to_vec())),
        [_, _, bytes @ ..] => Received::ipv4(bytes.to_vec()),
        [] | [_] => Received::ipv4(Vec::new()),
    }
}

/// Instances of every kind, all of virtual router 51.
pub(crate) fn instances() -> Vec<Expected> {
    let instance = |version, auth, audience, vip: &str, checksum_as_v2| Expected {
        version,
        vrid: 51,
        auth,
        interval_ms: 1000,
        addresses: [vip.parse().expect("an address")].into(),
        audience,
        checksum_as_v2,
    };
    let (v2, v3) = (VrrpVersion::V2, VrrpVersion::V3);
    let group = || Audience::Group(GROUP4.into());
    let peer = "192.0.2.1".parse().expect("an address");
    let peers = || Audience::Peers([peer].into());
    let ah = Auth::Ah { key: SECRET, sequence: 10 };
    let vip = "192.0.2.100";
    vec![
        instance(v2, Auth::None, group(), vip, false),
        instance(v2, Auth::Pass(SECRET), group(), vip, false),
        instance(v2, ah, group(), vip, false),
        instance(v2, ah, peers(), vip, false),
        instance(v3, Auth::None, group(), vip, false),
        instance(v3, Auth::None, group(), vip, true),
        instance(v3, Auth::None, peers(), vip, false),
        instance(v3, Auth::None, Audience::Group(GROUP6.into()), "fe80::100", false),
    ]
}

/// What each instance would like to hear, and what it has heard before: where the changes begin.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    // Chance finds no packet that this key has authenticated.
    let again = instances().into_iter().map(|instance| seed(instance, 0));
    instances().into_iter().map(|instance| seed(instance, 1)).chain(again).collect()
}

fn seed(instance: Expected, ahead: u32) -> Vec<u8> {
    let (v6, destination) = match instance.audience {
        Audience::Group(group) => (group.is_ipv6(), group),
        Audience::Peers(_) => (false, "192.0.2.2".parse().expect("an address")),
    };
    let source: IpAddr = if v6 { SOURCE6.into() } else { "192.0.2.1".parse().expect("an address") };
    let auth = match instance.auth {
        Auth::Ah { key, sequence } => Auth::Ah { key, sequence: sequence + ahead },
        other @ (Auth::None | Auth::Pass(_)) => other,
    };
    let advert = Advert {
        version: instance.version,
        vrid: instance.vrid,
        priority: 100,
        interval_ms: instance.interval_ms,
        addresses: instance.addresses.into_iter().collect(),
        auth,
    };
    let checksum_as_v2 = instance.checksum_as_v2;
    let envelope = Envelope { source, destination, ttl: 255, id: 1, checksum_as_v2 };
    let bytes = encode(&advert, &envelope).expect("it has a form");
    [vec![if v6 { 6 } else { 4 }, 255], bytes].concat()
}

/// Changes a packet in a few places; now and then puts lengths and checksums right again, so
/// that what lies behind those checks is reached.
pub(crate) fn mutate(chance: &mut Chance, input: &mut Vec<u8>) {
    const TELLING: [u8; 12] = [0, 1, 2, 3, 4, 6, 0x21, 0x31, 51, 112, 254, 255];
    for _ in 0..=chance.below(4) {
        let at = chance.below(input.len());
        match chance.below(8) {
            0 | 1 => flip(input, at, 1 << chance.below(8)),
            2 => set(input, at, TELLING[chance.below(TELLING.len())]),
            3 => set(input, at, chance.next() as u8),
            4 => input.truncate(at),
            5 => input.extend((0..chance.below(40)).map(|_| chance.next() as u8)),
            // The length of keepalived's trailer, with its first byte.
            6 => input.extend((0..28).map(|nth| u8::from(nth == 0))),
            _ => {
                let piece: Vec<u8> =
                    input.iter().skip(at).take(chance.below(24)).copied().collect();
                let to = chance.below(input.len());
                input.splice(to..to, piece);
            }
        }
    }
    if chance.below(3) > 0 {
        mend(input);
    }
}

fn flip(input: &mut [u8], at: usize, bit: u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte ^= bit;
    }
}

fn set(input: &mut [u8], at: usize, value: u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte = value;
    }
}

/// Makes the total length and a checksum without a pseudo-header right.
fn mend(input: &mut [u8]) {
    let total = input.len().saturating_sub(2) as u16;
    let start = match input {
        [6, ..] => 2,
        [_, _, _, _, high, low, ..] => {
            [*high, *low] = total.to_be_bytes();
            let options = usize::from(input[2] & 0xf) * 4;
            let header = if input.get(11) == Some(&51) { 24 } else { 0 };
            2 + options + header
        }
        _ => return,
    };
    if input.len() < start + 8 {
        return;
    }
    input[start + 6..start + 8].fill(0);
    let words = input[start..].chunks(2);
    let mut sum: u32 =
        words.map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    input[start + 6..start + 8].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

/// What becomes of one packet: for each instance a reason, or `None` where it counts.
///
/// # Panics
/// Where reading and judging contradict each other.
pub(crate) fn outcomes(input: &[u8]) -> BTreeSet<Option<Reason>> {
    let packet = match received(input) {
        Ok(packet) => packet,
        Err(malformed) => return [Some(malformed.into())].into(),
    };
    let one = |instance: &Expected| match judge(instance, &packet) {
        Heard::Dropped(reason) => Some(reason),
        Heard::Advert { advert, source, note } => {
            assert_eq!(source, packet.source());
            assert_eq!((advert.version, advert.vrid), (instance.version, instance.vrid));
            let reading = Reading { key: Some(SECRET), checksum_as_v2: instance.checksum_as_v2 };
            let read = decode(&packet, reading).expect("what counts can be read");
            assert_eq!((read.priority, &read.addresses), (advert.priority, &advert.addresses));
            note
        }
    };
    instances().iter().map(one).collect()
}
