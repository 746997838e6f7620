//! Linux IPVS by generic netlink, and nothing of whoever uses it.
#![doc = include_str!("../README.md")]

mod attribute;
mod client;
mod daemon;
mod destination;
mod error;
mod family;
mod message;
mod request;
mod service;
mod stats;

#[cfg(test)]
mod tests;

pub use client::{Client, Counters, Info, Table};
pub use daemon::{SyncDaemon, SyncState, Timeouts};
pub use destination::{Checksum, Destination, DestinationStatus, Encapsulation, Forward};
pub use error::{Error, Refusal};
pub use request::Request;
pub use service::{Family, Flags, Persistence, Protocol, Service, ServiceId, ServiceStatus};
pub use stats::Stats;
