//! Histories with planted faults, those that only look faulty, and the search's opinion of both.

use proptest::prelude::*;

use super::super::made::*;
use super::*;
use crate::check::{Verdict, kept};
use crate::history::{Observations, Version};

fn judged(made: &Made) -> Judged {
    judge(&run(made.history(), Observations::default()))
}

#[track_caller]
fn valid(made: &Made) {
    let judged = judged(made);
    assert_eq!(judged.verdict, Verdict::Valid, "{judged:?}");
}

#[track_caller]
fn accused(made: &Made, wanted: &str) {
    let judged = judged(made);
    let found = violations(&judged).iter().any(|violation| violation.what.contains(wanted));
    assert!(found, "`{wanted}` is not in {judged:?}");
}

#[test]
fn reads_and_writes_in_order_are_linearizable() {
    let mut made = Made::default();
    made.read(0, 0, 0);
    made.write(0, 10, 4);
    made.cas_at_once(1, Kind::Ok, (4, 20), Some(7));
    made.cas_at_once(0, Kind::Fail, (4, 30), Some(7));
    made.read(0, 7, 20);
    made.write(0, 20, 7);
    valid(&made);
}

#[test]
fn a_stale_read_is_found() {
    let mut made = Made::default();
    made.write(0, 10, 1);
    made.read(1, 0, 0);
    accused(&made, "read (operation 2, process 1) began after write of 10");
}

#[test]
fn a_read_that_overlaps_a_write_may_see_either_side_of_it() {
    for saw in [(0, 0), (1, 10)] {
        let mut made = Made::default();
        made.invoke_read(1);
        made.write(0, 10, 1);
        made.ok_read(1, saw.0, saw.1);
        valid(&made);
    }
}

#[test]
fn two_reads_that_follow_each_other_may_not_go_back() {
    let mut made = Made::default();
    made.invoke_write(0, 10);
    made.read(1, 1, 10);
    made.read(2, 0, 0);
    made.ok_write(0, 10, 1);
    accused(&made, "found the older revision 0");
}

#[test]
fn a_write_in_doubt_may_take_effect_much_later_and_only_once() {
    let mut late = Made::default();
    late.invoke_write(9, 90);
    late.info_write(9, 90);
    late.write(0, 10, 1);
    late.read(1, 1, 10);
    late.read(1, 5, 90);
    valid(&late);
    late.write(0, 10, 6);
    late.read(1, 8, 90);
    accused(&late, "proves revision 8, which no write can have made");
}

#[test]
fn a_read_of_what_was_not_yet_begun_is_found() {
    let mut made = Made::default();
    made.read(1, 5, 90);
    made.invoke_write(9, 90);
    made.info_write(9, 90);
    accused(&made, "proves revision 5, which no write can have made by then");
    let mut answered = Made::default();
    answered.read(1, 1, 10);
    answered.write(0, 10, 1);
    accused(&answered, "proves revision 1");
}

#[test]
fn a_failed_write_that_is_read_is_found() {
    let mut made = Made::default();
    made.invoke_write(0, 10);
    made.fail_write(0, 10);
    made.read(1, 1, 10);
    accused(&made, "which no write can have made");
}

#[test]
fn a_lost_update_is_found() {
    let mut made = Made::default();
    made.write(0, 10, 1);
    made.write(0, 20, 2);
    made.cas_at_once(1, Kind::Ok, (1, 30), Some(3));
    accused(&made, "made 3, though 2 had come after 1");
}

#[test]
fn two_of_a_kind_that_both_succeed_on_one_revision_are_found() {
    let mut made = Made::default();
    made.cas(1, Kind::Invoke, (0, 10), None);
    made.cas(2, Kind::Invoke, (0, 20), None);
    made.cas(1, Kind::Ok, (0, 10), Some(3));
    made.cas(2, Kind::Ok, (0, 20), Some(4));
    accused(&made, "made 4, though 3 had come after 0");
    let mut same = Made::default();
    same.cas(1, Kind::Invoke, (0, 10), None);
    same.cas(2, Kind::Invoke, (0, 20), None);
    same.cas(1, Kind::Ok, (0, 10), Some(3));
    same.cas(2, Kind::Ok, (0, 20), Some(3));
    accused(&same, "which cas of 10 on revision 0 (operation 0, process 1) made too");
}

