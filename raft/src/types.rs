//! openraft's type parameters.

use std::fmt;
use std::sync::Arc;

use leasehold_raft_core::state;
use openraft::RaftTypeConfig;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

openraft::declare_raft_types!(
    /// One entry of the log is one [`Proposal`]; applying it gives an [`Answer`].
    pub TypeConfig:
        D = Proposal,
        R = Answer,
        NodeId = u64,
        Node = Peer,
        // At most one leader a term, as in the Raft paper.
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
);

/// A log entry.
pub type Entry = <TypeConfig as RaftTypeConfig>::Entry;
/// What a node voted for, and whether a quorum did.
pub type Vote = <TypeConfig as RaftTypeConfig>::Vote;
/// What makes log ids of different leaders differ: the term.
pub type CommittedLeaderId = openraft::vote::leader_id_std::CommittedLeaderId<u64>;
pub type LogId = openraft::LogId<CommittedLeaderId>;
pub type StoredMembership = openraft::StoredMembership<CommittedLeaderId, u64, Peer>;
pub type SnapshotMeta = openraft::SnapshotMeta<CommittedLeaderId, u64, Peer>;

/// A log entry's content, in the form openraft wants it: shared by all its copies, and made JSON
/// once, for the disk and for each peer. A member that follows keeps the JSON it was sent.
#[derive(Clone)]
pub struct Proposal(Arc<Content>);

struct Content {
    entry: state::Entry,
    json: Box<RawValue>,
}

impl Proposal {
    #[must_use]
    pub fn new(entry: state::Entry) -> Self {
        let json = serde_json::value::to_raw_value(&entry);
        let json = json.expect("an entry has no map keys that JSON lacks");
        Self(Arc::new(Content { entry, json }))
    }

    #[must_use]
    pub fn entry(&self) -> &state::Entry {
        &self.0.entry
    }
}

impl PartialEq for Proposal {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.entry == other.0.entry
    }
}

impl Eq for Proposal {}

impl Serialize for Proposal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Proposal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        let entry = serde_json::from_str(json.get()).map_err(D::Error::custom)?;
        Ok(Self(Arc::new(Content { entry, json })))
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proposal").field(&self.0.entry).finish()
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.entry.command)
    }
}

/// What applying an entry gave. Blank and membership entries give none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Answer(pub Option<state::Outcome>);

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// How to reach a member. Kept in the membership entries themselves, so that a node can reach
/// its peers before it has applied anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Peer {
    pub name: String,
    /// host:port
    pub address: String,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.address)
    }
}

#[cfg(test)]
mod tests {
    use leasehold_raft_core::state::Command;

    use super::*;

    fn drain() -> state::Entry {
        let command = Command::Drain { node: leasehold_model::NodeId(7), drained: true };
        state::Entry { at_unix_ms: 5, command }
    }

    #[test]
    fn a_proposal_is_its_entry_on_disk_and_on_the_way() {
        let json = serde_json::to_string(&Proposal::new(drain())).unwrap();
        assert_eq!(json, serde_json::to_string(&drain()).unwrap());
        let read: Proposal = serde_json::from_str(&json).unwrap();
        assert_eq!(read.entry(), &drain());
        assert_eq!(read, Proposal::new(drain()));
    }

    #[test]
    fn a_member_that_follows_keeps_what_it_was_sent() {
        let sent = r#"{"at_unix_ms":5,"of_a_later_version":1,"command":{"drain":{"node":7,"drained":true}}}"#;
        let read: Proposal = serde_json::from_str(sent).unwrap();
        assert_eq!(read.entry(), &drain());
        assert_eq!(serde_json::to_string(&read).unwrap(), sent);
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        for text in ["1", "{}", r#"{"at_unix_ms":5,"command":{"drain":{"node":7}}}"#] {
            assert!(serde_json::from_str::<Proposal>(text).is_err(), "{text}");
        }
    }
}
