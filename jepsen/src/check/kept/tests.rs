//! The search's own cases; its agreement with the version order is proven beside that.

use super::super::made::*;
use super::*;
use crate::check::{Doubt, Verdict};
use crate::history::Observations;

fn judged(made: &Made) -> Judged {
    judge(&run(made.history(), Observations::default()))
}

#[test]
fn a_history_in_order_is_linearizable_however_long() {
    let mut made = Made::default();
    for revision in 1..=500 {
        made.write(0, revision * 10, revision);
        made.read(1, revision, revision * 10);
    }
    let judged = judged(&made);
    assert_eq!(judged.verdict, Verdict::Valid);
    assert!(judged.notes[0].starts_with("1000 operations in windows"), "{:?}", judged.notes);
}

#[test]
fn a_stale_read_is_found_within_a_window_and_in_a_later_one() {
    let mut made = Made::default();
    made.write(0, 10, 1);
    made.write(0, 20, 2);
    made.read(1, 1, 10);
    assert_eq!(violations(&judged(&made)).len(), 1);
    let mut made = Made::default();
    for revision in 1..=100 {
        made.write(0, revision * 10, revision);
    }
    let stale = 3 * WINDOW;
    (0..stale).for_each(|_| made.read(1, 7, 70));
    let found = violations(&judged(&made)).len();
    assert!(found >= 3, "also windows of nothing but stale reads are found, not {found}");
}

#[test]
fn no_window_ends_while_an_operation_is_under_way() {
    let mut made = Made::default();
    made.invoke_write(0, 999);
    for revision in 2..=40 {
        made.write(1, revision * 10, revision);
    }
    made.ok_write(0, 999, 1);
    for revision in 41..=60 {
        made.write(1, revision * 10, revision);
    }
    let judged = judged(&made);
    assert_eq!(judged.verdict, Verdict::Valid, "{judged:?}");
    assert!(judged.notes[0].contains("40 overlap too much"), "{:?}", judged.notes);
}

#[test]
fn a_write_in_doubt_may_take_effect_in_a_later_window() {
    let mut made = Made::default();
    made.invoke_write(9, 999);
    made.info_write(9, 999);
    for revision in 1..=50 {
        made.write(0, revision * 10, revision);
    }
    made.read(1, 60, 999);
    made.read(1, 60, 999);
    assert_eq!(judged(&made).verdict, Verdict::Valid);
}

#[test]
fn what_overlaps_too_much_is_left_aside_and_said() {
    let mut made = Made::default();
    let many = u64::try_from(WINDOW).expect("small") + 1;
    (0..many).for_each(|process| made.invoke_write(process, process));
    (0..many).for_each(|process| made.ok_write(process, process, process + 1));
    let judged = judged(&made);
    assert!(matches!(judged.verdict, Verdict::Unknown(Doubt::NothingToJudge(_))));
    assert!(judged.notes[0].contains("9 overlap too much"), "{:?}", judged.notes);
}

/// The worst that a window can hold ends, and soon: all overlap, against the order in which they
/// are tried, with two in doubt that matter, and nothing explains the last.
#[test]
fn the_widest_window_without_an_explanation_is_searched_through() {
    let mut made = Made::default();
    let writes = u64::try_from(WINDOW - DOUBTS).expect("small");
    let doubts = u64::try_from(DOUBTS).expect("small");
    for process in 0..doubts {
        made.invoke_write(100 + process, 100 + process);
        made.info_write(100 + process, 100 + process);
    }
    (0..writes).for_each(|process| made.invoke_write(process, process + 1));
    (50..50 + doubts).for_each(|process| made.invoke_read(process));
    (0..writes).for_each(|process| made.ok_write(process, process + 1, writes - process));
    made.ok_read(50, 20, 100);
    made.ok_read(51, 20, 101);
    let began = leasehold_lab::now_ns();
    assert_eq!(violations(&judged(&made)).len(), 1);
    let took_ms = (leasehold_lab::now_ns() - began) / MS;
    assert!(took_ms < 60_000, "{took_ms} ms");
}
