//! At most one director answers for a VIP at any instant (DESIGN, invariant 1).
//!
//! An answer was given somewhere between the sending of its question and its arrival, so an
//! answer *certainly precedes* another only if it had arrived, the dating's error included, before
//! the other was asked for. Three proofs follow:
//! 1. one question answered by two directors;
//! 2. an answer that no grant explains: answers in certain order must fall to epochs in order, and
//!    after a newer epoch was known to anybody, or its holder's own end of it was said, nobody
//!    answers by an older one. Each answer takes the oldest epoch of its director that these allow;
//!    constraints only bound epochs from below, so if that fails every other choice fails too;
//! 3. a director that comes back, after another answered, sooner than an address can move there
//!    and back: for records without grants.
//!
//! An answer that a fault may have held back proves nothing by 1, but still by 2.

mod granted;
mod incident;
mod returned;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use leasehold_lab::observer::observation::Answer as Dated;
use leasehold_lab::{Mac, Observation};

use self::granted::Grants;
pub use self::incident::Doubled;
use self::incident::Incident;
use super::{Judged, Run, Span, Violation, ms, spans};
use crate::history::{Nanos, Setup};

/// An answer, by whoever can be told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    sent_ns: Nanos,
    /// The latest instant at which it can have been given: arrival, plus the dating's error.
    until_ns: Nanos,
    by: String,
}

impl Answer {
    fn certainly_before(&self, asked_ns: Nanos) -> bool {
        self.until_ns < asked_ns
    }
}

/// What was found of one VIP.
#[derive(Default)]
struct Found {
    violations: Vec<Violation>,
    doubts: Vec<String>,
}

pub(super) fn judge(run: &Run) -> Judged {
    let witnesses = &run.observations.neighbours;
    let records = witnesses.values().flat_map(|seen| &seen.records);
    let known = records.filter(|(vip, _)| run.setup.vips.contains_key(vip));
    let (mut answers, mut shared, mut misdated) = (0_usize, 0_usize, 0_usize);
    for answer in known.flat_map(|(_, record)| &record.answers) {
        answers += 1;
        misdated += usize::from(is_misdated(answer));
        shared += usize::from(is_shared(answer.mac));
    }
    if answers == 0 {
        return Judged::nothing("nobody was seen to answer for a VIP");
    }
    let faults = spans(&run.history);
    let mut found = Found::default();
    for (vip, group) in &run.setup.vips {
        let of_vip = one_vip(run, *vip, group, &faults);
        found.violations.extend(of_vip.violations);
        found.doubts.extend(of_vip.doubts);
    }
    for (name, seen) in witnesses {
        if seen.frames_lost > 0 {
            found.doubts.push(format!("{name} lost {} frames", seen.frames_lost));
        }
    }
    let notes = std::iter::once(format!(
        "{answers} answers for {} VIPs, {shared} of them from MACs that all directors share, {misdated} \
         dated before their questions; dating is right to {}",
        run.setup.vips.len(),
        ms(run.setup.error_bound_ns)
    ));
    let grains = witnesses.iter().map(|(name, seen)| grain(name, seen));
    Judged::by(found.violations, &found.doubts, notes.chain(grains).collect())
}

fn one_vip(run: &Run, vip: IpAddr, group: &str, faults: &[Span]) -> Found {
    let mut found = Found::default();
    let answers = answers_of(run, vip);
    for seen in run.observations.neighbours.values() {
        let (incidents, held_back) = same_question(&run.setup, seen, vip, faults);
        found.violations.extend(incidents.into_iter().map(Violation::from));
        if held_back > 0 {
            found.doubts.push(format!(
                "{held_back} questions for {vip} were answered by two while a fault held packets \
                 back"
            ));
        }
    }
    let grants = Grants::of(&run.observations.told, group, run.setup.error_bound_ns);
    if grants.is_empty() || !run.setup.grants_complete {
        returned::judge(vip, &answers, run.setup.quickest_return_ns, &mut found.violations);
    }
    if grants.is_empty() {
        let returns = returned::count(&answers);
        if returns > 0 {
            found.doubts.push(format!(
                "{vip} came back to a director {returns} times, and no grant was told that allows it"
            ));
        }
        return found;
    }
    let unexplained = grants.unexplained(vip, &answers);
    if run.setup.grants_complete {
        found.violations.extend(unexplained);
    } else if let Some(first) = unexplained.first() {
        found.doubts.push(format!(
            "{} runs of answers for {vip} are explained by no grant that was told, which may lack \
             some; the first {first}",
            unexplained.len()
        ));
    }
    found
}

