//! What the data plane decides and how it is written on the wire, without doing any of it.
//!
//! Nothing here opens a socket, reads a clock or knows what a lease is.

pub mod check;
pub mod frame;
pub mod plan;
pub mod realserver;
pub mod service;
