//! Debian's nginx, and what checks find there.

use std::fs;
use std::process::Command;

use leasehold_dataplane::health::{CheckError, HttpFault};
use leasehold_model::{Digest, HttpCheck, HttpVersion, Pattern, Url};
use sha2::{Digest as _, Sha256};

use super::server::Nginx;
use super::{ask, fault, own_network, pages, url};

/// A page whose whole body is `body`, where a dot may be any character.
pub(crate) fn saying(body: &str) -> Vec<Url> {
    let regex = format!("^{}$", body.replace('|', r"\|"));
    let regex = Some(Pattern { regex, no_match: false, min_offset: 0, max_offset: 0 });
    vec![Url { regex, ..url("/") }]
}

#[test]
fn nginx_hears_what_is_asked() {
    own_network();
    let servers = r#"server { listen 8080; return 200 "$server_protocol|$http_host|$http_connection"; }
        server { listen 8081 http2; return 200 "$server_protocol|$host|$scheme"; }"#;
    let mut nginx = Nginx::start(servers, |_| ());
    let (one, two) = (nginx.at(8080), nginx.at(8081));
    for (version, address, said) in [
        (HttpVersion::Http10, one, "HTTP/1.0|www.example.com|"),
        (HttpVersion::Http10Close, one, "HTTP/1.0|www.example.com|close"),
        (HttpVersion::Http11, one, "HTTP/1.1|www.example.com|close"),
        (HttpVersion::Http2, two, "HTTP/2.0|www.example.com|http"),
    ] {
        ask(HttpCheck { version, ..pages(saying(said)) }, address).expect(said);
        let wrong = fault(ask(HttpCheck { version, ..pages(saying("no")) }, address));
        assert!(matches!(wrong, HttpFault::NoMatch), "{said}: {wrong}");
    }
}

/// What `genhash` prints for a page is the digest of its check.
#[test]
fn a_digest_is_as_genhash_prints_it() {
    own_network();
    // SSI makes the answer to HTTP/1.1 a chunked one; larger than HTTP/2's first window.
    let servers = "server { listen 8080; ssi on; ssi_types text/plain; default_type text/plain; }
        server { listen 8081 http2; }";
    let page: Vec<u8> = (0..300_000_u32).flat_map(|n| n.to_string().into_bytes()).collect();
    let mut nginx =
        Nginx::start(servers, |dir| fs::write(dir.join("page"), &page).expect("a file"));
    let (one, two) = (nginx.at(8080), nginx.at(8081));
    let output = Command::new("genhash")
        .args(["-s", "127.0.0.1", "-p", "8080", "-u", "/page"])
        .output()
        .expect("apt-get install keepalived");
    let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let hex = printed.rsplit(['=', ' ']).next().unwrap_or_default();
    assert_eq!(hex.len(), 32, "{output:?}");
    let byte = |nth: usize| u8::from_str_radix(&hex[2 * nth..2 * nth + 2], 16).expect("digits");
    let md5 = Digest::Md5(std::array::from_fn(byte));
    let sha256 = Digest::Sha256(Sha256::digest(&page).into());
    for digest in [md5, sha256] {
        let check = || pages(vec![Url { digest: Some(digest), ..url("/page") }]);
        for (version, address) in [
            (HttpVersion::Http10, one),
            (HttpVersion::Http10Close, one),
            (HttpVersion::Http11, one),
            (HttpVersion::Http2, two),
        ] {
            ask(HttpCheck { version, ..check() }, address).expect("the same");
        }
        fs::write(nginx.dir().join("page"), "another").expect("a file");
        for (version, address) in [(HttpVersion::Http11, one), (HttpVersion::Http2, two)] {
            let asked = fault(ask(HttpCheck { version, ..check() }, address));
            assert!(matches!(asked, HttpFault::Digest(_)), "{asked}");
        }
        fs::write(nginx.dir().join("page"), &page).expect("a file");
    }
}

#[test]
fn an_nginx_that_is_stopped_refuses_and_one_that_is_back_is_well() {
    own_network();
    let servers = "server { listen 8080; location = /gone { return 410; } return 200 well; }";
    let mut nginx = Nginx::start(servers, |_| ());
    let address = nginx.at(8080);
    ask(pages(vec![url("/")]), address).expect("it is well");
    drop(nginx);
    let refused = ask(pages(vec![url("/")]), address);
    assert!(matches!(refused, Err(CheckError::Connect(..))), "{refused:?}");
    let mut nginx = Nginx::start(servers, |_| ());
    ask(pages(vec![url("/")]), nginx.at(8080)).expect("it is back");
}