#[test]
fn a_conflict_is_lawful_unless_it_names_what_was_asked_for_or_what_is_stale() {
    let mut lawful = Made::default();
    lawful.cas(1, Kind::Invoke, (0, 30), None);
    lawful.write(0, 10, 1);
    lawful.cas(1, Kind::Fail, (0, 30), Some(1));
    valid(&lawful);
    let mut same = Made::default();
    same.cas_at_once(1, Kind::Fail, (0, 30), Some(0));
    accused(&same, "was refused because 0 was in force");
    let mut stale = Made::default();
    stale.write(0, 10, 1);
    stale.write(0, 20, 2);
    stale.cas_at_once(1, Kind::Fail, (0, 30), Some(1));
    accused(&stale, "found the older revision 1");
}

#[test]
fn one_revision_with_two_documents_is_found() {
    let mut made = Made::default();
    made.write(0, 10, 1);
    made.read(1, 1, 11);
    accused(&made, "has 11 in revision 1, which others have 10 in");
    let mut first = Made::default();
    first.read(1, 0, 3);
    accused(&first, "has 3 in revision 0");
}

#[test]
fn revisions_against_real_time_are_found() {
    let mut made = Made::default();
    made.write(0, 10, 5);
    made.write(0, 20, 3);
    accused(&made, "began after write of 10");
}

#[test]
fn a_local_read_may_be_behind_but_not_ahead() {
    let mut behind = Made::default();
    behind.write(0, 10, 1);
    behind.write(0, 20, 2);
    behind.local_read(1, 1, 10);
    valid(&behind);
    let mut ahead = Made::default();
    ahead.local_read(1, 1, 10);
    ahead.write(0, 10, 1);
    accused(&ahead, "local read at ds1");
}

#[test]
fn a_member_that_has_just_joined_may_know_nothing_yet() {
    let judged = |made: &Made| {
        let mut run = run(made.history(), Observations::default());
        run.setup.first = Version { revision: 5, value: 50 };
        judge(&run)
    };
    let mut made = Made::default();
    made.write(0, 60, 6);
    made.local_read(1, 0, 0);
    assert_eq!(judged(&made).verdict, Verdict::Valid);
    // Whoever asks the cluster may not hear that.
    made.read(1, 0, 0);
    let judged = judged(&made);
    let found = violations(&judged);
    assert!(found.iter().any(|one| one.what.contains("older than that at the beginning")));
}

#[test]
fn a_chain_in_doubt_is_explained_only_in_its_own_order() {
    // cas on 0 makes 10, cas on that makes 20: both in doubt, both seen.
    let chain = |seen: [(u64, u64); 2]| {
        let mut made = Made::default();
        made.cas(1, Kind::Invoke, (0, 10), None);
        made.cas(1, Kind::Info, (0, 10), None);
        made.cas(2, Kind::Invoke, (4, 20), None);
        made.cas(2, Kind::Info, (4, 20), None);
        seen.iter().for_each(|(revision, value)| made.read(0, *revision, *value));
        made
    };
    valid(&chain([(4, 10), (6, 20)]));
    accused(&chain([(5, 10), (6, 20)]), "proves revision 6");
}

#[test]
fn makers_in_doubt_are_handed_on_until_each_revision_has_one() {
    // Two times cas of 10, on the first revision only, and two writes of it; three revisions of 10
    // with another document between. One cas must go to the first of them, whoever is tried first,
    // and the other is of no use to a fourth.
    let mut made = Made::default();
    for process in [1, 4] {
        made.cas(process, Kind::Invoke, (0, 10), None);
        made.cas(process, Kind::Info, (0, 10), None);
    }
    for process in 2..=3 {
        made.invoke_write(process, 10);
        made.info_write(process, 10);
    }
    for nth in 0..3 {
        made.read(0, 1 + nth * 2, 10);
        made.write(0, 50 + nth, 2 + nth * 2);
    }
    valid(&made);
    made.read(0, 9, 10);
    accused(&made, "proves revision 9");
}

#[test]
fn thousands_of_operations_with_many_in_doubt_take_no_time() {
    let mut made = Made::default();
    for nth in 0..20_000_u64 {
        made.write(0, nth + 1, nth + 1);
        made.read(1, nth + 1, nth + 1);
        if nth % 20 == 0 {
            made.invoke_write(100 + nth, 1_000_000 + nth);
            made.info_write(100 + nth, 1_000_000 + nth);
        }
    }
    let began = leasehold_lab::now_ns();
    valid(&made);
    let took_ms = (leasehold_lab::now_ns() - began) / MS;
    assert!(took_ms < 20_000, "{took_ms} ms");
}

/// What a process does in a random history.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Read,
    Write(u64),
    Cas(u64, u64),
}

/// A history of at most four operations at a time: some truth, and answers that may be lies.
#[derive(Clone, Debug)]
struct Steps(Vec<(u64, Doing, u8, u64)>);

