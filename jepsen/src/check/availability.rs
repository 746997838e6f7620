//! How long nobody answered for a VIP after each fault and after each heal.
//!
//! What a client feels is the time between two answers. What is proven is less: from the first
//! question that stayed unanswered to the last. A limit is broken only by the latter, so that an
//! observer that was held up accuses nobody.

use std::collections::BTreeMap;
use std::net::IpAddr;

use leasehold_lab::Observation;
use leasehold_lab::observer::observation::Record;

use super::{Judged, Run, Violation, ms, spans};
use crate::history::{Limits, Nanos};

/// A fault begins, or is healed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub at_ns: Nanos,
    /// The fault's.
    pub kind: String,
    pub is_heal: bool,
    /// No other fault is, or may be, in force.
    pub alone: bool,
}

/// The longest time without an answer after one event and before the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    pub event: Event,
    pub vip: IpAddr,
    /// Of the observer.
    pub witness: String,
    /// The answer before it, or the event.
    pub from_ns: Nanos,
    /// The answer after it, or the next event, or the observation's end.
    pub until_ns: Nanos,
    /// Whether an answer ended it.
    pub ended: bool,
    /// From the event to the next one: what was silent for longer was not seen.
    pub window_ns: Nanos,
    /// Between the first and the last question in it that nobody answered.
    pub proven_ns: Nanos,
}

impl Event {
    /// Which limit it is under, if any.
    fn limit_ns(&self, limits: &Limits) -> Option<Nanos> {
        match (self.alone, self.is_heal) {
            (false, true | false) => None,
            (true, true) => limits.after_heal_ns,
            (true, false) => limits.after_fault_ns.get(&self.kind).copied(),
        }
    }

    fn name(&self) -> String {
        let what = if self.is_heal { "heal of " } else { "" };
        let among = if self.alone { "" } else { " among others" };
        format!("{what}{}{among}", self.kind)
    }
}

impl Outage {
    #[must_use]
    pub fn length_ns(&self) -> Nanos {
        self.until_ns.saturating_sub(self.from_ns)
    }
}

pub(super) fn judge(run: &Run) -> Judged {
    let outages = outages(run);
    if outages.is_empty() {
        return Judged::nothing("no fault began or was healed while a VIP was observed");
    }
    let limits = &run.setup.limits;
    let (mut violations, mut doubts, mut judged) = (Vec::new(), Vec::new(), 0_usize);
    for outage in &outages {
        let limit_ns = outage.event.limit_ns(limits).filter(|limit| *limit < outage.window_ns);
        let Some(limit_ns) = limit_ns else { continue };
        judged += 1;
        let line = || {
            format!(
                "{} without an answer for {} after {}, where {} are allowed",
                ms(outage.length_ns()),
                outage.vip,
                outage.event.name(),
                ms(limit_ns)
            )
        };
        if outage.proven_ns > limit_ns {
            violations.push(Violation::new(outage.from_ns, line()));
        } else if outage.length_ns() > limit_ns {
            doubts.push(format!("{}, of which {} were asked", line(), ms(outage.proven_ns)));
        }
    }
    let table = table(&outages);
    if judged == 0 {
        return Judged::nothing(
            "no limit is set for what happened, or the next event came before it was over",
        )
        .noted(table);
    }
    Judged::by(violations, &doubts, table)
}

/// One row for each event, VIP and observer: of those that send echoes as clients do, if there are
/// any, else of those that ask for hardware addresses.
#[must_use]
pub fn outages(run: &Run) -> Vec<Outage> {
    let seen = &run.observations;
    let witnesses = if seen.echoes.is_empty() { &seen.neighbours } else { &seen.echoes };
    let events = events(run);
    let mut found = Vec::new();
    for (nth, event) in events.iter().enumerate() {
        let next_ns = events[nth..].iter().map(|it| it.at_ns).find(|at| *at > event.at_ns);
        for (witness, seen) in witnesses {
            let until_ns = next_ns.unwrap_or(Nanos::MAX).min(seen.ended_ns);
            let window_ns = until_ns.saturating_sub(event.at_ns);
            for (vip, record) in &seen.records {
                let gap = longest(record, event.at_ns.max(seen.started_ns), until_ns);
                found.extend(gap.map(|(from_ns, until_ns, ended)| Outage {
                    event: event.clone(),
                    vip: *vip,
                    witness: witness.clone(),
                    from_ns,
                    until_ns,
                    ended,
                    window_ns,
                    proven_ns: proven(seen, record, from_ns, until_ns),
                }));
            }
        }
    }
    found
}

