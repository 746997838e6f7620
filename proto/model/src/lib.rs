//! The words every layer shares: identifiers, instants and the cluster's configuration.
//!
//! Nothing here does I/O, reads a clock or knows how anything is encoded on the wire.

mod cause;
mod check;
mod config;
mod id;
mod load;
mod member;
mod time;
mod virtual_server;

pub use cause::Cause;
pub use check::{Check, CheckKind, Url};
pub use config::{Auth, AuthType, Candidate, Config, Entrance, Global, Instance, Scope, Vip};
pub use id::{Epoch, GroupId, NodeId, Revision};
pub use load::{Dataplane, LvsTimeouts, SyncDaemon};
pub use member::{Eligibility, Role};
pub use time::BootNanos;
pub use virtual_server::{
    Family, Forward, Fwmark, GroupEntry, Persistence, Protocol, RealServer, Scheduler,
    SchedulerFlags, Script, Service, SorryServer, Tunnel, TunnelChecksum, TunnelKind,
    VirtualServer, VirtualServerGroup,
};
