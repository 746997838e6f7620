//! The one clock that deadlines are written in.

use std::fs;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::FenceError;

/// Now, in nanoseconds of `CLOCK_BOOTTIME`: what `bpf_ktime_get_boot_ns` reads.
#[must_use]
pub fn boot_now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME)
        .expect("every kernel that can load the fence has CLOCK_BOOTTIME");
    u64::try_from(Duration::from(now).as_nanos()).expect("five centuries of uptime fit")
}

/// Refuses a time namespace whose `CLOCK_BOOTTIME` is not the one that programs read.
pub(crate) fn check() -> Result<(), FenceError> {
    // A kernel without time namespaces has no such file.
    let offsets = fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
    if has_offset(&offsets) { Err(FenceError::TimeNamespace) } else { Ok(()) }
}

fn has_offset(offsets: &str) -> bool {
    let boottime = offsets.lines().find_map(|line| line.strip_prefix("boottime"));
    boottime.is_some_and(|numbers| numbers.split_whitespace().any(|number| number != "0"))
}

#[cfg(test)]
mod tests {
    use super::has_offset;

    #[test]
    fn an_offset_of_the_boot_clock_is_seen() {
        assert!(!has_offset(""));
        assert!(!has_offset("monotonic           5         0\nboottime            0         0\n"));
        assert!(has_offset("monotonic           0         0\nboottime       100000         0\n"));
        assert!(has_offset("monotonic           0         0\nboottime            0        -1\n"));
    }
}
