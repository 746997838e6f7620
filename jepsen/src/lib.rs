//! The court: what judges Leasehold without trusting it.

pub mod bench;
pub mod model;
