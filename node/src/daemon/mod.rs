//! The daemon: which parts there are, and in what order they come up and go down.

mod aftercare;
mod balancing;
mod complaints;
mod desired;
pub(crate) mod director;
pub(crate) mod governor;
mod guard_line;
mod kernel_thread;
pub(crate) mod lateness;
pub(crate) mod lease_thread;
mod lifetime;
mod membership;
mod neighbours;
pub(crate) mod remainders;
mod routing;
mod services_thread;
pub(crate) mod sight;
pub(crate) mod situation;
mod start;
mod stop;
pub(crate) mod to_leader;
mod virtual_servers;
pub(crate) mod vrrp_thread;

pub(crate) use start::{FenceKind, PINS, Settings, pin_dir, run, services_journal};
