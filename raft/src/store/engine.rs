//! The narrow waist between the log and what keeps it on disk.

use super::error::EngineError;

/// Keeps numbered records and a few named ones. Calls block; one thread makes them all.
pub trait Engine: Send {
    /// Applies the whole batch in order, all of it or nothing, and returns when it would survive
    /// a power cut. After an error nothing is known: the engine must not be used again.
    fn write(&mut self, batch: &[Op]) -> Result<(), EngineError>;

    /// The records from `from` to before `to`, in order. What is absent is left out.
    fn read(&self, from: u64, to: u64) -> Result<Vec<(u64, Vec<u8>)>, EngineError>;

    /// The first and the last record's index.
    fn bounds(&self) -> Result<Option<(u64, u64)>, EngineError>;

    fn meta(&self, key: Meta) -> Result<Option<Vec<u8>>, EngineError>;
}

/// One step of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Append {
        index: u64,
        record: Vec<u8>,
    },
    /// Remove this index and all after it.
    TruncateFrom(u64),
    /// Remove this index and all before it.
    PurgeUpTo(u64),
    Put(Meta, Vec<u8>),
}

impl Op {
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Append { record, .. } | Self::Put(_, record) => record.len(),
            Self::TruncateFrom(_) | Self::PurgeUpTo(_) => 0,
        }
    }

    /// Where a log ends after this that ended before `end`: also one that was purged whole goes
    /// on from there.
    pub(super) fn end_after(end: u64, op: &Self) -> u64 {
        match op {
            Self::Append { index, .. } => index + 1,
            Self::TruncateFrom(from) => end.min(*from),
            Self::PurgeUpTo(upto) => end.max(upto + 1),
            Self::Put(..) => end,
        }
    }
}

/// The named records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meta {
    /// Present in every store that was created to the end.
    Format,
    Vote,
    Committed,
    /// The id of the last entry that was purged.
    Purged,
    /// The number of the batch that was written last.
    Batch,
}

impl Meta {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Vote => "vote",
            Self::Committed => "committed",
            Self::Purged => "purged",
            Self::Batch => "batch",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_log_ends_follows_what_is_done_to_it() {
        let after = |end: u64, ops: &[Op]| ops.iter().fold(end, Op::end_after);
        let append = |index| Op::Append { index, record: Vec::new() };
        assert_eq!(after(0, &[append(0), append(1)]), 2);
        assert_eq!(after(9, &[Op::TruncateFrom(4)]), 4);
        assert_eq!(after(4, &[Op::TruncateFrom(9)]), 4);
        assert_eq!(after(9, &[Op::TruncateFrom(4), append(4)]), 5);
        assert_eq!(after(9, &[Op::PurgeUpTo(4)]), 9);
        assert_eq!(after(2, &[Op::PurgeUpTo(7)]), 8);
        assert_eq!(after(2, &[Op::PurgeUpTo(7), append(8)]), 9);
        assert_eq!(after(3, &[Op::Put(Meta::Vote, Vec::new())]), 3);
    }
}
