//! keepalived's rules of tracking, one sentence each.

use std::time::Duration;

use leasehold_model::{
    BootNanos, Candidate, Check, CheckKind, FileCheck, ParamMatch, Protocol, RealServer, Script,
    Service, SyncGroup, TrackFile, TrackProcess, TrackScript, VirtualServer,
};
use proptest::prelude::*;

use super::*;

fn script() -> TrackScript {
    TrackScript::new(Script { command: "/bin/true".to_owned(), user: None, group: None })
}

fn process() -> TrackProcess {
    TrackProcess::new("haproxy")
}

fn of(weight: i16) -> Weight {
    Weight { weight: Some(weight), reverse: false }
}

fn reversed(weight: i16) -> Weight {
    Weight { weight: Some(weight), reverse: true }
}

fn one<T>(name: &str, value: T) -> BTreeMap<String, T> {
    BTreeMap::from([(name.to_owned(), value)])
}

/// One instance, VI_1, that follows these.
fn config(tracking: Tracking) -> Config {
    let mut instance = Instance::new(51, "eth0");
    instance.tracking = tracking;
    instance.priority = Some(100);
    let mut config = Config { instances: one("VI_1", instance), ..Config::default() };
    config.scripts = one("chk", script());
    config.processes = one("lb", process());
    let file = TrackFile { file: "/f".to_owned(), weight: of(1), init: None, overwrite: false };
    config.files = one("load", file);
    config
}

fn verdict(config: &Config, facts: &Facts) -> (i16, bool) {
    let fit = one("VI_1", Verdict::default());
    let verdict = judge(config, "ds1", facts, &fit).remove("VI_1").unwrap();
    (verdict.priority_delta, verdict.fault.is_some())
}

fn not_well() -> Condition {
    Condition::NotWell("exited with 1".to_owned())
}

/// What it adds, and whether it is a fault.
type Counted = (i16, bool);

/// What keepalived's `initialise_*_priorities` do: (weight, well) and (weight, not well).
const EFFECTS: [(Weight, Counted, Counted); 7] = [
    (Weight { weight: None, reverse: false }, (0, false), (0, true)),
    (Weight { weight: Some(0), reverse: false }, (0, false), (0, true)),
    (Weight { weight: Some(0), reverse: true }, (0, true), (0, false)),
    (Weight { weight: Some(20), reverse: false }, (20, false), (0, false)),
    (Weight { weight: Some(-20), reverse: false }, (0, false), (-20, false)),
    (Weight { weight: Some(20), reverse: true }, (-20, false), (0, false)),
    (Weight { weight: Some(-20), reverse: true }, (0, false), (20, false)),
];

#[test]
fn what_is_well_and_what_is_not_counts_as_in_keepalived() {
    for (weight, well, ill) in EFFECTS {
        let tracked = Tracking { scripts: one("chk", weight), ..Tracking::default() };
        let facts = |found| Facts { scripts: one("chk", found), ..Facts::default() };
        assert_eq!(verdict(&config(tracked.clone()), &facts(Condition::Well)), well, "{weight:?}");
        assert_eq!(verdict(&config(tracked), &facts(not_well())), ill, "{weight:?}");

        let tracked = Tracking { processes: one("lb", weight), ..Tracking::default() };
        let facts = |found| Facts { processes: one("lb", found), ..Facts::default() };
        assert_eq!(verdict(&config(tracked.clone()), &facts(Condition::Well)), well, "{weight:?}");
        assert_eq!(verdict(&config(tracked), &facts(not_well())), ill, "{weight:?}");

        let tracked = Tracking { interfaces: one("eth1", weight), ..Tracking::default() };
        let up = Facts { interfaces_up: ["eth1".to_owned()].into(), ..Facts::default() };
        assert_eq!(verdict(&config(tracked.clone()), &up), well, "{weight:?}");
        assert_eq!(verdict(&config(tracked), &Facts::default()), ill, "{weight:?}");
    }
}

