//! The data plane: executes what was decided, on the kernel of this network namespace.
//!
//! It knows VIPs, groups and deadlines, and no lease: who may hold what is decided elsewhere. Each
//! module has one subject of the kernel; [`Kernel`] puts them in the order that
//! [`plan`] names. Everything runs on a current-thread runtime.

pub mod address;
pub mod announce;
mod balancer;
mod error;
pub mod fence;
pub mod health;
pub mod ipvs;
mod journal;
mod kernel;
pub mod links;
pub mod macvlan;
pub mod nftables;
pub mod probe;
pub mod realserver;
pub mod route;
mod run;
pub mod sysctl;
pub mod vrrp;
mod watch;

pub use balancer::{Balancer, BalancerError, Done, Failures, Wishes, clear};
pub use error::DataplaneError;
pub use journal::Journal;
pub use kernel::{Kernel, Report, strip};
pub use leasehold_dataplane_core::{frame, health as checker, plan, realserver as real, service};
pub use watch::{Event, Watch};
