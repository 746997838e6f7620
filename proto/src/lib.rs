//! What nodes say to each other ([`peer`]) and what clients say to a node ([`control`]).

pub use leasehold_model as model;

mod secret;

/// Node to node, over mutual TLS.
#[allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "generated; the .proto files carry the comments"
)]
pub mod peer {
    tonic::include_proto!("leasehold.peer.v1");
}

/// Client to node: over the node's unix socket, or over mutual TLS.
#[allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "generated; the .proto files carry the comments"
)]
pub mod control {
    tonic::include_proto!("leasehold.control.v1");

    /// The `FileDescriptorSet` of it, encoded, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/control.bin"));
}
