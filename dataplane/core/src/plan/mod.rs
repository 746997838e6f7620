//! From what should be bound to the requests that bind it.
//!
//! Level-triggered: two sets go in, a difference comes out, and nothing remembers how either came
//! to be. What is not ours never appears in it.

mod address;
mod order;
#[cfg(test)]
mod tests;

pub use address::{AddressOp, Binding, Bound, diff, scope_number};
pub use order::{RELEASE, Step, TAKEOVER};
