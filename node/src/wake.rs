//! Waking up at an instant that there may not be.

use leasehold_dataplane::fence::boot_now;
use leasehold_model::BootNanos;
use tokio::time::Instant;

/// Resolves at the instant; never where there is none.
pub(crate) async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// The same, by the clock that also runs while the machine sleeps.
pub(crate) async fn at_boot(instant: Option<BootNanos>) {
    match instant {
        Some(instant) => tokio::time::sleep(instant.since(boot_now())).await,
        None => std::future::pending().await,
    }
}
