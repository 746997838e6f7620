//! Thousands of real servers that are one thread: each address of a network is one of them.
//!
//! The host takes every packet to the network as its own, and one socket listens on all of it, so
//! what is measured is whoever asks, not a crowd of servers.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{Host, LabError, Result};

/// Connections that wait to be accepted: a second's worth of the most that are asked for.
const BACKLOG: i32 = 16_384;

/// How often it looks whether it is to end.
const LOOK_EVERY_MS: u16 = 100;

const LISTENER: u64 = 0;

const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\
    Connection: close\r\n\r\nok\n";

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Nothing is said; the asker closes.
    Tcp,
    /// A short page for every request, and then the end.
    Http,
}

/// Servers at work on one port of every address of a network. Dropping it ends them.
#[derive(Debug)]
pub struct Many {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
    _host: Host,
}

impl Many {
    /// Serves on `port` of every address of `network`, such as `10.200.0.0/16`, which must be
    /// routed to the host.
    pub fn start(host: &Host, network: &str, port: u16, service: Service) -> Result<Many> {
        host.ip(&format!("route replace local {network} dev lo"))?;
        host.sysctl("net.core.somaxconn", &BACKLOG.to_string())?;
        host.sysctl("net.ipv4.tcp_max_syn_backlog", &BACKLOG.to_string())?;
        // Every check is a socket here too, if for a moment.
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(LabError::errno("rlimit"))?;
        setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(LabError::errno("rlimit"))?;
        let listener = host.enter(|| listen(port))??;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .and_then(|epoll| {
                epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER)).map(|()| epoll)
            })
            .map_err(LabError::errno("setting up epoll"))?;
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, count) = (stop.clone(), served.clone());
        let server =
            Server { epoll, listener, service, open: BTreeMap::new(), next: LISTENER + 1, count };
        let thread = std::thread::spawn(move || server.run(&told));
        Ok(Many { stop, served, thread: Some(thread), _host: host.clone() })
    }

    /// Connections that came to their proper end.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(port: u16) -> Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let address = std::net::SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    socket
        .and_then(|socket| {
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            socket.set_nonblocking(true)?;
            Ok(socket.into())
        })
        .map_err(LabError::system(format!("port {port}")))
}

struct Server {
    epoll: Epoll,
    listener: TcpListener,
    service: Service,
    open: BTreeMap<u64, Connection>,
    next: u64,
    count: Arc<AtomicU64>,
}

struct Connection {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Server {
    fn run(mut self, stop: &AtomicBool) {
        let mut events = [EpollEvent::empty(); 256];
        while !stop.load(Ordering::Relaxed) {
            // An interruption finds nothing, and the next look is soon.
            let ready = self.epoll.wait(&mut events, LOOK_EVERY_MS).unwrap_or(0);
            for event in &events[..ready] {
                match event.data() {
                    LISTENER => self.accept(),
                    token => self.serve(token),
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            let token = self.next;
            self.next += 1;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, token);
            // A client that has gone already is its own affair.
            let watched =
                stream.set_nonblocking(true).is_ok() && self.epoll.add(&stream, event).is_ok();
            if watched {
                self.open.insert(token, Connection { stream, heard: Vec::new() });
            }
        }
    }

    fn serve(&mut self, token: u64) {
        let Some(connection) = self.open.get_mut(&token) else { return };
        if !connection.is_over(self.service) {
            return;
        }
        // Closed, it leaves the epoll set by itself.
        self.open.remove(&token);
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Connection {
    /// Whether all was said: by the asker, or with the page by this side.
    fn is_over(&mut self, service: Service) -> bool {
        let mut buffer = [0; 2048];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(length) => self.heard.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return true,
            }
            let whole = self.heard.windows(4).any(|four| four == b"\r\n\r\n");
            if service == Service::Http && whole {
                let _ = self.stream.write_all(PAGE);
                return true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::until;

    #[test]
    fn every_address_of_the_network_gives_the_page_and_is_counted() -> Result<()> {
        let host = Host::new("many")?;
        let many = Many::start(&host, "10.200.0.0/16", 80, Service::Http)?;
        for address in ["10.200.0.1", "10.200.39.250"] {
            let asked = host.enter(|| {
                let mut stream = TcpStream::connect((address, 80))?;
                stream.set_read_timeout(Some(Duration::from_secs(5)))?;
                stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
                let mut text = String::new();
                stream.read_to_string(&mut text).map(|_| text)
            })?;
            assert_eq!(asked.expect("an answer").as_bytes(), PAGE);
        }
        until("both to be counted", Duration::from_secs(5), || (many.served() == 2).then_some(()))
    }

    #[test]
    fn a_connection_that_says_nothing_stays_until_the_asker_closes() -> Result<()> {
        let host = Host::new("many")?;
        let many = Many::start(&host, "10.200.0.0/16", 80, Service::Tcp)?;
        let stream = host.enter(|| TcpStream::connect("10.200.0.7:80"))?.expect("a connection");
        // What would end it has had its chance once another has come and gone.
        drop(host.enter(|| TcpStream::connect("10.200.0.8:80"))?.expect("a connection"));
        until("the other's end", Duration::from_secs(5), || (many.served() > 0).then_some(()))?;
        assert_eq!(many.served(), 1);
        drop(stream);
        until("its end", Duration::from_secs(5), || (many.served() == 2).then_some(()))
    }
}
