//! When each fault certainly held, and when it may have.
//!
//! Who accuses uses the first, who excuses the second.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::history::{F, Fault, Kind, Nanos, Op, Process};

/// A fault's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub fault: Fault,
    /// It was in effect: from when it was seen to be, until its heal began. `None`: never, for sure.
    pub certain: Option<Range<Nanos>>,
    /// It may have been: from when it was begun, until it was seen to be healed.
    pub possible: Range<Nanos>,
    /// When it was seen to be healed.
    pub healed_ns: Option<Nanos>,
}

/// Every fault that was not skipped, in the order of its beginning. What has no heal lasts for ever.
#[must_use]
pub fn spans(history: &[Op]) -> Vec<Span> {
    let mut found: BTreeMap<u64, Span> = BTreeMap::new();
    let mut order: Vec<u64> = Vec::new();
    for op in history.iter().filter(|op| op.process == Process::Nemesis) {
        match (&op.f, op.kind) {
            (F::Start(fault), Kind::Invoke) => {
                order.push(fault.id);
                let possible = op.time_ns..Nanos::MAX;
                let fault = fault.clone();
                found.insert(fault.id, Span { fault, certain: None, possible, healed_ns: None });
            }
            (F::Start(fault), Kind::Ok | Kind::Fail | Kind::Info) => {
                let Some(span) = found.get_mut(&fault.id) else { continue };
                if fault.is_skipped() {
                    found.remove(&fault.id);
                    continue;
                }
                span.fault = fault.clone();
                if fault.is_installed() {
                    span.certain = Some(op.time_ns..Nanos::MAX);
                }
            }
            (F::Stop(fault), Kind::Invoke) => {
                let Some(span) = found.get_mut(&fault.id) else { continue };
                if let Some(certain) = &mut span.certain {
                    certain.end = certain.end.min(op.time_ns);
                }
            }
            (F::Stop(fault), Kind::Ok | Kind::Fail | Kind::Info) => {
                let Some(span) = found.get_mut(&fault.id) else { continue };
                if fault.is_installed() {
                    span.possible.end = op.time_ns;
                    span.healed_ns = Some(op.time_ns);
                }
            }
            (
                F::Read(_) | F::Write(_) | F::Cas(_) | F::Get(_) | F::Command(_) | F::Voters(_),
                Kind::Invoke | Kind::Ok | Kind::Fail | Kind::Info,
            ) => {}
        }
    }
    order.iter().filter_map(|id| found.get(id).cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::made::Made;
    use super::*;
    use crate::history::{Effect, Outcome};

    fn one(made: &Made) -> Span {
        let spans = spans(&made.history());
        let [span] = spans.as_slice() else { panic!("one span, not {spans:?}") };
        span.clone()
    }

    fn fault() -> Fault {
        Fault::new(3, "kill").with(Effect::down(&["ds1"]))
    }

    #[test]
    fn a_fault_is_certain_from_its_proof_to_the_beginning_of_its_heal() {
        let mut made = Made::default();
        made.at(10).invoke_start(&fault());
        made.at(20).done_start(&fault(), Outcome::Installed);
        made.at(30).invoke_stop(&fault());
        made.at(40).done_stop(&fault(), Outcome::Installed);
        let span = one(&made);
        assert_eq!((span.certain, span.possible, span.healed_ns), (Some(20..30), 10..40, Some(40)));
    }

    #[test]
    fn what_was_skipped_never_was_and_what_is_in_doubt_only_may_have_been() {
        let skipped = || Outcome::Skipped { reason: "no such node".to_owned() };
        let doubt = || Outcome::Indeterminate { reason: "timeout".to_owned() };
        let mut made = Made::default();
        made.at(10).invoke_start(&fault());
        made.at(20).done_start(&fault(), skipped());
        made.at(30).invoke_stop(&fault());
        assert_eq!(spans(&made.history()), []);
        let mut made = Made::default();
        made.at(10).invoke_start(&fault());
        made.at(20).done_start(&fault(), doubt());
        assert_eq!((one(&made).certain, one(&made).possible), (None, 10..Nanos::MAX));
        let mut made = Made::default();
        made.at(10).invoke_start(&fault());
        made.at(20).done_start(&fault(), Outcome::Installed);
        made.at(30).invoke_stop(&fault());
        made.at(40).done_stop(&fault(), doubt());
        let span = one(&made);
        let wanted = (Some(20..30), 10..Nanos::MAX, None);
        assert_eq!((span.certain, span.possible, span.healed_ns), wanted, "a heal in doubt");
    }
}
