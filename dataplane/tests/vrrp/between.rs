//! What one side's sockets send, the other side's hear.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::mpsc::sync_channel;
use std::thread;

use leasehold_dataplane::vrrp::wire::{
    Advert, Auth, Envelope, GROUP4, GROUP6, Heard, Reason, VrrpVersion, encode, judge,
};
use leasehold_dataplane::vrrp::{Arrival, Receiver, Transmitter, VrrpError, source_of};
use leasehold_lab::{Host, until};
use leasehold_model::Family;
use tokio::time::timeout;

use super::bed::Client;
use super::dissect::is_advert;
use super::{Kind, PATIENCE, Wire, block_in, ip};

fn transmit(host: &Host, kinds: &[Kind]) {
    let send = || {
        let mut transmitter = Transmitter::open().expect("sockets");
        for Kind { name, advert, source, to, manner } in kinds {
            let sent = transmitter.send("eth0", *source, &[*to], advert, *manner);
            sent.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    };
    host.enter(send).expect("a thread in the host");
}

async fn heard(receiver: &Receiver, count: usize) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    while arrivals.len() < count {
        let arrival = timeout(PATIENCE, receiver.receive()).await;
        let arrival = arrival.unwrap_or_else(|_| panic!("only {arrivals:?}"));
        arrivals.push(arrival.expect("a packet"));
    }
    arrivals
}

