//! The lab's clock, and waiting for a condition with a limit instead of sleeping and hoping.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::{LabError, Result};

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Now, in nanoseconds of CLOCK_BOOTTIME: the scale of every instant that the lab reports.
pub fn now_ns() -> u64 {
    clock_ns(ClockId::CLOCK_BOOTTIME)
}

pub(crate) fn clock_ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("every Linux since 2.6.39 has this clock");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

/// The emulated machine takes so many times as long for everything, and longer on a busy one.
const SLOWER_INSIDE: u32 = 5;

/// How long to wait here for what takes at most `limit` elsewhere.
pub(crate) fn patience(limit: Duration) -> Duration {
    if crate::vm::inside() { limit * SLOWER_INSIDE } else { limit }
}

/// Looks until `condition` yields something; fails after `limit`, naming `what` was awaited.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> Result<T> {
    let (start, limit) = (Instant::now(), patience(limit));
    loop {
        if let Some(found) = condition() {
            return Ok(found);
        }
        if start.elapsed() >= limit {
            return Err(LabError::Timeout { what: what.to_owned(), limit });
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
