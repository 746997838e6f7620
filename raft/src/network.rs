//! openraft's messages between nodes, over gRPC.

mod channels;
mod client;
mod server;
mod wire;

pub use channels::{ChannelError, Channels, Way, over, tuned};
pub(crate) use channels::{Lane, Peers};
pub(crate) use client::Network;
pub(crate) use server::Served;
pub use server::{Caller, RaftService, server_builder};
