//! When a real server is checked, and what the answers make of it.

use std::time::Duration;

use leasehold_model::{BootNanos, Check, CheckKind};

use super::{Answer, Effect, Verdict};

/// One checker of one real server, with keepalived's counting (`tcp_epilog` of `check_tcp.c`).
///
/// - The first question comes at random within `warmup`.
/// - One that was never answered is down after one failure; it counts as up until then, or with
///   `alpha` as down.
/// - One that is up is down after `retry` failures more, `delay_before_retry` apart.
/// - One that is down is up after `rise` successes in a row, `delay_loop` apart; keepalived knows
///   a rise of 1 only. While it is down, HTTP is asked no sooner than `delay_before_retry` either
///   (`epilog` of `check_http.c`).
/// - What could not be asked counts for nothing, and is asked again after `delay_loop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checker {
    delay_loop: Duration,
    delay_before_retry: Duration,
    /// While it is down.
    delay_down: Duration,
    retry: u32,
    rise: u32,
    alpha: bool,
    verdict: Option<Verdict>,
    effect: Effect,
    /// In a row.
    failures: u32,
    /// In a row, while it is down.
    successes: u32,
    next: BootNanos,
    suspended: bool,
}

impl Checker {
    /// A checker that knows nothing. `spread` is a number at random: checks that begin together do
    /// not stay together. `alpha`: see [`super::is_alpha`].
    #[must_use]
    pub fn new(check: &Check, alpha: bool, spread: u64, now: BootNanos) -> Self {
        let millis = |ms: u32| Duration::from_millis(u64::from(ms));
        let delay_loop = millis(check.delay_loop_ms.max(1));
        // Not in one breath, however many there are.
        let delay_before_retry = millis(check.delay_before_retry_ms.max(1));
        let delay_down = match check.kind {
            CheckKind::Http(_) => delay_loop.max(delay_before_retry),
            CheckKind::Tcp
            | CheckKind::Smtp(_)
            | CheckKind::Dns(_)
            | CheckKind::Udp(_)
            | CheckKind::Ping
            | CheckKind::Misc(_)
            | CheckKind::File(_) => delay_loop,
        };
        let warmup = check.warmup_ms.map_or(delay_loop, millis);
        let warmup = u64::try_from(warmup.as_nanos()).unwrap_or(u64::MAX);
        Self {
            delay_loop,
            delay_before_retry,
            delay_down,
            retry: check.retry,
            rise: check.rise,
            alpha,
            verdict: None,
            effect: Effect::None,
            failures: 0,
            successes: 0,
            next: now.after(Duration::from_nanos(spread.checked_rem(warmup).unwrap_or(0))),
            suspended: false,
        }
    }

    /// A checker that begins with the verdict of the one whose place it takes: the same real
    /// server, asked in another way.
    #[must_use]
    pub fn continuing(
        check: &Check,
        alpha: bool,
        verdict: Verdict,
        spread: u64,
        now: BootNanos,
    ) -> Self {
        Self { verdict: Some(verdict), ..Self::new(check, alpha, spread, now) }
    }

    /// When to ask next. Absent while it is suspended.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<BootNanos> {
        (!self.suspended).then_some(self.next)
    }

    /// Absent until the first answer that counts; never for one that began with a verdict.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// What it does to the weight; nothing unless it is up.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    #[must_use]
    pub fn is_alpha(&self) -> bool {
        self.alpha
    }

    /// Asks no more (`ha_suspend`). What is known counts on, and an answer under way still does.
    pub fn handle_suspend(&mut self) {
        self.suspended = true;
    }

    /// Asks again, at once.
    pub fn handle_resume(&mut self, now: BootNanos) {
        if self.suspended {
            self.suspended = false;
            self.next = now;
        }
    }

    /// Takes in what a question came to. True where the verdict or the effect is another than
    /// before.
    pub fn handle_answer(&mut self, answer: Answer, now: BootNanos) -> bool {
        let before = (self.verdict, self.effect);
        let wait = match answer {
            Answer::Passed(effect) => self.pass(effect),
            Answer::Failed => self.fail(),
            Answer::Unknown => self.delay_loop,
        };
        self.next = now.after(wait);
        before != (self.verdict, self.effect)
    }

    /// How long to wait then.
    fn pass(&mut self, effect: Effect) -> Duration {
        self.failures = 0;
        let down = match self.verdict {
            Some(Verdict::Up) => false,
            Some(Verdict::Down) => true,
            None => self.alpha,
        };
        self.successes = if down { self.successes.saturating_add(1) } else { 0 };
        if !down || self.successes >= self.rise {
            self.successes = 0;
            self.verdict = Some(Verdict::Up);
            self.effect = effect;
        }
        self.delay_loop
    }

    fn fail(&mut self) -> Duration {
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        let patience = match self.verdict {
            Some(Verdict::Up) => self.retry,
            Some(Verdict::Down) | None => 0,
        };
        if self.failures <= patience {
            return self.delay_before_retry;
        }
        self.verdict = Some(Verdict::Down);
        self.effect = Effect::None;
        self.delay_down
    }
}
