//! An identity is what a connection to a peer needs.

use leasehold_raft_core::model::NodeId;
use tonic::transport::Endpoint;

use super::Identity;
use crate::network::{ChannelError, Channels};

impl Channels for Identity {
    fn endpoint(&self, node: NodeId, address: &str) -> Result<Endpoint, ChannelError> {
        Self::endpoint(self, node, address).map_err(|error| ChannelError {
            node,
            address: address.to_owned(),
            reason: error.to_string(),
        })
    }
}
