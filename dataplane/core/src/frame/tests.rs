//! Golden bytes, and that what is written is what is read.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

const MAC: Mac = Mac([0x02, 0, 0, 0, 0, 0x0a]);

#[test]
fn a_gratuitous_arp_is_these_bytes() {
    let golden = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0, 0x0a, 0x08, 0x06, // Ethernet
        0x00, 0x01, 0x08, 0x00, 6, 4, 0, 1, // a request, IPv4 over Ethernet
        0x02, 0, 0, 0, 0, 0x0a, 192, 0, 2, 1, // sender
        0, 0, 0, 0, 0, 0, 192, 0, 2, 1, // target
    ];
    assert_eq!(announcement("192.0.2.1".parse().unwrap(), MAC), golden);
}

#[test]
fn an_unsolicited_advertisement_is_these_bytes() {
    let golden = [
        0x33, 0x33, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 0x0a, 0x86, 0xdd, // Ethernet
        0x60, 0, 0, 0, 0, 32, 58, 255, // IPv6
        0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // from the VIP
        0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // to all nodes
        136, 0, 0x5a, 0x92, 0x20, 0, 0, 0, // advertisement, override
        0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // target
        2, 1, 0x02, 0, 0, 0, 0, 0x0a, // its link-layer address
    ];
    assert_eq!(announcement("fd00::1".parse().unwrap(), MAC), golden);
}

#[test]
fn a_solicitation_goes_to_the_targets_group() {
    let target: Ipv6Addr = "fd00::12:3456".parse().unwrap();
    let asked = Solicitation { source: "fd00::9".parse().unwrap(), source_mac: MAC, target };
    let frame = asked.frame();
    assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
    assert_eq!(Nd::parse(&frame), Some(Nd::Solicitation(asked)));
}

#[test]
fn a_damaged_advertisement_is_not_read() {
    let frame = announcement("fd00::1".parse().unwrap(), MAC);
    for at in 14..frame.len() {
        let mut damaged = frame.clone();
        damaged[at] ^= 0x10;
        // The flow label and the rest of the traffic class are no one's business here.
        assert_eq!(Nd::parse(&damaged).is_some(), (15..18).contains(&at), "byte {at}");
    }
}

fn mac() -> impl Strategy<Value = Mac> {
    any::<[u8; 6]>().prop_map(Mac)
}

fn arp() -> impl Strategy<Value = Arp> {
    (any::<bool>(), mac(), any::<Ipv4Addr>(), mac(), any::<Ipv4Addr>()).prop_map(
        |(reply, sender_mac, sender, target_mac, target)| Arp {
            operation: if reply { ArpOperation::Reply } else { ArpOperation::Request },
            sender_mac,
            sender,
            target_mac,
            target,
        },
    )
}

fn advertisement() -> impl Strategy<Value = Advertisement> {
    let addresses = (any::<Ipv6Addr>(), any::<Ipv6Addr>(), any::<Ipv6Addr>());
    (addresses, mac(), mac(), any::<[bool; 3]>()).prop_map(
        |((source, destination, target), destination_mac, mac, [router, solicited, r#override])| {
            Advertisement {
                source,
                destination,
                destination_mac,
                target,
                mac,
                router,
                solicited,
                r#override,
            }
        },
    )
}

fn tags() -> impl Strategy<Value = Vec<Tag>> {
    let tag = (any::<bool>(), any::<u16>()).prop_map(|(service, control)| Tag { service, control });
    prop::collection::vec(tag, 0..4)
}

fn tagged(frame: &[u8], tags: Vec<Tag>) -> Vec<u8> {
    let (header, payload) = Ethernet::parse(frame).unwrap();
    Ethernet { tags, ..header }.frame(payload)
}

proptest! {
    #[test]
    fn arp_survives_the_wire(arp in arp(), tags in tags()) {
        prop_assert_eq!(Arp::parse(&tagged(&arp.frame(), tags)), Some(arp));
    }

    #[test]
    fn advertisements_survive_the_wire(na in advertisement(), tags in tags()) {
        prop_assert_eq!(Nd::parse(&tagged(&na.frame(), tags)), Some(Nd::Advertisement(na)));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
        let _ = Arp::parse(&bytes);
        let _ = Nd::parse(&bytes);
    }

    #[test]
    fn no_cut_makes_a_decoder_panic(na in advertisement(), arp in arp(), len in 0usize..86) {
        let _ = Nd::parse(&na.frame()[..len]);
        let _ = Arp::parse(&arp.frame()[..len.min(42)]);
    }
}
