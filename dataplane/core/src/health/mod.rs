//! Health of real servers: what checks, dampers and operators make of them, without asking any.
//!
//! A question to a real server comes to an [`Answer`]; a [`Checker`] counts answers to a verdict;
//! all checks of one real server make a [`Finding`]; and [`Health`] is one director's view of
//! all real servers and quorums. [`Reporter`] tells each change of it once. The rules are
//! keepalived's (`keepalived/check/` of its source), and where they are not, it is said.

mod answer;
mod checker;
mod damper;
mod events;
mod finding;
mod standing;
mod suspend;
mod view;
pub mod wire;

#[cfg(test)]
mod tests;

use leasehold_model::{Check, Protocol, RealServer, Service, VirtualServer};

pub use answer::{Adjustment, Answer, Effect};
pub use checker::Checker;
pub use damper::Damper;
pub use events::{Cause, Event, Facts, Reporter, Subject};
pub use finding::{Finding, Findings, Said};
pub use standing::{Effective, Standing};
pub use suspend::{served, suspended};
pub use view::Health;

/// A virtual server, as the configuration tells it from others.
pub type Name = (Service, Protocol);

/// What a check, or all checks of one real server, say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Up,
    Down,
}

/// Whether this check has to pass before its real server is up.
#[must_use]
pub fn is_alpha(server: &VirtualServer, real: &RealServer, check: &Check) -> bool {
    server.alpha || real.alpha || check.alpha
}

/// Whether any check of it has to pass before it is up.
fn has_alpha(server: &VirtualServer, real: &RealServer) -> bool {
    real.checks.iter().any(|check| is_alpha(server, real, check))
}
