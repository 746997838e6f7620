//! Histories with and without two answerers, and those that only look so.

use proptest::prelude::*;

use super::super::made::*;
use super::*;
use crate::check::{Doubt, Verdict};
use crate::history::{Effect, Fault, Observations, Source, Told, Word};

fn judged(answers: &[(Nanos, Nanos, u8)], told: Vec<Told>) -> Judged {
    judge(&run(Vec::new(), Observations { told, ..seen(answers) }))
}

/// ds1 held epoch 5, ds2 holds 8; both told in time.
fn moved() -> Vec<Told> {
    vec![told(0, "ds1", Word::Holds, 5, "ds1"), told(200 * MS, "ds2", Word::Holds, 8, "ds2")]
}

fn both(one: Vec<(Nanos, Nanos, u8)>, other: Vec<(Nanos, Nanos, u8)>) -> Vec<(Nanos, Nanos, u8)> {
    let mut all = [one, other].concat();
    all.sort_by_key(|answer| answer.1);
    all
}

#[test]
fn one_after_the_other_is_lawful() {
    let answers = both(reign(1, 10 * MS, 100 * MS), reign(2, 150 * MS, 300 * MS));
    let judged = judged(&answers, moved());
    assert_eq!(judged.verdict, Verdict::Valid);
    assert!(judged.notes[0].contains("dating is right to 1.0 ms"), "{:?}", judged.notes);
    assert!(judged.notes[1].contains("every 2.0 ms"), "the grain is said: {:?}", judged.notes);
}

#[test]
fn one_question_answered_by_two_is_proof_at_once() {
    let judged = judged(&[(10 * MS, 11 * MS, 1), (10 * MS, 12 * MS, 2)], moved());
    let [violation] = violations(&judged) else { panic!("one: {judged:?}") };
    assert!(violation.what.contains("by ds1 after 1.0 ms and by ds2 after 2.0 ms"));
}

#[test]
fn two_answers_of_which_a_fault_may_have_held_one_back_are_a_doubt() {
    let answers = [(10 * MS, 11 * MS, 1), (10 * MS, 90 * MS, 2)];
    let slow = Fault::new(1, "delay").with(Effect { delay_ns: 100 * MS, ..Effect::default() });
    let mut made = Made::default();
    made.fault(&slow, 5 * MS, 60 * MS);
    let within = run(made.history(), Observations { told: moved(), ..seen(&answers) });
    assert!(matches!(judge(&within).verdict, Verdict::Unknown(Doubt::Unclear(_))));
    let mut made = Made::default();
    made.fault(&slow, 1, 9 * MS);
    let past = run(made.history(), Observations { told: moved(), ..seen(&answers) });
    assert_eq!(violations(&judge(&past)).len(), 1);
}

#[test]
fn an_old_answerer_after_a_newer_epochs_answer_is_proof() {
    let mut answers = both(reign(1, 10 * MS, 100 * MS), reign(2, 150 * MS, 180 * MS));
    answers.extend([(182 * MS, 183 * MS, 1), (184 * MS, 185 * MS, 1)]);
    let judged = judged(&answers, moved());
    let [violation] = violations(&judged) else { panic!("one run of two: {judged:?}") };
    let wanted = "ds1 gave 2 answers in 2.0 ms when epoch 8 was the least in force, after ds2; \
                  its last epoch was 5";
    assert!(violation.what.contains(wanted), "{violation}");
}

#[test]
fn an_overlap_within_the_dating_error_is_lawful() {
    // ds2's answer came at 20 ms sharp; ds1's question is from 20.9 ms: with an error of 1 ms
    // ds1's answer may have been first.
    let within = [(10 * MS, 11 * MS, 1), (19 * MS, 20 * MS, 2), (20_900_000, 21_500_000, 1)];
    assert_eq!(judged(&within, moved()).verdict, Verdict::Valid);
    let beyond = [(10 * MS, 11 * MS, 1), (19 * MS, 20 * MS, 2), (21_100_000, 21_500_000, 1)];
    assert!(!violations(&judged(&beyond, moved())).is_empty());
}

#[test]
fn an_answer_after_a_newer_grant_was_known_is_proof_though_its_holder_is_silent() {
    let (until, error) = (210 * MS, MS);
    let judged_until = judged(&reign(1, 10 * MS, until), moved());
    let [violation] = violations(&judged_until) else { panic!("one run: {judged_until:?}") };
    assert!(violation.at_ns > 200 * MS + error && violation.what.contains("epoch 8"));
    assert_eq!(judged(&reign(1, 10 * MS, 200 * MS), moved()).verdict, Verdict::Valid);
}

#[test]
fn an_answer_after_the_holders_own_end_is_proof() {
    let told_end =
        vec![told(0, "ds1", Word::Serves, 5, "ds1"), told(50 * MS, "ds1", Word::Ended, 5, "ds1")];
    assert!(!violations(&judged(&reign(1, 10 * MS, 80 * MS), told_end.clone())).is_empty());
    assert_eq!(judged(&reign(1, 10 * MS, 50 * MS), told_end).verdict, Verdict::Valid);
}

