//! Nobody answers for long without a quorum (DESIGN, invariant 2).
//!
//! A lease ends `ttl` after its renewal was sent, on the holder's clock, and a renewal needs a
//! leader that the holder reaches and that reaches a majority. So a director that no living voter
//! with a majority exchanges packets with, from an instant on, answers no more after
//! `ttl * (1 + drift)`, plus the observer's error. Only faults that were seen to be in effect
//! count, and only answers that were asked for after that and had arrived before the heal began.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{Judged, Run, Span, Violation, ms, spans};
use crate::history::{F, Kind, Nanos, Op, Setup, Way};

pub(super) fn judge(run: &Run) -> Judged {
    let setup = &run.setup;
    let bound_ns = bound_ns(setup);
    let spans = spans(&run.history);
    let electorates = electorates(setup, &run.history);
    let mut violations = Vec::new();
    let (mut times, mut asked, mut latest_ns) = (0_usize, 0_usize, 0);
    for director in &setup.directors {
        for cut in without_quorum(&director.name, &spans, &electorates) {
            let from_ns = cut.start.saturating_add(bound_ns);
            if from_ns >= cut.end {
                continue;
            }
            times += 1;
            for seen in run.observations.neighbours.values() {
                for (vip, record) in &seen.records {
                    asked +=
                        record.sent_ns.iter().filter(|at| (from_ns..cut.end).contains(at)).count();
                    let own = record.answers.iter().filter(|it| director.macs.contains(&it.mac));
                    let inside: Vec<_> = own
                        .filter(|it| it.sent_ns >= cut.start)
                        .filter(|it| it.received_ns + setup.error_bound_ns < cut.end)
                        // A step of the wall clock misdates arrivals: it may have come later.
                        .filter(|it| it.received_ns >= it.sent_ns)
                        .collect();
                    let last_ns = inside.iter().map(|it| it.sent_ns - cut.start).max();
                    latest_ns = latest_ns.max(last_ns.unwrap_or(0));
                    let late: Vec<_> = inside.iter().filter(|it| it.sent_ns > from_ns).collect();
                    if let (Some(first), Some(last)) = (late.first(), late.last()) {
                        violations.push(Violation::new(
                            first.sent_ns,
                            format!(
                                "{} answered for {vip} {} times, up to {} after it had lost its \
                                 quorum; {} are allowed",
                                director.name,
                                late.len(),
                                ms(last.sent_ns - cut.start),
                                ms(bound_ns)
                            ),
                        ));
                    }
                }
            }
        }
    }
    if times == 0 {
        let why = format!("no director was without a quorum for longer than {}", ms(bound_ns));
        return Judged::nothing(why);
    }
    if asked == 0 {
        return Judged::unclear(format!("in {times} times without a quorum nobody asked"));
    }
    let note = format!(
        "{times} times a director was without a quorum for longer than {}; it was asked {asked} \
         times after that, and the latest answer to any question came {} after the loss",
        ms(bound_ns),
        ms(latest_ns)
    );
    Judged::by(violations, &[], vec![note])
}

/// The longest that an answer may follow the loss of the quorum.
fn bound_ns(setup: &Setup) -> Nanos {
    let ttl = u128::from(setup.ttl_ns) * u128::from(1_000_000 + setup.drift_ppm) / 1_000_000;
    u64::try_from(ttl).unwrap_or(Nanos::MAX).saturating_add(setup.error_bound_ns)
}

/// Who may have voted: from each instant on, every set of voters that may be in force.
fn electorates(setup: &Setup, history: &[Op]) -> Vec<(Nanos, Vec<Vec<String>>)> {
    let mut now = vec![setup.voters.clone()];
    let mut all = vec![(0, now.clone())];
    for op in history {
        match (&op.f, op.kind) {
            (F::Voters(to), Kind::Invoke) => now.push(to.voters.clone()),
            (F::Voters(to), Kind::Ok) => now = vec![to.voters.clone()],
            // Whatever was asked for may be in force, or come to be.
            (F::Voters(_), Kind::Fail | Kind::Info) => continue,
            (
                F::Read(_)
                | F::Write(_)
                | F::Cas(_)
                | F::Get(_)
                | F::Command(_)
                | F::Start(_)
                | F::Stop(_),
                Kind::Invoke | Kind::Ok | Kind::Fail | Kind::Info,
            ) => continue,
        }
        all.push((op.time_ns, now.clone()));
    }
    all
}

