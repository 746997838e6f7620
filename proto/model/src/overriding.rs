//! What an operator says of a real server, over the configuration and over every check.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::check::FileCheck;
use crate::config::Config;
use crate::virtual_server::{Protocol, RealServer, Service, VirtualServer};

/// One real server of one virtual server, as the configuration tells it from others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealName {
    pub service: Service,
    pub protocol: Protocol,
    pub address: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Override {
    /// No new connection; those that there are go on.
    Drain,
    /// As one that is down.
    Disable,
    /// This weight instead of any other.
    Weight(u16),
}

/// What is said of each real server that something is said of.
pub type Overrides = BTreeMap<RealName, Override>;

impl RealName {
    #[must_use]
    pub fn new(server: &VirtualServer, address: SocketAddr) -> Self {
        let (service, protocol) = server.key();
        Self { service, protocol, address }
    }

    /// Its virtual server, as `status` writes it and `rs` reads it.
    #[must_use]
    pub fn virtual_server(&self) -> String {
        self.service.name(self.protocol)
    }
}

impl VirtualServer {
    /// The name that `status` writes and `rs` reads: `192.168.1.100:80`, `192.168.1.100:53/udp`,
    /// `fwmark 7`, `group web`.
    #[must_use]
    pub fn name(&self) -> String {
        let (service, protocol) = self.key();
        service.name(protocol)
    }
}

impl Config {
    /// What the checks of real servers go by, where that is a file.
    pub fn file_checks(&self) -> impl Iterator<Item = &FileCheck> {
        let reals = self.virtual_servers.iter().flat_map(|server| &server.real_servers);
        reals.flat_map(|real| &real.checks).filter_map(|check| check.kind.file())
    }

    /// The virtual server of this name and its real server, where both are there.
    #[must_use]
    pub fn real_server(&self, name: &RealName) -> Option<(&VirtualServer, &RealServer)> {
        let is = |one: &&VirtualServer| one.service == name.service && one.key().1 == name.protocol;
        let server = self.virtual_servers.iter().find(is)?;
        let real = server.real_servers.iter().find(|one| one.address == name.address)?;
        Some((server, real))
    }
}

impl Service {
    /// [`VirtualServer::name`], of one that is known by its key alone.
    #[must_use]
    pub fn name(&self, protocol: Protocol) -> String {
        let name = match self {
            Self::Address(at) => at.to_string(),
            Self::Fwmark(_) | Self::Group(_) => self.to_string(),
        };
        match protocol {
            Protocol::Tcp => name,
            Protocol::Udp | Protocol::Sctp => format!("{name}/{}", protocol.name()),
        }
    }
}

impl fmt::Display for RealName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.address, self.virtual_server())
    }
}

impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drain => f.write_str("drain"),
            Self::Disable => f.write_str("disable"),
            Self::Weight(weight) => write!(f, "weight {weight}"),
        }
    }
}
