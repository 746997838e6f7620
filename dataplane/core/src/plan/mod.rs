//! From what should be bound to the requests that bind it.
//!
//! Level-triggered: two sets go in, a difference comes out, and nothing remembers how either came
//! to be. What is not ours never appears in it.

mod address;
mod announce;
mod macvlan;
mod order;
mod route;
#[cfg(test)]
mod tests;

pub use address::{AddressOp, Binding, Bound, diff, scope_number};
pub use announce::{Announced, Announcements};
pub use macvlan::Macvlan;
pub use order::{RELEASE, Step, TAKEOVER};
pub use route::{KernelRoute, KernelRule, Routing, RoutingOps, routing_diff};
