//! The one clock that leases are measured with.

use leasehold_model::BootNanos;
use nix::time::{ClockId, clock_gettime};

/// Now, by `CLOCK_BOOTTIME`.
pub(crate) fn boot_now() -> BootNanos {
    let now =
        clock_gettime(ClockId::CLOCK_BOOTTIME).expect("Linux has CLOCK_BOOTTIME since 2.6.39");
    let seconds = u64::try_from(now.tv_sec()).expect("the boot clock starts at zero");
    let nanos = u64::try_from(now.tv_nsec()).expect("nanoseconds are not negative");
    BootNanos(seconds * 1_000_000_000 + nanos)
}

/// Milliseconds of the Unix epoch, for people to read.
pub(crate) fn unix_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