fn events(run: &Run) -> Vec<Event> {
    let spans = spans(&run.history);
    let mut events = Vec::new();
    for span in &spans {
        let alone = |at_ns: Nanos| {
            let others = spans.iter().filter(|other| other.fault.id != span.fault.id);
            others.filter(|other| other.possible.contains(&at_ns)).count() == 0
        };
        let event = |at_ns, is_heal| Event {
            at_ns,
            kind: span.fault.kind.clone(),
            is_heal,
            alone: alone(at_ns),
        };
        let began_ns = span.certain.as_ref().map_or(span.possible.start, |certain| certain.start);
        events.push(event(began_ns, false));
        events.extend(span.healed_ns.map(|at_ns| event(at_ns, true)));
    }
    events.sort_by_key(|event| event.at_ns);
    events
}

/// The longest gap between two answers in a time: from, until, and whether an answer ended it.
fn longest(record: &Record, from_ns: Nanos, until_ns: Nanos) -> Option<(Nanos, Nanos, bool)> {
    if from_ns >= until_ns {
        return None;
    }
    let first = record.answers.partition_point(|answer| answer.received_ns < from_ns);
    let arrivals = record.answers[first..].iter().map(|answer| answer.received_ns);
    let inside: Vec<Nanos> = arrivals.take_while(|at| *at < until_ns).collect();
    let starts = std::iter::once(from_ns).chain(inside.iter().copied());
    let ends = inside.iter().map(|at| (*at, true)).chain([(until_ns, false)]);
    let gaps = starts.zip(ends).map(|(from, (until, ended))| (from, until, ended));
    gaps.max_by_key(|(from, until, _)| until.saturating_sub(*from))
}

/// How much of a gap the unanswered questions in it span.
fn proven(seen: &Observation, record: &Record, from_ns: Nanos, until_ns: Nanos) -> Nanos {
    let ending = record.answers.iter().find(|answer| answer.received_ns == until_ns);
    // The question whose answer ended the gap did not stay unanswered; nor can one that was sent
    // just before the observation ended be said to.
    let before_ns = ending.map_or(until_ns.min(seen.ended_ns), |answer| answer.sent_ns);
    let first = record.sent_ns.partition_point(|at| *at < from_ns);
    let last = record.sent_ns.partition_point(|at| *at < before_ns);
    match record.sent_ns.get(first..last) {
        Some([first, .., last]) => last - first,
        Some([] | [_]) | None => 0,
    }
}