fn steps() -> impl Strategy<Value = Steps> {
    let doing = prop_oneof![
        Just(Doing::Read),
        (1..4_u64).prop_map(Doing::Write),
        (0..5_u64, 1..4_u64).prop_map(|(on, value)| Doing::Cas(on, value)),
    ];
    proptest::collection::vec((0..3_u64, doing, 0..12_u8, 0..5_u64), 1..14).prop_map(Steps)
}

/// Lets the steps play: each either begins an operation of its process, or ends the one that is
/// under way, by the truth of a register, by doubt, or by a lie.
fn play(steps: &Steps) -> Made {
    let mut made = Made::default();
    let mut open: BTreeMap<u64, (u64, Doing, Option<Version>, bool)> = BTreeMap::new();
    let mut now = Version::default();
    let mut next_process = 10;
    let mut names: BTreeMap<u64, u64> = BTreeMap::new();
    for (slot, doing, chance, lie) in &steps.0 {
        let process = *names.entry(*slot).or_insert(*slot);
        let Some((_, doing, took, refused)) = open.remove(slot) else {
            // It takes effect at once, or not before it ends.
            let early = chance % 2 == 0;
            let effect = early.then(|| take(*doing, &mut now));
            let (took, refused) = effect.map_or((None, false), |(at, no)| (Some(at), no));
            open.insert(*slot, (process, *doing, took, refused));
            match *doing {
                Doing::Read => made.invoke_read(process),
                Doing::Write(value) => made.invoke_write(process, value),
                Doing::Cas(on, value) => made.cas(process, Kind::Invoke, (on, value), None),
            }
            continue;
        };
        if *chance < 3 {
            names.insert(*slot, next_process);
            next_process += 1;
            match doing {
                Doing::Read => made.push(
                    crate::history::Process::Client(process),
                    Kind::Info,
                    F::Read(Read::default()),
                ),
                Doing::Write(value) => made.info_write(process, value),
                Doing::Cas(on, value) => made.cas(process, Kind::Info, (on, value), None),
            }
            continue;
        }
        let (mut at, refused) = took.map_or_else(|| take(doing, &mut now), |at| (at, refused));
        if *chance > 9 {
            at.revision = *lie;
        }
        match doing {
            Doing::Read => made.ok_read(process, at.revision, at.value),
            Doing::Write(value) => made.ok_write(process, value, at.revision),
            Doing::Cas(on, value) => {
                let kind = if refused { Kind::Fail } else { Kind::Ok };
                made.cas(process, kind, (on, value), Some(at.revision));
            }
        }
    }
    made
}

/// What the register does; whether it refuses.
fn take(doing: Doing, now: &mut Version) -> (Version, bool) {
    let write = |now: &mut Version, value| {
        if now.value != value {
            *now = Version { revision: now.revision + 1, value };
        }
    };
    match doing {
        Doing::Read => (*now, false),
        Doing::Write(value) => {
            write(now, value);
            (*now, false)
        }
        Doing::Cas(on, value) if on == now.revision => {
            write(now, value);
            (*now, false)
        }
        Doing::Cas(..) => (*now, true),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The version order and the search judge alike, truth and lies; but for guesses, of which
    /// the order lets more pass.
    #[test]
    fn agrees_with_the_kept_checker(steps in steps()) {
        let history = play(&steps).history();
        let calls = calls(&history).expect("made as a history");
        let first = Version::default();
        let by_order = check(first, &calls);
        let by_search = kept::is_linearizable_whole(first, &calls);
        let told = &by_order.known;
        let guesses = calls.iter().any(|call| {
            let is_guess = |cas: &Cas| !told.contains_key(&cas.if_revision);
            call.kind() == Kind::Info && matches!(call.f(), F::Cas(cas) if is_guess(cas))
        });
        let is_linearizable = by_order.violations.is_empty();
        if guesses && !by_search {
            return Ok(());
        }
        prop_assert_eq!(is_linearizable, by_search, "{}", crate::history::to_edn(&history));
    }

    /// Without lies both find nothing, so the agreement above is not that of two that always accuse.
    #[test]
    fn truth_is_linearizable(steps in steps()) {
        let truth = steps.0.into_iter().map(|(a, b, chance, c)| (a, b, chance % 10, c)).collect();
        let history = play(&Steps(truth)).history();
        let calls = calls(&history).expect("made as a history");
        let order = check(Version::default(), &calls);
        prop_assert!(order.violations.is_empty(), "{}", crate::history::to_edn(&history));
    }
}
