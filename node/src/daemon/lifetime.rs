//! `--fence address-lifetime`: for kernels that give us no BPF.
//!
//! The kernel removes an address when its lifetime ends, to the second and up to another late, so
//! a lifetime ends well before its lease. What is lost: lifetimes are counted from the instant of
//! their writing, so a process that is frozen between reading the clock and writing prolongs its
//! address by as long; a machine that was suspended wakes with what remained of a lifetime, since
//! the kernel does not count the time between; and packets on their way are not held back.

use std::time::Duration;

use anyhow::bail;
use leasehold_model::BootNanos;
use leasehold_raft::lease::Timing;

/// How late the kernel may remove an address, and a second for the whole number that it takes.
const LATE: Duration = Duration::from_secs(2);

/// What rounding down to whole seconds takes off a lifetime, at most.
const ROUNDING: Duration = Duration::from_secs(1);

/// Refuses timing that is too quick for a clock of seconds: an address ends so much before its
/// lease that the loss of a leader would cost a healthy holder its VIPs.
pub(crate) fn check(timing: &Timing) -> anyhow::Result<()> {
    let least = timing.leader_loss() + timing.margin + LATE + ROUNDING;
    if timing.ttl < least {
        let name = timing.name().map(|name| format!(" (profile {name})")).unwrap_or_default();
        bail!(
            "--fence address-lifetime ends an address up to {:?} before its lease, so with this \
             cluster's timing{name} it needs a ttl of at least {least:?}, and that is {:?}: make \
             the cluster with `leasehold init --profile lifetime`",
            timing.margin + LATE + ROUNDING,
            timing.ttl
        );
    }
    tracing::warn!(
        "the fence is the addresses' lifetime: a freeze of this daemon at the wrong instant, or a \
         suspend and resume of this machine, may let two directors answer for what remains of a \
         lifetime; use a kernel with BPF where you can"
    );
    Ok(())
}

/// The lifetime of an address of a lease, in whole seconds, if any is left.
pub(crate) fn lifetime(deadline: BootNanos, now: BootNanos) -> Option<Duration> {
    let seconds = deadline.since(now).saturating_sub(LATE).as_secs();
    (seconds > 0).then(|| Duration::from_secs(seconds))
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
    fn the_loss_of_a_leader_must_not_cost_a_holder_its_addresses() {
        use leasehold_raft::lease::Profile;
        for profile in Profile::ALL {
            let timing = Timing::profile(profile);
            // A renewal was confirmed at 0, and the next one is so late as a leader's loss
            // makes it.
            let deadline = timing.holder_deadline(BootNanos(100 * SECOND));
            let bound = lifetime(deadline, BootNanos(100 * SECOND));
            let survives = bound.is_some_and(|bound| bound >= timing.leader_loss());
            assert_eq!(survives, profile == Profile::Lifetime, "{profile}");
            assert_eq!(check(&timing).is_ok(), survives, "{profile}");
        }
        let refused = check(&Timing::profile(Profile::Wan)).unwrap_err().to_string();
        assert!(refused.contains("(profile wan)") && refused.contains("8.9s"), "{refused}");
    }

    #[test]
    fn an_instant_below_the_least_ttl_is_refused() {
        use leasehold_raft::lease::Profile;
        let mut timing = Timing::profile(Profile::Lifetime);
        timing.ttl = timing.leader_loss() + timing.margin + LATE + ROUNDING;
        assert!(check(&timing).is_ok());
        timing.ttl -= Duration::from_nanos(1);
        assert!(check(&timing).is_err());
    }
}