/// Longest silences by kind of event, in the order of names.
fn table(outages: &[Outage]) -> Vec<String> {
    let mut by_name: BTreeMap<String, Vec<Nanos>> = BTreeMap::new();
    for outage in outages {
        by_name.entry(outage.event.name()).or_default().push(outage.length_ns());
    }
    let rows = by_name.into_iter().map(|(name, mut lengths)| {
        lengths.sort_unstable();
        format!(
            "after {name}: {} times, longest silence {} in the median, {} at most",
            lengths.len(),
            ms(lengths[lengths.len() / 2]),
            ms(lengths[lengths.len() - 1])
        )
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::super::made::*;
    use super::*;
    use crate::check::{Doubt, Verdict};
    use crate::history::{Effect, Fault};

    /// ds1 answers, falls silent at 1,000 ms, and answers again from `back_ms` to 3,000 ms. Asked
    /// every 2 ms; a fault lasts from 1,000 to 1,500 ms.
    fn run_back_at(back_ms: Nanos) -> Run {
        let mut made = Made::default();
        let kill = Fault::new(1, "kill").with(Effect::down(&["ds1"]));
        made.fault(&kill, 1_000 * MS, 1_500 * MS);
        let answers = [reign(1, 100 * MS, 1_000 * MS), reign(1, back_ms * MS, 3_000 * MS)].concat();
        let mut observations = seen(&answers);
        let witness = observations.neighbours.get_mut("client").expect("made so");
        let record = witness.records.get_mut(&vip()).expect("made so");
        record.sent_ns = (50..1_500).map(|nth| nth * 2 * MS).collect();
        let mut run = run(made.history(), observations);
        run.setup.limits.after_heal_ns = Some(500 * MS);
        run
    }

    #[test]
    fn back_within_the_limit_is_lawful_and_each_event_has_its_row() {
        let run = run_back_at(1_900);
        let judged = judge(&run);
        assert_eq!(judged.verdict, Verdict::Valid);
        let rows = outages(&run);
        let lengths: Vec<(bool, Nanos)> =
            rows.iter().map(|row| (row.event.is_heal, row.length_ns() / MS)).collect();
        assert_eq!(lengths, [(false, 500), (true, 400)]);
        assert!(!rows[0].ended && rows[1].ended);
        assert_eq!(
            judged.notes[0],
            "after heal of kill: 1 times, longest silence 400.5 ms in the median, 400.5 ms at most"
        );
    }

    #[test]
    fn what_was_watched_for_less_than_the_limit_proves_nothing() {
        let mut run = run_back_at(1_900);
        run.setup.limits.after_heal_ns = Some(2_000 * MS);
        assert!(matches!(judge(&run).verdict, Verdict::Unknown(Doubt::NothingToJudge(_))));
    }

    #[test]
    fn back_too_late_is_proof() {
        let judged = judge(&run_back_at(2_100));
        let [violation] = violations(&judged) else { panic!("one: {judged:?}") };
        assert!(violation.what.contains("without an answer for 192.0.2.1 after heal of kill"));
    }

    #[test]
    fn what_the_observer_did_not_ask_is_a_doubt() {
        let mut run = run_back_at(2_100);
        let witness = run.observations.neighbours.get_mut("client").expect("made so");
        let record = witness.records.get_mut(&vip()).expect("made so");
        record.sent_ns.retain(|at| !(1_600 * MS..2_100 * MS).contains(at));
        let Verdict::Unknown(Doubt::Unclear(why)) = judge(&run).verdict else { panic!("a doubt") };
        assert!(why.contains("were asked"), "{why}");
    }

    #[test]
    fn a_fault_has_the_limit_of_its_kind_and_only_alone() {
        let mut run = run_back_at(1_900);
        run.setup.limits.after_fault_ns = BTreeMap::from([("kill".to_owned(), 300 * MS)]);
        assert_eq!(violations(&judge(&run)).len(), 1);
        let mut made = Made::default();
        made.fault(&Fault::new(1, "kill"), 1_000 * MS, 1_500 * MS);
        let mut ops = made.history();
        let mut other = Made::default();
        other.at(900 * MS).invoke_start(&Fault::new(2, "loss"));
        ops.splice(0..0, other.history());
        run.history = ops;
        let rows = outages(&run);
        assert!(rows.iter().filter(|row| row.event.kind == "kill").all(|row| !row.event.alone));
        assert!(matches!(judge(&run).verdict, Verdict::Unknown(Doubt::NothingToJudge(_))));
    }

    #[test]
    fn an_address_that_nobody_ever_answered_for_is_out_all_the_time() {
        let mut run = run_back_at(1_900);
        let witness = run.observations.neighbours.get_mut("client").expect("made so");
        witness.records.get_mut(&vip()).expect("made so").answers.clear();
        let judged = judge(&run);
        let [violation] = violations(&judged) else { panic!("one: {judged:?}") };
        assert!(violation.what.starts_with("1498.5 ms without an answer"), "{violation}");
    }
}
