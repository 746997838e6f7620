//! Proof 3: a director that comes back sooner than an address can move away and back.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::IpAddr;

use super::{Answer, incident};
use crate::check::{Violation, ms};
use crate::history::Nanos;

/// A director answered, then another, then the first again; each certainly after the one before.
struct Return<'a> {
    before: &'a Answer,
    between: &'a Answer,
    again: &'a Answer,
}

/// Accuses whoever is back within less than `quickest_ns`; 0 accuses nobody.
pub(super) fn judge(
    vip: IpAddr,
    answers: &[Answer],
    quickest_ns: Nanos,
    violations: &mut Vec<Violation>,
) {
    let mut incidents = Vec::new();
    for Return { before, between, again } in returns(answers) {
        // The widest that the record allows: an honest return takes at least this long.
        let took_ns = again.until_ns.saturating_sub(before.sent_ns);
        if took_ns < quickest_ns {
            let who = [before.by.clone(), between.by.clone()];
            incident::add(&mut incidents, who, again.sent_ns, || {
                format!(
                    "{vip}: {} answered, then {}, then {} again, all within {}; an address needs \
                     {} to move away and back",
                    before.by,
                    between.by,
                    again.by,
                    ms(took_ns),
                    ms(quickest_ns)
                )
            });
        }
    }
    violations.extend(incidents.into_iter().map(Violation::from));
}

/// How often an address came back to a director.
pub(super) fn count(answers: &[Answer]) -> usize {
    returns(answers).len()
}

/// Each return once: the first answer of it. `answers` are in the order of their questions.
fn returns(answers: &[Answer]) -> Vec<Return<'_>> {
    let mut found = Vec::new();
    // Of each director the last answer that is certainly past, with, of each other, the last that
    // certainly preceded that.
    let mut past: BTreeMap<&str, (usize, BTreeMap<&str, usize>)> = BTreeMap::new();
    let mut recent: BinaryHeap<Reverse<(Nanos, usize)>> = BinaryHeap::new();
    let mut preceding: BTreeMap<usize, BTreeMap<&str, usize>> = BTreeMap::new();
    // The first answer of the last return of each director.
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, answer) in answers.iter().enumerate() {
        while let Some(&Reverse((_, earlier))) = recent.peek() {
            let one = &answers[earlier];
            if !one.certainly_before(answer.sent_ns) {
                break;
            }
            recent.pop();
            let before = preceding.remove(&earlier).unwrap_or_default();
            if past.get(one.by.as_str()).is_none_or(|(last, _)| *last < earlier) {
                past.insert(&one.by, (earlier, before));
            }
        }
        let me = answer.by.as_str();
        let others = past.iter().filter(|(by, _)| **by != me);
        let between = others
            .filter_map(|(_, (between, before))| before.get(me).map(|before| (*between, *before)));
        if let Some((between, before)) = between.max()
            && counted.get(me).is_none_or(|again| before >= *again)
        {
            counted.insert(me, at);
            let (before, between) = (&answers[before], &answers[between]);
            found.push(Return { before, between, again: answer });
        }
        preceding.insert(at, past.iter().map(|(by, (last, _))| (*by, *last)).collect());
        recent.push(Reverse((answer.until_ns, at)));
    }
    found
}
