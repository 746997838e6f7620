//! How even adverts come: what their arrival times say of each virtual router's clock.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_lab::{Advert, Mac};

/// What was heard of many virtual routers in one span of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Jitter {
    pub(super) adverts: usize,
    /// |gap - advert_int| of every two adverts in a row of one router.
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
    pub(super) longest_gap_ms: f64,
    /// Adverts that were due and did not come.
    pub(super) lost: u64,
    /// Adverts by anybody but the holder, or of priority 0.
    pub(super) strange: usize,
}

/// A router: its interface and number.
pub(super) type Router = (usize, u8);

/// The span in which adverts were counted, and how often each router was to send one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) from_ns: u64,
    pub(super) until_ns: u64,
    pub(super) advert_int_ns: u64,
}

impl Jitter {
    /// The figures of these routers' adverts by one holder, known by its address on each interface.
    pub(super) fn of(
        adverts: &[Advert],
        routers: &BTreeSet<Router>,
        holder: &[Mac],
        span: Span,
    ) -> Jitter {
        let Span { from_ns, until_ns, advert_int_ns } = span;
        let mut arrivals: BTreeMap<Router, Vec<u64>> =
            routers.iter().map(|router| (*router, Vec::new())).collect();
        let mut jitter = Jitter::default();
        // What came after the end is not judged.
        for advert in adverts.iter().filter(|a| (from_ns..until_ns).contains(&a.received_ns)) {
            let times = arrivals.get_mut(&(advert.interface, advert.vrid));
            match times.filter(|_| {
                holder.get(advert.interface) == Some(&advert.mac) && advert.priority > 0
            }) {
                Some(times) => times.push(advert.received_ns),
                None => jitter.strange += 1,
            }
        }
        let (mut off, mut longest) = (Vec::new(), 0);
        for times in arrivals.values_mut() {
            times.sort_unstable();
            jitter.adverts += times.len();
            for pair in times.windows(2) {
                let gap = pair[1] - pair[0];
                off.push(gap.abs_diff(advert_int_ns));
                longest = longest.max(gap);
            }
            jitter.lost += lost(times, span);
        }
        off.sort_unstable();
        let at = |share: f64| percentile(&off, share) as f64 / 1e6;
        (jitter.p50_ms, jitter.p99_ms, jitter.max_ms) = (at(0.5), at(0.99), at(1.0));
        jitter.longest_gap_ms = longest as f64 / 1e6;
        jitter
    }
}

/// How many of a router's adverts were due and did not come.
fn lost(times: &[u64], span: Span) -> u64 {
    let interval = span.advert_int_ns;
    // Nearly twice the interval is one missed, not two late ones.
    let within = |gap: u64| ((gap + interval / 2) / interval).saturating_sub(1);
    let (Some(first), Some(last)) = (times.first(), times.last()) else {
        return (span.until_ns - span.from_ns) / interval;
    };
    let between: u64 = times.windows(2).map(|pair| within(pair[1] - pair[0])).sum();
    between + within(first - span.from_ns) + within(span.until_ns - last)
}

/// The smallest value that so large a share of all does not exceed.
pub(super) fn percentile(sorted: &[u64], share: f64) -> u64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDER: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const MS: u64 = 1_000_000;
    const SPAN: Span = Span { from_ns: 0, until_ns: 5000 * MS, advert_int_ns: 1000 * MS };

    fn heard(vrid: u8, at_ms: &[u64]) -> Vec<Advert> {
        let source = [10, 0, 0, 1].into();
        let one = |at: &u64| Advert {
            interface: 0,
            mac: HOLDER,
            source,
            version: 2,
            vrid,
            priority: 100,
            received_ns: at * MS,
        };
        at_ms.iter().map(one).collect()
    }

    fn figures(adverts: &[Advert], vrids: &[u8]) -> Jitter {
        Jitter::of(adverts, &vrids.iter().map(|vrid| (0, *vrid)).collect(), &[HOLDER], SPAN)
    }

    #[test]
    fn even_adverts_have_no_jitter_and_none_is_lost() {
        let all =
            [heard(1, &[500, 1500, 2500, 3500, 4500]), heard(2, &[0, 1000, 2000, 3000, 4000])]
                .concat();
        let jitter = figures(&all, &[1, 2]);
        let wanted = Jitter { adverts: 10, longest_gap_ms: 1000.0, ..Jitter::default() };
        assert_eq!(jitter, wanted);
    }

    #[test]
    fn a_gap_counts_early_and_late_alike_and_only_within_one_router() {
        let all = [heard(1, &[100, 1080, 2090]), heard(2, &[150, 1150, 2150])].concat();
        let jitter = figures(&all, &[1, 2]);
        assert_eq!((jitter.p50_ms, jitter.p99_ms, jitter.max_ms), (0.0, 20.0, 20.0));
        assert_eq!(jitter.longest_gap_ms, 1010.0);
    }

    #[test]
    fn missed_adverts_are_counted_between_around_and_of_the_silent() {
        assert_eq!(figures(&heard(1, &[500, 3490, 4500]), &[1]).lost, 2);
        assert_eq!(figures(&heard(1, &[2500, 3500]), &[1]).lost, 3);
        assert_eq!(figures(&heard(1, &[500, 1500, 2500, 3500, 4500]), &[1, 2]).lost, 5);
    }

    #[test]
    fn another_sender_another_router_and_a_farewell_are_strange() {
        let mut all = heard(1, &[500, 1500, 2500, 3500, 4500]);
        all.extend(heard(9, &[100]));
        all.push(Advert { mac: Mac([2, 0, 0, 0, 0, 2]), ..all[0] });
        all.push(Advert { priority: 0, ..all[0] });
        let jitter = figures(&all, &[1]);
        assert_eq!((jitter.strange, jitter.adverts, jitter.lost), (3, 5, 0));
    }

    #[test]
    fn a_percentile_is_a_value_that_was_seen() {
        let values: Vec<u64> = (1..=100).collect();
        let at = [0.0, 0.5, 0.99, 1.0].map(|share| percentile(&values, share));
        assert_eq!(at, [1, 50, 99, 100]);
        assert_eq!(percentile(&[], 0.5), 0);
    }
}
