//! The codec, against itself, against noise, and against bytes that the header gives.

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use crate::attribute::Writer;
use crate::message;
use crate::*;

fn any_id() -> impl Strategy<Value = ServiceId> {
    let protocol = prop::sample::select(&[Protocol::Tcp, Protocol::Udp, Protocol::Sctp][..]);
    let family = prop::sample::select(&[Family::V4, Family::V6][..]);
    prop_oneof![
        (protocol, any::<IpAddr>(), any::<u16>())
            .prop_map(|(protocol, address, port)| ServiceId::Address { protocol, address, port }),
        (1..u32::MAX, family).prop_map(|(mark, family)| ServiceId::Fwmark { mark, family }),
    ]
}

fn any_service() -> impl Strategy<Value = Service> {
    let flags = any::<[bool; 4]>().prop_map(|[one_packet, sched_1, sched_2, sched_3]| Flags {
        one_packet,
        sched_1,
        sched_2,
        sched_3,
    });
    let engine = prop::option::of("[a-z]{1,15}");
    let persistence = prop::option::of((any::<u32>(), 1..=32u8, engine));
    (any_id(), "[a-z]{1,15}", flags, persistence).prop_map(|(id, scheduler, flags, sticky)| {
        let persistence =
            sticky.map(|(timeout, prefix, engine)| Persistence { timeout, prefix, engine });
        Service { id, scheduler, flags, persistence }
    })
}

fn any_destination() -> impl Strategy<Value = Destination> {
    let encapsulation = prop_oneof![
        Just(Encapsulation::Ipip),
        any::<u16>().prop_map(Encapsulation::Gue),
        Just(Encapsulation::Gre),
    ];
    let checksum = prop::sample::select(&[Checksum::None, Checksum::Full, Checksum::Remote][..]);
    let forward = prop_oneof![
        Just(Forward::Masquerade),
        Just(Forward::Direct),
        (encapsulation, checksum).prop_map(|(how, sum)| Forward::Tunnel(how, sum)),
    ];
    (any::<(IpAddr, u16)>(), forward, any::<[u32; 3]>()).prop_map(
        |(address, forward, [weight, upper, lower])| Destination {
            address: SocketAddr::from(address),
            forward,
            weight,
            upper,
            lower,
        },
    )
}

proptest! {
    #[test]
    fn a_service_that_is_written_is_read_back(service in any_service()) {
        let mut to = Writer::default();
        service.write(&mut to);
        let read = ServiceStatus::read(&to.bytes).expect("what was written").expect("known");
        prop_assert_eq!(&read.service, &service);
        prop_assert_eq!(service.id.to_string().parse::<ServiceId>().ok(), Some(service.id));
    }

    #[test]
    fn a_destination_that_is_written_is_read_back(one in any_destination()) {
        let mut to = Writer::default();
        one.write(&mut to);
        // Its own family counts, not its service's.
        let read = DestinationStatus::read(&to.bytes, Family::V4).expect("what was written");
        let read = read.expect("known");
        prop_assert_eq!(read.destination, one);
    }

    #[test]
    fn noise_is_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        for message in message::read(&bytes) {
            let _ = message;
        }
        let _ = ServiceStatus::read(&bytes);
        let _ = DestinationStatus::read(&bytes, Family::V6);
        let _ = SyncDaemon::read(&bytes);
        let _ = Stats::read(&bytes);
    }

    /// Also with what a newer kernel may add, and cut anywhere.
    #[test]
    fn what_is_unknown_is_skipped(
        service in any_service(),
        kind in 100..0x3fffu16,
        value in prop::collection::vec(any::<u8>(), 0..40),
        cut in 0..64usize,
    ) {
        let mut to = Writer::default();
        to.bytes(kind, &value);
        service.write(&mut to);
        to.bytes(kind, &value);
        let read = ServiceStatus::read(&to.bytes).expect("the rest").expect("known");
        prop_assert_eq!(read.service, service);
        let shorter = to.bytes.len().saturating_sub(cut);
        let _ = ServiceStatus::read(&to.bytes[..shorter]);
    }
}

