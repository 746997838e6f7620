//! Real servers at fault: each fault is found, by its name, and within its time.

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use leasehold_dataplane::health::{CheckError, HttpFault, Prober};
use leasehold_model::{Check, CheckKind, Digest, HttpCheck, HttpVersion, Pattern, TlsCheck, Url};
use socket2::{Domain, SockRef, Socket, Type};

use super::{
    SHORT, ask, asks_in_vain, block_on, closes_within, fault, over_tls, pages, request, says,
    serve, url,
};

fn plain() -> HttpCheck {
    pages(vec![url("/")])
}

fn with_body() -> HttpCheck {
    let regex = Pattern { regex: "well".to_owned(), no_match: false, min_offset: 0, max_offset: 0 };
    pages(vec![Url { regex: Some(regex), ..url("/") }])
}

fn with_digest() -> HttpCheck {
    pages(vec![Url { digest: Some(Digest::Md5([0; 16])), ..url("/") }])
}

/// Says one byte after the other, until nobody listens.
fn trickle(stream: &mut TcpStream, bytes: &[u8]) {
    for byte in bytes.iter().cycle() {
        let said = stream.write_all(&[*byte]);
        if said.is_err() || closes_within(stream, Duration::from_millis(10)) {
            return;
        }
    }
}

#[test]
fn a_refusal_is_one_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    for check in [plain(), over_tls(TlsCheck::default(), plain())] {
        match ask(check, address) {
            Err(CheckError::Connect(at, error)) => {
                assert_eq!((at, error.kind()), (address, ErrorKind::ConnectionRefused));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A queue that is full: the kernel drops what would connect, as a dead machine does.
#[test]
fn a_black_hole_is_silent_for_the_time_of_a_connection() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).expect("a port");
    socket.listen(0).expect("bound");
    let address = socket.local_addr().expect("bound").as_socket().expect("of IP");
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, SHORT) {
        queued.push(stream);
        assert!(queued.len() < 100, "the queue has no end");
    }
    asks_in_vain(plain(), address);
    let tcp = Check { connect_timeout_ms: 300, ..Check::new(CheckKind::Tcp) };
    let prober = Prober::new(&tcp, address, None).expect("it asks the network");
    let silent = block_on(prober.ask());
    assert!(matches!(silent, Err(CheckError::Silent(..))), "{silent:?}");
}

/// The kernel accepts for a program that does not come to it.
#[test]
fn a_program_that_does_not_accept_is_silent_and_its_port_is_open() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    asks_in_vain(plain(), address);
    asks_in_vain(over_tls(TlsCheck::default(), plain()), address);
    asks_in_vain(HttpCheck { version: HttpVersion::Http2, ..plain() }, address);
    let tcp = Check::new(CheckKind::Tcp);
    block_on(Prober::new(&tcp, address, None).expect("it asks the network").ask()).expect("open");
}

#[test]
fn a_slow_accept_that_is_in_time_is_well() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        // Sleeps as a busy program does before it accepts.
        thread::sleep(SHORT);
        let (mut stream, _) = listener.accept().expect("a connection");
        request(&mut stream);
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").expect("a reader");
    });
    ask(plain(), address).expect("in time");
}

#[test]
fn a_slow_header_runs_out_of_time() {
    let address = serve(|mut stream| {
        request(&mut stream);
        trickle(&mut stream, b"HTTP/1.1 200 OK\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\n");
    });
    asks_in_vain(plain(), address);
}

#[test]
fn a_slow_body_runs_out_of_time() {
    let address = serve(|mut stream| {
        request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("a reader");
        trickle(&mut stream, b"slow");
    });
    asks_in_vain(with_body(), address);
    asks_in_vain(with_digest(), address);
    asks_in_vain(plain(), address);
}

#[test]
fn a_status_of_failure_is_said_at_once_and_its_body_is_not_awaited() {
    let address = serve(|mut stream| {
        request(&mut stream);
        stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\n").expect("a reader");
        assert!(closes_within(&mut stream, super::PATIENT), "it was told enough");
    });
    assert!(matches!(fault(ask(with_body(), address)), HttpFault::Status(500)));
}

#[test]
fn a_reset_within_the_body_is_a_broken_connection() {
    let address = serve(|mut stream| {
        request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nwell").expect("a reader");
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
    });
    let broken = fault(ask(with_body(), address));
    let HttpFault::Broken(error) = broken else { panic!("{broken:?}") };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(matches!(fault(ask(plain(), address)), HttpFault::Broken(_)));
}

#[test]
fn an_end_within_the_answer_is_one() {
    for (check, answer) in [
        (plain(), ""),
        (plain(), "HTTP/1.1 200 OK\r\nServer: x\r\n"),
        (with_body(), "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nwell"),
    ] {
        let asked = fault(ask(check, says(answer)));
        assert!(matches!(asked, HttpFault::Truncated), "{answer}: {asked}");
    }
}

#[test]
fn what_is_not_http_is_said_at_once() {
    for answer in ["SSH-2.0-OpenSSH_9.2\r\n", "\x16\x03\x01\x02", "HTTP/1.1 abc\r\n", "<html>"] {
        let address = serve(move |mut stream| {
            stream.write_all(answer.as_bytes()).expect("a reader");
            while !closes_within(&mut stream, super::PATIENT) {}
        });
        let asked = fault(ask(plain(), address));
        assert!(matches!(asked, HttpFault::Malformed), "{answer}: {asked}");
    }
}

#[test]
fn a_huge_body_ends_the_question_where_it_is_to_be_held() {
    let chunk = vec![b'x'; 64 << 10];
    let address = serve(move |mut stream| {
        request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("a reader");
        // 16 MiB, or until nobody listens.
        let _ = (0..256).try_for_each(|_| stream.write_all(&chunk));
    });
    assert!(matches!(fault(ask(with_body(), address)), HttpFault::BodyTooLong));
    assert!(matches!(fault(ask(with_digest(), address)), HttpFault::Digest(_)));
    ask(plain(), address).expect("nothing of it has to be held");
}

#[test]
fn a_flood_of_headers_ends_the_question() {
    for line in ["X: y\r\n".to_owned(), format!("X: {}\r\n", "y".repeat(4000))] {
        let address = serve(move |mut stream| {
            request(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\n").expect("a reader");
            while stream.write_all(line.as_bytes()).is_ok() {}
        });
        assert!(matches!(fault(ask(plain(), address)), HttpFault::HeaderTooLong));
    }
}

/// What a server of another protocol says to a handshake, and one that goes away in it.
#[test]
fn a_handshake_with_garbage_fails_at_once() {
    let check = || over_tls(TlsCheck::default(), plain());
    let garbage = serve(|mut stream| {
        stream.write_all(b"220 mail.example.com ESMTP\r\n").expect("a reader");
        while !closes_within(&mut stream, super::PATIENT) {}
    });
    let asked = ask(check(), garbage);
    let error = asked.expect_err("no TLS");
    assert!(matches!(error, CheckError::Tls(at, _) if at == garbage), "{error:?}");
    let gone = serve(|stream| {
        stream.shutdown(Shutdown::Both).expect("a connection");
    });
    let error = ask(check(), gone).expect_err("no TLS");
    assert!(matches!(error, CheckError::Tls(..)), "{error:?}");
    let silent = serve(|mut stream| while !closes_within(&mut stream, super::PATIENT) {});
    asks_in_vain(check(), silent);
}
