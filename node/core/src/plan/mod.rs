//! What another document would change, and what would move for it, told before it is done.
//!
//! [`changes`] compares the two documents setting by setting, in the words of the TOML that they
//! are written in, so that nothing that `apply` would change can be missing here. [`moves`] asks
//! [`placement`](crate::placement) where everything would come to rest if directors stayed as
//! they report themselves now; what nobody can know before, it does not say.

mod compare;
mod moves;
mod text;

#[cfg(test)]
mod tests;

use leasehold_model::Config;
use serde::{Deserialize, Serialize};

pub use compare::changes;
pub use moves::{Outlook, moves};

/// The whole answer to a dry run. [`std::fmt::Display`] says it to people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub changes: Vec<Change>,
    pub moves: Vec<Move>,
    /// There would be others after these: only so many are foreseen.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub more_moves: bool,
}

/// A part of the document that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// As the document calls it: `global`, `instance`, `virtual_server`, `real_server`, ...
    pub kind: String,
    /// Empty for what there is one of.
    pub name: String,
    pub what: What,
    /// By name. Of what is added or removed, all that is written of it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub settings: Vec<Setting>,
    /// Of a virtual server.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub real_servers: Vec<Change>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Added,
    Removed,
    Changed,
}

/// One setting, or one item of a list: then only one side is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// With the tables that it is in: `director.ds1.priority`.
    pub name: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// An instance that would not stay where it is, or a VIP that would change its instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    pub subject: Subject,
    pub name: String,
    /// Directors. Absent: nobody.
    pub from: Option<String>,
    pub to: Option<String>,
    pub why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    Instance,
    Vip,
}

/// What putting `after` in the place of `before` would do.
#[must_use]
pub fn plan(before: &Config, after: &Config, outlook: &Outlook<'_>) -> Plan {
    let (moves, more_moves) = moves(before, after, outlook);
    Plan { changes: changes(before, after), moves, more_moves }
}
