//! The court: what judges Leasehold without trusting it.

pub mod model;
