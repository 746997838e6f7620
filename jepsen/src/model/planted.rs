//! Each rule of the protocol taken away in its turn: how soon the model finds a counterexample, and
//! how short it is.

use std::fmt;

use stateright::{Checker, HasDiscoveries};

use super::{Fault, Lease, Report, Scope, run};

/// A rule that is taken away, and where that shows.
#[derive(Clone, Copy, Debug)]
pub struct Removed {
    pub fault: Fault,
    pub scope: Scope,
    pub horizon: u64,
}

const fn removed(fault: Fault, scope: Scope, horizon: u64) -> Removed {
    Removed { fault, scope, horizon }
}

pub const REMOVED: [Removed; 14] = [
    removed(Fault::DeadlineFromReceipt, Scope::Silence, 4),
    removed(Fault::NoElectedWait, Scope::Elections, 1),
    removed(Fault::NoBlock, Scope::Silence, 4),
    removed(Fault::NoQuorum, Scope::Silence, 4),
    removed(Fault::NoDrift, Scope::Silence, 4),
    removed(Fault::GuardSpeaksFirst, Scope::Crashes, 2),
    removed(Fault::GuardLetsLive, Scope::Crashes, 3),
    removed(Fault::NoFence, Scope::Silence, 4),
    removed(Fault::ReleaseBeforeClose, Scope::Handover, 2),
    removed(Fault::ForgetfulVoter, Scope::Restarts, 1),
    removed(Fault::NoSelfAcknowledgement, Scope::Elections, 1),
    removed(Fault::RetireBySilence, Scope::Moves, 4),
    removed(Fault::NoRetiring, Scope::Moves, 2),
    removed(Fault::OpenUnprogrammed, Scope::Returns, 2),
];

/// What came of it.
#[derive(Debug)]
pub struct Found {
    removed: Removed,
    report: Report,
}

/// Breadth first, so that what is found is about as short as can be.
#[must_use]
pub fn look(removed: Removed) -> Found {
    let lease = Lease::new(removed.scope, removed.horizon, removed.fault);
    let report =
        run(lease, |checker| checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join());
    Found { removed, report }
}

impl Found {
    pub const HEAD: &str = "| rule taken away | scope | to instant | found | steps | states | s |\n\
                            | --- | --- | --- | --- | --- | --- | --- |";

    /// The steps of the counterexample.
    #[must_use]
    pub fn steps(&self) -> Option<usize> {
        let broken = self.report.verdicts.iter().find(|one| one.always && !one.is_good())?;
        broken.path.as_ref().map(Vec::len)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Removed { fault, scope, horizon } = self.removed;
        let (found, steps) = match self.steps() {
            Some(steps) => ("yes", steps.to_string()),
            None => ("NO", "-".to_owned()),
        };
        let Report { states, elapsed, .. } = &self.report;
        let elapsed = elapsed.as_secs_f64();
        write!(
            f,
            "| {fault:?} | {scope} | {horizon} | {found} | {steps} | {states} | {elapsed:.1} |"
        )
    }
}
