//! A real server that comes and goes is kept down for a while.
//!
//! Two numbers and a list of instants: a penalty that decays, as BGP's route flap damping has it
//! (RFC 2439), would be as good and harder to foretell. An operator can count to `flaps`.

use std::collections::VecDeque;
use std::time::Duration;

use leasehold_model::{BootNanos, Damping};

/// More flaps than that count as that many: each one is remembered.
const MOST_FLAPS: u32 = 1000;

/// Counts the falls of one real server, from up to down.
///
/// More than `flaps` of them within `window_ms` hold it, until `hold_ms` after the last one; one
/// that falls while it is held is held anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damper {
    damping: Damping,
    /// What its checks say, without damping.
    up: bool,
    /// The latest falls within the window, oldest first; never more than `flaps` and one.
    pub(super) falls: VecDeque<BootNanos>,
    /// While it is held.
    until: Option<BootNanos>,
}

impl Damper {
    #[must_use]
    pub fn new(damping: Damping, up: bool) -> Self {
        Self { damping, up, falls: VecDeque::new(), until: None }
    }

    /// Another setting. The falls so far count on; a hold under way ends when it was to end.
    pub fn handle_damping(&mut self, damping: Damping) {
        self.damping = damping;
        self.forget();
    }

    /// Takes in what its checks say.
    pub fn handle_state(&mut self, up: bool, now: BootNanos) {
        self.handle_timeout(now);
        let fell = self.up && !up;
        self.up = up;
        if !fell {
            return;
        }
        self.falls.push_back(now);
        let window = millis(self.damping.window_ms);
        self.falls.retain(|fall| now.since(*fall) <= window);
        let too_many = self.falls.len() > self.flaps();
        self.forget();
        if too_many || self.until.is_some() {
            self.until = Some(now.after(millis(self.damping.hold_ms)));
        }
    }

    pub fn handle_timeout(&mut self, now: BootNanos) {
        self.until = self.until.filter(|until| now < *until);
    }

    /// Whether it is down whatever its checks say.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.until.is_some()
    }

    /// When it is held no more.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<BootNanos> {
        self.until
    }

    fn flaps(&self) -> usize {
        usize::try_from(self.damping.flaps.clamp(1, MOST_FLAPS)).unwrap_or(usize::MAX)
    }

    fn forget(&mut self) {
        let most = self.flaps().saturating_add(1);
        let surplus = self.falls.len().saturating_sub(most);
        self.falls.drain(..surplus);
    }
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}
