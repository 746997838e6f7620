//! `FILE_CHECK`: the number in a tracked file, as keepalived's checkers count it.
//!
//! With weight 0 the real server is up while the number is 0, or with `reverse` while it is not.
//! Otherwise the number times the weight is added to the real server's weight. The -254 at which
//! an instance has a fault does not count here: keepalived's limit for checkers is the least
//! number of 32 bits, and a real server whose weight comes to nothing only takes no new
//! connections. There are no retries: the number is what it is.
//!
//! The files are read by the thread that tracks, which tells each change in its
//! [`Numbers`](crate::tracking::Numbers).

use leasehold_dataplane::checker::Effect;
use leasehold_model::{FileCheck, TrackFile};

use super::question::Outcome;

/// keepalived's `IPVS_WEIGHT_FAULT`.
const FAULT: i64 = i32::MIN as i64;

/// What the number in `file` says to the check.
pub(super) fn judge(check: &FileCheck, file: &TrackFile, number: i64) -> Outcome {
    let name = &check.track_file;
    let (weight, reverse) = weight(check, file);
    if weight == 0 {
        return if (number == 0) != reverse {
            Outcome::Passed(Effect::None)
        } else {
            let wanted = if reverse { "another number" } else { "0" };
            Outcome::Failed(format!("file {name} has {number}, and {wanted} is wanted"))
        };
    }
    let signed = if reverse { -weight } else { weight };
    let sum = number.saturating_mul(signed).min(i64::from(i32::MAX));
    match i32::try_from(sum) {
        Ok(more) if sum > FAULT => Outcome::Passed(Effect::Add(more)),
        Ok(_) | Err(_) => {
            Outcome::Failed(format!("file {name} has {number}, which times {signed} is too low"))
        }
    }
}

/// A weight of the check's own stands alone; `reverse` of either where it has none. Without any
/// it is 1.
fn weight(check: &FileCheck, file: &TrackFile) -> (i64, bool) {
    let own = check.weight;
    match own.weight {
        Some(weight) => (i64::from(weight), own.reverse),
        None => {
            let weight = file.weight.weight.unwrap_or(1);
            (i64::from(weight), own.reverse || file.weight.reverse)
        }
    }
}

#[cfg(test)]
mod tests {
    use leasehold_model::Weight;

    use super::*;

    /// The check's weight and the file's, each with its `reverse`.
    fn outcome(check: (Option<i16>, bool), file: (Option<i16>, bool), number: i64) -> Outcome {
        let weight = |(weight, reverse)| Weight { weight, reverse };
        let check = FileCheck { track_file: "load".to_owned(), weight: weight(check) };
        let path = "/f".to_owned();
        let file = TrackFile { file: path, weight: weight(file), init: None, overwrite: false };
        judge(&check, &file, number)
    }

    fn failed(why: &str) -> Outcome {
        Outcome::Failed(format!("file load has {why}"))
    }

    const NONE: (Option<i16>, bool) = (None, false);

    #[test]
    fn without_a_weight_only_0_is_well_and_reversed_only_0_is_not() {
        let well = Outcome::Passed(Effect::None);
        for weights in [((Some(0), false), NONE), (NONE, (Some(0), false))] {
            assert_eq!(outcome(weights.0, weights.1, 0), well);
            assert_eq!(outcome(weights.0, weights.1, 1), failed("1, and 0 is wanted"));
            assert_eq!(outcome(weights.0, weights.1, -1), failed("-1, and 0 is wanted"));
        }
        for weights in [((Some(0), true), NONE), (NONE, (Some(0), true))] {
            assert_eq!(outcome(weights.0, weights.1, 0), failed("0, and another number is wanted"));
            assert_eq!(outcome(weights.0, weights.1, 1), well);
            assert_eq!(outcome(weights.0, weights.1, -1), well);
        }
    }

    #[test]
    fn the_number_times_the_weight_is_added() {
        let more = |more| Outcome::Passed(Effect::Add(more));
        assert_eq!(outcome(NONE, NONE, 5), more(5), "the weight is 1");
        assert_eq!(outcome((Some(3), false), NONE, 5), more(15));
        assert_eq!(outcome((Some(-3), false), NONE, 5), more(-15));
        assert_eq!(outcome((Some(3), true), NONE, 5), more(-15));
        assert_eq!(outcome((Some(3), false), NONE, -5), more(-15));
        assert_eq!(outcome((Some(3), false), NONE, 0), more(0));
        assert_eq!(outcome(NONE, (Some(2), true), 5), more(-10), "the file's");
        assert_eq!(outcome((Some(3), false), (Some(2), true), 5), more(15), "the check's own");
        assert_eq!(outcome((None, true), (Some(2), false), 5), more(-10));
        assert_eq!(outcome(NONE, NONE, -254), more(-254), "no fault, as it is to an instance");
    }

    #[test]
    fn the_least_number_of_32_bits_is_down_and_the_greatest_is_as_far_as_it_goes() {
        let (most, least) = (i64::from(i32::MAX), i64::from(i32::MIN));
        assert_eq!(outcome(NONE, NONE, least), failed("-2147483648, which times 1 is too low"));
        assert_eq!(outcome(NONE, NONE, least + 1), Outcome::Passed(Effect::Add(i32::MIN + 1)));
        assert_eq!(outcome((Some(2), false), NONE, most), Outcome::Passed(Effect::Add(i32::MAX)));
        assert!(matches!(outcome((Some(-2), false), NONE, most), Outcome::Failed(_)));
        assert_eq!(
            outcome((Some(9), false), NONE, i64::MAX),
            Outcome::Passed(Effect::Add(i32::MAX))
        );
        assert!(matches!(outcome((Some(9), true), NONE, i64::MAX), Outcome::Failed(_)));
    }
}