#[test]
fn a_weight_comes_from_the_tracker_and_else_from_what_it_follows() {
    let well = Facts { scripts: one("chk", Condition::Well), ..Facts::default() };
    let mut config =
        config(Tracking { scripts: one("chk", Weight::default()), ..Tracking::default() });
    let mut with = |own: Weight, scripts: Weight| {
        config.instances.get_mut("VI_1").unwrap().tracking.scripts = one("chk", own);
        config.scripts.get_mut("chk").unwrap().weight = scripts;
        verdict(&config, &well)
    };
    assert_eq!(with(Weight::default(), of(7)), (7, false));
    assert_eq!(with(of(9), of(7)), (9, false));
    assert_eq!(with(of(9), reversed(7)), (-9, false));
    assert_eq!(with(reversed(9), of(7)), (-9, false));
}

#[test]
fn the_number_in_a_file_times_its_weight_counts() {
    for (weight, number, expected) in [
        (None, 5, (5, false)),
        (None, -5, (-5, false)),
        (Some(of(10)), 5, (50, false)),
        (Some(of(-10)), 5, (-50, false)),
        (Some(reversed(10)), 5, (-50, false)),
        (Some(of(1)), -253, (-253, false)),
        (Some(of(1)), -254, (0, true)),
        (Some(of(-2)), 127, (0, true)),
        (Some(of(2)), 200, (253, false)),
        (Some(of(254)), i64::MAX, (253, false)),
        (Some(of(254)), i64::MIN, (0, true)),
        (Some(of(0)), 0, (0, false)),
        (Some(of(0)), 1, (0, true)),
        (Some(reversed(0)), 0, (0, true)),
        (Some(reversed(0)), 1, (0, false)),
    ] {
        let own = weight.unwrap_or_default();
        let config = config(Tracking { files: one("load", own), ..Tracking::default() });
        let facts = Facts { files: one("load", number), ..Facts::default() };
        assert_eq!(verdict(&config, &facts), expected, "{weight:?} {number}");
    }
    let config = config(Tracking { files: one("load", reversed(0)), ..Tracking::default() });
    assert_eq!(verdict(&config, &Facts::default()), (0, false), "nobody has looked yet");
    let first = judge(&config, "ds1", &Facts::default(), &BTreeMap::new());
    assert!(first["VI_1"].fault.is_some(), "one that starts waits");
}

#[test]
fn before_its_first_result_a_script_adds_nothing_and_an_instance_stays_what_it_was() {
    let none = Facts::default();
    let tracked = |weight| Tracking { scripts: one("chk", weight), ..Tracking::default() };
    for weight in [20, -20] {
        assert_eq!(verdict(&config(tracked(of(weight))), &none), (0, false), "{weight}");
    }
    let config = config(tracked(of(0)));
    // One that starts waits, and goes on waiting.
    let first = judge(&config, "ds1", &none, &BTreeMap::new());
    let waits = Some("script chk has no result yet");
    assert_eq!(first["VI_1"].fault.as_deref(), waits);
    assert!(first["VI_1"].pending);
    let second = judge(&config, "ds1", &none, &first);
    assert_eq!(second["VI_1"].fault.as_deref(), waits);
    let well = Facts { scripts: one("chk", Condition::Well), ..Facts::default() };
    let third = judge(&config, "ds1", &well, &second);
    assert_eq!(third["VI_1"].fault, None);
    // One that was held when the script came stays held.
    assert_eq!(judge(&config, "ds1", &none, &third)["VI_1"].fault, None);
}

#[test]
fn with_init_fail_a_script_has_failed_before_it_has_run() {
    for (weight, expected) in [(0, (0, true)), (20, (0, false)), (-20, (-20, false))] {
        let tracked = Tracking { scripts: one("chk", of(weight)), ..Tracking::default() };
        let mut config = config(tracked);
        config.scripts.get_mut("chk").unwrap().init_fail = true;
        assert_eq!(verdict(&config, &Facts::default()), expected, "{weight}");
        let unknown = Facts { scripts: one("chk", Condition::Unknown), ..Facts::default() };
        assert_eq!(verdict(&config, &unknown), expected, "{weight}");
    }
}

