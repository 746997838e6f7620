//! When a real server is checked, and what the answers make of it.

use std::time::Duration;

use leasehold_model::{BootNanos, Check};

use crate::service::Verdict;

/// One checker of one real server, with keepalived's counting: one answer makes it up, and
/// `retry` failures after the first make it down. One that never answered is down at the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checker {
    delay_loop: Duration,
    delay_before_retry: Duration,
    retry: u32,
    verdict: Option<Verdict>,
    failures: u32,
    next: BootNanos,
}

impl Checker {
    /// `spread` is a number at random: checks that begin together do not stay together.
    #[must_use]
    pub fn new(check: &Check, spread: u64, now: BootNanos) -> Self {
        let delay_loop = Duration::from_millis(u64::from(check.delay_loop_ms).max(1));
        let nanos = u64::try_from(delay_loop.as_nanos()).unwrap_or(u64::MAX);
        Self {
            delay_loop,
            delay_before_retry: Duration::from_millis(u64::from(check.delay_before_retry_ms)),
            retry: check.retry,
            verdict: None,
            failures: 0,
            next: now.after(Duration::from_nanos(spread % nanos)),
        }
    }

    /// When to check next.
    #[must_use]
    pub fn poll_timeout(&self) -> BootNanos {
        self.next
    }

    /// Absent until the first answer, or the failures that count as one.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// Takes in what a check gave. True where the verdict is another than before.
    pub fn handle_result(&mut self, passed: bool, now: BootNanos) -> bool {
        let before = self.verdict;
        self.next = now.after(self.delay_loop);
        if passed {
            self.failures = 0;
            self.verdict = Some(Verdict::Up);
        } else {
            self.failures = self.failures.saturating_add(1);
            let patience = if before == Some(Verdict::Up) { self.retry } else { 0 };
            if self.failures > patience {
                self.verdict = Some(Verdict::Down);
            } else {
                self.next = now.after(self.delay_before_retry);
            }
        }
        before != self.verdict
    }
}

#[cfg(test)]
mod tests {
    use leasehold_model::CheckKind;

    use super::*;

    fn checker(retry: u32) -> Checker {
        let check = Check {
            kind: CheckKind::Tcp,
            connect: None,
            delay_loop_ms: 6000,
            connect_timeout_ms: 3000,
            retry,
            delay_before_retry_ms: 3000,
        };
        Checker::new(&check, 7_000_000_000, seconds(100))
    }

    fn seconds(count: u64) -> BootNanos {
        BootNanos::default().after(Duration::from_secs(count))
    }

    #[test]
    fn the_first_check_comes_within_one_round() {
        assert_eq!(checker(1).poll_timeout(), seconds(101));
    }

    #[test]
    fn one_that_answered_is_down_after_its_retries_and_up_at_once() {
        let mut one = checker(2);
        assert!(one.handle_result(true, seconds(1)));
        assert_eq!((one.verdict(), one.poll_timeout()), (Some(Verdict::Up), seconds(7)));
        assert!(!one.handle_result(false, seconds(7)));
        assert_eq!((one.verdict(), one.poll_timeout()), (Some(Verdict::Up), seconds(10)));
        assert!(!one.handle_result(false, seconds(10)));
        assert!(one.handle_result(false, seconds(13)));
        assert_eq!((one.verdict(), one.poll_timeout()), (Some(Verdict::Down), seconds(19)));
        assert!(one.handle_result(true, seconds(19)));
        assert_eq!(one.verdict(), Some(Verdict::Up));
        assert!(!one.handle_result(false, seconds(25)), "its failures are forgotten");
    }

    #[test]
    fn one_that_never_answered_is_down_at_its_first_failure() {
        let mut one = checker(9);
        assert_eq!(one.verdict(), None);
        assert!(one.handle_result(false, seconds(1)));
        assert_eq!((one.verdict(), one.poll_timeout()), (Some(Verdict::Down), seconds(7)));
    }
}
