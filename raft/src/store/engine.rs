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
