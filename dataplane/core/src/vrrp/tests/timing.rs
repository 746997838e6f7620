//! The timers of the RFCs by their figures, and the numbers of the authentication header.

use std::time::Duration;

use proptest::prelude::*;

use super::super::VrrpVersion::{V2, V3};
use super::super::{Sequence, master_down, master_down_after, skew};

#[test]
fn timers_of_the_rfcs() {
    let (second, tenth) = (Duration::from_secs(1), Duration::from_millis(100));
    // RFC 3768, 6.1: (256 - 100) / 256 s, whatever the interval.
    assert_eq!(skew(V2, 100, second), Duration::from_nanos(609_375_000));
    assert_eq!(skew(V2, 100, 5 * second), Duration::from_nanos(609_375_000));
    assert_eq!(skew(V2, 255, second), Duration::from_nanos(3_906_250));
    // RFC 9568, 6.1: the same share of the interval.
    assert_eq!(skew(V3, 100, tenth), Duration::from_nanos(60_937_500));
    assert_eq!(skew(V3, 0, second), second);
    // keepalived's well-known 3.6 s.
    assert_eq!(master_down(V2, 100, second), Duration::from_nanos(3_609_375_000));
    assert_eq!(master_down(V3, 100, tenth), Duration::from_nanos(360_937_500));
    assert_eq!(master_down_after(V2, 100, second, 5), Duration::from_nanos(5_609_375_000));
}

#[test]
fn a_number_goes_on_above_the_clock_and_above_what_was_heard() {
    let mut sequence = Sequence::default();
    assert_eq!(sequence.next(1_000), Some(1_000));
    assert_eq!(sequence.next(1_000), Some(1_001), "two in one second");
    assert_eq!(sequence.next(10), Some(1_002), "a clock that was set back");
    sequence.hear(5_000);
    assert_eq!(sequence.next(1_003), Some(5_001), "after another's adverts");
    sequence.hear(7);
    assert_eq!(sequence.next(1_003), Some(5_002), "an old number changes nothing");
    assert_eq!(sequence.highest(), 5_002);
    assert_eq!(sequence.next(u64::MAX), Some(5_003), "a clock beyond the field's range");
    sequence.hear(u32::MAX);
    assert_eq!(sequence.next(9_000), None, "no number is sent twice");
}

proptest! {
    /// Two directors that hear one another, restarts and clocks included.
    #[test]
    fn numbers_rise_whoever_sends(steps in prop::collection::vec((any::<bool>(), any::<bool>(), 0_u64..50), 1..200)) {
        let mut directors = [Sequence::default(), Sequence::default()];
        let (mut last, mut clock) = (0, 1_000_000);
        for (who, restarts, passed) in steps {
            // A director that was away comes back a while later: the clock is ahead by then.
            clock += passed;
            let [one, two] = &mut directors;
            let (sender, other) = if who { (one, two) } else { (two, one) };
            if restarts {
                clock += 400;
                *sender = Sequence::default();
            }
            let number = sender.next(clock).unwrap();
            prop_assert!(number > last);
            other.hear(number);
            last = number;
        }
    }
}
