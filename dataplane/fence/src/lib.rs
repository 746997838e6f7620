//! The fence: a gate in the kernel that drops all traffic of a VIP once its deadline has passed.
//!
//! A BPF program on both sides of every interface but the loopback looks each packet's addresses
//! up in a map of VIPs, and passes it only before the deadline of the VIP's slot. Programs and
//! maps are pinned: they go on without the process that made them, kill -9 included, and the next
//! one adopts them. Deadlines are absolute instants of `CLOCK_BOOTTIME`, so one that is written
//! late opens nothing.
//!
//! [`Fence`] loads, attaches and keeps attached; a [`Gate`] is a handle on the maps alone. Nothing
//! here knows what a lease is: there are VIPs, slots and deadlines. All calls are short system
//! calls and block on nothing. Those about interfaces mean the calling thread's network namespace.

mod attach;
mod clock;
mod error;
mod fence;
mod filters;
mod gate;
mod interfaces;
mod layout;
mod pins;

pub use attach::Hook;
pub use clock::boot_now_ns;
pub use error::FenceError;
pub use fence::Fence;
pub use gate::{Drops, DropsOf, Gate, Slot};
pub use layout::{MAX_SLOTS, MAX_VIPS};
