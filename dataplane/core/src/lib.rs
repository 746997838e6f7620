//! What the data plane decides and how it is written on the wire, without doing any of it.
//!
//! Nothing here opens a socket, reads a clock or knows what a lease is.

#[cfg(test)]
mod fixture;
pub mod frame;
pub mod health;
pub mod plan;
pub mod realserver;
pub mod service;
pub mod vrrp;
