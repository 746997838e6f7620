//! Mail relays and mail addresses as text.

use std::net::{IpAddr, SocketAddr};

use leasehold_model::SmtpServer;

/// `HOST`, `HOST:PORT`, `fd00::1` or `[fd00::1]:25`.
pub(crate) fn server(text: &str) -> Option<SmtpServer> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(SmtpServer::Address(SocketAddr::new(address, SmtpServer::PORT)));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
        None => (text, SmtpServer::PORT),
    };
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match inner {
        Some(inner) => {
            let address: IpAddr = inner.parse().ok()?;
            Some(SmtpServer::Address(SocketAddr::new(address, port)))
        }
        None => is_host(host).then(|| SmtpServer::new(host, port)),
    }
}

pub(crate) fn write_server(server: &SmtpServer) -> String {
    let (host, bracketed, port) = match server {
        SmtpServer::Address(SocketAddr::V4(one)) => {
            (one.ip().to_string(), one.ip().to_string(), one.port())
        }
        SmtpServer::Address(SocketAddr::V6(one)) => {
            (one.ip().to_string(), format!("[{}]", one.ip()), one.port())
        }
        SmtpServer::Name { host, port } => (host.clone(), host.clone(), *port),
    };
    if port == SmtpServer::PORT { host } else { format!("{bracketed}:{port}") }
}

/// A name that DNS could have.
pub(crate) fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !text.is_empty() && text.len() <= 253 && text.chars().all(plain) && !text.starts_with('.')
}

/// One `@` with something on both sides, in one word.
pub(crate) fn is_address(text: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "<>,;\"".contains(c);
    match text.split_once('@') {
        Some((who, host)) => !who.is_empty() && is_host(host) && !text.contains(odd),
        None => false,
    }
}
