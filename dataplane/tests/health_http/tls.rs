//! `SSL_GET`: certificates that are good, have run out, are another's, or anybody's.

use std::fs;
use std::time::Duration;

use super::nginx::saying;
use super::server::{HOST, Nginx, certificates};
use super::{PATIENT, ask, block_on, over_tls, own_network, pages, url};
use leasehold_dataplane::health::{CheckError, Prober, TlsFault};
use leasehold_model::{Check, CheckKind, HttpCheck, HttpVersion, Sni, TlsCheck, Trust};

/// A server with the certificate that says what it knows of the handshake.
fn server(listen: &str, certificate: &str, protocols: &str) -> String {
    format!(
        "server {{ listen {listen}; ssl_certificate DIR/{certificate}.pem;
            ssl_certificate_key DIR/{certificate}.key; ssl_protocols {protocols};
            return 200 \"$server_protocol|$ssl_protocol|$ssl_server_name|$ssl_session_reused\"; }}\n"
    )
}

fn tls(sni: Sni, trust: Trust) -> HttpCheck {
    over_tls(TlsCheck { sni, trust }, pages(vec![url("/")]))
}

fn tls_says(sni: Sni, trust: Trust, said: &str) -> HttpCheck {
    over_tls(TlsCheck { sni, trust }, pages(saying(said)))
}

fn tls_fault(asked: Result<(), CheckError>) -> TlsFault {
    match asked {
        Err(CheckError::Tls(_, fault)) => fault,
        other => panic!("{other:?}"),
    }
}

/// nginx's word for a session that is not resumed, as a regex.
const FRESH: &str = r"\.";

const BOTH: &str = "TLSv1.2 TLSv1.3";

#[test]
fn a_certificate_is_what_the_trust_says() {
    own_network();
    let kinds = ["good", "address", "expired", "future", "other", "selfsigned"];
    let servers: String = kinds
        .iter()
        .zip(8440..)
        .map(|(kind, port)| server(&format!("{port} ssl"), kind, BOTH))
        .collect();
    let mut nginx = Nginx::start(&servers, certificates);
    let [good, address, expired, future, other, selfsigned] =
        [8440, 8441, 8442, 8443, 8444, 8445].map(|port| nginx.at(port));
    for server in [good, address, expired, future, other, selfsigned] {
        ask(tls(Sni::Off, Trust::Any), server).expect("any will do");
        ask(tls(Sni::Virtualhost, Trust::Any), server).expect("any will do");
        // None of them is by an authority of this machine.
        assert!(tls_fault(ask(tls(Sni::Off, Trust::System), server)).is_distrust());
    }
    let unknown = tls_fault(ask(tls(Sni::Off, Trust::System), good));
    assert!(matches!(unknown, TlsFault::UnknownIssuer), "{unknown}");

    let file = || Trust::File(nginx.dir().join("authority.pem").display().to_string());
    for sni in [Sni::Off, Sni::Virtualhost, Sni::Name(HOST.to_owned())] {
        ask(tls(sni.clone(), file()), good).expect("it is good");
        let fault = tls_fault(ask(tls(sni.clone(), file()), expired));
        assert!(matches!(fault, TlsFault::Expired(1..)), "{fault}");
        let fault = tls_fault(ask(tls(sni.clone(), file()), future));
        assert!(matches!(fault, TlsFault::NotYetValid(1..)), "{fault}");
        let fault = tls_fault(ask(tls(sni.clone(), file()), other));
        assert!(matches!(&fault, TlsFault::WrongName(name) if name == HOST), "{fault}");
        let fault = tls_fault(ask(tls(sni, file()), selfsigned));
        assert!(matches!(fault, TlsFault::UnknownIssuer), "{fault}");
    }
    ask(tls(Sni::Name("other.example.com".to_owned()), file()), other).expect("the name is asked");

    // Without a virtual host, the certificate must be for the address.
    let nameless = |real| {
        let check = Check::new(CheckKind::Http(tls(Sni::Off, file())));
        let prober = Prober::new(&check, real, None).expect("it asks the network");
        block_on(prober.ask())
    };
    nameless(address).expect("it is for the address");
    let fault = tls_fault(nameless(good));
    assert!(matches!(&fault, TlsFault::WrongName(name) if name == "127.0.0.1"), "{fault}");
}

trait Distrust {
    fn is_distrust(&self) -> bool;
}

