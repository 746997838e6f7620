//! What a daemon tells its guard, one JSON line each.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use leasehold_model::{Epoch, GroupId, NodeId};

use crate::spoken::Farewell;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// The lease thread is alive.
    Beat,
    /// What the guard must finish where the daemon can't.
    Charge(Charge),
    /// The daemon stops in good order and has cleaned up.
    Goodbye,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Charge {
    /// The leases that are open.
    pub(crate) leases: Vec<(GroupId, Epoch)>,
    /// This daemon leads the group.
    pub(crate) leading: bool,
    /// The other members, and where they listen.
    pub(crate) peers: Vec<(NodeId, String)>,
    /// Every address that is the daemon's to bind.
    pub(crate) vips: BTreeSet<IpAddr>,
    /// What is left to say to the neighbours.
    pub(crate) farewells: Vec<Farewell>,
}
