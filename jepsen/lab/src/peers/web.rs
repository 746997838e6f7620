//! The smallest web server, and the smallest client: for a testbed that installs nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::{Host, LabError, Result};

const PORT: u16 = 80;

/// For one client to say what it wants, and for one answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers every request on port 80 of a host with the host's label, until it is dropped.
#[derive(Debug)]
pub struct Web {
    host: Host,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    pub fn start(host: &Host) -> Result<Web> {
        let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT));
        let listener = host.enter(|| TcpListener::bind(address))?;
        let listener = listener.map_err(LabError::system(format!("port {PORT}")))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (told, name) = (stop.clone(), host.label().to_owned());
        let thread = std::thread::spawn(move || serve(&listener, &name, &told));
        Ok(Web { host: host.clone(), stop, thread: Some(thread) })
    }
}

fn serve(listener: &TcpListener, name: &str, stop: &AtomicBool) {
    for stream in listener.incoming() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // A client that goes away is its own affair.
        let _ = stream.and_then(|stream| answer(stream, name));
    }
}

fn answer(mut stream: TcpStream, name: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(&stream).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let length = name.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{name}")
}

impl Drop for Web {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A connection wakes it; where that fails, it ends with the process.
        let address = SocketAddr::from(([127, 0, 0, 1], PORT));
        let woken = self.host.enter(|| TcpStream::connect(address)).is_ok_and(|it| it.is_ok());
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

/// What `GET /` of port 80 at `address` gives, as `host` sees it.
pub fn ask(host: &Host, address: IpAddr) -> Option<String> {
    let asked = host.enter(|| -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::new(address, PORT), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    });
    let text = asked.ok()?.ok()?;
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}
