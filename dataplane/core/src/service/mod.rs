//! Virtual services: what the holder of a lease should have in its kernel, and the way there.
//!
//! [`desired`] reads the configuration, the leases and the health of real servers; [`diff`]
//! compares with what the kernel has. Neither knows which of the kernel's balancers it is for.

mod desired;
mod diff;
mod drain;
mod nft;
mod sync;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use leasehold_model::{Entrance, Family, Forward, GroupId, Protocol, SchedulerFlags};

pub use crate::health::{Finding, Findings, Health, Name, Verdict};
pub use desired::{Table, desired};
pub use diff::{Op, Put, diff};
pub use drain::{Drains, Load};
pub use nft::{Unservable, refused, ruleset, unservable};
pub use sync::{Sync, sync};

/// What the kernel tells one service from another by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Address { protocol: Protocol, address: IpAddr, port: u16 },
    Fwmark { mark: u32, family: Family },
}

/// How a service chooses among its real servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The kernel's name; one that no configuration can hold may stand in the kernel.
    pub scheduler: String,
    pub flags: SchedulerFlags,
    pub one_packet: bool,
    pub persistence: Option<Stickiness>,
}

/// A client that came once comes to the same real server again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stickiness {
    pub timeout_s: u32,
    /// Clients that share a prefix of this length count as one.
    pub prefix: u8,
    pub engine: Option<String>,
}

/// A real server of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    pub address: SocketAddr,
    pub forward: Forward,
    pub weight: u32,
    pub upper: u32,
    pub lower: u32,
}

/// A service as the holder should have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The lease that it is served on.
    pub group: GroupId,
    pub settings: Settings,
    /// In the order of the configuration.
    pub servers: Vec<Server>,
    /// Real servers that the configuration has and that are down: they go at once, while one
    /// that left the configuration may finish its connections.
    pub failed: Vec<SocketAddr>,
}

/// A service as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    pub settings: Settings,
    pub servers: Vec<ExistingServer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExistingServer {
    pub address: SocketAddr,
    /// Absent: a way of forwarding that no configuration can hold.
    pub forward: Option<Forward>,
    pub weight: u32,
    pub upper: u32,
    pub lower: u32,
    pub load: Load,
}

impl Key {
    #[must_use]
    pub fn new(at: Entrance, protocol: Protocol) -> Self {
        match at {
            Entrance::Address { address, port } => Self::Address { protocol, address, port },
            Entrance::Fwmark { mark, family } => Self::Fwmark { mark, family },
        }
    }

    #[must_use]
    pub fn family(&self) -> Family {
        match self {
            Self::Address { address, .. } => Family::of(*address),
            Self::Fwmark { family, .. } => *family,
        }
    }
}

/// As `ipvsadm` writes it.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { protocol, address, port } => {
                let flag = match protocol {
                    Protocol::Tcp => "-t",
                    Protocol::Udp => "-u",
                    Protocol::Sctp => "--sctp-service",
                };
                write!(f, "{flag} {}", SocketAddr::new(*address, *port))
            }
            Self::Fwmark { mark, family: Family::Inet } => write!(f, "-f {mark}"),
            Self::Fwmark { mark, family: Family::Inet6 } => write!(f, "-f {mark} -6"),
        }
    }
}

impl std::str::FromStr for Key {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let address = |protocol, text: &str| {
            let at: SocketAddr = text.parse().map_err(drop)?;
            Ok(Self::Address { protocol, address: at.ip(), port: at.port() })
        };
        match words.as_slice() {
            ["-t", text] => address(Protocol::Tcp, text),
            ["-u", text] => address(Protocol::Udp, text),
            ["--sctp-service", text] => address(Protocol::Sctp, text),
            ["-f", mark] => {
                Ok(Self::Fwmark { mark: mark.parse().map_err(drop)?, family: Family::Inet })
            }
            ["-f", mark, "-6"] => {
                Ok(Self::Fwmark { mark: mark.parse().map_err(drop)?, family: Family::Inet6 })
            }
            _ => Err(()),
        }
    }
}

impl ExistingServer {
    /// Whether it is as `wanted` says, and nothing about it is to be changed.
    #[must_use]
    pub fn is(&self, wanted: &Server) -> bool {
        let Server { address, forward, weight, upper, lower } = *wanted;
        (self.address, self.forward) == (address, Some(forward))
            && (self.weight, self.upper, self.lower) == (weight, upper, lower)
    }
}
