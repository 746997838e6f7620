//! The judges: pure functions of what a run wrote down, one invariant a file.
//!
//! Each accuses only of what is proven: where the record leaves a lawful explanation, within the
//! observer's stated error, there is no violation; where the explanation would need what the
//! record does not have, the verdict is `unknown`, never `valid`. A judge that found nothing to
//! judge says so too, since a run in which nothing happens proves nothing.

mod availability;
mod calls;
mod convergence;
mod durability;
mod epochs;
mod faults;
mod kept;
#[cfg(test)]
mod made;
mod one_answerer;
mod quorum;
mod told;
mod versions;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::history::{Final, Folder, FolderError, Nanos, Observations, Op, Setup};

pub use availability::{Event, Outage, outages};
pub use calls::{Call, calls};
pub use faults::{Span, spans};
pub use one_answerer::{Doubled, doubled};
pub use told::{Sum, sum, tell};

/// All that is known of a run.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub setup: Setup,
    pub history: Vec<Op>,
    pub observations: Observations,
    /// `None` where the run ended before it was taken.
    pub end: Option<Final>,
}

/// What a judge found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Valid,
    /// At least one violation, in the order of time.
    Invalid(Vec<Violation>),
    Unknown(Doubt),
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The run had nothing of the kind in it.
    NothingToJudge(String),
    /// It had, and the record does not suffice.
    Unclear(String),
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When it showed; 0 where it has no instant.
    pub at_ns: Nanos,
    pub what: String,
}

/// A verdict, with what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub verdict: Verdict,
    /// How much was judged, how finely, and what was left aside.
    pub notes: Vec<String>,
}

/// A judge, by name.
#[derive(Clone, Copy)]
pub struct Checker {
    pub name: &'static str,
    /// What it holds the product to, and where that is promised.
    pub promise: &'static str,
    pub judge: fn(&Run) -> Judged,
}

/// All of them.
pub const CHECKERS: [Checker; 8] = [
    Checker {
        name: "one-answerer",
        promise: "at no instant do two directors answer for one VIP (DESIGN, invariant 1)",
        judge: one_answerer::judge,
    },
    Checker {
        name: "quorum",
        promise: "a minority answers for nothing once its leases ran out (DESIGN, invariant 2)",
        judge: quorum::judge,
    },
    Checker {
        name: "availability",
        promise: "after each heal every VIP is answered for within the limit",
        judge: availability::judge,
    },
    Checker {
        name: "versions",
        promise: "configurations are linearizable, by the order of revisions (DESIGN, invariant 3)",
        judge: versions::judge,
    },
    Checker {
        name: "linearizable",
        promise: "the same by stateright's search, in windows that it can bear (DESIGN, invariant 3)",
        judge: kept::judge,
    },
    Checker {
        name: "durability",
        promise: "what was acknowledged is in every member's history (DESIGN, invariant 3)",
        judge: durability::judge,
    },
    Checker {
        name: "epochs",
        promise: "epochs of a group strictly increase, one holder each (DESIGN, vocabulary: epoch)",
        judge: epochs::judge,
    },
    Checker {
        name: "convergence",
        promise: "the kernels end as planned: addresses, fence, IPVS (DESIGN, invariant 5)",
        judge: convergence::judge,
    },
];

impl Run {
    /// A kept run.
    ///
    /// # Errors
    /// Where a file of the folder can't be read.
    pub fn read(folder: &Folder) -> Result<Run, FolderError> {
        Ok(Run {
            setup: folder.setup()?,
            history: folder.history()?,
            observations: folder.observations()?,
            end: folder.end()?,
        })
    }
}

/// Lets every judge look at a run.
#[must_use]
pub fn all(run: &Run) -> Vec<(Checker, Judged)> {
    CHECKERS.iter().map(|checker| (*checker, one(checker, run))).collect()
}

fn one(checker: &Checker, run: &Run) -> Judged {
    // A judge that stumbles has no verdict, which must not pass for a good one.
    let mut judged = catch_unwind(AssertUnwindSafe(|| (checker.judge)(run)))
        .unwrap_or_else(|_| Judged::unclear("the checker itself failed: see its message above"));
    let refused = run.setup.refused;
    if refused > 0 && judged.verdict == Verdict::Valid {
        let why = format!("{refused} operations are not in the history, which was full");
        judged.verdict = Verdict::Unknown(Doubt::Unclear(why));
    }
    judged
}

impl Judged {
    fn unclear(why: impl Into<String>) -> Judged {
        Judged { verdict: Verdict::Unknown(Doubt::Unclear(why.into())), notes: Vec::new() }
    }

    fn nothing(why: impl Into<String>) -> Judged {
        Judged { verdict: Verdict::Unknown(Doubt::NothingToJudge(why.into())), notes: Vec::new() }
    }

    /// Violations outweigh doubts, and doubts the lack of both.
    fn by(mut violations: Vec<Violation>, doubts: &[String], notes: Vec<String>) -> Judged {
        violations.sort_by_key(|violation| violation.at_ns);
        let verdict = if !violations.is_empty() {
            Verdict::Invalid(violations)
        } else if doubts.is_empty() {
            Verdict::Valid
        } else {
            Verdict::Unknown(Doubt::Unclear(doubts.join("; ")))
        };
        Judged { verdict, notes }
    }

    fn noted(mut self, notes: impl IntoIterator<Item = String>) -> Judged {
        self.notes.extend(notes);
        self
    }
}

impl Violation {
    fn new(at_ns: Nanos, what: impl Into<String>) -> Violation {
        Violation { at_ns, what: what.into() }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Valid => f.write_str("valid"),
            Verdict::Invalid(violations) => write!(f, "INVALID, {} violations", violations.len()),
            Verdict::Unknown(Doubt::NothingToJudge(why)) => write!(f, "nothing to judge: {why}"),
            Verdict::Unknown(Doubt::Unclear(why)) => write!(f, "unknown: {why}"),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at_ns > 0 {
            write!(f, "at {:.6} s: ", self.at_ns as f64 / 1e9)?;
        }
        f.write_str(&self.what)
    }
}

/// Milliseconds, for people.
fn ms(ns: Nanos) -> String {
    format!("{:.1} ms", ns as f64 / 1e6)
}
