//! Sockets that ask from where the configuration says.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use leasehold_model::Source;
use socket2::{Domain, Protocol, Socket, Type};

/// A socket that does not block, bound as `source` says, to talk to `address`.
pub(super) fn open(
    source: &Source,
    address: SocketAddr,
    kind: Type,
    protocol: Option<Protocol>,
) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind.nonblocking(), protocol)?;
    if let Some(mark) = source.fwmark {
        socket.set_mark(mark)?;
    }
    if let Some(interface) = &source.bind_if {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    if source.bindto.is_some() || source.bind_port.is_some() {
        let any: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        // A fixed port would otherwise wait out the connection before.
        socket.set_reuse_address(source.bind_port.is_some())?;
        let from = SocketAddr::new(source.bindto.unwrap_or(any), source.bind_port.unwrap_or(0));
        socket.bind(&from.into())?;
    }
    Ok(socket)
}
