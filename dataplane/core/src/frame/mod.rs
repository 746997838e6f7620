//! Frames that the data plane sends and reads: Ethernet, ARP, neighbour discovery.
//!
//! Decoding is strict about what it reads and silent about what it does not know: a frame of
//! another kind is `None`, never an error.

mod arp;
mod ethernet;
mod nd;
#[cfg(test)]
mod tests;

pub use arp::{Arp, ArpOperation};
pub use ethernet::{Ethernet, Mac, Tag};
pub use nd::{Advertisement, Nd, Solicitation};

use std::net::IpAddr;

/// The frames that say "`address` is at `mac`", for all who hear them.
///
/// IPv4: a gratuitous ARP request (RFC 5944, 4.6), which is what keepalived sends and what every
/// stack takes. IPv6: an unsolicited neighbour advertisement with the override flag (RFC 4861,
/// 7.2.6).
#[must_use]
pub fn announcement(address: IpAddr, mac: Mac) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => Arp::gratuitous(address, mac).frame(),
        IpAddr::V6(address) => Advertisement::unsolicited(address, mac).frame(),
    }
}
