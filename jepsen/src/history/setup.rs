//! What was under test, and what was found at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use leasehold_lab::Mac;
use serde::{Deserialize, Serialize};

use super::{Nanos, Revision, Version};

/// What a verdict needs to know of a run beside its history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// The command that repeats the run.
    #[serde(default)]
    pub command: String,
    pub seed: u64,
    pub profile: String,
    /// Of the profile: how long a lease lasts from the sending of its renewal.
    pub ttl_ns: Nanos,
    /// Of the settings: by how much clocks may differ in rate, in millionths.
    pub drift_ppm: u64,
    /// By how much an instant of the observer's may be wrong: its dating, not its ticks.
    pub error_bound_ns: Nanos,
    /// Who can hold a VIP.
    pub directors: Vec<Director>,
    /// Who votes when the run begins, witness included.
    pub voters: Vec<String>,
    /// Which group holds each VIP.
    pub vips: BTreeMap<IpAddr, String>,
    /// That [`Observations::told`](super::Observations::told) misses no grant, so that an answer
    /// which none explains is proof and not a gap of the record.
    #[serde(default)]
    pub grants_complete: bool,
    /// Where grants are not told: the quickest that an address can move away and back.
    #[serde(default)]
    pub quickest_return_ns: Nanos,
    /// The configuration when the run begins.
    pub first: Version,
    #[serde(default)]
    pub limits: Limits,
    /// Operations that found no room in the history.
    #[serde(default)]
    pub refused: u64,
}

/// A director by its name and its addresses on the wire; with virtual MACs, those of VRRP are
/// everybody's and belong to none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Director {
    pub name: String,
    #[serde(with = "macs_text")]
    pub macs: Vec<Mac>,
}

/// How long a VIP may go unanswered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// After the last fault in force was healed, until every VIP is answered for. `None`: no limit.
    #[serde(default)]
    pub after_heal_ns: Option<Nanos>,
    /// After a fault of this kind began with no other in force.
    #[serde(default)]
    pub after_fault_ns: BTreeMap<String, Nanos>,
}

/// What was found after the last heal, when all was quiet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Final {
    pub members: Vec<Member>,
    pub kernels: Vec<Kernel>,
    pub plan: Planned,
}

/// What a member's own applied state says: `history` and `export --local`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub name: String,
    pub in_force: Version,
    /// All that it keeps, in any order.
    pub history: Vec<Config>,
    /// Revisions up to this one are not kept; 0: all are.
    #[serde(default)]
    pub dropped_up_to: Revision,
}

/// A kept revision, with the number in its document where that was read too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    pub revision: Revision,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<u64>,
}

/// What one director's kernel has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    pub node: String,
    pub taken_ns: Nanos,
    /// Of the VIPs, those bound here.
    pub addresses: BTreeSet<IpAddr>,
    /// Lines of the IPVS table, each in one agreed form: `TCP 192.0.2.1:80 wrr -> 10.0.0.1:80 masq 1`.
    pub services: BTreeSet<String>,
    /// The fence, by VIP.
    pub gates: BTreeMap<IpAddr, Gate>,
}

/// Whether the fence lets a VIP's traffic pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// It passes before this instant.
    pub deadline_ns: Nanos,
}

/// What the kernels should have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Who holds each VIP; a VIP that nobody should hold is not in it.
    pub holders: BTreeMap<IpAddr, String>,
    /// What each director's IPVS table should say, in the same form; a director that should have
    /// none need not be in it.
    pub services: BTreeMap<String, BTreeSet<String>>,
}

impl Setup {
    /// Whose address this is.
    #[must_use]
    pub fn director(&self, mac: Mac) -> Option<&str> {
        let whose = self.directors.iter().find(|director| director.macs.contains(&mac));
        whose.map(|director| director.name.as_str())
    }
}

/// An Ethernet address as text.
pub(super) mod mac_text {
    use leasehold_lab::Mac;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(mac: &Mac, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(mac)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Mac, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Several of them.
mod macs_text {
    use leasehold_lab::Mac;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(macs: &[Mac], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(macs.iter().map(Mac::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Mac>, D::Error> {
        let words = Vec::<String>::deserialize(from)?;
        words.iter().map(|word| word.parse().map_err(serde::de::Error::custom)).collect()
    }
}
