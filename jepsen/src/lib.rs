//! The court: what judges Leasehold without trusting it.

pub mod bench;
pub mod check;
pub mod history;
pub mod model;
pub mod nemesis;
pub mod random;
pub mod report;
pub mod run;
pub mod workload;