/// The longest times in which `holder` certainly could renew nothing.
fn without_quorum(
    holder: &str,
    spans: &[Span],
    electorates: &[(Nanos, Vec<Vec<String>>)],
) -> Vec<Range<Nanos>> {
    let certain = || spans.iter().filter_map(|span| span.certain.as_ref().map(|at| (at, span)));
    let mut instants: BTreeSet<Nanos> = electorates.iter().map(|(at, _)| *at).collect();
    instants.extend(certain().flat_map(|(at, _)| [at.start, at.end]));
    instants.insert(Nanos::MAX);
    let instants: Vec<Nanos> = instants.into_iter().collect();
    let mut found: Vec<Range<Nanos>> = Vec::new();
    for pair in instants.windows(2) {
        let (from_ns, until_ns) = (pair[0], pair[1]);
        let (mut down, mut cut) = (BTreeSet::new(), BTreeSet::new());
        for (_, span) in certain().filter(|(at, _)| at.start <= from_ns && until_ns <= at.end) {
            down.extend(span.fault.effect.down.iter().map(String::as_str));
            cut.extend(&span.fault.effect.cut);
        }
        let sets = electorates.iter().rev().find(|(at, _)| *at <= from_ns).map(|(_, sets)| sets);
        let lost =
            sets.is_some_and(|sets| sets.iter().all(|it| !can_renew(holder, it, &down, &cut)));
        match found.last_mut() {
            Some(last) if lost && last.end == from_ns => last.end = until_ns,
            Some(_) | None if lost => found.push(from_ns..until_ns),
            Some(_) | None => {}
        }
    }
    found
}

/// Whether some voter can lead a majority and answer `holder`: packets must pass both ways, since
/// a renewal has an answer, and a connection acknowledges.
fn can_renew(holder: &str, voters: &[String], down: &BTreeSet<&str>, cut: &BTreeSet<&Way>) -> bool {
    let open = |one: &str, other: &str| {
        let (there, back) = (Way::new(one, other), Way::new(other, one));
        one == other || !(cut.contains(&there) || cut.contains(&back))
    };
    let alive = |node: &str| !down.contains(node);
    let leads = |leader: &String| {
        let followers = voters.iter().filter(|voter| alive(voter) && open(leader, voter));
        alive(leader) && open(leader, holder) && followers.count() * 2 > voters.len()
    };
    alive(holder) && voters.iter().any(leads)
}

#[cfg(test)]
mod tests {
    use super::super::made::*;
    use super::*;
    use crate::check::{Doubt, Verdict};
    use crate::history::{Effect, Fault, Outcome};

    const CUT: Nanos = 5_000 * MS;
    const HEAL: Nanos = 9_000 * MS;
    /// ttl 1 s, drift 1 %, error 1 ms.
    const LAST: Nanos = CUT + 1_011 * MS;

    fn isolated() -> Fault {
        Fault::new(1, "isolated-holder").with(Effect::split(&["ds1"], &["ds2", "ds3"]))
    }

    fn judged(fault: &Fault, until_ns: Nanos) -> Judged {
        let mut made = Made::default();
        made.fault(fault, CUT, HEAL);
        judge_made(&made, until_ns)
    }

    /// ds1 answers until then, and somebody asks on.
    fn judge_made(made: &Made, until_ns: Nanos) -> Judged {
        let mut observations = seen(&reign(1, 4_000 * MS, until_ns));
        let witness = observations.neighbours.get_mut("client").expect("made so");
        let record = witness.records.get_mut(&vip()).expect("made so");
        record.sent_ns = (2_000..5_000).map(|it| it * 2 * MS).collect();
        judge(&run(made.history(), observations))
    }

    #[test]
    fn silence_in_time_is_lawful() {
        let judged = judged(&isolated(), LAST - MS);
        assert_eq!(judged.verdict, Verdict::Valid);
        assert!(judged.notes[0].starts_with("1 times"), "{:?}", judged.notes);
    }

    #[test]
    fn an_answer_after_the_lease_is_proof() {
        let judged = judged(&isolated(), LAST + 10 * MS);
        let [violation] = violations(&judged) else { panic!("one: {judged:?}") };
        assert!(violation.what.contains("1011.0 ms are allowed"), "{violation}");
    }

