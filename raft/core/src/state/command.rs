//! The log entry: what may be proposed, and what came of it.

use std::sync::Arc;

use leasehold_model::{Config, Epoch, GroupId, NodeId, Override, RealName, Revision, Role};
use serde::{Deserialize, Serialize};

use super::{Cause, Note, Origin, Retiring};

/// A [`Command`] and when its proposer's wall clock said it was. The time is for people to read
/// and for tokens to expire by; no lease depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub at_unix_ms: u64,
    pub command: Command,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// The first entry of a cluster: its identity and its first member, node 1.
    Found {
        cluster: String,
        name: String,
        address: String,
    },
    /// Replace the configuration; refused where `if_revision` is not the one in force.
    Apply {
        /// Shared: the log's cache, whoever replicates it and the state have one copy.
        config: Arc<Config>,
        #[serde(default)]
        if_revision: Option<Revision>,
        /// Absent in what versions before it proposed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
    },
    /// Give the group to `holder`. A no-op unless `replaces` is still the group's epoch: the
    /// proposer judged that epoch over, and no other.
    Grant {
        group: GroupId,
        holder: NodeId,
        replaces: Epoch,
        cause: Cause,
    },
    /// The holder of `epoch` has stopped answering. `next` is granted the group in the same step.
    Release {
        group: GroupId,
        epoch: Epoch,
        #[serde(default)]
        next: Option<NodeId>,
        cause: Cause,
    },
    /// Ask the holder of `epoch` to release in favour of `to`.
    Handover {
        group: GroupId,
        epoch: Epoch,
        to: NodeId,
        cause: Cause,
    },
    /// The operator wants the group on this node, whatever the priorities.
    Pin {
        group: GroupId,
        node: NodeId,
    },
    /// The old holders of these addresses no longer answer for them. Exactly these: an address
    /// that came back meanwhile and left again has another item, and waits for its own.
    Retired {
        items: Vec<Retiring>,
    },
    /// The daemon of `node` has started, and closed the fence before it said so: every lease of
    /// its earlier starts is over. A no-op for a start that is not later than the last one known,
    /// so a copy of this message that arrives late takes nothing from the running daemon.
    Started {
        node: NodeId,
        incarnation: u64,
    },
    Drain {
        node: NodeId,
        drained: bool,
    },
    /// `leasehold member promote` and `demote`.
    Vote {
        node: NodeId,
        votes: bool,
    },
    AddToken {
        hash: String,
        role: Role,
        expires_unix_ms: u64,
    },
    /// Use a token up. The new member's id is this entry's index.
    Admit {
        token_hash: String,
        name: String,
        address: String,
    },
    /// The operator's word on a real server, or its end where there is none. Refused where the
    /// configuration has no such real server.
    Override {
        real_server: RealName,
        #[serde(default)]
        word: Option<Override>,
    },
    /// The node's certificate stops counting; what it held is reassigned when it must be over.
    Remove {
        node: NodeId,
    },
}

/// What an entry did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    Applied {
        revision: Revision,
        changed: bool,
    },
    Admitted {
        node: NodeId,
        role: Role,
    },
    /// Another revision is in force than the proposer expected. Nothing changed.
    Conflict {
        expected: Revision,
        in_force: Revision,
        /// Of the one in force.
        #[serde(default)]
        origin: Option<Origin>,
    },
    /// It was about an epoch that had passed. Nothing changed.
    Stale,
    /// Nothing changed, and the proposer should hear why.
    Refused(String),
}
