//! What checks have where nothing is said, and the limits of what may be said. As keepalived's.

use std::ops::RangeInclusive;

use leasehold_model::Check;
use leasehold_model::CheckKind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Http,
}

/// A day at most: what is checked less often is not watched.
pub(crate) const DELAY_LOOP_MS: RangeInclusive<u32> = 10..=86_400_000;
pub(crate) const CONNECT_TIMEOUT_MS: RangeInclusive<u32> = 1..=3_600_000;
pub(crate) const DELAY_BEFORE_RETRY_MS: RangeInclusive<u32> = 0..=86_400_000;
pub(crate) const RETRY: RangeInclusive<u32> = 0..=1_000_000;

const STATUS_CODES: RangeInclusive<u16> = 100..=999;

/// One with keepalived's times.
pub(crate) fn defaults(kind: Kind) -> Check {
    Check {
        kind: match kind {
            Kind::Tcp => CheckKind::Tcp,
            Kind::Http => CheckKind::Http { urls: Vec::new() },
        },
        connect: None,
        delay_loop_ms: 60_000,
        connect_timeout_ms: 5_000,
        retry: 1,
        delay_before_retry_ms: match kind {
            Kind::Tcp => 1_000,
            Kind::Http => 3_000,
        },
    }
}

/// `200` or `200-299`.
pub(crate) fn status_codes(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let code = |text: &str| text.parse().ok().filter(|code| STATUS_CODES.contains(code));
    let (first, last) = (code(first)?, code(last)?);
    (first <= last).then_some((first, last))
}
