//! `--fence address-lifetime`: for kernels that give us no BPF.
//!
//! The kernel removes an address when its lifetime ends, to the second and up to another late, so
//! a lifetime ends well before its lease. What is lost: lifetimes are counted from the instant of
//! their writing, so a process that is frozen between reading the clock and writing prolongs its
//! address by as long; and packets on their way are not held back.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, bail};
use leasehold_model::BootNanos;
use leasehold_raft::identity::Directory;
use leasehold_raft::lease::Timing;
use leasehold_raft::store;

/// How late the kernel may remove an address, and a second for the whole number that it takes.
const LATE: Duration = Duration::from_secs(2);

/// A renewal must find an address that has a second left, and give it two.
const TTL_MIN: Duration = Duration::from_secs(5);

/// Refuses timing that is too quick for a clock of seconds.
pub(crate) fn check(timing: &Timing) -> anyhow::Result<()> {
    if timing.ttl < TTL_MIN {
        bail!(
            "--fence address-lifetime needs a ttl of at least {TTL_MIN:?}, and this cluster's is \
             {:?}: make the cluster with `leasehold init --profile wan`",
            timing.ttl
        );
    }
    tracing::warn!(
        "the fence is the addresses' lifetime: a freeze of this daemon at the wrong instant may \
         let two directors answer; use a kernel with BPF where you can"
    );
    Ok(())
}

/// The lifetime of an address of a lease, in whole seconds, if any is left.
pub(crate) fn lifetime(deadline: BootNanos, now: BootNanos) -> Option<Duration> {
    let seconds = deadline.since(now).saturating_sub(LATE).as_secs();
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// What an earlier start bound may answer still, and the log is about to hear that it does not.
pub(crate) async fn unbind_remainders(directory: &Directory) -> anyhow::Result<()> {
    if store::detect(&directory.store())?.is_none() || directory.settings().incarnation == 0 {
        return Ok(());
    }
    let state = store::survey(&directory.store()).await?.state;
    let vips = state.config.instances.values().flat_map(|one| &one.virtual_ipaddress);
    let vips: BTreeSet<_> = vips.map(|vip| vip.address).collect();
    let stripped = leasehold_dataplane::strip(None, &vips).await;
    stripped.map(drop).context("unbinding what an earlier start left")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_lifetime_ends_two_seconds_before_its_lease_or_sooner() {
        let now = BootNanos(100 * SECOND);
        let ends = |ahead: u64| lifetime(BootNanos(100 * SECOND + ahead), now);
        assert_eq!(ends(5 * SECOND + SECOND / 2), Some(Duration::from_secs(3)));
        assert_eq!(ends(3 * SECOND), Some(Duration::from_secs(1)));
        assert_eq!(ends(3 * SECOND - 1), None);
        assert_eq!(lifetime(BootNanos(0), now), None);
    }

    #[test]
    fn only_a_slow_cluster_may_use_it() {
        use leasehold_raft::lease::Profile;
        assert!(check(&Timing::profile(Profile::Wan)).is_ok());
        assert!(check(&Timing::profile(Profile::Default)).is_err());
        assert!(check(&Timing::profile(Profile::Fast)).is_err());
    }
}
