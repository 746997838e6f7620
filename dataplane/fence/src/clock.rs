//! The one clock that deadlines are written in.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Now, in nanoseconds of `CLOCK_BOOTTIME`: what `bpf_ktime_get_boot_ns` reads.
#[must_use]
pub fn boot_now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME)
        .expect("every kernel that can load the fence has CLOCK_BOOTTIME");
    u64::try_from(Duration::from(now).as_nanos()).expect("five centuries of uptime fit")
}
