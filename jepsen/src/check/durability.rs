//! What was acknowledged is in the history of every member, at the end (DESIGN, invariant 3).
//!
//! Whoever was answered with a revision, be it a write or a read, has proof of it; so has every
//! `cas` of the revision that it named. Each such revision must be kept by every member, in the
//! form that was written, or be among those that a member says it has dropped, which are all older
//! than what it keeps. And nothing may be in a history that nobody wrote.

use std::collections::{BTreeMap, BTreeSet};

use super::{Call, Judged, Run, Violation, calls};
use crate::history::{Cas, F, Kind, Member, Nanos, Read, Revision, Setup, Version};

/// A revision that somebody was told of, and when.
#[derive(Clone, Copy, Debug)]
struct Proof {
    value: Option<u64>,
    at_ns: Nanos,
    acknowledged: bool,
}

pub(super) fn judge(run: &Run) -> Judged {
    let calls = match calls(&run.history) {
        Ok(calls) => calls,
        Err(why) => return Judged::unclear(why),
    };
    let proofs = proofs(&calls);
    if proofs.is_empty() {
        return Judged::nothing("no configuration was acknowledged");
    }
    let Some(end) = run.end.as_ref().filter(|end| !end.members.is_empty()) else {
        return Judged::unclear("the members' histories at the end are not known");
    };
    let attempts = attempts(&calls);
    let mut violations = Vec::new();
    for member in &end.members {
        lost(member, &proofs, &mut violations);
        invented(member, &run.setup, &attempts, &mut violations);
    }
    for pair in end.members.windows(2) {
        let [one, other] = pair else { continue };
        if one.in_force != other.in_force {
            violations.push(Violation::new(
                0,
                format!(
                    "{} has {}, {} has {}",
                    one.name,
                    words(one.in_force),
                    other.name,
                    words(other.in_force)
                ),
            ));
        }
    }
    let dropped = end.members.iter().map(|member| member.dropped_up_to).max().unwrap_or(0);
    let old = proofs.range(..=dropped).count();
    let note = format!(
        "{} revisions were told of, {} of them to whoever wrote them; at {} members; {old} are so \
         old that a member has dropped them",
        proofs.len(),
        proofs.values().filter(|proof| proof.acknowledged).count(),
        end.members.len()
    );
    Judged::by(violations, &[], vec![note])
}

