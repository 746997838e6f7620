//! What clients do while everything breaks: they change the configuration, ask through the VIPs,
//! and read what members say of their leases.

pub mod client;
pub mod document;
pub mod register;
pub mod told;
pub mod web;
