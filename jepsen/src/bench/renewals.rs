//! How late the thread that renews leases woke up in a span: what a director's own histogram
//! gained.

use std::fmt;

use leasehold_lab::{LabError, Result};
use serde_json::Value;

/// What a director's status says at one moment, of all its wake-ups since it started.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    max_ns: u64,
    count: u64,
    /// How many were at most so many microseconds late.
    up_to: Vec<(u64, u64)>,
}

/// Of the wake-ups in between. The histogram has classes: what is known is the end of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Renewals {
    p99_ms: f64,
    max_ms: f64,
    /// The greatest came before the span, and the greatest in it was at most that of its class.
    at_most: bool,
}

impl Counted {
    pub(super) fn read(status: &Value) -> Result<Counted> {
        let late = &status["node"]["lease_thread_late"];
        let read = || {
            let classes = late["up_to"].as_array()?.iter();
            let class = |one: &Value| Some((one["le_us"].as_u64()?, one["count"].as_u64()?));
            Some(Counted {
                max_ns: late["max_ns"].as_u64()?,
                count: late["count"].as_u64()?,
                up_to: classes.map(class).collect::<Option<_>>()?,
            })
        };
        read().ok_or_else(|| LabError::Argument(format!("no lateness is told by {late}")))
    }

    /// Of the wake-ups since `before`; nothing where there were none.
    pub(super) fn since(&self, before: &Counted) -> Option<Renewals> {
        let all = self.count - before.count;
        let pairs = self.up_to.iter().zip(&before.up_to);
        let gained = pairs.map(|((end, after), (_, before))| (*end, after - before));
        let gained: Vec<(u64, u64)> = gained.collect();
        let max_ms = self.max_ns as f64 / 1e6;
        // Those above all classes are known by the greatest of all alone.
        let end_of = |share: u64| {
            let class = gained.iter().find(|(_, count)| *count >= share);
            class.map_or(max_ms, |(end, _)| *end as f64 / 1e3)
        };
        let at_most = self.max_ns == before.max_ns;
        (all > 0).then(|| Renewals {
            p99_ms: end_of((all * 99).div_ceil(100)),
            max_ms: if at_most { end_of(all) } else { max_ms },
            at_most,
        })
    }
}

impl fmt::Display for Renewals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.at_most { "<= " } else { "" };
        write!(f, "<= {} / {sign}{:.2}", self.p99_ms, self.max_ms)
    }
}

/// For a row: nothing was measured of keepalived.
pub(super) fn shown(renewals: Option<Renewals>) -> String {
    renewals.map_or_else(|| "-".to_owned(), |one| one.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(max_ns: u64, counts: [u64; 3]) -> Counted {
        let up_to = [10, 100, 1000].into_iter().zip(counts).collect();
        Counted { max_ns, count: counts[2] + 1, up_to }
    }

    #[test]
    fn only_what_came_in_between_counts() {
        let before = counted(5_000_000, [50, 60, 61]);
        let after = counted(5_000_000, [140, 159, 161]);
        let late = after.since(&before).map(|one| one.to_string());
        assert_eq!(late.as_deref(), Some("<= 0.1 / <= 1.00"));
        let worse = counted(7_000_000, [140, 159, 160]);
        let late = worse.since(&before).map(|one| one.to_string());
        assert_eq!(late.as_deref(), Some("<= 0.1 / 7.00"));
        assert_eq!(after.since(&after), None);
    }

    #[test]
    fn a_status_without_it_is_an_error() {
        assert!(Counted::read(&serde_json::json!({ "node": { "id": 1 } })).is_err());
    }
}
