//! When a silent master counts as gone (RFC 3768, 6.1; RFC 9568, 6.1).

use std::time::Duration;

use super::VrrpVersion;

/// Adverts that must be missed; keepalived's `vrrp_down_timer_adverts` changes it.
pub const DOWN_ADVERTS: u32 = 3;

/// What a router of this priority waits longer than one of priority 256 would: the highest is
/// first.
#[must_use]
pub fn skew(version: VrrpVersion, priority: u8, interval: Duration) -> Duration {
    let unit = match version {
        VrrpVersion::V2 => Duration::from_secs(1),
        VrrpVersion::V3 => interval,
    };
    unit * (256 - u32::from(priority)) / 256
}

/// How long after an advert a backup of this priority takes over, if no other comes.
///
/// The interval is the master's: in version 3 it is heard, and need not be ours.
#[must_use]
pub fn master_down(version: VrrpVersion, priority: u8, interval: Duration) -> Duration {
    master_down_after(version, priority, interval, DOWN_ADVERTS)
}

/// The same where another number of adverts must be missed.
#[must_use]
pub fn master_down_after(
    version: VrrpVersion,
    priority: u8,
    interval: Duration,
    adverts: u32,
) -> Duration {
    interval * adverts + skew(version, priority, interval)
}