#[test]
fn all_that_is_tracked_adds_up_and_every_fault_is_named() {
    let mut config = config(Tracking {
        interfaces: BTreeMap::from([("eth1".to_owned(), of(-30)), ("eth2".to_owned(), of(0))]),
        scripts: one("chk", of(20)),
        processes: one("lb", of(0)),
        files: one("load", of(2)),
    });
    let facts = Facts {
        scripts: one("chk", Condition::Well),
        processes: one("lb", Condition::NotWell("has 0 processes, not 1".to_owned())),
        files: one("load", 4),
        ..Facts::default()
    };
    let found = judge(&config, "ds1", &facts, &BTreeMap::new()).remove("VI_1").unwrap();
    assert_eq!(found.priority_delta, -30 + 20 + 8);
    let why = "tracked interface eth2 is down or missing; process lb has 0 processes, not 1";
    assert_eq!(found.fault.as_deref(), Some(why));
    assert!(!found.pending);
    // What is followed and nowhere defined is nothing.
    config.scripts.clear();
    config.processes.clear();
    config.files.clear();
    let found = judge(&config, "ds1", &facts, &BTreeMap::new()).remove("VI_1").unwrap();
    assert_eq!(found.priority_delta, -30);
    assert_eq!(found.fault.as_deref(), Some("tracked interface eth2 is down or missing"));
    assert!(followed(&config).scripts.is_empty());
}

#[test]
fn to_an_address_owner_only_faults_count() {
    let mut config = config(Tracking {
        scripts: one("chk", of(-20)),
        files: one("load", of(200)),
        ..Tracking::default()
    });
    let facts =
        Facts { scripts: one("chk", not_well()), files: one("load", -3), ..Facts::default() };
    assert_eq!(verdict(&config, &facts), (-20, true));
    let own = Candidate { priority: Some(255), ..Candidate::default() };
    config.instances.get_mut("VI_1").unwrap().directors = one("ds1", own);
    assert_eq!(verdict(&config, &facts), (0, false));
    config.instances.get_mut("VI_1").unwrap().tracking.scripts = one("chk", of(0));
    assert_eq!(verdict(&config, &facts), (0, true));
}

#[test]
fn a_sync_groups_tracking_is_that_of_each_member() {
    let mut config = config(Tracking { scripts: one("chk", of(-5)), ..Tracking::default() });
    config.instances.insert("VI_2".to_owned(), Instance::new(52, "eth1"));
    config.instances.insert("VI_3".to_owned(), Instance::new(53, "eth2"));
    let tracking = Tracking {
        scripts: one("chk", of(-9)),
        interfaces: one("eth9", of(0)),
        ..Tracking::default()
    };
    let members = vec!["VI_1".to_owned(), "VI_2".to_owned()];
    config.sync_groups = one("G", SyncGroup { members, tracking, ..SyncGroup::default() });
    let facts = Facts { scripts: one("chk", not_well()), ..Facts::default() };
    let found = judge(&config, "ds1", &facts, &BTreeMap::new());
    // The group's weight, once.
    assert_eq!(found["VI_1"].priority_delta, -9);
    assert_eq!(found["VI_2"].priority_delta, -9);
    assert!(found["VI_1"].fault.is_some() && found["VI_2"].fault.is_some());
    assert_eq!(found["VI_3"], Verdict::default());
    config.instances.get_mut("VI_1").unwrap().tracking.scripts = one("chk", Weight::default());
    config.sync_groups.get_mut("G").unwrap().tracking.interfaces.clear();
    let found = judge(&config, "ds1", &facts, &BTreeMap::new());
    assert!(found["VI_1"].fault.is_some(), "an instance's own fault stays one");
    assert_eq!(found["VI_2"], Verdict { priority_delta: -9, ..Verdict::default() });
    let followed = followed(&config);
    assert!(followed.scripts.contains_key("chk") && followed.files.is_empty());
}

/// keepalived's own counter, which runs from 0 to rise + fall - 1: from `rise` up it is well.
struct Counter {
    result: i64,
    first: bool,
    well: Option<bool>,
}

