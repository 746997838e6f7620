//! How late checks come: what the arrival of their questions says of each check's clock.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use leasehold_lab::Question;

use super::jitter::percentile;

/// What was asked of many real servers in one span of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lateness {
    pub(super) questions: usize,
    /// What lay between two questions in a row to one real server, less the interval; an early
    /// one is 0 late.
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
    /// Questions that were due and did not come: one gap of nearly two intervals is one.
    pub(super) missed: u64,
    /// Questions that had to be asked again for want of an answer to their first packet.
    pub(super) repeated: usize,
    /// Real servers that nobody asked.
    pub(super) silent: usize,
}

/// The span in which questions were counted, and how often each real server was to be asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) from_ns: u64,
    pub(super) until_ns: u64,
    pub(super) interval_ns: u64,
}

impl Lateness {
    /// The figures of the questions to `servers` real servers.
    pub(super) fn of(questions: &[Question], servers: usize, span: Span) -> Lateness {
        let Span { from_ns, until_ns, interval_ns } = span;
        let mut asked: BTreeMap<SocketAddrV4, Vec<(u64, u16)>> = BTreeMap::new();
        for one in questions.iter().filter(|one| (from_ns..until_ns).contains(&one.received_ns)) {
            asked.entry(one.to).or_default().push((one.received_ns, one.from_port));
        }
        let mut lateness =
            Lateness { silent: servers.saturating_sub(asked.len()), ..Lateness::default() };
        let mut late = Vec::new();
        for times in asked.values_mut() {
            times.sort_unstable();
            let all = times.len();
            // The same port at once again: the same packet again.
            times.dedup_by_key(|one| one.1);
            lateness.repeated += all - times.len();
            lateness.questions += times.len();
            for pair in times.windows(2) {
                let gap = pair[1].0 - pair[0].0;
                late.push(gap.saturating_sub(interval_ns));
                lateness.missed += ((gap + interval_ns / 2) / interval_ns).saturating_sub(1);
            }
        }
        late.sort_unstable();
        let at = |share: f64| percentile(&late, share) as f64 / 1e6;
        (lateness.p50_ms, lateness.p99_ms, lateness.max_ms) = (at(0.5), at(0.99), at(1.0));
        lateness
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const SPAN: Span = Span { from_ns: 0, until_ns: 5000 * MS, interval_ns: 1000 * MS };

    fn asked(server: u8, at_ms: &[u64]) -> Vec<Question> {
        let to = SocketAddrV4::new([10, 0, 0, server].into(), 80);
        let one = |(nth, at): (usize, &u64)| Question {
            to,
            from_port: 1024 + nth as u16,
            received_ns: at * MS,
        };
        at_ms.iter().enumerate().map(one).collect()
    }

    #[test]
    fn a_gap_is_late_by_what_exceeds_the_interval_and_only_to_one_server() {
        let all = [asked(1, &[0, 1005, 1990]), asked(2, &[500, 1500, 2530])].concat();
        let found = Lateness::of(&all, 2, SPAN);
        assert_eq!((found.p50_ms, found.max_ms), (0.0, 30.0));
        assert_eq!((found.questions, found.missed, found.silent), (6, 0, 0));
    }

    #[test]
    fn the_missing_the_silent_and_what_came_too_late_are_told_apart() {
        let all = [asked(1, &[100, 3120]), asked(2, &[10, 1010, 6000])].concat();
        let found = Lateness::of(&all, 3, SPAN);
        assert_eq!((found.missed, found.silent, found.questions), (2, 1, 4));
    }

    #[test]
    fn a_packet_sent_again_is_no_question() {
        let mut all = asked(1, &[0, 1000]);
        all.push(Question { received_ns: 1100 * MS, ..all[1] });
        let found = Lateness::of(&all, 1, SPAN);
        assert_eq!((found.questions, found.repeated, found.max_ms), (2, 1, 0.0));
    }
}
