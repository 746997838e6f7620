//! The data plane: executes what was decided, on the kernel of this network namespace.
//!
//! It knows VIPs, groups and deadlines, and no lease: who may hold what is decided elsewhere. Each
//! module has one subject of the kernel; [`Kernel`] puts them in the order that
//! [`plan`] names. Everything runs on a current-thread runtime.

pub mod address;
pub mod announce;
mod balancer;
pub mod check;
mod error;
pub mod fence;
pub mod ipvs;
mod journal;
mod kernel;
pub mod links;
pub mod nftables;
pub mod probe;
pub mod realserver;
pub mod sysctl;
mod watch;

pub use balancer::{Balancer, BalancerError, Done, Failures, Wishes, clear};
pub use error::DataplaneError;
pub use journal::Journal;
pub use kernel::{Kernel, Report, strip};
pub use leasehold_dataplane_core::{check as checker, frame, plan, realserver as real, service};
pub use watch::{Event, Watch};
