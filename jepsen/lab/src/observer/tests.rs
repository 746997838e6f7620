//! The judge on made-up evidence: each way of being two must be caught, and innocence recognised.

use super::observation::{Answer, Claim, Record};
use super::*;
use crate::{DuplicateKind, Observation, Returns};

const A: Mac = Mac([2, 0, 0, 0, 0, 0xa]);
const B: Mac = Mac([2, 0, 0, 0, 0, 0xb]);
const MS: u64 = 1_000_000;

fn vip() -> IpAddr {
    IpAddr::from([10, 0, 0, 100])
}

/// One letter per question, 2 ms apart; `-` is silence, `2` an answer by both, `=` two by A.
fn seen(script: &str) -> Observation {
    let mut record = Record::default();
    for (n, letter) in script.chars().enumerate() {
        let sent_ns = n as u64 * 2 * MS;
        record.sent_ns.push(sent_ns);
        let macs: &[Mac] = match letter {
            'A' => &[A],
            'B' => &[B],
            '2' => &[A, B],
            '=' => &[A, A],
            _ => &[],
        };
        for mac in macs {
            record.answers.push(Answer { sent_ns, received_ns: sent_ns + MS / 10, mac: *mac });
        }
    }
    Observation {
        started_ns: 0,
        ended_ns: script.len() as u64 * 2 * MS,
        frames_lost: 0,
        records: [(vip(), record)].into(),
    }
}

fn kinds(script: &str, returns: Returns) -> Vec<DuplicateKind> {
    seen(script).duplicates(vip(), returns).iter().map(|duplicate| duplicate.kind).collect()
}

#[test]
fn a_clean_takeover_is_two_reigns_and_no_duplicate() {
    let seen = seen("AAAA---BBB");
    let reigns = seen.reigns(vip());
    assert_eq!(reigns.iter().map(|r| (r.mac, r.answers)).collect::<Vec<_>>(), [(A, 4), (B, 3)]);
    assert_eq!(seen.duplicates(vip(), Returns::AtMost(0)), []);
}

#[test]
fn one_question_answered_by_two_is_a_duplicate() {
    assert_eq!(kinds("AAA2BBB", Returns::AtMost(0)), [DuplicateKind::TwoAnswerers]);
    // Here the holder's own answer comes first each time, and the dead director's second.
    assert_eq!(kinds("BBAAA222", Returns::AtMost(0)), [DuplicateKind::TwoAnswerers; 3]);
}

#[test]
fn taking_turns_is_a_duplicate_however_lenient_the_caller() {
    assert!(kinds("AABABABB", Returns::AtMost(0)).len() >= 2);
    assert!(!kinds("AABABABB", Returns::AtMost(1)).is_empty());
    assert!(!kinds("AABABABB", Returns::Settled(20 * MS)).is_empty());
}

#[test]
fn a_last_word_after_the_takeover_is_a_duplicate() {
    assert_eq!(kinds("AAA-BB-ABB", Returns::AtMost(0)), [DuplicateKind::AfterTakeover]);
    assert_eq!(kinds("AAA-BB-ABB", Returns::Settled(20 * MS)), [DuplicateKind::AfterTakeover]);
}

#[test]
fn two_behind_one_hardware_address_are_found() {
    assert_eq!(kinds("AA=AA", Returns::AtMost(0)), [DuplicateKind::Twice]);
}

#[test]
fn a_return_that_was_allowed_is_a_new_reign() {
    assert_eq!(kinds("AAA-BBB-AAA", Returns::AtMost(1)), []);
    assert_eq!(kinds("AAA-BBB-AAA", Returns::AtMost(0)).len(), 3);
    assert_eq!(kinds("AA--BB--AA--BB--AA", Returns::Settled(8 * MS)), []);
}

#[test]
fn an_outage_runs_from_the_last_answer_to_the_next() {
    let seen = seen("AAAA---BBB");
    let outage = seen.outage(vip(), 7 * MS).unwrap();
    assert_eq!((outage.from_ns, outage.until_ns), (6 * MS + MS / 10, Some(14 * MS + MS / 10)));
    assert_eq!((outage.before, outage.after), (Some(A), Some(B)));
    assert_eq!(outage.length_ns, 8 * MS);
    assert!(outage.unasked_ns <= 2 * MS);
}

#[test]
fn an_outage_before_the_fault_is_not_the_faults() {
    let seen = seen("A-----AAA--BB");
    assert_eq!(seen.outage(vip(), 16 * MS).unwrap().length_ns, 6 * MS);
}

#[test]
fn an_outage_that_never_ended_lasts_to_the_end() {
    let outage = seen("AAA-------").outage(vip(), 5 * MS).unwrap();
    assert_eq!((outage.until_ns, outage.length_ns), (None, 16 * MS - MS / 10));
}

#[test]
fn silence_throughout_is_no_answer_and_the_worst_outage() {
    let seen = seen("----------");
    assert_eq!(seen.outage(vip(), 0), None);
    assert_eq!(seen.worst_outage(0).unwrap().length_ns, 20 * MS);
}

#[test]
fn an_observer_that_did_not_ask_says_so() {
    let mut seen = seen("AAAA---BBB");
    let record = seen.records.get_mut(&vip()).unwrap();
    record.sent_ns.retain(|at| !(8 * MS..14 * MS).contains(at));
    assert_eq!(seen.outage(vip(), 7 * MS).unwrap().unasked_ns, 8 * MS - MS / 10);
}

#[test]
fn an_announcement_during_anothers_reign_is_stray() {
    let mut seen = seen("AAAA---BBB");
    let claims = &mut seen.records.get_mut(&vip()).unwrap().claims;
    claims.push(Claim { received_ns: 13 * MS, mac: B });
    claims.push(Claim { received_ns: 17 * MS, mac: A });
    let stray = seen.stray_claims(vip());
    assert_eq!(stray, [Claim { received_ns: 17 * MS, mac: A }]);
}
