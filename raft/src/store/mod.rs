//! What a member keeps on disk: the Raft log, the vote and the last snapshot.
//!
//! ```text
//! DIR/raft/log.redb   the log and the vote, in redb
//! DIR/raft/mark       how far the log had come, to notice one that fell back
//! DIR/raft/synced     whether all that is read of the log is on the disk
//! DIR/raft/snapshot   the replicated state, up to the entry where the log begins
//! ```
//!
//! A store that is damaged is reported and left alone. Starting empty instead would let a member
//! vote twice in one term and forget what it acknowledged.

mod engine;
mod error;
mod frame;
mod log;
mod machine;
mod mark;
mod open;
mod recover;
mod redb;
mod snapshot;
mod synced;
mod writer;

#[cfg(test)]
mod tests;

pub use self::engine::{Engine, Meta, Op};
pub use self::error::{EngineError, StoreError};
pub use self::log::{LogReader, LogStore};
pub use self::machine::{SnapshotBuilder, StateMachine, StoredSnapshot};
pub use self::open::{Opened, exists, open, open_existing, open_on};
pub use self::recover::{Survey, last_state, survey, transplant};
pub use self::redb::RedbEngine;
