//! What counts of a real server: the operator's word over checks over the configuration.

use std::net::SocketAddr;

use leasehold_model::{Override, Overrides, RealName, RealServer, VirtualServer};

use super::Finding;

/// Where a real server stands, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    Up,
    /// It is up, and an operator wants no new connection on it.
    Drained,
    /// No check that has to pass first (`alpha`) has passed yet.
    Unproven,
    /// A check of it fails.
    Failed,
    /// Its checks pass, but it came and went too often, and is kept down for a while.
    Held,
    /// An operator took it out.
    Disabled,
}

impl Standing {
    pub const ALL: [Self; 6] =
        [Self::Up, Self::Drained, Self::Unproven, Self::Failed, Self::Held, Self::Disabled];

    /// Whether it has its place in the kernel's table: keepalived's `alive`.
    #[must_use]
    pub fn is_up(self) -> bool {
        match self {
            Self::Up | Self::Drained => true,
            Self::Unproven | Self::Failed | Self::Held | Self::Disabled => false,
        }
    }

    /// For people and for `status`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Drained => "drained",
            Self::Unproven => "unproven",
            Self::Failed => "down",
            Self::Held => "held",
            Self::Disabled => "disabled",
        }
    }
}

/// What the kernel's table is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effective {
    pub standing: Standing,
    /// 0 unless it is up.
    pub weight: u16,
}

impl Effective {
    /// `Disable` takes it out whatever its checks say. `Drain` and `Weight` say how much it gets
    /// while it is up: what fails its checks is down, so that nobody is kept on a dead machine by
    /// a word that was said of a living one.
    ///
    /// `up` is what its checks say; `held`, that it is kept down for all that.
    pub(super) fn of(
        real: &RealServer,
        finding: Finding,
        up: bool,
        held: bool,
        said: Option<Override>,
    ) -> Self {
        let down = |standing| Self { standing, weight: 0 };
        if said == Some(Override::Disable) {
            return down(Standing::Disabled);
        }
        match (up, finding.verdict) {
            (true, _) if held => return down(Standing::Held),
            (true, _) => {}
            (false, Some(_)) => return down(Standing::Failed),
            (false, None) => return down(Standing::Unproven),
        }
        match said {
            Some(Override::Drain) => down(Standing::Drained),
            Some(Override::Weight(weight)) => Self { standing: Standing::Up, weight },
            Some(Override::Disable) | None => {
                Self { standing: Standing::Up, weight: finding.adjustment.weigh(real.weight) }
            }
        }
    }
}

/// What an operator said of it.
pub(super) fn said(
    overrides: &Overrides,
    server: &VirtualServer,
    address: SocketAddr,
) -> Option<Override> {
    if overrides.is_empty() {
        return None;
    }
    overrides.get(&RealName::new(server, address)).copied()
}
