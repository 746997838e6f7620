//! Figures that anyone can measure again, beside keepalived in the same run.

pub mod balancing;
pub mod convergence;
pub mod durability;
pub mod failover;
pub mod quorum;
pub mod steady;

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
