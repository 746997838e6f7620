//! When a real server that comes and goes is held.

use super::*;

fn damper(flaps: u32) -> Damper {
    Damper::new(damping(flaps).expect("one"), true)
}

/// It falls, and is back half a second later.
fn flap(one: &mut Damper, at: u64) {
    one.handle_state(false, seconds(at));
    one.handle_state(true, millis(at * 1000 + 500));
}

#[test]
fn more_falls_than_are_borne_hold_it_and_time_lets_go() {
    let mut one = damper(2);
    flap(&mut one, 10);
    flap(&mut one, 20);
    assert!(!one.is_held(), "two are borne");
    flap(&mut one, 30);
    assert!(one.is_held(), "a third is not");
    assert_eq!(one.poll_timeout(), Some(seconds(60)), "hold_ms after the last one");
    one.handle_timeout(millis(59_999));
    assert!(one.is_held());
    one.handle_timeout(seconds(60));
    assert!(!one.is_held());
    assert_eq!(one.poll_timeout(), None);
}

#[test]
fn falls_out_of_the_window_are_forgotten() {
    let mut one = damper(2);
    for at in [10, 60, 110, 160, 210] {
        flap(&mut one, at);
        assert!(!one.is_held(), "two within a minute at most, at {at}");
    }
    flap(&mut one, 211);
    assert!(one.is_held(), "160, 210 and 211");
}

#[test]
fn one_that_falls_while_it_is_held_is_held_anew() {
    let mut one = damper(1);
    flap(&mut one, 1);
    flap(&mut one, 2);
    assert_eq!(one.poll_timeout(), Some(seconds(32)));
    flap(&mut one, 31);
    assert_eq!(one.poll_timeout(), Some(seconds(61)));
    // Its window is empty by then, and it is held all the same.
    let mut short = Damper::new(Damping { window_ms: 5_000, ..damping(1).expect("one") }, true);
    flap(&mut short, 1);
    flap(&mut short, 2);
    flap(&mut short, 30);
    assert_eq!(short.poll_timeout(), Some(seconds(60)));
}

#[test]
fn one_that_stays_down_has_fallen_once() {
    let mut one = damper(1);
    for at in 1..50 {
        one.handle_state(false, seconds(at));
    }
    assert!(!one.is_held());
    let mut unproven = Damper::new(damping(1).expect("one"), false);
    unproven.handle_state(false, seconds(1));
    unproven.handle_state(true, seconds(2));
    flap(&mut unproven, 3);
    assert!(!unproven.is_held(), "what was never up did not fall");
}

#[test]
fn it_remembers_no_more_falls_than_it_needs() {
    let mut one = damper(3);
    for at in 0..10_000 {
        flap(&mut one, at);
        assert!(one.falls.len() <= 4);
    }
    let endless = Damping { flaps: u32::MAX, window_ms: u32::MAX, hold_ms: 1 };
    let mut one = Damper::new(endless, true);
    for at in 0..10_000 {
        flap(&mut one, at);
    }
    assert!(one.falls.len() <= 1001, "{}", one.falls.len());
}

#[test]
fn another_setting_keeps_what_was_counted() {
    let mut one = damper(3);
    for at in 1..=3 {
        flap(&mut one, at);
    }
    one.handle_damping(damping(1).expect("one"));
    assert!(!one.is_held(), "what was borne was borne");
    flap(&mut one, 4);
    assert!(one.is_held());
}