fn proofs(calls: &[Call<'_>]) -> BTreeMap<Revision, Proof> {
    let mut proofs: BTreeMap<Revision, Proof> = BTreeMap::new();
    let mut told = |revision: Revision, value: Option<u64>, acknowledged: bool, at_ns: Nanos| {
        let proof = proofs.entry(revision).or_insert(Proof { value, at_ns, acknowledged });
        proof.value = proof.value.or(value);
        proof.acknowledged |= acknowledged;
    };
    for call in calls {
        let at_ns = call.completed.unwrap_or(call.invoked).time_ns;
        match (call.f(), call.kind()) {
            (F::Read(Read { found: Some(found), .. }), Kind::Ok) => {
                told(found.revision, Some(found.value), false, at_ns);
            }
            (F::Write(write), Kind::Ok) => {
                let Some(revision) = write.revision else { continue };
                told(revision, Some(write.value), true, at_ns);
            }
            (F::Cas(Cas { if_revision, value, revision }), Kind::Ok) => {
                told(*if_revision, None, false, at_ns);
                let Some(revision) = revision else { continue };
                told(*revision, Some(*value), true, at_ns);
            }
            (F::Cas(Cas { revision: Some(found), .. }), Kind::Fail) => {
                told(*found, None, false, at_ns);
            }
            (
                F::Read(_)
                | F::Write(_)
                | F::Cas(_)
                | F::Get(_)
                | F::Command(_)
                | F::Start(_)
                | F::Stop(_)
                | F::Voters(_),
                Kind::Ok | Kind::Fail | Kind::Info | Kind::Invoke,
            ) => {}
        }
    }
    proofs
}

/// What anybody ever tried to write, but for what certainly failed.
fn attempts(calls: &[Call<'_>]) -> BTreeSet<u64> {
    let tried = calls.iter().filter(|call| call.kind() != Kind::Fail);
    tried
        .filter_map(|call| match call.f() {
            F::Write(write) => Some(write.value),
            F::Cas(cas) => Some(cas.value),
            F::Read(_) | F::Get(_) | F::Command(_) | F::Start(_) | F::Stop(_) | F::Voters(_) => {
                None
            }
        })
        .collect()
}

fn lost(member: &Member, proofs: &BTreeMap<Revision, Proof>, violations: &mut Vec<Violation>) {
    let mut kept: BTreeMap<Revision, Option<u64>> =
        member.history.iter().map(|config| (config.revision, config.value)).collect();
    let in_force = member.in_force;
    kept.insert(in_force.revision, Some(in_force.value));
    let mut accuse = |at_ns, what: String| {
        violations.push(Violation::new(at_ns, format!("{}: {what}", member.name)));
    };
    if let Some((newest, _)) =
        kept.last_key_value().filter(|(newest, _)| **newest > in_force.revision)
    {
        accuse(
            0,
            format!("has {newest} in its history, and the older {} in force", in_force.revision),
        );
    }
    if member.dropped_up_to >= in_force.revision {
        accuse(
            0,
            format!(
                "says it dropped up to {}, and has {} in force",
                member.dropped_up_to, in_force.revision
            ),
        );
    }
    for (revision, proof) in proofs {
        let (at_ns, told) =
            (proof.at_ns, if proof.acknowledged { "acknowledged" } else { "seen in force" });
        match kept.get(revision) {
            None if *revision <= member.dropped_up_to && *revision < in_force.revision => {}
            None => accuse(at_ns, format!("lacks revision {revision}, which was {told}")),
            Some(Some(value)) => {
                if let Some(other) = proof.value.filter(|other| other != value) {
                    accuse(
                        at_ns,
                        format!(
                            "has {value} in revision {revision}, which was {told} with {other}"
                        ),
                    );
                }
            }
            Some(None) => {}
        }
    }
}

fn invented(
    member: &Member,
    setup: &Setup,
    attempts: &BTreeSet<u64>,
    violations: &mut Vec<Violation>,
) {
    let mut kept: BTreeMap<Revision, u64> = member
        .history
        .iter()
        .filter_map(|config| config.value.map(|value| (config.revision, value)))
        .collect();
    kept.insert(member.in_force.revision, member.in_force.value);
    for (revision, value) in kept.range(setup.first.revision + 1..) {
        if !attempts.contains(value) {
            let what = format!(
                "{}: has {value} in revision {revision}, which nobody wrote, or whose write failed",
                member.name
            );
            violations.push(Violation::new(0, what));
        }
    }
}

fn words(version: Version) -> String {
    format!("revision {} with {} in force", version.revision, version.value)
}

#[cfg(test)]
mod tests {
    use super::super::made::*;
    use super::*;
    use crate::check::{Doubt, Verdict};
    use crate::history::{Config, Final, Observations};

    fn member(name: &str, revisions: &[(u64, u64)], dropped_up_to: u64) -> Member {
        let config =
            |(revision, value): &(u64, u64)| Config { revision: *revision, value: Some(*value) };
        let newest = revisions.iter().max().expect("at least one");
        Member {
            name: name.to_owned(),
            in_force: Version { revision: newest.0, value: newest.1 },
            history: revisions.iter().map(config).collect(),
            dropped_up_to,
        }
    }

    /// Writes 10, 20 and 30 as revisions 1, 2 and 3; 40 is in doubt, 50 failed.
    fn judged(members: Vec<Member>) -> Judged {
        let mut made = Made::default();
        for nth in 1..=3 {
            made.write(0, nth * 10, nth);
        }
        made.invoke_write(1, 40);
        made.info_write(1, 40);
        made.invoke_write(0, 50);
        made.fail_write(0, 50);
        let mut run = run(made.history(), Observations::default());
        run.end = Some(Final { members, ..Final::default() });
        judge(&run)
    }

    const ALL: [(u64, u64); 3] = [(1, 10), (2, 20), (3, 30)];

    #[test]
    fn what_everybody_has_is_kept_also_a_write_in_doubt() {
        let judged_all = judged(vec![member("ds1", &ALL, 0), member("ds2", &ALL, 0)]);
        assert_eq!(judged_all.verdict, Verdict::Valid, "{judged_all:?}");
        let late = [ALL.as_slice(), &[(7, 40)]].concat();
        assert_eq!(judged(vec![member("ds1", &late, 0)]).verdict, Verdict::Valid);
    }

    #[test]
    fn an_acknowledged_revision_that_one_member_lacks_is_lost() {
        let judged = judged(vec![member("ds1", &ALL, 0), member("ds2", &[ALL[0], ALL[2]], 0)]);
        let [violation] = violations(&judged) else { panic!("one: {judged:?}") };
        assert_eq!(violation.what, "ds2: lacks revision 2, which was acknowledged");
    }

    #[test]
    fn a_revision_that_a_conflict_named_was_in_force_and_may_not_be_lost() {
        for kind in [Kind::Fail, Kind::Ok] {
            let mut made = Made::default();
            // Refused because of 5, or made upon 5.
            let (named, answer) = if kind == Kind::Fail { (1, 5) } else { (5, 6) };
            made.invoke_write(1, 10);
            made.info_write(1, 10);
            made.cas_at_once(0, kind, (named, 20), Some(answer));
            let of = |revisions: &[(u64, u64)]| {
                let mut run = run(made.history(), Observations::default());
                let members = vec![member("ds1", revisions, 0)];
                run.end = Some(Final { members, ..Final::default() });
                judge(&run)
            };
            let judged = of(&[(6, 20)]);
            let lacks =
                |it: &Violation| it.what == "ds1: lacks revision 5, which was seen in force";
            assert!(violations(&judged).iter().any(lacks), "{judged:?}");
        }
    }

    #[test]
    fn what_is_too_old_to_be_kept_was_superseded_unless_it_is_newer_than_what_is_in_force() {
        assert_eq!(judged(vec![member("ds1", &ALL[2..], 2)]).verdict, Verdict::Valid);
        assert!(!violations(&judged(vec![member("ds1", &ALL[..2], 3)])).is_empty());
    }

    #[test]
    fn another_document_a_failed_one_and_one_from_nowhere_are_found() {
        for (second, wanted) in [
            ((2, 21), "has 21 in revision 2, which was acknowledged with 20"),
            ((9, 50), "has 50 in revision 9, which nobody wrote"),
            ((9, 99), "has 99 in revision 9, which nobody wrote"),
        ] {
            let history: Vec<(u64, u64)> =
                BTreeMap::from([ALL[0], ALL[1], ALL[2], second]).into_iter().collect();
            let judged = judged(vec![member("ds1", &history, 0)]);
            assert!(violations(&judged).iter().any(|it| it.what.contains(wanted)), "{judged:?}");
        }
    }

    #[test]
    fn members_that_differ_are_found() {
        let more = [ALL.as_slice(), &[(7, 40)]].concat();
        let judged = judged(vec![member("ds1", &ALL, 0), member("ds2", &more, 0)]);
        assert_eq!(violations(&judged).len(), 1);
        assert!(violations(&judged)[0].what.contains("ds1 has revision 3 with 30 in force"));
    }

    #[test]
    fn without_the_end_there_is_no_verdict() {
        assert!(matches!(judged(Vec::new()).verdict, Verdict::Unknown(Doubt::Unclear(_))));
    }
}
