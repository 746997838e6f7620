//! One virtual router: what it says when, and what it makes of others.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use leasehold_model::{BootNanos, ForeignMaster};

use super::super::router::SOURCES;
use super::super::*;

const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100));
const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const LOW: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 0);
const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);

fn settings(policy: ForeignMaster) -> Settings {
    Settings {
        expected: Expected {
            version: VrrpVersion::V2,
            vrid: 51,
            auth: Auth::None,
            interval_ms: 1000,
            addresses: [VIP].into(),
            audience: Audience::Group(GROUP4.into()),
            checksum_as_v2: false,
        },
        priority: 100,
        source: Some(OWN.into()),
        policy,
    }
}

fn at(ms: u64) -> BootNanos {
    BootNanos::default().after(Duration::from_millis(100_000 + ms))
}

fn router(policy: ForeignMaster) -> Router {
    Router::new(settings(policy), at(0))
}

fn advert(source: Ipv4Addr, priority: u8) -> Received {
    let advert = Advert {
        version: VrrpVersion::V2,
        vrid: 51,
        priority,
        interval_ms: 1000,
        addresses: vec![VIP],
        auth: Auth::None,
    };
    let (source, destination) = (source.into(), GROUP4.into());
    let envelope = Envelope { source, destination, ttl: TTL, id: 7, checksum_as_v2: false };
    Received::ipv4(encode(&advert, &envelope).expect("it has a form")).expect("an IP packet")
}

fn commands(router: &mut Router) -> Vec<Command> {
    std::iter::from_fn(|| router.poll_command()).collect()
}

/// The instants, in milliseconds, at which it speaks until `end`.
fn beats(router: &mut Router, end: u64) -> Vec<u128> {
    let mut beats = Vec::new();
    while let Some(due) = router.poll_timeout().filter(|due| *due <= at(end)) {
        router.handle_timeout(due);
        let spoke = commands(router).iter().any(|one| matches!(one, Command::Advertise(_)));
        beats.extend(spoke.then(|| due.since(at(0)).as_millis()));
    }
    beats
}

#[test]
fn it_speaks_while_its_lease_is_open_and_says_when_it_stops() {
    let mut one = router(ForeignMaster::Warn);
    one.handle_standing(Standing::Granted, at(0));
    assert_eq!(commands(&mut one), [], "a grant alone says nothing");
    one.handle_standing(Standing::Open, at(5));
    assert_eq!(commands(&mut one), [Command::Advertise(100)]);
    assert_eq!(beats(&mut one, 3500), [1005, 2005, 3005]);
    one.handle_standing(Standing::Nobody, at(3600));
    assert_eq!(commands(&mut one), [Command::Advertise(0)]);
    assert_eq!(beats(&mut one, 60_000), [0; 0]);
    one.handle_standing(Standing::Another, at(3700));
    assert_eq!(commands(&mut one), [], "once");
}

#[test]
fn a_lease_that_runs_out_is_a_stop_too() {
    let mut one = router(ForeignMaster::Warn);
    one.handle_standing(Standing::Open, at(0));
    commands(&mut one);
    one.handle_standing(Standing::Granted, at(10));
    assert_eq!(commands(&mut one), [Command::Advertise(0)]);
}

#[test]
fn a_late_wake_up_makes_no_burst() {
    let mut one = router(ForeignMaster::Warn);
    one.handle_standing(Standing::Open, at(0));
    commands(&mut one);
    one.handle_timeout(at(5300));
    assert_eq!(commands(&mut one), [Command::Advertise(100)]);
    assert_eq!(beats(&mut one, 7000), [6300]);
}

#[test]
fn a_lower_master_is_answered_and_the_neighbours_told_again() {
    let mut one = router(ForeignMaster::Yield);
    one.handle_standing(Standing::Open, at(0));
    commands(&mut one);
    one.handle_packet(&advert(OTHER, 99), at(400));
    assert_eq!(commands(&mut one), [Command::Advertise(100), Command::Announce]);
    one.handle_packet(&advert(LOW, 100), at(500));
    assert_eq!(commands(&mut one), [], "a flood is not answered packet by packet");
    one.handle_packet(&advert(LOW, 100), at(900));
    assert_eq!(commands(&mut one)[1], Command::Announce, "of equals, the lower address is below");
}

#[test]
fn it_yields_to_a_higher_master_only_where_it_is_told_to() {
    for (policy, yields) in [(ForeignMaster::Warn, false), (ForeignMaster::Yield, true)] {
        let mut one = router(policy);
        one.handle_standing(Standing::Open, at(0));
        commands(&mut one);
        one.handle_packet(&advert(OTHER, 100), at(400));
        assert_eq!(commands(&mut one).contains(&Command::Yield), yields, "{policy:?}");
        assert_eq!(one.foreign_master(at(400)).map(|it| it.priority), Some(100));
    }
}

