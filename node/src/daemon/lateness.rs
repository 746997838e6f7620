//! How late the thread that renews leases wakes up.

use std::time::Duration;

use serde_json::{Value, json};

/// The upper ends of the classes that wake-ups are counted in, in microseconds. Later ones have
/// a class of their own.
const CLASSES_US: [u64; 13] =
    [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000];

/// Of all wake-ups since the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lateness {
    max_ns: u64,
    counts: [u64; CLASSES_US.len() + 1],
}

impl Lateness {
    pub(crate) fn count(&mut self, late: Duration) {
        self.max_ns = self.max_ns.max(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX));
        let class = CLASSES_US.partition_point(|end| Duration::from_micros(*end) < late);
        self.counts[class] += 1;
    }

    /// For `status`: the greatest lateness, and how many wake-ups were at most so late.
    pub(crate) fn json(&self) -> Value {
        let mut sum = 0;
        let up_to = CLASSES_US.iter().zip(&self.counts).map(|(end, count)| {
            sum += count;
            json!({ "le_us": end, "count": sum })
        });
        let up_to: Vec<Value> = up_to.collect();
        json!({ "max_ns": self.max_ns, "count": self.counts.iter().sum::<u64>(), "up_to": up_to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wake_up_is_counted_in_its_class_and_those_above() {
        let mut lateness = Lateness::default();
        for us in [0, 10, 11, 99_999, 100_001] {
            lateness.count(Duration::from_micros(us));
        }
        let json = lateness.json();
        assert_eq!((&json["max_ns"], &json["count"]), (&json!(100_001_000), &json!(5)));
        let counts: Vec<u64> = json["up_to"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["count"].as_u64())
            .collect();
        assert_eq!(counts, [2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4]);
    }
}
