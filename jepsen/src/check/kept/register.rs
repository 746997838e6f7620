//! The register that configurations are, one operation after the other.

use stateright::semantics::SequentialSpec;

use crate::history::{Revision, Version};

/// What is in force. A write in doubt tells nobody its revision, and what precedes a window is not
/// known: then some revision from this one on, which the next answer names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Register {
    revision: Revision,
    is_named: bool,
    value: Option<u64>,
}

/// What is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Read,
    Write { value: u64 },
    Cas { if_revision: Revision, value: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Read(Version),
    /// This revision has the document now, new or not.
    Made(Revision),
    /// This revision is in force, not the one that was named.
    Refused(Revision),
}

impl Ask {
    /// What it would write.
    pub(super) fn value(&self) -> Option<u64> {
        match self {
            Ask::Read => None,
            Ask::Write { value } | Ask::Cas { value, .. } => Some(*value),
        }
    }
}

impl Register {
    pub(super) fn known(version: Version) -> Register {
        Register { revision: version.revision, is_named: true, value: Some(version.value) }
    }

    pub(super) fn at_least(revision: Revision, value: Option<u64>) -> Register {
        Register { revision, is_named: false, value }
    }

    fn may_be(&self, revision: Revision) -> bool {
        revision == self.revision || (!self.is_named && revision > self.revision)
    }

    fn may_have(&self, value: u64) -> bool {
        self.value.is_none_or(|it| it == value)
    }

    /// Goes on as it was answered to be.
    fn is(&mut self, revision: Revision, value: Option<u64>) {
        *self = Register { revision, is_named: true, value };
    }
}

impl SequentialSpec for Register {
    type Op = Ask;
    type Ret = Answer;

    /// What an operation in doubt does if it takes effect; if it would not, it need not take place.
    fn invoke(&mut self, ask: &Ask) -> Answer {
        let now = self.revision;
        match *ask {
            Ask::Read => {}
            Ask::Write { value } => *self = Register::at_least(now + 1, Some(value)),
            Ask::Cas { if_revision, value } => {
                if self.may_be(if_revision) {
                    *self = Register::at_least(if_revision + 1, Some(value));
                }
            }
        }
        // Nobody was told.
        Answer::Made(now)
    }

    fn is_valid_step(&mut self, ask: &Ask, answer: &Answer) -> bool {
        let before = *self;
        match (*ask, *answer) {
            (Ask::Read, Answer::Read(Version { revision, value })) => {
                self.is(revision, Some(value));
                before.may_be(revision) && before.may_have(value)
            }
            (Ask::Write { value }, Answer::Made(revision)) => {
                self.is(revision, Some(value));
                // The document in force already makes no revision.
                let found = before.may_be(revision) && before.may_have(value);
                found || before.revision < revision
            }
            (Ask::Cas { if_revision, value }, Answer::Made(revision)) => {
                self.is(revision, Some(value));
                let found = revision == if_revision && before.may_have(value);
                before.may_be(if_revision) && (found || revision > if_revision)
            }
            (Ask::Cas { if_revision, .. }, Answer::Refused(revision)) => {
                self.is(revision, before.value);
                before.may_be(revision) && revision != if_revision
            }
            (Ask::Read, Answer::Made(_) | Answer::Refused(_))
            | (Ask::Write { .. }, Answer::Read(_) | Answer::Refused(_))
            | (Ask::Cas { .. }, Answer::Read(_)) => false,
        }
    }
}
