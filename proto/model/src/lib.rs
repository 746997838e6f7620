//! The words every layer shares: identifiers, instants and the cluster's configuration.
//!
//! Nothing here does I/O, reads a clock or knows how anything is encoded on the wire.

mod cause;
mod config;
mod id;
mod member;
mod time;

pub use cause::Cause;
pub use config::{Auth, AuthType, Candidate, Config, Global, Instance, Scope, Vip};
pub use id::{Epoch, GroupId, NodeId, Revision};
pub use member::{Eligibility, Role};
pub use time::BootNanos;
