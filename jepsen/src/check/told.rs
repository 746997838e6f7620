//! Verdicts as text, and as a number for scripts.

use std::fmt::Write as _;

use super::{Checker, Doubt, Judged, Verdict};

/// More violations of one judge say nothing new.
const VIOLATIONS_MAX: usize = 20;

/// All verdicts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sum {
    /// No promise was broken, and whatever there was to judge was judged.
    Good,
    /// Something could not be judged.
    Unclear,
    /// A promise was broken.
    Broken,
}

impl Sum {
    /// As Jepsen's: 0, 1 for broken, 2 for unclear.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Sum::Good => 0,
            Sum::Broken => 1,
            Sum::Unclear => 2,
        }
    }
}

/// The worst of all verdicts. A judge that had nothing to judge is no obstacle; one alone can't
/// tell whether the run was meant to have it.
#[must_use]
pub fn sum(judged: &[(Checker, Judged)]) -> Sum {
    let each = judged.iter().map(|(_, judged)| match &judged.verdict {
        Verdict::Valid | Verdict::Unknown(Doubt::NothingToJudge(_)) => Sum::Good,
        Verdict::Unknown(Doubt::Unclear(_)) => Sum::Unclear,
        Verdict::Invalid(_) => Sum::Broken,
    });
    // Without a single judge there is no verdict.
    each.max().unwrap_or(Sum::Unclear)
}

/// A line for each judge, with what its verdict rests on below it.
#[must_use]
pub fn tell(judged: &[(Checker, Judged)]) -> String {
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        writeln!(out, "{text}").expect("a string takes all that is written to it");
    };
    for (checker, judged) in judged {
        line(format_args!("{:<13} {}", checker.name, judged.verdict));
        for note in &judged.notes {
            line(format_args!("    {note}"));
        }
        let Verdict::Invalid(violations) = &judged.verdict else { continue };
        for violation in violations.iter().take(VIOLATIONS_MAX) {
            line(format_args!("  ! {violation}"));
        }
        if let Some(more) = violations.len().checked_sub(VIOLATIONS_MAX).filter(|more| *more > 0) {
            line(format_args!("  ! and {more} more"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{CHECKERS, Run, Violation, all};
    use super::*;

    fn judged(verdict: Verdict) -> (Checker, Judged) {
        (CHECKERS[0], Judged { verdict, notes: vec!["2 answers".to_owned()] })
    }

    fn broken() -> Verdict {
        Verdict::Invalid(vec![Violation::new(1_500_000_000, "two answered"); 25])
    }

    #[test]
    fn the_worst_verdict_counts_and_none_is_no_good_one() {
        let nothing = Verdict::Unknown(Doubt::NothingToJudge("no fault".to_owned()));
        let unclear = Verdict::Unknown(Doubt::Unclear("frames lost".to_owned()));
        let sum_of = |verdicts: &[&Verdict]| {
            let all: Vec<_> = verdicts.iter().map(|verdict| judged((*verdict).clone())).collect();
            sum(&all)
        };
        assert_eq!(sum_of(&[&Verdict::Valid, &nothing]), Sum::Good);
        assert_eq!(sum_of(&[&Verdict::Valid, &unclear, &nothing]), Sum::Unclear);
        assert_eq!(sum_of(&[&broken(), &unclear, &Verdict::Valid]), Sum::Broken);
        assert_eq!(sum_of(&[]), Sum::Unclear);
        let codes = [Sum::Good, Sum::Broken, Sum::Unclear].map(Sum::exit_code);
        assert_eq!(codes, [0, 1, 2]);
    }

    #[test]
    fn verdicts_are_told_with_their_grounds_and_not_without_end() {
        let text = tell(&[judged(broken())]);
        assert!(
            text.starts_with("one-answerer  INVALID, 25 violations\n    2 answers\n"),
            "{text}"
        );
        assert!(text.contains("  ! at 1.500000 s: two answered\n"), "{text}");
        assert!(text.ends_with("  ! and 5 more\n"), "{text}");
    }

    #[test]
    fn an_empty_run_is_judged_by_nobody() {
        for (checker, judged) in all(&Run::default()) {
            let nothing = matches!(judged.verdict, Verdict::Unknown(Doubt::NothingToJudge(_)));
            assert!(nothing, "{}: {judged:?}", checker.name);
        }
    }

    #[test]
    fn a_full_history_makes_no_verdict_good() {
        let mut run = super::super::made::run(Vec::new(), super::super::made::seen(&[(10, 20, 1)]));
        assert_eq!(all(&run)[0].1.verdict, Verdict::Valid);
        run.setup.refused = 3;
        let Verdict::Unknown(Doubt::Unclear(why)) = &all(&run)[0].1.verdict else {
            panic!("a doubt")
        };
        assert!(why.starts_with("3 operations are not in the history"), "{why}");
    }

    #[test]
    fn a_judge_that_stumbles_has_no_verdict() {
        fn stumble(_: &Run) -> Judged {
            panic!("planted")
        }
        let checker = Checker { judge: stumble, ..CHECKERS[0] };
        let judged = super::super::one(&checker, &Run::default());
        assert!(matches!(judged.verdict, Verdict::Unknown(Doubt::Unclear(_))));
    }
}
