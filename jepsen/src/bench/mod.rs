//! Figures that anyone can measure again, beside keepalived in the same run.

pub mod adverts;
pub mod balancing;
pub mod checks;
pub mod convergence;
pub mod durability;
pub mod failover;
mod jitter;
mod lateness;
pub mod migration;
pub mod quorum;
pub mod removal;
mod renewals;
pub mod steady;
mod usage;
pub mod writes;

use std::time::Duration;

use leasehold_lab::{Result, now_ns, until};

/// Lets so much time pass.
fn pass(span: Duration) -> Result<()> {
    let end = now_ns() + u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    until("time to pass", span * 2, || (now_ns() >= end).then_some(()))
}

/// Minimum, median and maximum of what was measured.
#[must_use]
pub fn spread(values: &[f64]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.first(), sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(min), Some(median), Some(max)) => format!("{min:.0} / {median:.0} / {max:.0}"),
        _ => "-".to_owned(),
    }
}