/// Listens in `host`, runs `then`, and returns the first `count` packets.
fn hear(host: &Host, groups: &[(&str, IpAddr)], count: usize, then: impl FnOnce()) -> Vec<Arrival> {
    let (ready, listening) = sync_channel(1);
    thread::scope(|scope| {
        let hearing = scope.spawn(|| {
            block_in(host, || async move {
                let mut receiver = Receiver::open().expect("sockets");
                for (interface, group) in groups {
                    receiver.join(interface, *group).expect("joined");
                }
                ready.send(()).expect("someone waits");
                heard(&receiver, count).await
            })
        });
        listening.recv_timeout(PATIENCE).expect("it listens");
        then();
        hearing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Before it has seen the carrier, the kernel drops what is sent.
fn await_carrier(host: &Host, interface: &str) {
    let show = format!("-br link show {interface}");
    let up = || host.ip(&show).ok().filter(|line| line.contains(" UP "));
    until("a carrier", PATIENCE, up).expect("a carrier");
}

fn both_groups() -> [(&'static str, IpAddr); 2] {
    [("eth0", GROUP4.into()), ("eth0", GROUP6.into())]
}

/// The interface is named, and the packet is what was sent, to the TTL.
fn assert_same(arrival: &Arrival, kind: &Kind) {
    assert_eq!(arrival.interface, "eth0", "{}", kind.name);
    let packet = arrival.packet.as_ref().expect("sound");
    assert_eq!(packet.ttl(), kind.manner.ttl, "{}", kind.name);
    assert_eq!(packet.destination(), kind.to, "{}", kind.name);
    let (advert, source) = (kind.advert.clone(), kind.source);
    let expected = Heard::Advert { advert, source, note: None };
    assert_eq!(judge(&kind.expected(), packet), expected, "{}", kind.name);
}

#[test]
fn every_kind_is_heard_as_it_was_sent() {
    let wire = Wire::new();
    for kind in Kind::all() {
        let one = [kind.clone()];
        let arrivals = hear(&wire.two, &both_groups(), 1, || transmit(&wire.one, &one));
        assert_same(&arrivals[0], &kind);
    }
}

#[test]
fn what_is_sent_here_is_not_heard_here() {
    let wire = Wire::new();
    let ours = Kind::all();
    let group = ours.iter().filter(|kind| kind.to.is_multicast()).cloned().collect::<Vec<_>>();
    let mut marks = [
        Kind::new("mark", VrrpVersion::V3, Auth::None, GROUP4.into()),
        Kind::new("mark IPv6", VrrpVersion::V3, Auth::None, GROUP6.into()),
    ];
    (marks[0].source, marks[1].source) = (ip("10.78.0.2"), ip("fe80::2"));
    let arrivals = hear(&wire.one, &both_groups(), 2, || {
        transmit(&wire.one, &group);
        transmit(&wire.two, &marks);
    });
    let sources = |arrival: &Arrival| arrival.packet.as_ref().expect("sound").source();
    let sources: BTreeSet<_> = arrivals.iter().map(sources).collect();
    assert_eq!(sources, [ip("10.78.0.2"), ip("fe80::2")].into());
}

/// Far more than `igmp_max_memberships`, which is 20, and each packet once.
#[test]
fn more_groups_than_a_socket_may_hold() {
    let wire = Wire::new();
    let to: Vec<IpAddr> = (1..=120)
        .flat_map(|nth| [ip(&format!("239.1.2.{nth}")), ip(&format!("ff02::1:{nth}"))])
        .collect();
    let groups: Vec<_> = to.iter().map(|group| ("eth0", *group)).collect();
    let kinds: Vec<_> =
        to.iter().map(|to| Kind::new("group", VrrpVersion::V3, Auth::None, *to)).collect();
    let arrivals = hear(&wire.two, &groups, kinds.len(), || transmit(&wire.one, &kinds));
    let heard: BTreeSet<_> =
        arrivals.iter().map(|one| one.packet.as_ref().expect("sound").destination()).collect();
    assert_eq!(heard, to.into_iter().collect());
    assert_eq!(heard.len(), arrivals.len(), "one came twice");
}

#[test]
fn a_group_that_was_left_is_silent() {
    let wire = Wire::new();
    let kind = |to: IpAddr| Kind::new("group", VrrpVersion::V3, Auth::None, to);
    for (left, kept) in [("239.1.2.3", "239.1.2.4"), ("ff02::1:3", "ff02::1:4")] {
        let (left, kept) = (ip(left), ip(kept));
        let first = block_in(&wire.two, || {
            let wire = &wire;
            async move {
                let mut receiver = Receiver::open().expect("sockets");
                receiver.join("eth0", left).expect("joined");
                receiver.join("eth0", kept).expect("joined");
                receiver.join("eth0", left).expect("a second time changes nothing");
                receiver.leave("eth0", left);
                transmit(&wire.one, &[kind(left), kind(kept)]);
                heard(&receiver, 1).await
            }
        });
        assert_eq!(first[0].packet.as_ref().expect("sound").destination(), kept);
    }
}

/// Each round the interface is another one: memberships of those that went must not add up.
#[test]
fn interfaces_come_and_go() {
    let wire = Wire::new();
    let (one, two) = (&wire.one, &wire.two);
    let mut kinds = [
        Kind::new("v3", VrrpVersion::V3, Auth::None, GROUP4.into()),
        Kind::new("v3 IPv6", VrrpVersion::V3, Auth::None, GROUP6.into()),
    ];
    kinds[1].source = ip("fe80::1");
    block_in(two, || async {
        let mut receiver = Receiver::open().expect("sockets");
        for group in [GROUP4.into(), GROUP6.into()] {
            let early = receiver.join("eth1", group);
            assert!(matches!(early, Err(VrrpError::NoInterface { .. })), "{early:?}");
        }
        let absent = one.enter(|| {
            let mut transmitter = Transmitter::open().expect("sockets");
            let Kind { advert, source, to, manner, .. } = &kinds[0];
            transmitter.send("eth1", *source, &[*to], advert, *manner)
        });
        assert!(matches!(absent, Ok(Err(VrrpError::NoInterface { .. }))), "{absent:?}");
        for _ in 0..25 {
            let (here, there) = (two.namespace(), one.namespace());
            two.ip(&format!("link add eth1 type veth peer name eth1 netns {there}")).expect(here);
            for (host, last) in [(one, 1), (two, 2)] {
                host.add_address("eth1", &format!("10.80.0.{last}/24")).expect("an address");
                host.ip("link set eth1 up").expect("up");
                host.add_address("eth1", &format!("fe80::{last}/64")).expect("an address");
            }
            for host in [one, two] {
                await_carrier(host, "eth1");
            }
            let missing = receiver.refresh();
            assert!(missing.is_empty(), "{missing:?}");
            let sent = one.enter(|| {
                let mut transmitter = Transmitter::open().expect("sockets");
                for Kind { advert, source, to, manner, .. } in &kinds {
                    transmitter.send("eth1", *source, &[*to], advert, *manner).expect("sent");
                }
            });
            sent.expect("a thread in the host");
            let arrivals = heard(&receiver, 2).await;
            assert!(arrivals.iter().all(|arrival| arrival.interface == "eth1"), "{arrivals:?}");
            two.ip("link del eth1").expect("gone");
            assert_eq!(receiver.refresh().len(), 2);
        }
    });
}

/// One peer that the kernel refuses, here the broadcast address, costs the other nothing.
#[test]
fn every_peer_is_tried() {
    let wire = Wire::new();
    let kind = Kind::new("v3 unicast", VrrpVersion::V3, Auth::None, ip("10.78.0.2"));
    let arrivals = hear(&wire.two, &[], 1, || {
        let outcome = wire.one.enter(|| {
            let mut transmitter = Transmitter::open().expect("sockets");
            let to = [ip("10.78.0.255"), ip("10.78.0.2")];
            transmitter.send("eth0", kind.source, &to, &kind.advert, kind.manner)
        });
        let outcome = outcome.expect("a thread in the host");
        let refused = ip("10.78.0.255");
        assert!(
            matches!(outcome, Err(VrrpError::Send { destination, .. }) if destination == refused),
            "{outcome:?}"
        );
    });
    assert_same(&arrivals[0], &kind);
}

#[test]
fn the_source_is_no_vip() {
    let wire = Wire::new();
    wire.one.add_address("eth0", "10.78.0.100/24").expect("an address");
    wire.one.add_address("eth0", "fd78::1/64").expect("an address");
    let source = |family, exclude: &[&str]| {
        let exclude = exclude.iter().map(|vip| ip(vip)).collect();
        wire.one.enter(|| source_of("eth0", family, &exclude)).expect("a thread in the host")
    };
    assert_eq!(source(Family::Inet, &[]), Some(ip("10.78.0.1")));
    assert_eq!(source(Family::Inet, &["10.78.0.1"]), Some(ip("10.78.0.100")));
    assert_eq!(source(Family::Inet, &["10.78.0.1", "10.78.0.100"]), None);
    let six = source(Family::Inet6, &[]).expect("a link-local address");
    assert!(matches!(six, IpAddr::V6(six) if six.is_unicast_link_local()), "{six}");
    wire.one.ip("-6 addr flush dev eth0").expect("flushed");
    wire.one.add_address("eth0", "fe80::100/64").expect("an address");
    assert_eq!(source(Family::Inet6, &["fe80::100"]), None);
    assert_eq!(source(Family::Inet6, &[]), Some(ip("fe80::100")));
    let none = wire.one.enter(|| source_of("eth7", Family::Inet, &BTreeSet::new()));
    assert_eq!(none.expect("a thread in the host"), None);
}

/// Ten thousand packets of nonsense, and the adverts between them are heard as ever.
#[test]
fn nonsense_pushes_nothing_out() {
    let wire = Wire::new();
    let good = Kind::new("v3", VrrpVersion::V3, Auth::None, GROUP4.into());
    let Kind { source, to, .. } = good;
    let envelope = Envelope { source, destination: to, ttl: 255, id: 1, checksum_as_v2: false };
    let packet = encode(&good.advert, &envelope).expect("it has a form");
    let sender = Client::new(wire.one.namespace(), "eth0");
    let head =
        [&[0x01, 0, 0x5e, 0, 0, 0x12][..], &sender.mac.0, &[0x08, 0], &packet[..20]].concat();
    let mut noise: u64 = 1;
    let mut nonsense = || {
        let mut payload = [0; 12];
        for byte in &mut payload {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (noise >> 56) as u8;
        }
        // Half of it looks as if it were ours.
        if noise >> 63 == 0 {
            payload[..2].copy_from_slice(&[0x31, 51]);
        }
        [&head[..], &payload].concat()
    };
    let mut dropped: BTreeMap<Reason, u32> = BTreeMap::new();
    block_in(&wire.two, || async {
        let mut receiver = Receiver::open().expect("sockets");
        receiver.join("eth0", to).expect("joined");
        for _ in 0..40 {
            (0..250).for_each(|_| sender.send(&nonsense()));
            transmit(&wire.one, std::slice::from_ref(&good));
            for arrival in heard(&receiver, 251).await {
                match judge(&good.expected(), &arrival.packet.expect("sound")) {
                    Heard::Dropped(reason) => *dropped.entry(reason).or_default() += 1,
                    Heard::Advert { advert, .. } => assert_eq!(advert, good.advert),
                }
            }
        }
    });
    assert_eq!(dropped.values().sum::<u32>(), 10_000, "{dropped:?}");
    assert!(dropped.len() >= 4, "{dropped:?}");
}

/// Two instances with one number, each on an interface of its own.
#[test]
fn each_packet_names_its_interface() {
    let wire = Wire::new();
    let there = wire.two.namespace();
    wire.one.ip(&format!("link add eth1 type veth peer name eth1 netns {there}")).expect("a wire");
    for (host, last) in [(&wire.one, 1), (&wire.two, 2)] {
        host.add_address("eth1", &format!("10.81.0.{last}/24")).expect("an address");
        host.ip("link set eth1 up").expect("up");
    }
    for host in [&wire.one, &wire.two] {
        await_carrier(host, "eth1");
    }
    let kind = Kind::new("v3", VrrpVersion::V3, Auth::None, GROUP4.into());
    let groups = [("eth0", GROUP4.into()), ("eth1", GROUP4.into())];
    let arrivals = hear(&wire.two, &groups, 2, || {
        let send = || {
            let mut transmitter = Transmitter::open().expect("sockets");
            for (interface, priority) in [("eth1", 7), ("eth0", 1)] {
                let advert = Advert { priority, ..kind.advert.clone() };
                let sent =
                    transmitter.send(interface, kind.source, &[kind.to], &advert, kind.manner);
                sent.expect(interface);
            }
        };
        wire.one.enter(send).expect("a thread in the host");
    });
    let seen: Vec<_> = arrivals
        .iter()
        .map(|one| (one.interface.as_str(), one.packet.as_ref().expect("sound").bytes()[22]))
        .collect();
    assert_eq!(seen, [("eth1", 7), ("eth0", 1)]);
}

/// `use_vmac`: the advert carries the router's MAC address, and the machine below does not hear it.
#[test]
fn a_macvlan_sends_with_its_own_mac() {
    const MAC: &str = "00:00:5e:00:01:33";
    let wire = Wire::new();
    let vmac = format!("link add link eth0 name vrrp.51 address {MAC} type macvlan mode private");
    wire.one.ip(&vmac).expect("a macvlan");
    // It gives itself a link-local address.
    wire.one.ip("link set vrrp.51 up").expect("up");
    await_carrier(&wire.one, "vrrp.51");
    let v6 = wire.one.enter(|| source_of("vrrp.51", Family::Inet6, &BTreeSet::new()));
    let sources = [ip("10.78.0.1"), v6.expect("a thread").expect("a link-local address")];
    let witness = Client::new(wire.two.namespace(), "eth0");
    let send = || {
        let mut transmitter = Transmitter::open().expect("sockets");
        for (source, group) in sources.into_iter().zip([GROUP4.into(), GROUP6.into()]) {
            let kind = Kind::new("vmac", VrrpVersion::V3, Auth::None, group);
            let sent = transmitter.send("vrrp.51", source, &[group], &kind.advert, kind.manner);
            sent.expect("sent");
        }
    };
    let mut marks = [
        Kind::new("mark", VrrpVersion::V3, Auth::None, GROUP4.into()),
        Kind::new("mark IPv6", VrrpVersion::V3, Auth::None, GROUP6.into()),
    ];
    (marks[0].source, marks[1].source) = (ip("10.78.0.2"), ip("fe80::2"));
    let arrivals = hear(&wire.one, &both_groups(), 2, || {
        wire.one.enter(send).expect("a thread in the host");
        for _ in 0..2 {
            let frame = witness.hears(PATIENCE, is_advert).expect("an advert");
            assert_eq!(frame[6..12], [0, 0, 0x5e, 0, 1, 0x33]);
        }
        transmit(&wire.two, &marks);
    });
    let sources: BTreeSet<_> =
        arrivals.iter().map(|one| one.packet.as_ref().expect("sound").source()).collect();
    assert_eq!(sources, [ip("10.78.0.2"), ip("fe80::2")].into());
}

/// A machine may use IPsec for other things: those packets are not ours to judge.
#[test]
fn the_authentication_header_of_others_is_not_heard() {
    let wire = Wire::new();
    let auth = Auth::Ah { key: Auth::padded("secret"), sequence: 1 };
    let kind = Kind::new("v2 AH", VrrpVersion::V2, auth, GROUP4.into());
    let Kind { source, to, .. } = kind;
    let envelope = Envelope { source, destination: to, ttl: 255, id: 1, checksum_as_v2: false };
    let mut packet = encode(&kind.advert, &envelope).expect("it has a form");
    packet[20] = 17;
    let sender = Client::new(wire.one.namespace(), "eth0");
    let head = [&[0x01, 0, 0x5e, 0, 0, 0x12][..], &sender.mac.0, &[0x08, 0]].concat();
    let arrivals = hear(&wire.two, &both_groups(), 1, || {
        sender.send(&[&head[..], &packet].concat());
        transmit(&wire.one, std::slice::from_ref(&kind));
    });
    assert_same(&arrivals[0], &kind);
}