#[test]
fn a_way_back_by_a_newer_epoch_is_lawful() {
    let back = [moved(), vec![told(400 * MS, "ds1", Word::Serves, 11, "ds1")]].concat();
    let there = both(reign(1, 10 * MS, 100 * MS), reign(2, 150 * MS, 300 * MS));
    let answers = both(there, reign(1, 390 * MS, 500 * MS));
    assert_eq!(judged(&answers, back).verdict, Verdict::Valid);
}

/// ds1 stays on while nobody sees ds2, whose reign is short, and is granted the group anew later.
#[test]
fn a_grant_explains_nothing_before_it_is_applied() {
    let answers = reign(1, 10 * MS, 500 * MS);
    let later = told(400 * MS, "ds1", Word::Holds, 11, "ds1");
    let guessed = [moved(), vec![later.clone()]].concat();
    assert_eq!(judged(&answers, guessed).verdict, Verdict::Valid, "it may have been told late");
    let source = Source { channel: "log".to_owned(), ..later.source.clone() };
    let applied = [moved(), vec![Told { source, ..later }]].concat();
    let violation = judged(&answers, applied);
    let [one] = violations(&violation) else { panic!("one run of answers") };
    assert!(one.what.contains("when epoch 8 was the least in force"), "{}", one.what);
}

#[test]
fn who_was_never_granted_anything_may_not_answer() {
    let answers = reign(3, 10 * MS, 30 * MS);
    let violation = judged(&answers, moved());
    assert!(violations(&violation)[0].what.contains("it was never granted before"));
    let mut lacking = run(Vec::new(), Observations { told: moved(), ..seen(&answers) });
    lacking.setup.grants_complete = false;
    assert!(matches!(judge(&lacking).verdict, Verdict::Unknown(Doubt::Unclear(_))));
}

#[test]
fn without_grants_a_quick_return_is_proof_and_a_slow_one_a_doubt() {
    let mut quick = reign(1, 10 * MS, 14 * MS);
    quick.extend([(16 * MS, 17 * MS, 2), (20 * MS, 21 * MS, 1)]);
    assert_eq!(violations(&judged(&quick, Vec::new())).len(), 1);
    let mut slow = reign(1, 10 * MS, 100 * MS);
    slow.extend([reign(2, 150 * MS, 200 * MS), reign(1, 300 * MS, 400 * MS)].concat());
    let Verdict::Unknown(Doubt::Unclear(why)) = judged(&slow, Vec::new()).verdict else {
        panic!("a doubt")
    };
    assert!(why.contains("1 times"), "{why}");
}

#[test]
fn two_that_answer_by_turns_return_again_and_again() {
    let turns: Vec<(Nanos, Nanos, u8)> = (0..10_u8)
        .map(|nth| (u64::from(nth) * 4 * MS, (u64::from(nth) * 4 + 1) * MS, nth % 2 + 1))
        .collect();
    let judged = judged(&turns, Vec::new());
    let [violation] = violations(&judged) else { panic!("one: {judged:?}") };
    assert!(violation.what.ends_with("(the first of 8 such in 28.0 ms)"), "{violation}");
}

#[test]
fn proofs_far_apart_are_told_on_their_own() {
    let both = |at_ms: Nanos| [(at_ms * MS, at_ms * MS + 1, 1), (at_ms * MS, at_ms * MS + 2, 2)];
    let answers = [both(10), both(12), both(2_000), both(2_001)].concat();
    let mut run = run(Vec::new(), seen(&answers));
    run.setup.quickest_return_ns = 0;
    let judged = judge(&run);
    let [early, late] = violations(&judged) else { panic!("two: {judged:?}") };
    assert!(early.what.ends_with("(the first of 2 such in 2.0 ms)"), "{early}");
    assert_eq!((early.at_ns, late.at_ns), (10 * MS, 2_000 * MS));
}

#[test]
fn behind_a_shared_mac_a_question_answered_twice_is_proof() {
    let shared = Mac([0, 0, 0x5e, 0, 1, 51]);
    let mut twice = run(Vec::new(), seen(&[(10 * MS, 11 * MS, 1), (10 * MS, 12 * MS, 1)]));
    assert_eq!(judge(&twice).verdict, Verdict::Valid, "one director may repeat itself");
    let witness = twice.observations.neighbours.get_mut("client").expect("made so");
    let record = witness.records.get_mut(&vip()).expect("made so");
    record.answers.iter_mut().for_each(|answer| answer.mac = shared);
    let judged = judge(&twice);
    assert_eq!(violations(&judged).len(), 1, "{judged:?}");
}

