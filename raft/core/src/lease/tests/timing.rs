//! The settings' rules.

use std::time::Duration;

use super::super::{Profile, Timing};
use super::{at, timing};

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn broken(change: impl FnOnce(&mut Timing)) -> String {
    let mut changed = timing();
    change(&mut changed);
    let broken = changed.check().unwrap_err();
    broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[test]
fn every_profile_is_safe_and_named() {
    for (name, profile) in ["default", "fast", "wan", "lifetime"].into_iter().zip(Profile::ALL) {
        assert_eq!(name.parse(), Ok(profile));
        assert_eq!(profile.to_string(), name);
        assert_eq!(Timing::profile(profile).name(), Some(profile));
        assert_eq!(Timing::profile(profile).check(), Ok(()));
    }
    let unknown = "slow".parse::<Profile>().unwrap_err().to_string();
    assert_eq!(unknown, r#""slow" is no profile: use default, fast, wan or lifetime"#);
}

#[test]
fn each_rule_refuses_the_first_setting_beyond_it() {
    // renew 150 + 2 * election 300 + slack 150
    assert_eq!(
        broken(|t| t.ttl = ms(899)),
        "ttl is 899ms, but must be at least renew_interval + 2 * election_max + slack, 900ms"
    );
    assert_eq!(
        broken(|t| t.margin = ms(150)),
        "margin is 150ms, but must be less than renew_interval, 150ms"
    );
    assert_eq!(
        broken(|t| t.heartbeat = ms(76)),
        "heartbeat is 76ms, but must be at most half of election_min, 75ms"
    );
    assert_eq!(
        broken(|t| t.election_min = ms(300)),
        "election_min is 300ms, but must be less than election_max, 300ms"
    );
    assert_eq!(
        broken(|t| t.max_clock_drift_ppm = 100_001),
        "max_clock_drift_ppm is 100001, but must be at most 100000"
    );
    assert_eq!(broken(|t| t.slack = ms(0)), "slack is 0ns, but must be more than 0");
}

#[test]
fn the_last_setting_within_each_rule_is_allowed() {
    let mut edge = timing();
    edge.ttl = ms(900);
    edge.margin = ms(149);
    edge.heartbeat = ms(75);
    edge.max_clock_drift_ppm = 100_000;
    assert_eq!(edge.check(), Ok(()));
}

#[test]
fn all_broken_rules_are_named_at_once() {
    let all = broken(|t| {
        t.ttl = ms(1);
        t.heartbeat = ms(0);
        t.max_clock_drift_ppm = 200_000;
    });
    assert_eq!(all.split("; ").count(), 3, "{all}");
}

#[test]
fn settings_survive_json_and_absurd_ones_do_not_overflow() {
    let mut absurd = timing();
    absurd.ttl = Duration::MAX;
    absurd.election_max = Duration::MAX;
    absurd.heartbeat = Duration::MAX;
    assert!(absurd.check().is_err());
    assert_eq!(absurd.grantor_over(at(1)).0, u64::MAX);
}

#[test]
fn the_holder_stops_before_the_grantor_counts_it_over_at_any_drift() {
    let timing = timing();
    assert_eq!(timing.holder_deadline(at(5000)), at(5980));
    // 1000 ms and 1 % and the margin of 20 ms.
    assert_eq!(timing.grantor_over(at(5000)), at(6030));
    assert_eq!(timing.stretched(Duration::from_nanos(1)), Duration::from_nanos(2));
    assert_eq!(timing.shrunk(Duration::from_nanos(1)), Duration::ZERO);
    assert_eq!(timing.shrunk(ms(1010)), ms(1000));
}
