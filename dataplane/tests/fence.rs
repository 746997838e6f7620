//! The fence on the real kernel: what passes, what does not, and until when.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail it too")]

mod bed;

use std::net::IpAddr;
use std::process::{Child, Command};
use std::time::Duration;

use bed::{Bed, CLIENT_IP, CLIENT_IP6, DIRECTOR_IP, GROUP, VIP, VIP6, ahead};
use leasehold_dataplane::fence::{Fence, Gate, boot_now};
use leasehold_dataplane::frame::{Arp, Ethernet, Mac, Tag, announcement};
use leasehold_model::{BootNanos, GroupId};

const SOON: Duration = Duration::from_millis(300);
/// Long enough for an answer over a veth on a busy machine to have come.
const PATIENCE: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(5);
const BOTH: [IpAddr; 2] = [IpAddr::V4(VIP), IpAddr::V6(VIP6)];

/// Asks until `deadline` is past, and then fails if an answer still comes.
fn silent_after(client: &bed::Client, vip: IpAddr, deadline: BootNanos) {
    while boot_now() < deadline {
        client.asks(vip, Duration::from_millis(5));
    }
    // An answer that left before the deadline may still be read; it is let by first.
    client.hears(Duration::from_millis(20), |_| false);
    assert!(!client.asks(vip, PATIENCE), "{vip} answers after its deadline");
}

#[test]
fn a_bound_vip_is_silent_until_it_is_opened_and_after_its_deadline() {
    let bed = Bed::new();
    let fence = bed.fence();
    let client = bed.client();
    let mut gate = fence.gate().unwrap();
    for vip in BOTH {
        bed.bind(vip);
        assert!(!client.asks(vip, PATIENCE), "{vip} answers and was never opened");
        let deadline = ahead(SOON);
        gate.open_until(GROUP, deadline).unwrap();
        assert!(client.reaches(vip), "{vip} is open and does not answer");
        silent_after(&client, vip, deadline);
        gate.open_until(GROUP, ahead(LONG)).unwrap();
        assert!(client.reaches(vip), "{vip} was opened again and does not answer");
        gate.close(GROUP).unwrap();
        assert!(!client.asks(vip, PATIENCE), "{vip} answers though it was closed");
    }
    let drops = gate.drops().unwrap();
    assert!(drops.ingress.arp >= 3 && drops.ingress.neighbour_discovery >= 3, "{drops:?}");
}

/// Not a test of its own: the process that `a_killed_process_leaves_the_deadline` kills.
#[test]
fn holder_process() {
    let Ok(pin_dir) = std::env::var("LEASEHOLD_TEST_PIN_DIR") else { return };
    let mut fence = Fence::open(pin_dir.as_ref()).unwrap();
    fence.attach_all().unwrap();
    fence.set_vips(&[(VIP.into(), GROUP)].into()).unwrap();
    fence.gate().unwrap().open_until(GROUP, ahead(Duration::from_secs(1))).unwrap();
    loop {
        std::thread::park();
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_killed_process_leaves_the_deadline_and_the_next_one_adopts() {
    let bed = Bed::new();
    bed.bind(VIP.into());
    let client = bed.client();
    let holder = Command::new("nsenter")
        .arg(format!("--net=/run/netns/{}", bed.director))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "holder_process"])
        .env("LEASEHOLD_TEST_PIN_DIR", &bed.pin_dir)
        .spawn();
    let holder = Killed(holder.unwrap());
    let gate = loop {
        match Gate::adopt(&bed.pin_dir) {
            Ok(gate) if gate.deadline(GROUP).unwrap().is_some() => break gate,
            Ok(_) | Err(_) => std::thread::yield_now(),
        }
    };
    let deadline = gate.deadline(GROUP).unwrap().unwrap();
    // SIGKILL.
    drop(holder);
    assert!(client.asks(VIP.into(), PATIENCE), "the fence closed with its process");

    let pin_dir = bed.pin_dir.clone();
    let (mut next, seen_to, unguarded) = bed.on_director(move || {
        let mut fence = Fence::open(&pin_dir).unwrap();
        let unguarded = fence.unguarded().unwrap();
        (fence.attach_all().map(|seen_to| (fence, seen_to, unguarded))).unwrap()
    });
    assert_eq!((seen_to, unguarded), (vec![], vec![]), "what was attached is adopted");
    assert_eq!(next.gate().unwrap().deadline(GROUP).unwrap(), Some(deadline));
    assert_eq!(next.gate().unwrap().vips().unwrap(), [(VIP.into(), GROUP)].into());
    silent_after(&client, VIP.into(), deadline);

    next.set_vips(&[(VIP.into(), GROUP)].into()).unwrap();
    next.gate().unwrap().open_until(GROUP, ahead(LONG)).unwrap();
    assert!(client.reaches(VIP.into()));
}