impl Counter {
    fn handle_result(&mut self, good: bool, rise: i64, fall: i64) {
        if good {
            if self.result < rise - 1 {
                self.result += 1;
            } else {
                if self.result < rise {
                    self.well = Some(true);
                }
                self.result = rise + fall - 1;
            }
        } else if self.result > rise {
            self.result -= 1;
        } else {
            if self.result == rise || self.first {
                self.well = Some(false);
            }
            self.result = 0;
        }
        self.first = false;
    }
}

proptest! {
    #[test]
    fn a_streak_counts_as_keepalived_does(
        results in prop::collection::vec(any::<bool>(), 0..60),
        rise in 1u32..5,
        fall in 1u32..5,
        init_fail in any::<bool>(),
    ) {
        let (mut streak, mut counter) = if init_fail {
            (Streak::failed(), Counter { result: 0, first: false, well: Some(false) })
        } else {
            let result = i64::from(rise) - 1;
            (Streak::default(), Counter { result, first: true, well: None })
        };
        for good in results {
            let before = streak.well();
            let turned = streak.handle_result(good, rise, fall);
            counter.handle_result(good, i64::from(rise), i64::from(fall));
            prop_assert_eq!(streak.well(), counter.well);
            prop_assert_eq!(turned, streak.well() != before);
        }
    }
}

#[test]
fn results_in_a_row_turn_it_and_others_begin_anew() {
    let mut streak = Streak::default();
    let mut after = |results: &str| {
        for one in results.chars() {
            streak.handle_result(one == '+', 3, 2);
        }
        streak.well()
    };
    assert_eq!(after(""), None);
    assert_eq!(after("+"), Some(true));
    assert_eq!(after("-+-"), Some(true));
    assert_eq!(after("-"), Some(false));
    assert_eq!(after("++-++"), Some(false));
    assert_eq!(after("+"), Some(true));
}

fn at(ms: u64) -> BootNanos {
    BootNanos(0).after(Duration::from_millis(ms))
}

#[test]
fn a_quorum_is_won_and_lost_when_the_delay_is_over() {
    let process = TrackProcess {
        quorum: 2,
        quorum_max: Some(3),
        fork_delay_ms: 100,
        terminate_delay_ms: 1000,
        ..process()
    };
    let mut quorum = Quorum::default();
    assert_eq!(quorum.well(), None);
    quorum.handle_count(1, &process, at(0));
    assert_eq!(quorum.well(), Some(false), "the first count is no change");
    quorum.handle_count(2, &process, at(10));
    assert_eq!((quorum.well(), quorum.poll_timeout()), (Some(false), Some(at(110))));
    // More of the same does not begin the delay anew.
    quorum.handle_count(3, &process, at(60));
    quorum.handle_timeout(at(109));
    assert_eq!(quorum.well(), Some(false));
    quorum.handle_timeout(at(110));
    assert_eq!((quorum.well(), quorum.poll_timeout()), (Some(true), None));
    // Too many, by a fork; back again before it counted.
    quorum.handle_count(4, &process, at(200));
    assert_eq!(quorum.poll_timeout(), Some(at(300)));
    quorum.handle_count(3, &process, at(250));
    assert_eq!((quorum.well(), quorum.poll_timeout()), (Some(true), None));
    quorum.handle_count(4, &process, at(400));
    quorum.handle_count(4, &process, at(500));
    assert_eq!(quorum.well(), Some(false));
    quorum.handle_count(3, &process, at(600));
    assert_eq!(quorum.poll_timeout(), Some(at(1600)), "one ended");
    quorum.handle_timeout(at(1600));
    assert_eq!(quorum.well(), Some(true));
    quorum.handle_count(0, &process, at(2000));
    assert_eq!((quorum.well(), quorum.poll_timeout()), (Some(true), Some(at(3000))));
    quorum.handle_timeout(at(3000));
    assert_eq!(quorum.well(), Some(false));
}

#[test]
fn a_quorum_without_delays_follows_at_once_and_a_maximum_of_0_forbids() {
    let mut quorum = Quorum::default();
    let mut after = |count, process: &TrackProcess| {
        quorum.handle_count(count, process, at(0));
        quorum.well()
    };
    assert_eq!(after(0, &process()), Some(false));
    assert_eq!(after(1, &process()), Some(true));
    assert_eq!(after(900, &process()), Some(true));
    assert_eq!(after(0, &process()), Some(false));
    let forbidden = TrackProcess { quorum_max: Some(0), ..process() };
    assert_eq!(after(0, &forbidden), Some(true));
    assert_eq!(after(1, &forbidden), Some(false));
}

