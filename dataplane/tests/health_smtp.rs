//! `SMTP_CHECK` against Debian's exim, and against servers that get each step wrong.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use leasehold_dataplane::health::{CheckError, Prober, SmtpError};
use leasehold_lab::Host;
use leasehold_lab::peers::exim::Exim;
use leasehold_model::{Check, CheckKind, SmtpCheck, SmtpHost, Source};
use socket2::SockRef;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const LIMIT: Duration = Duration::from_secs(2);

fn smtp(helo_name: &str, hosts: &[SocketAddr]) -> Check {
    let host = |connect: &SocketAddr| SmtpHost { connect: *connect, source: Source::default() };
    let hosts = hosts.iter().map(host).collect();
    let kind = CheckKind::Smtp(SmtpCheck { helo_name: helo_name.to_owned(), hosts });
    Check { connect_timeout_ms: 2000, ..Check::new(kind) }
}

async fn ask(check: &Check, real: SocketAddr) -> Result<(), CheckError> {
    Prober::new(check, real, None).expect("it asks the network").ask().await
}

/// What a server sends: first of all, and then after each line that it hears.
type Says = Vec<&'static [u8]>;

/// A server for one connection; hands back what it heard, and from whom.
async fn serve(says: Says, pause: Duration) -> (SocketAddr, JoinHandle<(IpAddr, Vec<String>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = tokio::spawn(async move {
        let (stream, peer) = listener.accept().await.expect("a connection");
        let mut stream = BufReader::new(stream);
        let mut heard = Vec::new();
        for packets in says {
            let mut clock = tokio::time::interval(pause.max(Duration::from_millis(1)));
            clock.tick().await;
            // A NUL is where one packet ends and another begins.
            for packet in packets.split(|byte| *byte == 0) {
                clock.tick().await;
                if stream.write_all(packet).await.is_err() {
                    break;
                }
            }
            let mut line = String::new();
            match stream.read_line(&mut line).await {
                Ok(length) if length > 0 => heard.push(line),
                Ok(_) | Err(_) => break,
            }
        }
        (peer.ip(), heard)
    });
    (address, server)
}

async fn told(says: &[&'static [u8]]) -> Result<(), CheckError> {
    let (address, _server) = serve(says.to_vec(), Duration::ZERO).await;
    ask(&smtp("lb.example.com", &[]), address).await
}

fn text(asked: &Result<(), CheckError>) -> String {
    let error = asked.as_ref().expect_err("it is not well");
    assert!(error.is_verdict(), "{error:?}");
    let said = error.to_string();
    // Whose it is, which each begins with.
    said.split_once(": ").expect("whose it is").1.to_owned()
}

#[test]
fn exim_greets_in_two_lines_and_is_well_until_it_ends() {
    let host = Host::new("mail").expect("a host");
    let exim = Exim::start(&host).expect("exim");
    let ask_at = |address: &'static str, helo: &'static str| {
        let asked = host.enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let address = address.parse().expect("an address");
            runtime.expect("a runtime").block_on(ask(&smtp(helo, &[]), address))
        });
        asked.expect("a namespace")
    };
    for address in ["127.0.0.1:25", "[::1]:25"] {
        ask_at(address, "lb.example.com").expect("it is well");
        let refused = ask_at(address, "bad.example.com");
        assert_eq!(text(&refused), "its reply to HELO is `550 not you`, and 250 is wanted");
        let refused = ask_at(address, "no name at all");
        assert!(text(&refused).starts_with("its reply to HELO is `501 "), "{refused:?}");
    }
    drop(exim);
    let refused = ask_at("127.0.0.1:25", "lb.example.com");
    assert!(matches!(refused, Err(CheckError::Connect(..))), "{refused:?}");
}

#[tokio::test]
async fn the_conversation_is_keepalived_s() {
    let says: Says = vec![b"220 mx1\r\n", b"250 hello\r\n", b"221 bye\r\n"];
    let (address, server) = serve(says, Duration::ZERO).await;
    ask(&smtp("lb.example.com", &[]), address).await.expect("it is well");
    let (_, heard) = server.await.expect("a server");
    assert_eq!(heard, ["HELO lb.example.com\r\n", "QUIT\r\n"]);

    for says in [
        // Cut into packets, of several lines, and with bare line feeds.
        [b"2\x002\x000 mx1\x00\r\x00\n".as_slice(), b"250\r\n", b"221 bye\n"],
        [
            b"220-mx1\r\n\x00220\x00-\r\n220 go\r\n",
            b"250-a\r\n250-b\r\n250 c\r\n",
            b"221-\r\n221\r\n",
        ],
        // Its word on QUIT does not matter.
        [b"220 mx1\r\n", b"250 hello\r\n", b"500 no such command\r\n"],
    ] {
        told(&says).await.expect("it is well");
    }
}