#[test]
fn a_deadline_that_is_written_late_opens_nothing() {
    let bed = Bed::new();
    let fence = bed.fence();
    bed.bind(VIP.into());
    let client = bed.client();
    let mut gate = fence.gate().unwrap();
    let computed = ahead(Duration::from_millis(50));
    while boot_now() < computed {
        std::thread::yield_now();
    }
    gate.open_until(GROUP, computed).unwrap();
    assert!(!client.asks(VIP.into(), PATIENCE));
}

/// An Ethernet frame with an IPv4 packet of protocol 253 (RFC 3692: for experiments).
fn ipv4(client: &bed::Client, to: std::net::Ipv4Addr, fragment: u16) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 28, 0, 1];
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, 253, 0, 0]);
    packet.extend(CLIENT_IP.octets());
    packet.extend(to.octets());
    packet.extend([0; 8]);
    Ethernet::new(Mac::BROADCAST, client.mac, 0x0800).frame(&packet)
}

#[test]
fn what_goes_to_a_closed_vip_is_dropped_in_every_form() {
    let bed = Bed::new();
    let fence = bed.fence();
    let client = bed.client();
    let dropped = || fence.gate().unwrap().drops().unwrap().ingress;

    // ARP, plain and under one and two VLAN tags.
    let question = client.arp_question(VIP);
    let (header, payload) = Ethernet::parse(&question).unwrap();
    let service = Tag { service: true, control: 5 };
    for tags in [vec![], vec![Tag::vlan(5)], vec![service, Tag::vlan(6)]] {
        client.send(&Ethernet { tags, ..header.clone() }.frame(payload));
    }
    assert_eq!(dropped().arp, 3);

    // IPv4, whole and as a fragment, and tagged.
    for fragment in [0, 0x2000, 0x0010] {
        client.send(&ipv4(&client, VIP, fragment));
    }
    let whole = ipv4(&client, VIP, 0);
    let (header, payload) = Ethernet::parse(&whole).unwrap();
    client.send(&Ethernet { tags: vec![Tag::vlan(9)], ..header }.frame(payload));
    assert_eq!(dropped().ipv4, 4);

    // A neighbour solicitation behind hop-by-hop options, destination options and in a first
    // fragment; the fence looks through all of them.
    let question = client.nd_question(VIP6);
    let (header, packet) = Ethernet::parse(&question).unwrap();
    let (ip, message) = packet.split_at(40);
    for extension in [0u8, 60, 44] {
        let mut packet = ip.to_vec();
        packet[6] = extension;
        packet[5] += 8;
        packet.extend([58, 0, 0, if extension == 44 { 1 } else { 0 }, 0, 0, 0, 0]);
        packet.extend(message);
        client.send(&header.frame(&packet));
    }
    assert_eq!(dropped().neighbour_discovery, 3);

    // IPv6 to the VIP itself.
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, 59, 64];
    packet.extend(CLIENT_IP6.octets());
    packet.extend(VIP6.octets());
    client.send(&Ethernet::new(Mac::BROADCAST, client.mac, 0x86dd).frame(&packet));
    assert_eq!(dropped().ipv6, 1);
}

#[test]
fn what_is_not_a_closed_vips_passes() {
    let bed = Bed::new();
    let fence = bed.fence();
    let client = bed.client();
    // The director's own addresses.
    for own in [DIRECTOR_IP.into(), "fd77::1".parse().unwrap()] {
        assert!(client.reaches(own), "{own}");
    }
    client.send(&ipv4(&client, DIRECTOR_IP, 0));
    // What the VIP's holder, elsewhere, says: the director must hear it.
    client.send(&announcement(VIP.into(), client.mac));
    client.send(&announcement(VIP6.into(), client.mac));
    assert_eq!(fence.gate().unwrap().drops().unwrap(), Default::default());
}

