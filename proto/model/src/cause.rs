//! Why a VIP is where it is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a lease changed hands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    #[default]
    Created,
    /// No renewal reached the leader for the whole of the ttl.
    Expired,
    /// The holder's daemon died and its guard said so.
    DaemonDied,
    /// The holder was told to stop.
    Stopped,
    /// `leasehold move`.
    Moved,
    /// `leasehold drain`.
    Drained,
    /// A director of higher priority was there for long enough.
    Preempted,
    /// Directors of equal priority share instances evenly.
    Balanced,
    /// A router from outside the cluster speaks for it, and the configuration says to yield.
    Yielded,
    /// The holder lost an interface or could not program the kernel.
    Unserviceable,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "the instance was created",
            Self::Expired => "the lease of the holder before expired",
            Self::DaemonDied => "the daemon of the holder before died",
            Self::Stopped => "the holder before was stopped",
            Self::Moved => "moved by an operator",
            Self::Drained => "the holder before was drained",
            Self::Preempted => "a higher priority preempted the holder before",
            Self::Balanced => "instances of equal priority are spread",
            Self::Yielded => "the holder before yielded to a router from outside the cluster",
            Self::Unserviceable => "the holder before could not serve it",
        })
    }
}
