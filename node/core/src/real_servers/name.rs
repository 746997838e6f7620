//! From what an operator wrote to the real server that is meant.
//!
//! A virtual server is written as `status` shows it, and in some ways that keepalived and ipvsadm
//! know: `192.168.1.100:80`, with `/udp` behind or `udp://` in front, `192.168.1.100 80`,
//! `fwmark 7`, `group web`, and a group's bare name.

use std::net::{IpAddr, SocketAddr};

use leasehold_model::{Config, Family, Fwmark, Protocol, RealName, Service, VirtualServer};

use crate::document::spelling::distance;

/// What was named is not in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotThere {
    #[error("no virtual server is configured: there is no real server to speak of")]
    Nothing,
    #[error("no virtual server is called {asked}; the nearest is {nearest}")]
    VirtualServer { asked: String, nearest: String },
    #[error("{virtual_server} has no real servers")]
    NoRealServers { virtual_server: String },
    #[error("{asked} is no real server of {virtual_server}; the nearest is {nearest}")]
    RealServer { asked: String, virtual_server: String, nearest: SocketAddr },
}

/// The real server that is meant.
///
/// # Errors
/// Where there is none of these names; then the nearest is told.
pub fn find(config: &Config, virtual_server: &str, real: &str) -> Result<RealName, NotThere> {
    let server = virtual_server_named(config, virtual_server.trim())?;
    let asked = real.trim();
    if let Ok(address) = asked.parse::<SocketAddr>()
        && server.real_servers.iter().any(|one| one.address == address)
    {
        return Ok(RealName::new(server, address));
    }
    // The port is forgotten more often than the address is wrong.
    let ip = asked.parse::<IpAddr>().or_else(|_| asked.parse().map(|at: SocketAddr| at.ip()));
    let other_port = |one: &SocketAddr| !ip.as_ref().is_ok_and(|ip| *ip == one.ip());
    let all = server.real_servers.iter().map(|one| one.address);
    let far = |one: &SocketAddr| (other_port(one), distance(&one.to_string(), asked));
    Err(match all.min_by_key(far) {
        Some(nearest) => {
            NotThere::RealServer { asked: asked.to_owned(), virtual_server: server.name(), nearest }
        }
        None => NotThere::NoRealServers { virtual_server: server.name() },
    })
}

/// # Errors
/// Where there is none of this name; then the nearest is told.
pub fn virtual_server_named<'a>(
    config: &'a Config,
    asked: &str,
) -> Result<&'a VirtualServer, NotThere> {
    let all = &config.virtual_servers;
    if let Some(server) = all.iter().find(|one| one.name() == asked) {
        return Ok(server);
    }
    let read = Read::of(asked);
    if let Some(server) = all.iter().find(|one| read.is(one)) {
        return Ok(server);
    }
    // The protocol is forgotten more often than the rest is wrong.
    let as_group = format!("group {asked}");
    let far = |one: &&VirtualServer| {
        let name = one.name();
        let far = distance(&name, asked).min(distance(&name, &as_group));
        (one.service != read.service, far)
    };
    let nearest = all.iter().min_by_key(far).ok_or(NotThere::Nothing)?.name();
    Err(NotThere::VirtualServer { asked: asked.to_owned(), nearest })
}

/// What was written, taken apart.
pub(crate) struct Read {
    pub(crate) service: Service,
    /// Absent: nothing was said of it, which is TCP.
    pub(crate) protocol: Option<Protocol>,
}

impl Read {
    pub(crate) fn of(asked: &str) -> Self {
        let named = |name: &str| Protocol::ALL.into_iter().find(|one| one.name() == name);
        let before = asked.split_once("://").and_then(|(name, rest)| Some((named(name)?, rest)));
        let (first, rest) = before.map_or((None, asked), |(one, rest)| (Some(one), rest));
        let behind = rest.rsplit_once('/').and_then(|(rest, name)| Some((named(name)?, rest)));
        let (last, rest) = behind.map_or((None, rest), |(one, rest)| (Some(one), rest));
        let service = service(rest).unwrap_or_else(|| Service::Group(rest.to_owned()));
        Self { service, protocol: first.or(last) }
    }

    fn is(&self, server: &VirtualServer) -> bool {
        let protocol = match self.service {
            Service::Fwmark(_) => Protocol::Tcp,
            Service::Address(_) | Service::Group(_) => self.protocol.unwrap_or_default(),
        };
        server.key() == (self.service.clone(), protocol)
    }
}

/// None: a group's bare name.
fn service(text: &str) -> Option<Service> {
    if let Ok(address) = text.parse() {
        return Some(Service::Address(address));
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["fwmark", mark] => fwmark(mark, Family::Inet),
        ["fwmark", mark, "inet6"] => fwmark(mark, Family::Inet6),
        ["group", name] => Some(Service::Group((*name).to_owned())),
        [address, port] => {
            let (address, port): (IpAddr, u16) = (address.parse().ok()?, port.parse().ok()?);
            Some(Service::Address(SocketAddr::new(address, port)))
        }
        _ => None,
    }
}

fn fwmark(mark: &str, family: Family) -> Option<Service> {
    Some(Service::Fwmark(Fwmark { mark: mark.parse().ok()?, family }))
}
