//! Real servers as operators name them, and as directors see them.

mod name;
mod sight;

#[cfg(test)]
mod tests;

pub(crate) use name::Read;
pub use name::{NotThere, find, virtual_server_named};
pub use sight::{Disagreement, Sight, Witness, disagreements, sight, text};