/// Answers of all observers, by the instant of the question.
fn answers_of(run: &Run, vip: IpAddr) -> Vec<Answer> {
    let witnesses = run.observations.neighbours.values();
    let records = witnesses.filter_map(|seen| seen.records.get(&vip));
    let mut answers: Vec<Answer> = records
        .flat_map(|record| &record.answers)
        .filter(|answer| !is_shared(answer.mac) && !is_misdated(answer))
        .map(|answer| Answer {
            sent_ns: answer.sent_ns,
            until_ns: answer.received_ns + run.setup.error_bound_ns,
            by: name(&run.setup, answer.mac),
        })
        .collect();
    answers.sort_by_key(|answer| (answer.sent_ns, answer.until_ns));
    answers
}

/// Every time in which one question of a VIP after the other was answered by two: proof 1 alone,
/// in figures.
#[must_use]
pub fn doubled(run: &Run) -> Vec<Doubled> {
    let faults = spans(&run.history);
    let mut found = Vec::new();
    for (vip, seen) in run
        .setup
        .vips
        .keys()
        .flat_map(|vip| run.observations.neighbours.values().map(move |seen| (*vip, seen)))
    {
        let (incidents, _) = same_question(&run.setup, seen, vip, &faults);
        found.extend(incidents.iter().map(|one| one.in_figures(vip)));
    }
    found
}

/// Proof 1, and its kin: two that hide behind one virtual MAC show as one question answered twice.
/// And how many might be, but for a fault.
fn same_question(
    setup: &Setup,
    seen: &Observation,
    vip: IpAddr,
    faults: &[Span],
) -> (Vec<Incident>, usize) {
    let Some(record) = seen.records.get(&vip) else { return (Vec::new(), 0) };
    let mut by_question: BTreeMap<Nanos, Vec<(Nanos, Mac)>> = BTreeMap::new();
    for answer in &record.answers {
        by_question.entry(answer.sent_ns).or_default().push((answer.received_ns, answer.mac));
    }
    let mut held_back = 0_usize;
    let mut incidents = Vec::new();
    for (sent_ns, mut answers) in by_question {
        answers.sort_unstable();
        let Some(&(first_ns, first)) = answers.first() else { continue };
        for &(received_ns, mac) in &answers[1..] {
            let (one, other) = (name(setup, first), name(setup, mac));
            let may = |wanted: fn(&Span) -> bool| {
                faults
                    .iter()
                    .filter(|span| wanted(span))
                    .any(|span| span.possible.start <= received_ns && sent_ns <= span.possible.end)
            };
            let excused = if one == other {
                // Its own second answer is no second answerer, but for a MAC that all share.
                !is_shared(mac) || may(|span| span.fault.effect.duplicates)
            } else {
                may(|span| span.fault.effect.delay_ns > 0)
            };
            if one != other && excused {
                held_back += 1;
            } else if !excused {
                let after = |at_ns: Nanos| ms(at_ns.saturating_sub(sent_ns));
                incident::add(&mut incidents, [one.clone(), other.clone()], sent_ns, || {
                    format!(
                        "{vip}: one question was answered by {one} after {} and by {other} after {}",
                        after(first_ns),
                        after(received_ns)
                    )
                });
            }
        }
    }
    (incidents, held_back)
}

fn name(setup: &Setup, mac: Mac) -> String {
    setup.director(mac).map_or_else(|| mac.to_string(), str::to_owned)
}

/// The kernel dates arrivals by the wall clock, so a step of that may put an answer before its
/// question; such a date orders nothing.
fn is_misdated(answer: &Dated) -> bool {
    answer.received_ns < answer.sent_ns
}

/// A virtual router's MAC, which every director of it uses (RFC 9568, section 7.3).
fn is_shared(mac: Mac) -> bool {
    matches!(mac.0, [0, 0, 0x5e, 0, 1 | 2, _])
}

/// How finely an observer looked.
fn grain(name: &str, seen: &Observation) -> String {
    let asked = seen.records.iter().map(|(vip, record)| {
        let mut steps: Vec<Nanos> =
            record.sent_ns.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        steps.sort_unstable();
        let median = steps.get(steps.len() / 2).copied().unwrap_or(0);
        (median, seen.unasked_ns(*vip, seen.started_ns, seen.ended_ns))
    });
    let (median, longest) = asked.fold((0, 0), |(a, b), (c, d)| (a.max(c), b.max(d)));
    format!(
        "{name} asked for each VIP every {} in the median, and once not for {}: two answerers that \
         overlap for less may go unseen",
        ms(median),
        ms(longest)
    )
}