#[test]
fn a_director_that_does_not_hold_the_vip_is_a_client_of_it() {
    let bed = Bed::new();
    let fence = bed.fence();
    // The holder is the other end of the wire.
    bed::ip(&format!("-n {} addr add {VIP}/24 dev eth0", bed.client));
    bed::ip(&format!("-n {} addr add {VIP6}/64 dev eth0 nodad", bed.client));
    for vip in BOTH {
        let ping = format!("--net=/run/netns/{} ping -c 1 -W 5 {vip}", bed.director);
        bed::run("nsenter", &ping);
    }
    assert_eq!(fence.gate().unwrap().drops().unwrap(), Default::default());
}

#[test]
fn nothing_leaves_in_a_closed_vips_name() {
    let bed = Bed::new();
    let fence = bed.fence();
    let client = bed.client();
    let director = bed::Client::new(&bed.director, "eth0");
    let reply = Arp::request(VIP, director.mac, CLIENT_IP);
    let frame = reply.frame();
    let (header, payload) = Ethernet::parse(&frame).unwrap();
    let with_tags = |tags| Ethernet { tags, ..header.clone() }.frame(payload);
    for frame in [
        announcement(VIP.into(), director.mac),
        with_tags(vec![Tag::vlan(5)]),
        with_tags(vec![Tag::vlan(5), Tag::vlan(6)]),
        announcement(VIP6.into(), director.mac),
    ] {
        assert!(!director.offer(&frame), "{frame:x?}");
    }

    let heard = client.hears(PATIENCE, |frame| {
        Ethernet::parse(frame).is_some_and(|(header, _)| header.source == director.mac)
            && (client.is_claim(frame, VIP.into()) || client.is_claim(frame, VIP6.into()))
    });
    assert_eq!(heard, None);
    let egress = fence.gate().unwrap().drops().unwrap().egress;
    assert_eq!((egress.arp, egress.ipv6 + egress.neighbour_discovery), (3, 1));

    fence.gate().unwrap().open_until(GROUP, ahead(LONG)).unwrap();
    director.send(&announcement(VIP.into(), director.mac));
    director.send(&announcement(VIP6.into(), director.mac));
    for vip in BOTH {
        assert!(client.hears(LONG, |frame| client.is_claim(frame, vip)).is_some(), "{vip}");
    }
}

#[test]
fn vips_are_set_by_difference_and_follow_their_group() {
    let bed = Bed::new();
    let mut fence = bed.fence();
    let mut gate = fence.gate().unwrap();
    let other: IpAddr = "10.77.0.101".parse().unwrap();
    bed.bind(VIP.into());
    bed.bind(other);
    let client = bed.client();
    assert!(client.reaches(other), "a VIP that the fence does not know is not fenced");

    let moved = GroupId(8);
    fence.set_vips(&[(VIP.into(), moved), (other, GROUP)].into()).unwrap();
    assert_eq!(gate.vips().unwrap(), [(VIP.into(), moved), (other, GROUP)].into());
    gate.open_until(GROUP, ahead(LONG)).unwrap();
    assert!(client.reaches(other));
    assert!(!client.asks(VIP.into(), PATIENCE), "its new group is not open");
    gate.open_until(moved, ahead(LONG)).unwrap();
    assert!(client.reaches(VIP.into()));

    gate.close_all().unwrap();
    assert_eq!((gate.deadline(GROUP).unwrap(), gate.deadline(moved).unwrap()), (None, None));
    for vip in [VIP.into(), other] {
        assert!(!client.asks(vip, PATIENCE));
    }
    let vips: std::collections::BTreeMap<IpAddr, GroupId> = (0..20_000u32)
        .map(|number| (IpAddr::from((0x0b00_0000 + number).to_be_bytes()), GroupId(number)))
        .collect();
    fence.set_vips(&vips).unwrap();
    assert_eq!(gate.vips().unwrap(), vips);
    for number in 0..20_000 {
        gate.open_until(GroupId(number), BootNanos(1)).unwrap();
    }
}
