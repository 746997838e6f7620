//! Faults put in on purpose: each must be found.

use clap::ValueEnum;

/// A rule of the protocol that one run breaks, in what is simulated around the product's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Plant {
    /// The kernel lets a VIP's traffic pass after its deadline too.
    FenceSkipped,
    /// A holder counts its deadline from the answer's arrival instead of from sending.
    DeadlineFromReceipt,
    /// A new leader grants what nobody renewed with it, without waiting for older promises.
    NoWaitAfterElection,
    /// The disk calls writes durable that a power cut takes back.
    FsyncDropped,
    /// Clocks run apart by twelve times the bound that the lease allows for.
    ClockBeyondBound,
    /// The guard releases its daemon's leases and neither ends the daemon nor closes its fence.
    GuardKillsNobody,
    /// An address that comes to a group is served before the holder it left has dropped it.
    MovedAddressEarly,
}
