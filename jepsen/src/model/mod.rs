//! The lease protocol in every order of events.
//!
//! The machines are the real ones: `Holder`, `Grantor`, `State`, `Acknowledgements` and `takeover`
//! of `leasehold-raft-core`, with a ttl of a few instants. Consensus is abstract: votes are
//! promises, an entry is committed in one step by a leader and one more voter, and an entry that a
//! deposed leader left behind may or may not be found by the next. The network delivers any
//! message at any time, to any node that believes it leads, or never; a budget allows copies. One
//! clock is slower than the others by all that the drift allows.
//!
//! One space with everything in it is too large, so there are [`Scope`]s: each has the budget for
//! some kinds of events, and is explored to its end. The simulation in `raft/core`'s tests mixes
//! all kinds, at random.

mod cluster;
mod planted;
mod possible;
mod scope;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use leasehold_raft_core::state::State;
use stateright::{Checker, CheckerBuilder, Expectation, Model, Property};

pub use cluster::Cluster;
use cluster::Item;
pub use planted::{Found, REMOVED, Removed, look};
pub use scope::{Fault, Scope};
pub use steps::Action;

/// The protocol within one scope, perhaps with a mistake planted in the shell around it.
pub struct Lease {
    scope: Scope,
    horizon: u64,
    fault: Fault,
    /// States by the log that makes them: they are needed often and cost time to make.
    states: Mutex<HashMap<Vec<Item>, Arc<State>>>,
}

/// What came of one check.
#[derive(Debug)]
pub struct Report {
    scope: Scope,
    horizon: u64,
    states: usize,
    elapsed: Duration,
    verdicts: Vec<Verdict>,
}

#[derive(Debug)]
struct Verdict {
    property: &'static str,
    always: bool,
    /// A counterexample to what should always hold, or an example of what should happen.
    path: Option<Vec<String>>,
}

impl Lease {
    #[must_use]
    pub fn new(scope: Scope, horizon: u64, fault: Fault) -> Self {
        Self { scope, horizon, fault, states: Mutex::new(HashMap::new()) }
    }

    /// The state that `log` makes.
    fn state(&self, log: &[Item]) -> Arc<State> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = states.get(log) {
            return Arc::clone(known);
        }
        let made = Arc::new(cluster::replay(log));
        states.insert(log.to_vec(), Arc::clone(&made));
        made
    }
}

impl Model for Lease {
    type State = Cluster;
    type Action = Action;

    fn init_states(&self) -> Vec<Cluster> {
        vec![self.initial()]
    }

    fn actions(&self, cluster: &Cluster, actions: &mut Vec<Action>) {
        self.possible(cluster, actions);
    }

    fn next_state(&self, before: &Cluster, action: Action) -> Option<Cluster> {
        let mut cluster = before.clone();
        self.step(&mut cluster, action);
        // What changes nothing is no step.
        (cluster != *before).then_some(cluster)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("one answerer", |model: &Self, one: &Cluster| model.one_answerer(one)),
            Property::always("no lease without a quorum", |model: &Self, one: &Cluster| {
                model.no_lease_without_quorum(one)
            }),
            Property::sometimes(
                "the lease changes hands and opens",
                |model: &Self, one: &Cluster| model.changed_hands(one),
            ),
        ];
        if self.scope == Scope::Moves {
            let name = "the address that moved opens in its new group";
            properties.push(Property::sometimes(name, |model: &Self, one: &Cluster| {
                model.address_moved(one)
            }));
        }
        properties
    }
}

/// Explores the whole scope.
#[must_use]
pub fn check(scope: Scope, horizon: u64) -> Report {
    // Depth first: what is yet to be visited would not fit into memory otherwise.
    run(Lease::new(scope, horizon, Fault::None), |checker| checker.spawn_dfs().join())
}

fn run<C: Checker<Lease>>(
    lease: Lease,
    explore: impl FnOnce(CheckerBuilder<Lease>) -> C,
) -> Report {
    let (scope, horizon) = (lease.scope, lease.horizon);
    let begun = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = explore(lease.checker().threads(threads));
    let verdicts = checker
        .model()
        .properties()
        .into_iter()
        .map(|property| Verdict {
            property: property.name,
            always: property.expectation == Expectation::Always,
            path: checker.discovery(property.name).map(|path| {
                path.into_actions().into_iter().map(|action| format!("{action:?}")).collect()
            }),
        })
        .collect();
    let states = checker.unique_state_count();
    Report { scope, horizon, states, elapsed: begun.elapsed(), verdicts }
}

impl Verdict {
    fn is_good(&self) -> bool {
        self.always == self.path.is_none()
    }
}

impl Report {
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.verdicts.iter().all(Verdict::is_good)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scope, horizon, states, elapsed, verdicts } = self;
        let elapsed = elapsed.as_secs_f64();
        writeln!(f, "{scope}: {states} states to instant {horizon} in {elapsed:.1} s")?;
        for verdict in verdicts {
            let (word, kind) = match (verdict.is_good(), verdict.always) {
                (true, true) => ("holds", "always"),
                (true, false) => ("happens", "sometimes"),
                (false, true) => ("BROKEN", "always"),
                (false, false) => ("NEVER HAPPENS", "sometimes"),
            };
            writeln!(f, "  {kind}: {}: {word}", verdict.property)?;
            if !verdict.is_good() {
                for (number, action) in verdict.path.iter().flatten().enumerate() {
                    writeln!(f, "    {:>2} {action}", number + 1)?;
                }
            }
        }
        Ok(())
    }
}
