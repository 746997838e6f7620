//! The part of consensus that is Leasehold's own, as pure functions.
//!
//! [`lease`] is the protocol by which a director may answer for a VIP; [`state`] is what the
//! log's entries make of the replicated state. Neither knows openraft, a socket or a clock.

pub use leasehold_model as model;

pub mod lease;
pub mod state;
