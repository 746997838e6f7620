//! Checks against real sockets: what accepts, answers, refuses, and says nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::thread;
use std::time::Duration;

use leasehold_dataplane::health::{CheckError, HttpError, HttpFault, Prober};
use leasehold_model::{Check, CheckKind, HttpCheck, Url};
use nix::sched::{CloneFlags, unshare};

async fn ask(check: &Check, real: SocketAddr, virtualhost: Option<&str>) -> Result<(), CheckError> {
    Prober::new(check, real, virtualhost).expect("it asks the network").ask().await
}

fn check(kind: CheckKind) -> Check {
    Check {
        delay_loop_ms: 1000,
        connect_timeout_ms: 2000,
        retry: 0,
        delay_before_retry_ms: 0,
        ..Check::new(kind)
    }
}

fn http(path: &str, status_code: &[(u16, u16)]) -> Check {
    let url = Url { path: path.to_owned(), status_code: status_code.to_vec(), ..Url::default() };
    check(CheckKind::Http(HttpCheck { urls: vec![url], ..HttpCheck::default() }))
}

/// Answers every request with `answer`, and hands back what was asked.
fn serve(answer: &'static str) -> (SocketAddr, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
            request.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).expect("a reader");
        String::from_utf8_lossy(&request).into_owned()
    });
    (address, asked)
}

#[tokio::test]
async fn a_port_that_accepts_is_up_and_one_that_refuses_is_not() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    ask(&check(CheckKind::Tcp), address, None).await.expect("it accepts");
    drop(listener);
    let refused = ask(&check(CheckKind::Tcp), address, None).await;
    assert!(matches!(refused, Err(CheckError::Connect(at, _)) if at == address), "{refused:?}");
}

#[tokio::test]
async fn a_page_has_the_status_that_is_wanted() {
    let (address, asked) = serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    ask(&http("/health?x=1", &[]), address, Some("www.example.com")).await.expect("200");
    let asked = asked.join().expect("asked");
    assert!(asked.starts_with("GET /health?x=1 HTTP/1.0\r\n"), "{asked}");
    assert!(asked.contains("Host: www.example.com\r\n"), "{asked}");

    let (address, _) = serve("HTTP/1.0 302 Found\r\n\r\n");
    ask(&http("/", &[(200, 200), (301, 302)]), address, None).await.expect("302");

    let (address, _) = serve("HTTP/1.1 503 No\r\nConnection: close\r\n\r\n");
    let refused = ask(&http("/", &[]), address, None).await;
    let Err(CheckError::Http(HttpError { fault, .. })) = refused else { panic!("{refused:?}") };
    assert!(matches!(fault, HttpFault::Status(503)), "{fault}");
}

#[tokio::test]
async fn nonsense_and_silence_are_no_answer() {
    let (address, _) = serve("not http\r\n\r\n");
    let nonsense = ask(&http("/", &[]), address, None).await;
    let Err(CheckError::Http(HttpError { fault, .. })) = nonsense else { panic!("{nonsense:?}") };
    assert!(matches!(fault, HttpFault::Malformed), "{fault}");

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let short = Check { connect_timeout_ms: 50, ..http("/", &[]) };
    let silent = ask(&short, address, None).await;
    assert!(matches!(silent, Err(CheckError::Silent(..))), "{silent:?}");
}

/// Each page may take the whole time: three of them take longer than one may.
#[tokio::test]
async fn the_time_is_for_each_page_and_not_for_all() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let limit = Duration::from_millis(2000);
    thread::spawn(move || {
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().expect("a connection");
            // Sleeps as a slow page does: less than its time.
            thread::sleep(limit.mul_f64(0.4));
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("a reader");
            let _ = stream.read(&mut [0; 1024]);
        }
    });
    let url = |path: &str| Url { path: path.to_owned(), ..Url::default() };
    let urls = vec![url("/1"), url("/2"), url("/3")];
    ask(&check(CheckKind::Http(HttpCheck { urls, ..HttpCheck::default() })), address, None)
        .await
        .expect("each was in time");
}

/// In a network namespace whose one way out has no address of its own, and no port left.
#[test]
fn what_this_machine_lacks_is_no_verdict() {
    unshare(CloneFlags::CLONE_NEWNET).expect("root");
    let ip = |words: &str| {
        let status = Command::new("ip").args(words.split(' ')).status().expect("ip");
        assert!(status.success(), "ip {words}");
    };
    ip("link set lo up");
    // One port to choose from, and that one is taken.
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40000").expect("root");
    let listener = TcpListener::bind("127.0.0.1:80").expect("a port");
    let address = listener.local_addr().expect("bound");
    let first = std::net::TcpStream::connect(address).expect("the one port");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    for kind in [CheckKind::Tcp, http("/", &[]).kind] {
        let asked = runtime.block_on(ask(&check(kind), address, None));
        let error = asked.expect_err("no port is left");
        assert!(matches!(&error, CheckError::Unknown(at, _) if *at == address), "{error:?}");
        assert!(!error.is_verdict());
    }
    drop((first, listener));
    let refused = runtime.block_on(ask(&check(CheckKind::Tcp), address, None));
    assert!(refused.expect_err("nobody listens").is_verdict());
}
