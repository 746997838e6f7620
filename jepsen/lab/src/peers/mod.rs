//! What Leasehold is compared with and works for, run in the same hosts.

pub mod etcd;
pub mod exim;
pub mod faulty;
pub mod keepalived;
pub mod many;
pub mod nginx;
pub mod nsd;
pub mod web;
