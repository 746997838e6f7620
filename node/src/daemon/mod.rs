//! The daemon: which parts there are, and in what order they come up and go down.

pub(crate) mod governor;
mod guard_line;
mod health;
mod kernel_thread;
pub(crate) mod lease_thread;
mod lifetime;
mod membership;
pub(crate) mod situation;
mod start;
mod stop;
pub(crate) mod to_leader;
mod virtual_servers;

pub(crate) use lifetime::unbind_remainders;
pub(crate) use start::{FenceKind, PINS, Settings, pin_dir, run};
