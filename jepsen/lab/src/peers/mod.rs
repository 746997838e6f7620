//! What Leasehold is compared with, run in the same hosts and judged by the same observer.

pub mod keepalived;
