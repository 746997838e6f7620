//! What a member is, and what it says of itself with each renewal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Can hold VIPs.
    Director,
    /// Votes, and never holds a VIP.
    Witness,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Director => "director",
            Self::Witness => "witness",
        })
    }
}

/// A director's report on itself. The leader places instances by it and keeps it in memory only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eligibility {
    /// Interfaces that exist, are up and have carrier.
    pub interfaces_up: BTreeSet<String>,
    /// What tracking adds to or takes from the configured priority, per instance.
    #[serde(default)]
    pub priority_delta: BTreeMap<String, i16>,
    /// Instances it took over and could not serve, with the reason. Not offered to it again
    /// until it withdraws the complaint.
    #[serde(default)]
    pub unable: BTreeMap<String, String>,
    /// Instances whose addresses it can serve, and not all of their virtual servers, with the
    /// reason. Offered to it where nobody does better.
    #[serde(default)]
    pub impaired: BTreeMap<String, String>,
    /// Its kernel has IPVS, or can load it. Absent: not known.
    #[serde(default)]
    pub ipvs: Option<bool>,
    /// True from the moment the daemon was told to stop.
    #[serde(default)]
    pub stopping: bool,
}
