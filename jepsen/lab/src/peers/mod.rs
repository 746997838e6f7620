//! What Leasehold is compared with and works for, run in the same hosts.

pub mod keepalived;
pub mod nginx;
pub mod web;
