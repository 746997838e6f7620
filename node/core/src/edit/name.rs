//! What a name on the command line stands for, where nothing has that name yet.

use std::net::{IpAddr, SocketAddr};

use leasehold_model::{Config, Protocol, Service, VirtualServer};

use crate::real_servers::Read;

/// # Errors
/// Where it can't be a virtual server's.
pub(super) fn service(config: &Config, asked: &str) -> Result<(Service, Protocol), String> {
    let Read { service, protocol } = Read::of(asked.trim());
    let bare = match &service {
        Service::Group(name) => !asked.starts_with("group ") && !config.groups.contains_key(name),
        Service::Address(_) | Service::Fwmark(_) => false,
    };
    if bare {
        let why = match asked.parse::<IpAddr>() {
            Ok(ip) => format!("the port is missing: {}", SocketAddr::new(ip, 80)),
            Err(_) => "a virtual server is ADDRESS:PORT, with /udp or /sctp behind, fwmark N, or \
                       group NAME"
                .to_owned(),
        };
        return Err(why);
    }
    Ok((service, protocol.unwrap_or_default()))
}

/// A real server of this virtual server: its port is the service's where none is said.
///
/// # Errors
/// Where it is no address.
pub(super) fn real(server: &VirtualServer, asked: &str) -> Result<SocketAddr, String> {
    if let Ok(ip) = asked.parse::<IpAddr>() {
        let port = match &server.service {
            Service::Address(address) => address.port(),
            Service::Fwmark(_) | Service::Group(_) => 0,
        };
        return Ok(SocketAddr::new(ip, port));
    }
    let address: Option<SocketAddr> = asked.parse().ok();
    let plain = address.filter(|one| match one {
        SocketAddr::V4(_) => true,
        SocketAddr::V6(one) => one.scope_id() == 0,
    });
    plain.ok_or_else(|| {
        "a real server is ADDRESS:PORT, for example 10.0.0.8:80 or [fd00::8]:80".to_owned()
    })
}
