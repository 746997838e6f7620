//! The replicated state: what every member computes from the log, entry by entry.
//!
//! [`State::apply`] is a function of the state and the entry alone. Whatever depends on a clock,
//! on a member's health or on who answers whom was decided before the entry was proposed.

mod apply;
mod command;
mod history;
mod lease;
mod recover;
mod view;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use leasehold_model::{Config, GroupId, NodeId, Overrides, Revision, Role, pairs};
use serde::{Deserialize, Serialize};

pub use command::{Command, Entry, Outcome};
pub use history::{
    BYTES_KEPT, History, MESSAGE_MAX, NotKept, Note, Origin, REVISIONS_KEPT, Revised,
};
pub use lease::{Lease, Retiring};
pub use leasehold_model::Cause;
pub use recover::RECOVERY_GAP;
pub use view::Held;

/// Everything the group agrees on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The index of the last entry applied.
    pub applied: u64,
    /// The cluster's name for itself, for good.
    pub cluster: String,
    pub members: BTreeMap<NodeId, Member>,
    pub revision: Revision,
    /// Shared: a state is copied with every batch of entries, and this is the bulk of it.
    pub config: Arc<Config>,
    /// Absent in what versions before it wrote; where it says nothing it is left out, so that
    /// those can read this.
    #[serde(default, skip_serializing_if = "nothing_noted")]
    pub history: Arc<History>,
    /// The group of each instance in `config`; those of a sync group share one.
    pub groups: BTreeMap<String, GroupId>,
    /// Numbers of groups are not reused: a late packet of an old group must not meet a new one.
    pub next_group: u32,
    /// One for each group in `groups`.
    pub leases: BTreeMap<GroupId, Lease>,
    /// Addresses that an old holder may still answer for.
    pub retiring: Vec<Retiring>,
    /// Where the operator moved a group to. Outranks priority until the group leaves that node.
    pub pins: BTreeMap<GroupId, NodeId>,
    /// What operators say of real servers, each of which is in `config`. Absent in what versions
    /// before it wrote; where there are none it is left out, so that those can read this.
    #[serde(default, with = "pairs", skip_serializing_if = "none_said")]
    pub overrides: Arc<Overrides>,
    /// Unused join tokens by the hex SHA-256 of their secret.
    pub tokens: BTreeMap<String, Token>,
}

/// A node that was admitted and not removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub name: String,
    /// host:port, as its peers reach it.
    pub address: String,
    pub role: Role,
    /// Holds nothing until undrained.
    #[serde(default)]
    pub drained: bool,
    /// The operator wants its vote. It has one as soon as it has caught up.
    #[serde(default)]
    pub votes: bool,
    /// The number of the daemon's latest start. A daemon uses no lease before the log says that
    /// this start is the latest: what earlier ones held was released in the same step.
    #[serde(default)]
    pub incarnation: u64,
}

/// Permission for one unknown machine to join once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub role: Role,
    /// Milliseconds of the Unix epoch, by the clock of whoever proposes the admission.
    pub expires_unix_ms: u64,
}

fn none_said(overrides: &Arc<Overrides>) -> bool {
    overrides.is_empty()
}

fn nothing_noted(history: &Arc<History>) -> bool {
    history.is_empty()
}
