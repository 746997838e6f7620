//! Adverts on the wire of this network namespace: sent, and heard.
//!
//! What an advert is and whether one counts is the core's ([`wire`]); here are the sockets.

mod membership;
mod receive;
mod source;
mod transmit;

pub use leasehold_dataplane_core::vrrp as wire;
pub use receive::{Arrival, Receiver};
pub use source::source_of;
pub use transmit::{Manner, Transmitter};

use std::io;
use std::net::IpAddr;

use leasehold_dataplane_core::vrrp::Unspeakable;
use nix::net::if_::if_nametoindex;

/// Why an advert was not sent, or none can be heard.
#[derive(Debug, thiserror::Error)]
pub enum VrrpError {
    #[error("cannot open a socket for VRRP over {family}: {source}; run as root with CAP_NET_RAW")]
    Socket { family: &'static str, source: io::Error },

    #[error("there is no interface {name}; create it or name another for the instance")]
    NoInterface { name: String },

    #[error("this advert cannot be sent: {0}")]
    Unspeakable(#[from] Unspeakable),

    #[error("cannot send an advert to {destination} by {interface}: {source}")]
    Send { interface: String, destination: IpAddr, source: io::Error },

    #[error("cannot join {group} on {interface}: {source}")]
    Join { interface: String, group: IpAddr, source: io::Error },

    #[error("cannot receive adverts: {0}")]
    Receive(#[source] io::Error),
}

/// The number of the interface that has this name now: one that went and came has another.
fn index_of(interface: &str) -> Result<u32, VrrpError> {
    if_nametoindex(interface).map_err(|_| VrrpError::NoInterface { name: interface.to_owned() })
}
