//! How the configuration came to be what it is: who changed it, and what it was before.
//!
//! Whole documents are kept, so that any of them can be put in force again without the log. They
//! are shared, as the one in force is: a copy of the state copies none of them. What is dropped,
//! and when, follows from the entries alone, and so is the same on every member.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use leasehold_model::{Config, Revision};
use serde::{Deserialize, Serialize};

use super::State;

/// Revisions kept beside the one in force.
pub const REVISIONS_KEPT: usize = 100;

/// The most that these take together, in bytes of JSON; the one in force comes on top. A snapshot
/// is written every two thousand entries and is sent to a member that was away for long, so what
/// it carries for the sake of the past should go through a slow link in seconds.
pub const BYTES_KEPT: u64 = 16 << 20;

/// The longest message of a change, in bytes.
pub const MESSAGE_MAX: usize = 1024;

/// What its proposer says of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// `client NAME`, or `uid N (NAME)`.
    pub author: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Length of the document as JSON. The proposer counts, or members of two versions, which
    /// write the same document in two ways, would not drop the same revisions.
    pub bytes: u64,
}

/// How a revision came to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// By the leader's wall clock; for people to read.
    pub at_unix_ms: u64,
    #[serde(flatten)]
    pub note: Note,
}

/// A document that was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Past {
    revision: Revision,
    /// Absent for a change made by a version that noted none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<Origin>,
    config: Arc<Config>,
}

/// The past, as far as it is kept. Where nothing was ever noted it is empty, and is left out of a
/// snapshot, so that versions before it can read that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Of the document in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latest: Option<Origin>,
    /// The oldest first.
    #[serde(default)]
    past: VecDeque<Arc<Past>>,
    /// Whatever revisions there were up to this one are not kept.
    #[serde(default)]
    dropped: Revision,
}

/// One revision, as the state has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revised<'a> {
    pub revision: Revision,
    pub origin: Option<&'a Origin>,
    pub config: &'a Arc<Config>,
}

/// Why a revision can't be had; says what its neighbours are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotKept {
    /// No document was ever applied.
    Empty(Revision),
    /// It was dropped, or there never was one of this number.
    Dropped { asked: Revision, oldest: Revision },
    /// There was none: the log had something else there.
    Between { asked: Revision, below: Revision, above: Revision },
    /// It is yet to come.
    Later { asked: Revision, latest: Revision },
}

impl std::error::Error for NotKept {}

impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty(asked) => {
                write!(f, "there is no revision {asked}: no configuration was ever applied")
            }
            Self::Dropped { asked, oldest } => write!(
                f,
                "revision {asked} is not kept, if there was one: the oldest that is kept is {oldest}"
            ),
            Self::Between { asked, below, above } => write!(
                f,
                "there is no revision {asked}: the nearest are {below} and {above}; `leasehold \
                 history` lists them"
            ),
            Self::Later { asked, latest } => {
                write!(f, "there is no revision {asked} yet: {latest} is in force")
            }
        }
    }
}

impl History {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `replaced`, the document in force until now, gives way to one that `origin` tells of.
    fn push(&mut self, (revision, config): (Revision, Arc<Config>), origin: Option<Origin>) {
        // Of times when nothing was noted, members know as much as their snapshots happen to
        // say: nothing is kept of them but the last document, whoever's snapshot it comes from.
        let noted = self.latest.is_some() || !self.past.is_empty();
        if !noted && origin.is_none() {
            return;
        }
        let replaced = self.latest.take();
        self.latest = origin;
        if revision == Revision(0) {
            return;
        }
        if !noted {
            self.dropped = Revision(revision.0 - 1);
        }
        if replaced.is_none() {
            self.drop_to_uncounted();
        }
        self.past.push_back(Arc::new(Past { revision, origin: replaced, config }));
        self.trim();
    }

    /// Nobody counted the bytes of a document without a note. One may be kept all the same: where
    /// another one comes, it goes, and what is older with it.
    fn drop_to_uncounted(&mut self) {
        let Some(at) = self.past.iter().rposition(|one| one.origin.is_none()) else { return };
        self.dropped = self.past[at].revision;
        self.past.drain(..=at);
    }

    fn trim(&mut self) {
        let bytes = |one: &Arc<Past>| one.origin.as_ref().map_or(0, |origin| origin.note.bytes);
        let mut total = self.past.iter().map(bytes).fold(0, u64::saturating_add);
        while self.past.len() > REVISIONS_KEPT || total > BYTES_KEPT {
            let Some(oldest) = self.past.pop_front() else { return };
            total = total.saturating_sub(bytes(&oldest));
            self.dropped = oldest.revision;
        }
    }
}

impl State {
    /// Puts `config` in force, which is another one.
    pub(super) fn revise(
        &mut self,
        index: u64,
        at_unix_ms: u64,
        config: &Arc<Config>,
        note: Option<&Note>,
    ) {
        let origin = note.map(|note| Origin { at_unix_ms, note: note.clone() });
        let replaced = std::mem::replace(&mut self.config, Arc::clone(config));
        let replaced = (self.revision, replaced);
        self.revision = Revision(index);
        Arc::make_mut(&mut self.history).push(replaced, origin);
    }

    /// The revision in force. Number 0, where no document was ever applied, is the empty one.
    #[must_use]
    pub fn in_force(&self) -> Revised<'_> {
        let origin = self.history.latest.as_ref();
        Revised { revision: self.revision, origin, config: &self.config }
    }

    /// Every revision that is kept, the one in force included, the oldest first.
    pub fn revisions(&self) -> impl DoubleEndedIterator<Item = Revised<'_>> {
        let past = self.history.past.iter().map(|one| Revised {
            revision: one.revision,
            origin: one.origin.as_ref(),
            config: &one.config,
        });
        past.chain((self.revision > Revision(0)).then(|| self.in_force()))
    }

    /// Whatever revisions there were up to this one are not kept. 0: none was dropped.
    #[must_use]
    pub fn dropped(&self) -> Revision {
        if self.history.is_empty() {
            Revision(self.revision.0.saturating_sub(1))
        } else {
            self.history.dropped
        }
    }

    pub fn revised(&self, asked: Revision) -> Result<Revised<'_>, NotKept> {
        let (mut below, mut above) = (None, None);
        for one in self.revisions() {
            if one.revision == asked {
                return Ok(one);
            }
            if one.revision < asked {
                below = Some(one.revision);
            } else if above.is_none() {
                above = Some(one.revision);
            }
        }
        Err(match (below, above) {
            (None, None) => NotKept::Empty(asked),
            (Some(latest), None) => NotKept::Later { asked, latest },
            (Some(below), Some(above)) => NotKept::Between { asked, below, above },
            (None, Some(oldest)) => NotKept::Dropped { asked, oldest },
        })
    }
}
