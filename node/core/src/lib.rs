//! What a node decides without looking: the configuration as people write it, and who should
//! hold what.
//!
//! Nothing here opens a file, reads a clock or knows how anything travels: texts, reports and
//! lengths of time are arguments, and every answer is a value.

mod diagnostic;
pub mod document;
pub mod edit;
pub mod keepalived;
pub mod notify;
pub mod placement;
pub mod plan;
pub mod real_servers;
pub mod tracking;
pub mod words;

pub use diagnostic::{Diagnostic, Place, Severity};
