//! What checks of real servers say and hear on the wire, as bytes and without a socket.

pub mod dns;
pub mod echo;
pub mod smtp;