#[test]
fn numbers_are_read_as_strtol_reads_them() {
    for (text, expected) in [
        ("", Some(0)),
        ("12\n", Some(12)),
        ("  -12 ", Some(-12)),
        ("+3x", Some(3)),
        ("0x1F", Some(31)),
        ("-0Xa", Some(-10)),
        ("0x", Some(0)),
        ("0xé", Some(0)),
        ("010", Some(8)),
        ("08", Some(0)),
        ("one", Some(0)),
        ("-", Some(0)),
        ("2147483647", Some(2_147_483_647)),
        ("2147483648", None),
        ("-2147483648", Some(-2_147_483_648)),
        ("-2147483649", None),
        ("99999999999999999999", None),
    ] {
        assert_eq!(number(text), expected, "{text:?}");
    }
}

#[test]
fn processes_are_told_by_the_kernels_name_or_by_their_command() {
    let name = |text: &str, param_match, full_command| {
        let words: Vec<_> = text.split(' ').map(ToOwned::to_owned).collect();
        let process = TrackProcess { param_match, full_command, ..process() };
        ProcessName::new(&process, &words).unwrap()
    };
    let exact = |text: &str| name(text, ParamMatch::Exact, false);
    let command = b"/usr/sbin/haproxy\0-f\0/etc/haproxy.cfg\0";
    let found = |one: ProcessName| one.matches(b"haproxy", command);
    assert!(found(exact("haproxy")));
    assert!(!found(exact("hapro")));
    assert!(!exact("haproxy").is_full());
    assert!(exact("a-name-that-is-longer").matches(b"a-name-that-is-", b""));
    assert!(found(exact("/usr/sbin/haproxy")));
    assert!(!found(name("haproxy", ParamMatch::Exact, true)));
    assert!(found(name("/usr/sbin/haproxy", ParamMatch::Exact, true)));
    assert!(found(exact("/usr/sbin/haproxy -f /etc/haproxy.cfg")));
    assert!(!found(exact("/usr/sbin/haproxy -f")));
    let partial = |text: &str| name(text, ParamMatch::Partial, false);
    assert!(found(partial("/usr/sbin/haproxy -f")));
    assert!(!found(partial("/usr/sbin/haproxy -f /etc")));
    assert!(!found(partial("/usr/sbin/haproxy -f /etc/haproxy.cfg -D")));
    let initial = |text: &str| name(text, ParamMatch::Initial, false);
    assert!(found(initial("/usr/sbin/haproxy -f /etc")));
    assert!(found(initial("/usr/sbin/haproxy")));
    assert!(!found(initial("/usr/sbin/haproxy -D")));
    assert!(!found(initial("/usr/sbin/haproxy - /etc")));
    assert!(!found(initial("/usr/sbin/haproxy -f /etc/haproxy.cfg -D")));
    assert_eq!(ProcessName::new(&process(), &[]), None);
}

#[test]
fn a_file_that_a_check_goes_by_is_followed_and_weighs_nothing_for_instances() {
    let mut real = RealServer::new("192.0.2.1:80".parse().unwrap());
    let check = |name: &str| {
        let check = FileCheck { track_file: name.to_owned(), weight: of(5) };
        Check::new(CheckKind::File(check))
    };
    real.checks = vec![Check::new(CheckKind::Tcp), check("load"), check("unknown")];
    let service = Service::Address("192.0.2.9:80".parse().unwrap());
    let mut server = VirtualServer::new(service, Protocol::Tcp);
    server.real_servers = vec![real];
    let mut config = config(Tracking::default());
    config.virtual_servers = vec![server];
    assert_eq!(followed(&config).files.into_keys().collect::<Vec<_>>(), ["load"]);
    let facts = Facts { files: one("load", -300), ..Facts::default() };
    assert_eq!(verdict(&config, &facts), (0, false));
}
