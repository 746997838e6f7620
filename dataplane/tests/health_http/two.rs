//! HTTP/2 with servers that speak something else, or stop in the middle.

use std::io::Write;
use std::time::Duration;

use leasehold_dataplane::health::HttpFault;
use leasehold_model::{HttpCheck, HttpVersion, Url};

use super::server::Nginx;
use super::{ask, asks_in_vain, closes_within, fault, own_network, pages, serve, url, version};

/// The server's half of a connection's beginning: an empty SETTINGS frame (RFC 9113 section 6.5).
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Takes the client's preface and its SETTINGS, and does not wait for more.
fn hears(stream: &mut std::net::TcpStream) {
    let _ = closes_within(stream, Duration::from_secs(1));
}

#[test]
fn a_status_is_judged_as_in_the_other_versions() {
    own_network();
    let servers = "server { listen 8081 http2; location = /gone { return 410; }
        location / { return 302 /gone; } }";
    let mut nginx = Nginx::start(servers, |_| ());
    let address = nginx.at(8081);
    let check = |url| HttpCheck { version: HttpVersion::Http2, ..pages(vec![url]) };
    assert!(matches!(fault(ask(check(url("/gone")), address)), HttpFault::Status(410)));
    assert!(matches!(fault(ask(check(url("/")), address)), HttpFault::Status(302)));
    ask(check(Url { status_code: vec![(302, 302)], ..url("/") }), address).expect("302");
}

#[test]
fn a_server_of_an_older_version_is_found_out() {
    let address = serve(|mut stream| {
        hears(&mut stream);
        // Who asks may have gone by the first word.
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    });
    let asked = fault(ask(version(HttpVersion::Http2), address));
    assert!(matches!(asked, HttpFault::Http2(_) | HttpFault::Broken(_)), "{asked}");
}

#[test]
fn an_end_and_a_silence_behind_the_greeting_are_faults() {
    let ends = serve(|mut stream| {
        stream.write_all(SETTINGS).expect("a reader");
        hears(&mut stream);
    });
    let asked = fault(ask(version(HttpVersion::Http2), ends));
    assert!(matches!(asked, HttpFault::Truncated | HttpFault::Broken(_)), "{asked}");
    let silent = serve(|mut stream| {
        stream.write_all(SETTINGS).expect("a reader");
        while !closes_within(&mut stream, super::PATIENT) {}
    });
    asks_in_vain(version(HttpVersion::Http2), silent);
}
