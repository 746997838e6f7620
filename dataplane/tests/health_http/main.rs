//! `HTTP_GET` and `SSL_GET` against Debian's nginx, and against servers that are at fault.

mod answers;
mod faults;
mod nginx;
mod server;
mod tls;
mod two;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use leasehold_dataplane::health::{CheckError, HttpError, HttpFault, Prober};
use leasehold_model::{Check, CheckKind, HttpCheck, HttpVersion, TlsCheck, Url};
use nix::sched::{CloneFlags, unshare};

/// What a server that is well answers within, also on a machine that is busy with other tests.
const PATIENT: Duration = Duration::from_secs(20);

/// For what is to run out.
const SHORT: Duration = Duration::from_millis(300);

pub(crate) fn url(path: &str) -> Url {
    Url { path: path.to_owned(), ..Url::default() }
}

pub(crate) fn pages(urls: Vec<Url>) -> HttpCheck {
    HttpCheck { urls, ..HttpCheck::default() }
}

pub(crate) fn version(version: HttpVersion) -> HttpCheck {
    HttpCheck { version, ..pages(vec![url("/")]) }
}

pub(crate) fn over_tls(tls: TlsCheck, check: HttpCheck) -> HttpCheck {
    HttpCheck { tls: Some(tls), ..check }
}

pub(crate) fn prober(check: HttpCheck, real: SocketAddr, limit: Duration) -> Prober {
    let check = Check {
        connect_timeout_ms: u32::try_from(limit.as_millis()).expect("short"),
        ..Check::new(CheckKind::Http(check))
    };
    Prober::new(&check, real, Some(server::HOST)).expect("it asks the network")
}

/// Asks once, on a runtime of this thread, and so in its network namespace.
pub(crate) fn ask(check: HttpCheck, real: SocketAddr) -> Result<(), CheckError> {
    block_on(prober(check, real, PATIENT).ask())
}

/// Asks a server that takes too long: true silence, which ends in time.
pub(crate) fn asks_in_vain(check: HttpCheck, real: SocketAddr) {
    let begun = Instant::now();
    let silent = block_on(prober(check, real, SHORT).ask());
    let took = begun.elapsed();
    assert!(matches!(silent, Err(CheckError::Silent(at, SHORT)) if at == real), "{silent:?}");
    assert!(took >= SHORT && took < PATIENT, "{took:?}");
}

pub(crate) fn fault(asked: Result<(), CheckError>) -> HttpFault {
    match asked {
        Err(CheckError::Http(HttpError { fault, .. })) => fault,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// A server whose every connection is given to `talk`, each after the one before.
pub(crate) fn serve(talk: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            talk(stream.expect("a connection"));
        }
    });
    address
}

/// A server that answers every request with these bytes, and closes.
pub(crate) fn says(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer = answer.into();
    serve(move |mut stream| {
        request(&mut stream);
        // Who asks may have heard enough.
        let _ = stream.write_all(&answer);
    })
}

/// The header of a request.
pub(crate) fn request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
        request.push(byte[0]);
    }
    String::from_utf8_lossy(&request).into_owned()
}

/// Waits for the other end to close, for as long: true where it did.
pub(crate) fn closes_within(stream: &mut TcpStream, limit: Duration) -> bool {
    stream.set_read_timeout(Some(limit)).expect("more than none");
    match stream.read(&mut [0; 1024]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// Moves this thread to a network namespace of its own: every port is free there.
pub(crate) fn own_network() {
    unshare(CloneFlags::CLONE_NEWNET).expect("root");
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(up.expect("apt-get install iproute2").success());
}