#[test]
fn a_master_counts_until_it_is_down() {
    let mut one = router(ForeignMaster::Yield);
    one.handle_standing(Standing::Another, at(0));
    one.handle_standing(Standing::Nobody, at(10));
    one.handle_packet(&advert(OTHER, 150), at(1000));
    // Three adverts, and (256 - 100) / 256 seconds.
    assert!(one.foreign_master(at(1000 + 3609)).is_some());
    assert!(one.foreign_master(at(1000 + 3610)).is_none());
    one.handle_timeout(at(1000 + 3610));
    assert_eq!(one.poll_timeout(), None);
}

#[test]
fn a_master_that_stops_is_followed_after_the_skew() {
    let mut one = router(ForeignMaster::Yield);
    one.handle_standing(Standing::Another, at(0));
    one.handle_standing(Standing::Nobody, at(10));
    one.handle_packet(&advert(OTHER, 150), at(1000));
    one.handle_packet(&advert(OTHER, 0), at(1500));
    assert!(one.foreign_master(at(1500 + 609)).is_some());
    assert!(one.foreign_master(at(1500 + 610)).is_none());
}

#[test]
fn without_a_leader_nobody_new_is_foreign_and_who_was_remains_so() {
    let mut one = router(ForeignMaster::Yield);
    one.handle_standing(Standing::Another, at(0));
    one.handle_standing(Standing::Nobody, at(10));
    assert!(!one.listens(at(10)));
    one.handle_packet(&advert(OTHER, 150), at(1000));
    one.handle_standing(Standing::Unknown, at(1100));
    one.handle_packet(&advert(LOW, 200), at(2000));
    one.handle_packet(&advert(OTHER, 150), at(2000));
    assert_eq!(one.foreign_master(at(5000)).map(|it| it.priority), Some(150));
    one.handle_standing(Standing::Nobody, at(5000));
    assert!(one.listens(at(5000)), "what it missed it has to hear first");
}

#[test]
fn a_crowd_of_sources_is_not_remembered() {
    let mut one = router(ForeignMaster::Warn);
    one.handle_standing(Standing::Nobody, at(0));
    for last in 1..=255 {
        one.handle_packet(&advert(Ipv4Addr::new(192, 0, 3, last), 50), at(1));
    }
    assert_eq!(one.foreign.len(), SOURCES);
}

#[test]
fn where_it_would_yield_it_listens_first() {
    let one = router(ForeignMaster::Yield);
    assert!(one.listens(at(3609)));
    assert!(!one.listens(at(3610)));
    assert!(!router(ForeignMaster::Warn).listens(at(0)));
}

#[test]
fn a_foreign_master_hears_of_a_grant_before_traffic_passes() {
    let mut one = router(ForeignMaster::Yield);
    one.handle_standing(Standing::Nobody, at(10));
    one.handle_packet(&advert(OTHER, 50), at(5000));
    one.handle_standing(Standing::Granted, at(5100));
    assert_eq!(commands(&mut one), [Command::Advertise(100)]);
}

#[test]
fn what_the_holder_before_sent_last_is_no_foreign_master() {
    let mut one = router(ForeignMaster::Yield);
    one.handle_standing(Standing::Another, at(0));
    one.handle_packet(&advert(OTHER, 150), at(100));
    assert_eq!(one.foreign_master(at(100)), None, "its holder judges");
    one.handle_standing(Standing::Open, at(200));
    commands(&mut one);
    one.handle_packet(&advert(OTHER, 150), at(201));
    assert_eq!(commands(&mut one), []);
    one.handle_packet(&advert(OTHER, 150), at(1201));
    assert_eq!(commands(&mut one), [Command::Yield], "one that goes on is");
}

#[test]
fn what_is_dropped_is_counted_by_reason() {
    let mut one = router(ForeignMaster::Yield);
    let mut settings = settings(ForeignMaster::Yield);
    settings.expected.auth = Auth::Pass(Auth::padded("secret"));
    one.handle_settings(settings, at(0));
    one.handle_standing(Standing::Open, at(0));
    commands(&mut one);
    one.handle_packet(&advert(OTHER, 255), at(100));
    assert_eq!(commands(&mut one), []);
    assert_eq!(one.counters.dropped, [(Reason::AuthType, 1)].into());
    assert_eq!(one.foreign_master(at(100)), None);
}
