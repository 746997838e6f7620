//! Proofs of one kind that follow each other closely, told as one.

use std::net::IpAddr;

use crate::check::{Violation, ms};
use crate::history::Nanos;

/// Proofs further apart are told on their own.
const QUIET_NS: Nanos = 1_000_000_000;

/// Proofs of two directors against each other.
#[derive(Debug)]
pub(super) struct Incident {
    /// Whom it is about: in no order.
    who: [String; 2],
    first_ns: Nanos,
    last_ns: Nanos,
    proofs: usize,
    /// Of the first.
    what: String,
}

/// A time in which two answered for a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubled {
    pub vip: IpAddr,
    /// The first question that both answered, and the last before a second without one.
    pub first_ns: Nanos,
    pub last_ns: Nanos,
    pub questions: usize,
}

impl Incident {
    pub(super) fn in_figures(&self, vip: IpAddr) -> Doubled {
        let Incident { first_ns, last_ns, proofs: questions, .. } = *self;
        Doubled { vip, first_ns, last_ns, questions }
    }
}

/// Adds a proof; those of two directors come in the order of time.
pub(super) fn add(
    incidents: &mut Vec<Incident>,
    mut who: [String; 2],
    at_ns: Nanos,
    what: impl FnOnce() -> String,
) {
    who.sort_unstable();
    let mut recent = incidents.iter_mut().rev();
    if let Some(one) = recent.find(|one| one.who == who)
        && at_ns.saturating_sub(one.last_ns) <= QUIET_NS
    {
        one.last_ns = at_ns.max(one.last_ns);
        one.proofs += 1;
        return;
    }
    let (first_ns, last_ns) = (at_ns, at_ns);
    incidents.push(Incident { who, first_ns, last_ns, proofs: 1, what: what() });
}

impl From<Incident> for Violation {
    fn from(incident: Incident) -> Violation {
        let Incident { first_ns, last_ns, proofs, what, .. } = incident;
        let times = if proofs == 1 {
            String::new()
        } else {
            format!(" (the first of {proofs} such in {})", ms(last_ns - first_ns))
        };
        Violation::new(first_ns, format!("{what}{times}"))
    }
}
