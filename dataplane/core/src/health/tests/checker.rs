//! When a checker asks, and what it makes of the answers.

use leasehold_model::HttpCheck;

use super::*;

fn check(retry: u32) -> Check {
    Check { delay_loop_ms: 6000, retry, delay_before_retry_ms: 3000, ..tcp() }
}

fn checker(check: &Check) -> Checker {
    Checker::new(check, false, 0, seconds(0))
}

/// One that has passed.
fn proven(check: &Check) -> Checker {
    let mut one = checker(check);
    assert!(one.handle_answer(Answer::PASSED, seconds(0)));
    one
}

fn next(one: &Checker) -> BootNanos {
    one.poll_timeout().expect("it asks")
}

const UP: Option<Verdict> = Some(Verdict::Up);
const DOWN: Option<Verdict> = Some(Verdict::Down);

#[test]
fn the_first_question_comes_within_the_warmup() {
    let first = |warmup_ms, spread| {
        let check = Check { warmup_ms, ..check(1) };
        next(&Checker::new(&check, false, spread, seconds(100)))
    };
    assert_eq!(first(None, 7_000_000_000), seconds(101), "as delay_loop: 7 s of 6 s");
    assert_eq!(first(None, 5_999_999_999), seconds(106).before(Duration::from_nanos(1)));
    assert_eq!(first(Some(2000), 5_000_000_000), seconds(101), "5 s of 2 s");
    assert_eq!(first(Some(0), u64::MAX), seconds(100), "none: at once");
}

#[test]
fn one_that_passed_is_down_after_its_retries() {
    let mut one = proven(&check(2));
    assert_eq!((one.verdict(), next(&one)), (UP, seconds(6)));
    assert!(!one.handle_answer(Answer::Failed, seconds(6)));
    assert_eq!((one.verdict(), next(&one)), (UP, seconds(9)));
    assert!(!one.handle_answer(Answer::Failed, seconds(9)));
    assert!(one.handle_answer(Answer::Failed, seconds(12)));
    assert_eq!((one.verdict(), next(&one)), (DOWN, seconds(18)));
    assert!(one.handle_answer(Answer::PASSED, seconds(18)));
    assert_eq!((one.verdict(), next(&one)), (UP, seconds(24)));
    assert!(!one.handle_answer(Answer::Failed, seconds(24)), "its failures are forgotten");
}

#[test]
fn a_success_between_failures_forgets_them() {
    let mut one = proven(&check(1));
    for round in 0..5 {
        assert!(!one.handle_answer(Answer::Failed, seconds(round)));
        assert!(!one.handle_answer(Answer::PASSED, seconds(round)));
    }
    assert_eq!(one.verdict(), UP);
}

#[test]
fn before_the_first_success_one_failure_is_enough() {
    for alpha in [false, true] {
        let mut one = Checker::new(&check(9), alpha, 0, seconds(0));
        assert_eq!(one.verdict(), None);
        assert!(one.handle_answer(Answer::Failed, seconds(1)));
        assert_eq!((one.verdict(), next(&one)), (DOWN, seconds(7)));
    }
}

#[test]
fn one_that_is_down_needs_its_successes_in_a_row() {
    let check = Check { rise: 3, ..check(0) };
    let mut one = proven(&check);
    let mut answer = |answer| one.handle_answer(answer, seconds(1));
    assert!(answer(Answer::Failed));
    assert!(!answer(Answer::PASSED) && !answer(Answer::PASSED));
    assert!(!answer(Answer::Failed), "all over again");
    assert!(!answer(Answer::PASSED) && !answer(Answer::PASSED));
    assert!(!answer(Answer::Unknown), "counts for nothing");
    assert!(answer(Answer::PASSED));
    assert_eq!((one.verdict(), next(&one)), (UP, seconds(7)));
}

#[test]
fn what_counts_as_up_needs_one_success_and_alpha_needs_its_rise() {
    let check = Check { rise: 2, ..check(0) };
    assert!(checker(&check).handle_answer(Answer::PASSED, seconds(1)));
    let mut alpha = Checker::new(&check, true, 0, seconds(0));
    assert!(!alpha.handle_answer(Answer::PASSED, seconds(1)));
    assert_eq!(alpha.verdict(), None, "it has proven nothing yet");
    assert!(alpha.handle_answer(Answer::PASSED, seconds(1)));
    assert_eq!(alpha.verdict(), UP);
}

#[test]
fn one_that_continues_another_keeps_its_verdict() {
    let continuing = |verdict| Checker::continuing(&check(1), true, verdict, 0, seconds(0));
    let mut up = continuing(Verdict::Up);
    assert_eq!(up.verdict(), UP);
    assert!(!up.handle_answer(Answer::Failed, seconds(1)), "it has its retries");
    assert!(up.handle_answer(Answer::Failed, seconds(4)));
    let mut down = continuing(Verdict::Down);
    assert!(!down.handle_answer(Answer::Failed, seconds(1)));
    assert_eq!((down.verdict(), next(&down)), (DOWN, seconds(7)));
    assert!(down.handle_answer(Answer::PASSED, seconds(7)), "one success raises it");
}

#[test]
fn what_could_not_be_asked_counts_for_nothing() {
    let mut one = proven(&check(1));
    assert!(!one.handle_answer(Answer::Failed, seconds(6)));
    for at in [9, 15, 21] {
        assert!(!one.handle_answer(Answer::Unknown, seconds(at)));
        assert_eq!((one.verdict(), next(&one)), (UP, seconds(at + 6)));
    }
    assert!(one.handle_answer(Answer::Failed, seconds(27)), "the second failure in a row");
}

#[test]
fn http_that_is_down_is_asked_no_sooner_than_a_retry() {
    let kind = CheckKind::Http(HttpCheck::default());
    let slow = |kind| Check { kind, delay_before_retry_ms: 9000, ..check(0) };
    let wait = |check: &Check| {
        let mut one = checker(check);
        assert!(one.handle_answer(Answer::Failed, seconds(0)));
        next(&one)
    };
    assert_eq!(wait(&slow(kind)), seconds(9));
    assert_eq!(wait(&slow(CheckKind::Tcp)), seconds(6));
}

#[test]
fn a_weight_counts_while_it_is_up_and_goes_when_it_falls() {
    let mut one = proven(&check(1));
    assert!(one.handle_answer(Answer::Passed(Effect::Set(8)), seconds(1)), "another weight");
    assert!(!one.handle_answer(Answer::Passed(Effect::Set(8)), seconds(2)));
    assert!(!one.handle_answer(Answer::Failed, seconds(3)));
    assert_eq!(one.effect(), Effect::Set(8), "while it is tried again");
    assert!(one.handle_answer(Answer::Failed, seconds(4)));
    assert_eq!(one.effect(), Effect::None);
    let said = Said { verdict: DOWN, effect: Effect::None, alpha: false };
    assert_eq!(Said::from(&one), said);
}

#[test]
fn one_that_is_suspended_asks_nothing_and_knows_what_it_knew() {
    let mut one = proven(&check(1));
    one.handle_resume(seconds(3));
    assert_eq!(next(&one), seconds(6), "it was never suspended");
    one.handle_suspend();
    assert_eq!((one.poll_timeout(), one.verdict()), (None, UP));
    assert!(!one.handle_answer(Answer::Failed, seconds(7)), "was under way");
    assert_eq!(one.poll_timeout(), None);
    one.handle_resume(seconds(100));
    assert_eq!((next(&one), one.verdict()), (seconds(100), UP));
    assert!(one.handle_answer(Answer::Failed, seconds(100)), "the second in a row");
}
