//! What a member is, and what it says of itself with each renewal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::overriding::RealName;
use crate::pairs;

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

/// Who else speaks for a virtual router of ours, as one director hears it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreigner {
    /// Where from, and with what priority.
    pub master: Option<(IpAddr, u8)>,
    /// It would yield, and has not listened for long enough to know to whom.
    pub listens: bool,
}

/// The real servers that one director's checks find down. It travels with every renewal, so it
/// names a bounded number of them, however many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Down {
    /// With the reason, in short.
    #[serde(with = "pairs")]
    pub named: Arc<BTreeMap<RealName, String>>,
    /// How many are down besides.
    #[serde(default)]
    pub unnamed: u32,
}

impl Down {
    /// Real servers that a report names.
    pub const NAMED_MAX: usize = 32;
    /// Bytes of a reason.
    pub const REASON_MAX: usize = 80;
}

/// A director's report on itself. The leader places instances by it and keeps it in memory only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eligibility {
    /// Interfaces that exist, are up and have carrier.
    pub interfaces_up: BTreeSet<String>,
    /// What tracking adds to or takes from the configured priority, per instance.
    #[serde(default)]
    pub priority_delta: BTreeMap<String, i16>,
    /// Instances that something tracked keeps it from holding, with the reason.
    #[serde(default)]
    pub faults: BTreeMap<String, String>,
    /// Instances whose virtual router somebody speaks for that is no director.
    #[serde(default)]
    pub foreigners: BTreeMap<String, Foreigner>,
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
    /// What its checks find down. Absent: not known, as from one that has only just started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<Down>,
    /// True from the moment the daemon was told to stop.
    #[serde(default)]
    pub stopping: bool,
}