/// `linux/ip_vs.h` and `linux/netlink.h`, by hand, on a little-endian machine.
#[test]
#[cfg(target_endian = "little")]
fn a_service_is_the_bytes_of_the_header() {
    let id: ServiceId = "-t 10.0.0.1:80".parse().expect("a service");
    let persistence = Some(Persistence { timeout: 50, prefix: 24, engine: None });
    let flags = Flags { sched_2: true, ..Flags::default() };
    let service = Service { persistence, flags, ..Service::new(id, "sh") };
    let (command, attributes) = Request::AddService(service).write();
    assert_eq!(command, 1);
    #[rustfmt::skip]
    let expected: Vec<u8> = [
        &[0x5c, 0, 1, 0x80][..],                              // nested, IPVS_CMD_ATTR_SERVICE
        &[6, 0, 1, 0, 2, 0, 0, 0],                            // AF: AF_INET
        &[6, 0, 2, 0, 6, 0, 0, 0],                            // PROTOCOL: TCP
        &[20, 0, 3, 0, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[6, 0, 4, 0, 0, 80, 0, 0],                           // PORT, in the order of the wire
        &[7, 0, 6, 0, b's', b'h', 0, 0],                      // SCHED_NAME
        &[12, 0, 7, 0, 0x11, 0, 0, 0, 255, 255, 255, 255],    // FLAGS: persistent, flag 2
        &[8, 0, 8, 0, 50, 0, 0, 0],                           // TIMEOUT
        &[8, 0, 9, 0, 255, 255, 255, 0],                      // NETMASK, in the order of the wire
        &[5, 0, 11, 0, 0, 0, 0, 0],                           // PE_NAME: none
    ]
    .concat();
    assert_eq!(attributes.bytes, expected);
}

#[test]
#[cfg(target_endian = "little")]
fn a_message_is_the_bytes_of_the_header() {
    let mut bytes = Vec::new();
    let (command, attributes) = Request::Flush.write();
    message::write(&mut bytes, 0x1c, command, 0, 7, &attributes);
    message::acknowledge(&mut bytes, 0);
    let expected = [20, 0, 0, 0, 0x1c, 0, 5, 0, 7, 0, 0, 0, 0, 0, 0, 0, 17, 1, 0, 0];
    assert_eq!(bytes, expected);
}

#[test]
fn outcomes_are_told_apart() {
    let mut bytes = Vec::new();
    let mut message = |kind: u16, body: &[u8]| {
        let length = u32::try_from(16 + body.len()).expect("short");
        bytes.extend(length.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
    };
    message(2, &(-17_i32).to_ne_bytes());
    message(2, &0_i32.to_ne_bytes());
    message(3, &0_i32.to_ne_bytes());
    message(3, &(-3_i32).to_ne_bytes());
    message(0x1c, &[1, 1, 0, 0, 9]);
    let said: Vec<String> =
        message::read(&bytes).map(|one| format!("{:?}", one.expect("a message").said)).collect();
    assert_eq!(said, ["Outcome(17)", "Outcome(0)", "Done", "Outcome(3)", "Data([9])"]);
}

#[test]
fn a_refusal_says_what_was_asked_and_what_to_do() {
    let id: ServiceId = "-t [fd00::1]:80".parse().expect("a service");
    let request = Request::AddService(Service::new(id, "nonesuch"));
    let refusal = Refusal::new(0, &request, std::io::Error::from_raw_os_error(2));
    assert_eq!(
        refusal.to_string(),
        "ipvsadm -A -t [fd00::1]:80 -s nonesuch: No such file or directory (os error 2): this \
         kernel has no such scheduler or persistence engine: load its module, ip_vs_NAME"
    );
}

/// Another's service may be of a kind that came after this was written.
#[test]
fn a_kind_that_is_unknown_spoils_no_list() {
    let service = |family: u16, protocol: u16| {
        let mut to = Writer::default();
        to.u16(1, family);
        to.u16(2, protocol);
        to.bytes(3, &[0; 16]);
        ServiceStatus::read(&to.bytes).expect("no error")
    };
    assert!(service(2, 6).is_some());
    assert_eq!((service(2, 255), service(99, 6)), (None, None));

    let destination = |family: u16, method: u32, tunnel: u8| {
        let mut to = Writer::default();
        to.bytes(1, &[0; 16]);
        to.u32(3, method);
        to.u16(11, family);
        to.u8(13, tunnel);
        let read = DestinationStatus::read(&to.bytes, Family::V4).expect("no error");
        read.map(|one| one.destination.forward)
    };
    assert_eq!(destination(2, 3, 0), Some(Forward::Direct));
    assert_eq!(destination(2, 7, 0), Some(Forward::Other { method: 7, tunnel: 0 }));
    assert_eq!(destination(2, 2, 9), Some(Forward::Other { method: 2, tunnel: 9 }));
    assert_eq!(destination(99, 3, 0), None);
}
