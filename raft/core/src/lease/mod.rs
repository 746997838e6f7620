//! The lease protocol.