#[test]
fn lost_frames_leave_a_doubt_and_silence_nothing_to_judge() {
    let mut lossy = run(Vec::new(), Observations { told: moved(), ..seen(&[(10, 20, 1)]) });
    lossy.observations.neighbours.get_mut("client").expect("made so").frames_lost = 3;
    assert!(matches!(judge(&lossy).verdict, Verdict::Unknown(Doubt::Unclear(_))));
    let silent = judged(&[], moved());
    assert!(matches!(silent.verdict, Verdict::Unknown(Doubt::NothingToJudge(_))));
}

#[test]
fn an_answer_dated_before_its_question_orders_nothing() {
    // ds2's answer to the question of 30 ms came late, when ds1 held no more; the wall clock had
    // stepped back by then.
    let answers = [(10 * MS, 11 * MS, 1), (30 * MS, MS, 2), (35 * MS, 36 * MS, 1)];
    let judged = judged(&answers, moved());
    assert_eq!(judged.verdict, Verdict::Valid, "{judged:?}");
    assert!(judged.notes[0].contains("1 dated before their questions"), "{:?}", judged.notes);
}

#[test]
fn two_observers_see_more_than_either() {
    let one = reign(1, 10 * MS, 100 * MS);
    let other = reign(2, 50 * MS, 60 * MS);
    let mut both = run(Vec::new(), Observations { told: moved(), ..seen(&one) });
    let second = seen(&other).neighbours.remove("client").expect("made so");
    both.observations.neighbours.insert("second".to_owned(), second);
    assert!(!violations(&judge(&both)).is_empty());
}

/// A lawful life of an address: who holds it, from when, for how long, and how long nobody does
/// after that. Then a question every 2 ms: how long it takes to its answerer and back, and by how
/// much the dating is wrong.
#[derive(Clone, Debug)]
struct Life {
    reigns: Vec<(u8, Nanos, Nanos)>,
    delays: Vec<(Nanos, Nanos, Nanos)>,
    told_after: Vec<Nanos>,
}

fn lives() -> impl Strategy<Value = Life> {
    let reign = (1..=3_u8, 1..60_u64, 0..5_u64);
    let delay = (0..9 * MS, 0..9 * MS, 0..=2 * MS);
    let delays = proptest::collection::vec(delay, 50);
    let told_after = proptest::collection::vec(0..100 * MS, 10);
    (proptest::collection::vec(reign, 1..10), delays, told_after).prop_map(
        |(reigns, delays, told_after)| Life {
            reigns: reigns.iter().map(|(by, long, gap)| (*by, long * MS, gap * MS)).collect(),
            delays,
            told_after,
        },
    )
}

/// Plays a life; each reign goes on for so long after it should have ended.
fn live(life: &Life, overstay_ns: Nanos) -> Judged {
    let mut reigns: Vec<(u8, Nanos, Nanos)> = Vec::new();
    let mut told_all = Vec::new();
    let mut now_ns = 100 * MS;
    for (nth, (by, long_ns, gap_ns)) in life.reigns.iter().enumerate() {
        reigns.push((*by, now_ns, now_ns + long_ns));
        let epoch = nth as u64 * 3 + 1;
        let seen_ns = now_ns + life.told_after[nth];
        told_all.push(told(seen_ns, "ds1", Word::Holds, epoch, &format!("ds{by}")));
        now_ns += long_ns + gap_ns;
    }
    let mut answers = Vec::new();
    for (nth, (there_ns, back_ns, wrong_ns)) in
        (0..now_ns / (2 * MS)).zip(life.delays.iter().cycle())
    {
        let sent_ns = nth * 2 * MS;
        let reached_ns = sent_ns + there_ns;
        let holders = reigns
            .iter()
            .filter(|(_, from, until)| (*from..until + overstay_ns).contains(&reached_ns));
        for (by, ..) in holders {
            // Dated by up to the stated error of 1 ms too early or too late.
            let arrived_ns = (reached_ns + back_ns + wrong_ns).saturating_sub(MS);
            answers.push((sent_ns, arrived_ns.max(sent_ns), *by));
        }
    }
    answers.sort_by_key(|answer| answer.1);
    let mut run = run(Vec::new(), Observations { told: told_all, ..seen(&answers) });
    // What 18 ms of delay can't be told from.
    run.setup.quickest_return_ns = 0;
    judge(&run)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// However slow the wire and wrong the dates within the bound: no lawful life is accused.
    #[test]
    fn no_lawful_life_is_accused(life in lives()) {
        let judged = live(&life, 0);
        prop_assert!(!matches!(judged.verdict, Verdict::Invalid(_)), "{judged:?}");
    }

    /// Whoever overstays by more than all delays together is caught, if another follows at once.
    #[test]
    fn whoever_overstays_is_caught(mut life in lives()) {
        life.reigns.truncate(1);
        life.reigns[0] = (1, 60 * MS, 0);
        life.reigns.push((2, 60 * MS, 0));
        let judged = live(&life, 40 * MS);
        prop_assert!(!violations(&judged).is_empty());
    }
}