impl Distrust for TlsFault {
    fn is_distrust(&self) -> bool {
        !matches!(self, Self::NoHttp2 | Self::Broken(_))
    }
}

#[test]
fn the_name_is_sent_where_it_is_to_be_and_both_versions_are_spoken() {
    own_network();
    let servers = [
        server("8440 ssl", "good", "TLSv1.2"),
        server("8441 ssl", "good", "TLSv1.3"),
        server("8442 ssl http2", "good", BOTH),
    ];
    let mut nginx = Nginx::start(&servers.concat(), certificates);
    let file = || Trust::File(nginx.dir().join("authority.pem").display().to_string());
    let trusts = [Trust::Any, file()];
    for (port, version) in [(8440, "TLSv1.2"), (8441, "TLSv1.3")] {
        let address = nginx.at(port);
        for trust in &trusts {
            for (sni, name) in [
                (Sni::Off, ""),
                (Sni::Virtualhost, "www.example.com"),
                (Sni::Name("sub.example.com".to_owned()), "sub.example.com"),
            ] {
                if name == "sub.example.com" && *trust != Trust::Any {
                    continue;
                }
                let said = format!("HTTP/1.0|{version}|{name}|{FRESH}");
                ask(tls_says(sni, trust.clone(), &said), address).expect(&said);
            }
        }
    }
    let two = |trust: &Trust, said: &str| HttpCheck {
        version: HttpVersion::Http2,
        ..tls_says(Sni::Virtualhost, trust.clone(), said)
    };
    for trust in &trusts {
        let said = format!("HTTP/2.0|TLSv1.3|www.example.com|{FRESH}");
        ask(two(trust, &said), nginx.at(8442)).expect("it speaks HTTP/2");
        for port in [8440, 8441] {
            let fault = tls_fault(ask(two(trust, &said), nginx.at(port)));
            assert!(matches!(fault, TlsFault::NoHttp2), "{fault}");
        }
    }
}

/// A resumed session shows no certificate: only who trusts any may resume.
#[test]
fn sessions_are_resumed_only_where_any_certificate_will_do() {
    own_network();
    let cache = "ssl_session_cache shared:SSL:1m;\n";
    let servers = [server("8440 ssl", "good", "TLSv1.2"), server("8441 ssl", "good", "TLSv1.3")];
    let mut nginx = Nginx::start(&format!("{cache}{}", servers.concat()), certificates);
    let file = Trust::File(nginx.dir().join("authority.pem").display().to_string());
    for (port, version) in [(8440, "TLSv1.2"), (8441, "TLSv1.3")] {
        let address = nginx.at(port);
        let said = |reused: &str| format!("HTTP/1.0|{version}|www.example.com|{reused}");
        let prober = |trust: &Trust, reused: &str| {
            let check = tls_says(Sni::Virtualhost, trust.clone(), &said(reused));
            super::prober(check, address, PATIENT)
        };
        // One check, whose pages are asked again and again: the second is asked as the first was.
        let mut pages = pages(saying(&said(FRESH)));
        pages.urls.extend(saying(&said("r")));
        pages.urls.extend(saying(&said("r")));
        let any = TlsCheck { sni: Sni::Virtualhost, trust: Trust::Any };
        ask(over_tls(any, pages), address).expect("the first handshake is the only whole one");
        let verified = prober(&file, FRESH);
        for _ in 0..3 {
            block_on(verified.ask()).expect("each is a whole handshake");
        }
    }
}

/// What is to be trusted can't be read: that says nothing of the real server, and may change.
#[test]
fn a_file_that_is_missing_is_no_verdict_and_may_come() {
    own_network();
    let mut nginx = Nginx::start(&server("8440 ssl", "good", BOTH), certificates);
    let address = nginx.at(8440);
    let late = nginx.dir().join("late.pem");
    let check = tls(Sni::Virtualhost, Trust::File(late.display().to_string()));
    let prober = super::prober(check, address, Duration::from_secs(20));
    let asked = block_on(prober.ask()).expect_err("there is no such file");
    assert!(!asked.is_verdict(), "{asked}");
    assert!(asked.to_string().contains("late.pem"), "{asked}");
    fs::write(&late, "").expect("a file");
    let asked = block_on(prober.ask()).expect_err("there is nothing in it");
    assert!(!asked.is_verdict(), "{asked}");
    fs::copy(nginx.dir().join("authority.pem"), &late).expect("a file");
    block_on(prober.ask()).expect("it has come");
}