#[tokio::test]
async fn a_wrong_answer_is_told_with_its_step() {
    let long = [b"220 ".as_slice(), &[b'x'; 600]].concat();
    let long: &'static [u8] = Box::leak(long.into_boxed_slice());
    for (says, why) in [
        (vec![b"554 no\r\n".as_slice()], "its greeting is `554 no`, and 220 is wanted"),
        (vec![b"250 hello\r\n"], "its greeting is `250 hello`, and 220 is wanted"),
        (
            vec![b"220 mx1\r\n", b"421-busy\r\n421 later\r\n"],
            "its reply to HELO is `421-busy`, and 250 is wanted",
        ),
        (
            vec![b"HTTP/1.1 400 Bad Request\r\n"],
            "its greeting is `HTTP/1.1 400 Bad Request`, which is no reply of SMTP",
        ),
        (
            vec![b"220 mx1\r\n", b"\x16\x03\x01\r\n"],
            "its reply to HELO is `\\u{16}\\u{3}\\u{1}`, which is no reply of SMTP",
        ),
        (
            vec![b"220 mx1\r\n", b"250 ok\r\n", b"bye\r\n"],
            "its reply to QUIT is `bye`, which is no reply of SMTP",
        ),
    ] {
        assert_eq!(text(&told(&says).await), why);
    }
    let asked = told(&[long]).await;
    assert!(text(&asked).starts_with("its greeting is a line of more than 512 bytes"), "{asked:?}");
}

#[tokio::test]
async fn an_end_is_told_with_its_step_and_so_is_a_reset() {
    let ended: [(Says, &str); 3] = [
        (vec![], "it closed the connection before its greeting was whole"),
        (vec![b"220 mx1\r\n"], "it closed the connection before its reply to HELO was whole"),
        (
            vec![b"220 mx1\r\n", b"250 ok\r\n"],
            "it closed the connection before its reply to QUIT was whole",
        ),
    ];
    for (says, why) in ended {
        assert_eq!(text(&told(&says).await), why);
    }

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
    });
    let reset = ask(&smtp("lb", &[]), address).await;
    assert!(matches!(reset, Err(CheckError::Smtp(SmtpError::Broken(..)))), "{reset:?}");
    assert!(text(&reset).starts_with("no greeting: Connection reset"), "{reset:?}");
    let refused = ask(&smtp("lb", &[]), address).await;
    assert!(matches!(refused, Err(CheckError::Connect(at, _)) if at == address), "{refused:?}");
}

#[tokio::test]
async fn silence_is_told_with_its_step_and_what_there_was() {
    let silences: [(Says, &str); 4] = [
        (vec![b""], "no whole greeting within 100ms"),
        (vec![b"220 mx1\r\n", b""], "no whole reply to HELO within 100ms"),
        (vec![b"220 mx1\r\n", b"250 ok\r\n", b""], "no whole reply to QUIT within 100ms"),
        (vec![b"220-mx1\r\n220 and th"], "no whole greeting within 100ms, only `220 and th`"),
    ];
    for (says, why) in silences {
        let (address, _server) = serve(says, Duration::ZERO).await;
        let short = Check { connect_timeout_ms: 100, ..smtp("lb", &[]) };
        assert_eq!(text(&ask(&short, address).await), why);
    }
}

#[tokio::test]
async fn the_time_is_for_each_whole_reply() {
    // Each reply takes almost half of it, and the three together more than one may.
    let says: Says = vec![b"220 mx1\r\n", b"250 hello\r\n", b"221 bye\r\n"];
    let (address, _server) = serve(says, LIMIT.mul_f64(0.45)).await;
    ask(&smtp("lb", &[]), address).await.expect("each was in time");
    // Something comes all the time, but never a whole line.
    let drops: Says = vec![b"2\x002\x000\x00 \x00m\x00x\x001\x00 \x00g\x00o\x00\r\n"];
    let (address, _server) = serve(drops, Duration::from_millis(100)).await;
    let short = Check { connect_timeout_ms: 400, ..smtp("lb", &[]) };
    let slow = ask(&short, address).await;
    assert!(matches!(slow, Err(CheckError::Smtp(SmtpError::Silent(..)))), "{slow:?}");
}

#[tokio::test]
async fn every_host_must_answer_each_asked_from_where_it_says() {
    let good = || -> Says { vec![b"220 mx1\r\n", b"250 hello\r\n", b"221 bye\r\n"] };
    let (first, one) = serve(good(), Duration::ZERO).await;
    let (second, two) = serve(good(), Duration::ZERO).await;
    let mut check = smtp("lb", &[first, second]);
    let CheckKind::Smtp(kind) = &mut check.kind else { panic!("it is one") };
    kind.hosts[1].source.bindto = Some("127.0.0.7".parse().expect("an address"));
    // Nobody listens at the real server's own address, and nobody asks there.
    let real = "127.0.0.1:1".parse().expect("an address");
    ask(&check, real).await.expect("both are well");
    assert_eq!(one.await.expect("a server").0.to_string(), "127.0.0.1");
    assert_eq!(two.await.expect("a server").0.to_string(), "127.0.0.7");

    let (first, _one) = serve(good(), Duration::ZERO).await;
    let (second, _two) = serve(vec![b"554 no\r\n"], Duration::ZERO).await;
    let asked = ask(&smtp("lb", &[first, second]), real).await;
    let Err(CheckError::Smtp(SmtpError::Status(at, ..))) = asked else { panic!("{asked:?}") };
    assert_eq!(at, second);
}
