//! Checks against real sockets: what accepts, answers, refuses, and says nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use leasehold_dataplane::check::{CheckError, ask};
use leasehold_model::{Check, CheckKind, Url};

fn check(kind: CheckKind) -> Check {
    Check {
        kind,
        connect: None,
        delay_loop_ms: 1000,
        connect_timeout_ms: 2000,
        retry: 0,
        delay_before_retry_ms: 0,
    }
}

fn http(path: &str, status_code: &[(u16, u16)]) -> Check {
    let url = Url { path: path.to_owned(), status_code: status_code.to_vec(), virtualhost: None };
    check(CheckKind::Http { urls: vec![url] })
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
    assert!(asked.starts_with("GET /health?x=1 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("host: www.example.com\r\n"), "{asked}");

    let (address, _) = serve("HTTP/1.0 302 Found\r\n\r\n");
    ask(&http("/", &[(200, 200), (301, 302)]), address, None).await.expect("302");

    let (address, _) = serve("HTTP/1.1 503 No\r\nConnection: close\r\n\r\n");
    let refused = ask(&http("/", &[]), address, None).await;
    assert!(matches!(refused, Err(CheckError::Status(_, _, 503))), "{refused:?}");
}

#[tokio::test]
async fn nonsense_and_silence_are_no_answer() {
    let (address, _) = serve("not http\r\n\r\n");
    let nonsense = ask(&http("/", &[]), address, None).await;
    assert!(matches!(nonsense, Err(CheckError::Http(..))), "{nonsense:?}");

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let short = Check { connect_timeout_ms: 50, ..http("/", &[]) };
    let silent = ask(&short, address, None).await;
    assert!(matches!(silent, Err(CheckError::Silent(..))), "{silent:?}");
}
