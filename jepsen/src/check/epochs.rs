//! Epochs of a group strictly increase, and each has one holder (DESIGN, vocabulary: epoch).
//!
//! Members learn of grants one after the other, so what two of them say at one time may differ.
//! What must hold: an epoch has one holder wherever it is told of; one channel of one run of a
//! daemon never goes back; and since a holder serves only while nobody else does, the instants at
//! which epochs began to be served are in the order of the epochs, over all members. Those are
//! dated by who serves; two closer than the stated error are in no order.

use std::collections::BTreeMap;

use super::{Judged, Run, Violation};
use crate::history::{Source, Told, Word};

pub(super) fn judge(run: &Run) -> Judged {
    let told = &run.observations.told;
    if told.is_empty() {
        return Judged::nothing("nobody told of a grant");
    }
    let mut violations = Vec::new();
    holders(told, &mut violations);
    channels(told, &mut violations);
    served(told, run.setup.error_bound_ns, &mut violations);
    let mut epochs: Vec<(&str, u64)> =
        told.iter().map(|told| (told.group.as_str(), told.epoch)).collect();
    epochs.sort_unstable();
    epochs.dedup();
    let groups = epochs.chunk_by(|one, next| one.0 == next.0).count();
    let note = format!("{} epochs of {groups} groups, told {} times", epochs.len(), told.len());
    Judged::by(violations, &[], vec![note])
}

fn holders(told: &[Told], violations: &mut Vec<Violation>) {
    let mut holders: BTreeMap<(&str, u64), &Told> = BTreeMap::new();
    for told in told {
        let first = holders.entry((&told.group, told.epoch)).or_insert(told);
        if first.holder != told.holder {
            let what = format!(
                "epoch {} of {} is held by {}, says {}, and by {}, says {}",
                told.epoch,
                told.group,
                first.holder,
                name(&first.source),
                told.holder,
                name(&told.source)
            );
            violations.push(Violation::new(told.seen_ns, what));
        }
    }
}

fn channels(told: &[Told], violations: &mut Vec<Violation>) {
    let mut last: BTreeMap<(&Source, &str), u64> = BTreeMap::new();
    let mut served: BTreeMap<(&Source, &str), u64> = BTreeMap::new();
    for told in told {
        let key = (&told.source, told.group.as_str());
        let newest = last.entry(key).or_insert(told.epoch);
        if told.epoch < *newest {
            let what = format!(
                "{} told of epoch {} of {} after {newest}",
                name(&told.source),
                told.epoch,
                told.group
            );
            violations.push(Violation::new(told.seen_ns, what));
        }
        *newest = told.epoch.max(*newest);
        let again = match told.word {
            Word::Serves => served.insert(key, told.epoch) == Some(told.epoch),
            Word::Holds | Word::Ended => false,
        };
        if again {
            let what = format!(
                "{} began to serve {} twice in epoch {}",
                name(&told.source),
                told.group,
                told.epoch
            );
            violations.push(Violation::new(told.seen_ns, what));
        }
    }
}

fn served(told: &[Told], error_ns: u64, violations: &mut Vec<Violation>) {
    let mut serves: Vec<&Told> = told.iter().filter(|it| it.word == Word::Serves).collect();
    serves.sort_by_key(|it| (it.seen_ns, it.epoch));
    let mut newest: BTreeMap<&str, &Told> = BTreeMap::new();
    for told in serves {
        let last = newest.entry(&told.group).or_insert(told);
        let apart_ns = told.seen_ns.saturating_sub(last.seen_ns);
        if told.epoch < last.epoch && apart_ns > error_ns {
            let what = format!(
                "{} began to serve {} in epoch {} after {} had in epoch {}",
                told.holder, told.group, told.epoch, last.holder, last.epoch
            );
            violations.push(Violation::new(told.seen_ns, what));
        }
        if told.epoch > last.epoch {
            *last = told;
        }
    }
}

fn name(source: &Source) -> String {
    format!("{} of {} (run {})", source.channel, source.node, source.run)
}

#[cfg(test)]
mod tests {
    use super::super::made::*;
    use super::*;
    use crate::check::{Doubt, Verdict};
    use crate::history::Observations;

    fn judged(told: Vec<Told>) -> Judged {
        judge(&run(Vec::new(), Observations { told, ..Observations::default() }))
    }

    #[test]
    fn a_member_that_lags_behind_another_is_lawful() {
        let judged = judged(vec![
            told(1, "ds1", Word::Holds, 5, "ds1"),
            told(10 * MS, "ds2", Word::Serves, 8, "ds2"),
            told(11 * MS, "ds1", Word::Holds, 5, "ds1"),
            told(12 * MS, "ds1", Word::Holds, 8, "ds2"),
        ]);
        assert_eq!(judged.verdict, Verdict::Valid);
        assert_eq!(judged.notes, ["2 epochs of 1 groups, told 4 times"]);
    }

    #[test]
    fn a_channel_that_goes_back_is_found_and_a_daemon_that_restarts_is_not() {
        let mut back =
            vec![told(1, "ds1", Word::Holds, 8, "ds2"), told(2, "ds1", Word::Holds, 5, "ds1")];
        let judged_back = judged(back.clone());
        let [violation] = violations(&judged_back) else { panic!("one: {judged_back:?}") };
        assert_eq!(violation.what, "status of ds1 (run 0) told of epoch 5 of VI_1 after 8");
        back[1].source.run = 1;
        assert_eq!(judged(back).verdict, Verdict::Valid);
    }

    #[test]
    fn an_epoch_with_two_holders_is_found() {
        let judged = judged(vec![
            told(1, "ds1", Word::Holds, 8, "ds1"),
            told(2, "ds2", Word::Holds, 8, "ds2"),
        ]);
        assert!(violations(&judged)[0].what.contains("held by ds1"), "{judged:?}");
    }

    #[test]
    fn service_out_of_order_is_found_beyond_the_error_of_its_dating() {
        let of = |apart_ns| {
            judged(vec![
                told(5 * MS, "ds2", Word::Serves, 8, "ds2"),
                told(5 * MS + apart_ns, "ds1", Word::Serves, 5, "ds1"),
            ])
        };
        assert_eq!(of(MS).verdict, Verdict::Valid);
        assert!(violations(&of(2 * MS))[0].what.contains("ds1 began to serve VI_1 in epoch 5"));
    }

    #[test]
    fn an_epoch_served_twice_is_found() {
        let twice = told(1, "ds1", Word::Serves, 5, "ds1");
        assert!(violations(&judged(vec![twice.clone(), twice]))[0].what.contains("twice"));
        assert!(matches!(judged(vec![]).verdict, Verdict::Unknown(Doubt::NothingToJudge(_))));
    }
}
