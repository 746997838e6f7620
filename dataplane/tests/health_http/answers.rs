//! What is asked, and which answers are good.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::mpsc;

use leasehold_dataplane::health::{CheckError, HttpFault};
use leasehold_model::{Digest, HttpCheck, HttpVersion, Pattern, Url};

use super::{ask, fault, pages, request, says, serve, url, version};

/// A server that is well, and what it is asked.
fn listens() -> (SocketAddr, mpsc::Receiver<String>) {
    let (tell, told) = mpsc::sync_channel(100);
    let address = serve(move |mut stream| {
        tell.send(request(&mut stream)).expect("a test");
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nwell").expect("a reader");
    });
    (address, told)
}

#[test]
fn a_request_is_of_the_version_that_is_wanted() {
    let (address, told) = listens();
    let host = "Host: www.example.com\r\nUser-Agent: leasehold\r\n";
    for (wanted, line, close) in [
        (HttpVersion::Http10, "GET / HTTP/1.0\r\n", ""),
        (HttpVersion::Http10Close, "GET / HTTP/1.0\r\n", "Connection: close\r\n"),
        (HttpVersion::Http11, "GET / HTTP/1.1\r\n", "Connection: close\r\n"),
    ] {
        ask(version(wanted), address).expect("it is well");
        assert_eq!(told.recv().expect("asked"), format!("{line}{host}{close}\r\n"));
    }
}

#[test]
fn a_page_is_asked_of_its_own_virtual_host_and_each_over_its_own_connection() {
    let (address, told) = listens();
    let own = Url { virtualhost: Some("own.example.com:8080".to_owned()), ..url("/1") };
    ask(pages(vec![own, url("/2?x=%20")]), address).expect("it is well");
    let first = told.recv().expect("asked");
    assert!(first.starts_with("GET /1 HTTP/1.0\r\nHost: own.example.com:8080\r\n"), "{first}");
    let second = told.recv().expect("asked");
    assert!(second.starts_with("GET /2?x=%20 HTTP/1.0\r\nHost: www.example.com\r\n"), "{second}");
}

#[test]
fn the_first_page_that_is_not_well_ends_the_question() {
    let (address, told) = listens();
    let strict = Url { status_code: vec![(404, 404)], ..url("/1") };
    let asked = ask(pages(vec![strict, url("/2")]), address);
    assert!(asked.as_ref().is_err_and(CheckError::is_verdict), "{asked:?}");
    let error = asked.expect_err("404 is wanted").to_string();
    assert_eq!(error, format!("{address}/1: it answered 200"));
    assert!(told.recv().expect("asked").starts_with("GET /1 "));
    assert!(told.try_recv().is_err());
}

#[test]
fn a_status_is_in_one_of_the_ranges() {
    let status = |code: u16, ranges: &[(u16, u16)]| {
        let address = says(format!("HTTP/1.1 {code}\r\n\r\n"));
        ask(pages(vec![Url { status_code: ranges.to_vec(), ..url("/") }]), address)
    };
    for (code, ranges) in [
        (200, [].as_slice()),
        (299, &[]),
        (302, &[(200, 200), (301, 302)]),
        (500, &[(500, 500)]),
        (999, &[(0, 999)]),
    ] {
        status(code, ranges).expect("it is in a range");
    }
    for (code, ranges) in [
        (199, [].as_slice()),
        (300, &[]),
        (500, &[]),
        (303, &[(200, 200), (301, 302)]),
        (200, &[(201, 201)]),
    ] {
        // One below 200 is interim: the answer is yet to come, and does not.
        let expected = if code < 200 {
            "the connection ended before the answer did".to_owned()
        } else {
            format!("it answered {code}")
        };
        assert_eq!(fault(status(code, ranges)).to_string(), expected);
    }
}

#[test]
fn an_interim_answer_is_not_the_answer() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    ask(version(HttpVersion::Http11), says(format!("{interim}HTTP/1.1 204 No\r\n\r\n")))
        .expect("204");
    let asked =
        ask(version(HttpVersion::Http11), says(format!("{interim}HTTP/1.1 503 No\r\n\r\n")));
    assert!(matches!(fault(asked), HttpFault::Status(503)));
}

fn matching(regex: &str) -> HttpCheck {
    let pattern =
        Pattern { regex: regex.to_owned(), no_match: false, min_offset: 0, max_offset: 0 };
    pages(vec![Url { regex: Some(pattern), ..url("/") }])
}

/// The same body in every framing, with what must not count behind it.
#[test]
fn a_body_ends_where_its_framing_says() {
    for answer in [
        "HTTP/1.0 200 OK\r\n\r\nall is well",
        "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nall is well, or not",
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\nContent-Length: 11\r\n\r\nall is well",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n\
         4\r\nall \r\n7\r\nis well\r\n0\r\nX: y\r\n\r\nmore",
        "HTTP/1.1 200 OK\nServer : odd\nTransfer-Encoding: gzip, Chunked\n\n\
         b\nall is well\n0\n\n",
    ] {
        ask(matching("^all is well$"), says(answer)).expect(answer);
    }
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nall is well", "ended before the answer"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nall is well\r\n",
            "ended before",
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nwell", "not HTTP"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nwell", "not HTTP"),
        ("HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\nwell", "not HTTP"),
        ("HTTP/1.1 204 No Content\r\n\r\nall is well", "does not match"),
    ] {
        let error = fault(ask(matching("^all is well$"), says(answer))).to_string();
        assert!(error.contains(expected), "{answer}: {error}");
    }
}

#[test]
fn a_digest_is_of_the_body_alone() {
    // Of "abc", by RFC 1321.
    let md5 = [
        0x90, 0x01, 0x50, 0x98, 0x3c, 0xd2, 0x4f, 0xb0, 0xd6, 0x96, 0x3f, 0x7d, 0x28, 0xe1, 0x7f,
        0x72,
    ];
    let check = |body: &str| {
        let page = Url { digest: Some(Digest::Md5(md5)), ..url("/") };
        ask(pages(vec![page]), says(format!("HTTP/1.1 200 OK\r\n\r\n{body}")))
    };
    check("abc").expect("abc");
    assert!(matches!(fault(check("abd")), HttpFault::Digest(_)));
    assert!(matches!(fault(check("")), HttpFault::Digest(_)));
}

/// The configuration refuses these; one that comes here says nothing of the real server.
#[test]
fn what_cannot_be_asked_is_no_verdict() {
    let (address, told) = listens();
    let spaced = Url { virtualhost: Some("two words".to_owned()), ..url("/") };
    for (check, expected) in [
        (matching("("), "unclosed group"),
        (pages(vec![url("/a b")]), "write spaces as %20"),
        (pages(vec![url("/a\r\nX: y")]), "write spaces as %20"),
        (pages(vec![url("")]), "no page"),
        (pages(vec![spaced]), "no virtual host"),
        (HttpCheck { version: HttpVersion::Http2, ..pages(vec![url("/\u{7f}")]) }, "no page"),
    ] {
        let error = ask(check, address).expect_err("it can't be asked");
        assert!(!error.is_verdict(), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(told.try_recv().is_err());
}
