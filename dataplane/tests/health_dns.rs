//! `DNS_CHECK` against Debian's nsd, and against servers that answer something else.

use std::net::SocketAddr;

use leasehold_dataplane::health::{CheckError, DnsError, Prober};
use leasehold_lab::Host;
use leasehold_lab::peers::nsd::Nsd;
use leasehold_model::{Check, CheckKind, DnsCheck, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

fn dns(record: RecordType, name: &str) -> Check {
    let kind = CheckKind::Dns(DnsCheck { record, name: name.to_owned() });
    Check { connect_timeout_ms: 2000, ..Check::new(kind) }
}

async fn ask(check: &Check, real: SocketAddr) -> Result<(), CheckError> {
    Prober::new(check, real, None).expect("it asks the network").ask().await
}

/// Asks in a host.
fn ask_in(host: &Host, check: &Check, real: &str) -> Result<(), CheckError> {
    let asked = host.enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let real = real.parse().expect("an address");
        runtime.expect("a runtime").block_on(ask(check, real))
    });
    asked.expect("a namespace")
}

fn code(asked: &Result<(), CheckError>) -> String {
    match asked {
        Err(CheckError::Dns(DnsError::Code(_, code, ..))) => code.to_string(),
        Ok(()) | Err(_) => panic!("{asked:?}"),
    }
}

/// A server that sends `answers(question)` to whoever asks.
async fn serve(
    answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("bound");
    let server = tokio::spawn(async move {
        let mut question = [0; 512];
        let (length, peer) = socket.recv_from(&mut question).await.expect("a question");
        for answer in answers(&question[..length]) {
            socket.send_to(&answer, peer).await.expect("somebody listens");
        }
        // The port stays taken: nobody says that it is not.
        std::future::pending::<()>().await;
    });
    (address, server)
}

/// The question, sent back with these flags.
fn reply(question: &[u8], flags: u16) -> Vec<u8> {
    let mut reply = question.to_vec();
    reply[2..4].copy_from_slice(&flags.to_be_bytes());
    reply
}

#[test]
fn nsd_answers_for_its_zone_and_nobody_once_it_is_gone() {
    let host = Host::new("dns").expect("a host");
    let nsd = Nsd::start(&host).expect("nsd");
    for server in ["127.0.0.1:53", "[::1]:53"] {
        for (record, name) in [
            (RecordType::Soa, "example.com"),
            (RecordType::Soa, "Example.COM."),
            (RecordType::Ns, "example.com"),
            (RecordType::Mx, "example.com"),
            (RecordType::Txt, "example.com"),
            (RecordType::A, "www.example.com"),
            (RecordType::Aaaa, "www.example.com"),
            (RecordType::Cname, "web.example.com"),
            // A name without a record of that type is no error.
            (RecordType::Dnskey, "example.com"),
            (RecordType::Rrsig, "example.com"),
            // Cut off.
            (RecordType::Txt, "big.example.com"),
        ] {
            let asked = ask_in(&host, &dns(record, name), server);
            asked.unwrap_or_else(|error| panic!("{record:?} of {name}: {error}"));
        }
        let none = ask_in(&host, &dns(RecordType::A, "none.example.com"), server);
        assert_eq!(code(&none), "NXDOMAIN");
        // keepalived's default question, to a server that is not for everybody.
        let other = ask_in(&host, &dns(RecordType::Soa, "."), server);
        assert_eq!(code(&other), "REFUSED");
        let said = other.expect_err("refused").to_string();
        assert_eq!(said, format!("{server} answered REFUSED to a question for SOA of ."));
    }
    drop(nsd);
    for server in ["127.0.0.1:53", "[::1]:53"] {
        let refused = ask_in(&host, &dns(RecordType::Soa, "example.com"), server);
        assert!(matches!(refused, Err(CheckError::Connect(..))), "{refused:?}");
    }
}

#[tokio::test]
async fn what_is_not_the_answer_is_passed_over() {
    let (address, _server) = serve(|question| {
        let good = reply(question, 0x8180);
        let mut other_id = reply(question, 0x8183);
        other_id[0] ^= 1;
        let mut other_name = reply(question, 0x8183);
        other_name[13] = b'z';
        let truncated = reply(question, 0x8183)[..20].to_vec();
        vec![
            b"nonsense".to_vec(),
            Vec::new(),
            question.to_vec(),
            other_id,
            other_name,
            truncated,
            good,
        ]
    })
    .await;
    ask(&dns(RecordType::A, "www.example.com"), address).await.expect("the last was good");
}

#[tokio::test]
async fn an_answer_of_another_address_is_none() {
    let stranger = UdpSocket::bind("127.0.0.8:0").await.expect("a port");
    let asked = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = asked.local_addr().expect("bound");
    let server = tokio::spawn(async move {
        let mut question = [0; 512];
        let (length, peer) = asked.recv_from(&mut question).await.expect("a question");
        // Where nobody but the asked one is heard, this is a refused port at the worst.
        let _ = stranger.send_to(&reply(&question[..length], 0x8180), peer).await;
        std::future::pending::<()>().await;
    });
    let short = Check { connect_timeout_ms: 200, ..dns(RecordType::A, "www.example.com") };
    let silent = ask(&short, address).await;
    assert!(matches!(silent, Err(CheckError::Silent(at, _)) if at == address), "{silent:?}");
    server.abort();
}

#[tokio::test]
async fn errors_silence_and_names_that_are_none() {
    for (flags, name) in [(0x8182, "SERVFAIL"), (0x8184, "NOTIMP"), (0x8189, "code 9")] {
        let (address, _server) = serve(move |question| vec![reply(question, flags)]).await;
        assert_eq!(code(&ask(&dns(RecordType::A, "www.example.com"), address).await), name);
    }
    let (address, _server) = serve(|_| vec![b"garbage, garbage, garbage".to_vec()]).await;
    let short = Check { connect_timeout_ms: 100, ..dns(RecordType::A, "www.example.com") };
    let garbage = ask(&short, address).await;
    assert!(matches!(garbage, Err(CheckError::Silent(..))), "{garbage:?}");
    let (address, _server) = serve(|_| Vec::new()).await;
    let silent = ask(&short, address).await;
    assert!(matches!(silent, Err(CheckError::Silent(..))), "{silent:?}");

    let unnamed = ask(&dns(RecordType::A, "www..example.com"), address).await;
    let said = unnamed.expect_err("no name").to_string();
    assert!(said.contains("a part between two dots of `www..example.com` is empty"), "{said}");
}

/// A server that answers the question before: each question has an id and a port of its own.
#[tokio::test]
async fn a_late_answer_answers_nothing_later() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("bound");
    let server = tokio::spawn(async move {
        let mut before: Option<Vec<u8>> = None;
        loop {
            let mut question = [0; 512];
            let (length, peer) = socket.recv_from(&mut question).await.expect("a question");
            if let Some(late) = before.replace(reply(&question[..length], 0x8180)) {
                socket.send_to(&late, peer).await.expect("somebody listens");
            }
        }
    });
    let short = Check { connect_timeout_ms: 100, ..dns(RecordType::A, "www.example.com") };
    for turn in 0..3 {
        let asked = ask(&short, address).await;
        assert!(matches!(asked, Err(CheckError::Silent(..))), "turn {turn}: {asked:?}");
    }
    server.abort();
}