    #[test]
    fn whoever_keeps_a_majority_answers_on() {
        let other = Fault::new(1, "other-side").with(Effect::split(&["ds3"], &["ds1", "ds2"]));
        let others = judged(&other, HEAL);
        assert_eq!(others.verdict, Verdict::Valid, "only ds3 lost its quorum, and it was silent");
        // A bridge: ds2 is reached by both, who do not reach each other.
        let bridge = Fault::new(1, "bridge").with(Effect::split(&["ds1"], &["ds3"]));
        let judged = judged(&bridge, HEAL);
        assert!(matches!(judged.verdict, Verdict::Unknown(Doubt::NothingToJudge(_))));
    }

    #[test]
    fn one_way_is_no_way() {
        let deaf = Fault::new(1, "deaf").with(Effect::one_way(&["ds2", "ds3"], &["ds1"]));
        assert_eq!(violations(&judged(&deaf, HEAL - 10 * MS)).len(), 1);
    }

    #[test]
    fn two_faults_together_take_what_neither_takes_alone() {
        let mut made = Made::default();
        let cut = Fault::new(1, "cut").with(Effect::split(&["ds1"], &["ds2"]));
        let kill = Fault::new(2, "kill").with(Effect::down(&["ds3"]));
        made.at(1_000 * MS).invoke_start(&cut);
        made.done_start(&cut, Outcome::Installed);
        made.at(CUT).invoke_start(&kill);
        made.done_start(&kill, Outcome::Installed);
        assert!(matches!(judge_made(&made, LAST - MS).verdict, Verdict::Valid));
        assert_eq!(violations(&judge_made(&made, LAST + 10 * MS)).len(), 1);
    }

    #[test]
    fn other_faults_that_begin_and_end_meanwhile_do_not_divide_the_time() {
        let mut made = Made::default();
        made.at(CUT).invoke_start(&isolated());
        made.done_start(&isolated(), Outcome::Installed);
        for nth in 1..=20 {
            let from_ns = CUT + nth * 150 * MS;
            made.fault(&Fault::new(1 + nth, "loss"), from_ns, from_ns + 50 * MS);
        }
        made.at(HEAL).invoke_stop(&isolated());
        assert_eq!(violations(&judge_made(&made, LAST + 10 * MS)).len(), 1);
    }

    #[test]
    fn a_fault_in_doubt_or_an_answer_under_way_at_the_heal_proves_nothing() {
        let mut made = Made::default();
        made.at(CUT).invoke_start(&isolated());
        made.done_start(&isolated(), Outcome::Indeterminate { reason: "timeout".to_owned() });
        let judged = judge_made(&made, HEAL);
        assert!(matches!(judged.verdict, Verdict::Unknown(Doubt::NothingToJudge(_))));
        let mut made = Made::default();
        made.fault(&isolated(), CUT, HEAL);
        for arrival_ns in [HEAL + MS, HEAL - 2 * MS] {
            let observations = seen(&[(HEAL - MS, arrival_ns, 1)]);
            assert_eq!(judge(&run(made.history(), observations)).verdict, Verdict::Valid);
        }
    }

    #[test]
    fn while_voters_change_either_majority_will_do() {
        // ds1 alone votes, or is about to: it needs nobody.
        let mut made = Made::default();
        made.at(MS).voters(Kind::Invoke, &["ds1"]);
        made.fault(&isolated(), CUT, HEAL);
        let of = |made: &Made| {
            let witness = seen(&reign(1, 4_000 * MS, HEAL));
            judge(&run(made.history(), witness))
        };
        assert!(matches!(of(&made).verdict, Verdict::Unknown(_) | Verdict::Valid));
        let mut changed = Made::default();
        changed.at(MS).voters(Kind::Invoke, &["ds2", "ds3", "w1"]);
        changed.at(2 * MS).voters(Kind::Ok, &["ds2", "ds3", "w1"]);
        let alone = Fault::new(1, "cut").with(Effect::split(&["ds1"], &["ds2", "ds3", "w1"]));
        changed.fault(&alone, CUT, HEAL);
        assert_eq!(violations(&of(&changed)).len(), 1);
    }
}
