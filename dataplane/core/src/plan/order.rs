//! The order of a takeover and of a release, as data: one place to read it, one to test it.

/// One thing done to the kernel for a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The VIPs are in the fence's map, on every interface, and closed.
    Fence,
    /// The addresses are bound.
    Bind,
    /// The fence is open until the lease's deadline: a confirmed renewal, never a grant.
    Open,
    /// Gratuitous ARP and unsolicited advertisements. They go out through the fence, so they
    /// can't go before it opens.
    Announce,
    /// The fence is closed.
    Close,
    /// The addresses are unbound.
    Unbind,
}

/// Taking a group over.
pub const TAKEOVER: [Step; 4] = [Step::Fence, Step::Bind, Step::Open, Step::Announce];

/// Letting a group go. Only once it is closed may anyone be told: the rest is tidying.
pub const RELEASE: [Step; 2] = [Step::Close, Step::Unbind];
