//! `UDP_CHECK` against servers that answer, refuse, and say nothing, and against ones that no
//! way leads to.

mod bed;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use leasehold_dataplane::health::{CheckError, Prober, UdpError};
use leasehold_model::{Check, CheckKind, DnsCheck, RecordType, UdpCheck, UdpReply};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use bed::{Bed, block_in_ns, ip, run};

fn udp(payload: &[u8], reply: Option<UdpReply>, limit_ms: u32) -> Check {
    let kind = CheckKind::Udp(UdpCheck { payload: payload.to_vec(), reply });
    Check { connect_timeout_ms: limit_ms, ..Check::new(kind) }
}

fn reply(begins: &[Option<u8>], min_length: u32, max_length: u32) -> Option<UdpReply> {
    Some(UdpReply { begins: begins.to_vec(), min_length, max_length })
}

async fn ask(check: &Check, real: SocketAddr) -> Result<(), CheckError> {
    Prober::new(check, real, None).expect("it asks the network").ask().await
}

/// A server that answers with `answers`, and hands back what it was sent.
async fn serve(answers: &'static [&'static [u8]]) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("bound");
    let server = tokio::spawn(async move {
        let mut bytes = vec![0; 0xffff];
        let (length, peer) = socket.recv_from(&mut bytes).await.expect("a datagram");
        for answer in answers {
            socket.send_to(answer, peer).await.expect("somebody listens");
        }
        bytes.truncate(length);
        bytes
    });
    (address, server)
}

#[tokio::test]
async fn a_reply_is_what_is_wanted_or_it_is_told() {
    let begins = [Some(0xa), None, Some(0x0), Some(0x1)];
    let wanted = || udp(b"hello", reply(&begins, 2, 4), 2000);
    let (address, server) = serve(&[b"\xa7\x01xx"]).await;
    ask(&wanted(), address).await.expect("it is as wanted");
    assert_eq!(server.await.expect("a server"), b"hello");

    let (address, _server) = serve(&[b"\xb7\x01xx"]).await;
    let other = ask(&wanted(), address).await.expect_err("it begins otherwise");
    assert_eq!(
        other.to_string(),
        format!("{address} replied with b7017878..., which is not how the reply is to begin")
    );
    // The first reply counts, as in keepalived.
    let (address, _server) = serve(&[b"\xb7\x01xx", b"\xa7\x01xx"]).await;
    ask(&wanted(), address).await.expect_err("it begins otherwise");
    let (address, _server) = serve(&[b"\xa7"]).await;
    let short = ask(&wanted(), address).await;
    assert!(matches!(short, Err(CheckError::Udp(UdpError::Short(_, 2, 1)))), "{short:?}");
    let (address, _server) = serve(&[b"\xa7\x01xxx"]).await;
    let long = ask(&wanted(), address).await;
    assert!(matches!(long, Err(CheckError::Udp(UdpError::Long(_, 4)))), "{long:?}");

    let (address, _server) = serve(&[&[0x55; 60_000]]).await;
    ask(&udp(b"", reply(&[], 60_000, u32::MAX), 2000), address).await.expect("a long one");
}

#[tokio::test]
async fn without_a_reply_to_wait_for_only_a_refusal_is_a_failure() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("bound");
    let begun = Instant::now();
    ask(&udp(b"", None, 200), address).await.expect("nobody said otherwise");
    assert!(begun.elapsed() >= Duration::from_millis(200), "an error could still have come");
    let mut sent = [0; 64];
    let (length, _) = silent.recv_from(&mut sent).await.expect("a datagram");
    assert_eq!(length, 32, "as much as keepalived sends");

    let wanted = udp(b"x", reply(&[], 0, 255), 200);
    let unanswered = ask(&wanted, address).await;
    assert!(matches!(unanswered, Err(CheckError::Silent(..))), "{unanswered:?}");

    drop(silent);
    for check in [udp(b"x", None, 5000), udp(b"x", reply(&[], 0, 255), 5000)] {
        let refused = ask(&check, address).await;
        assert!(matches!(refused, Err(CheckError::Connect(at, _)) if at == address), "{refused:?}");
        assert!(refused.expect_err("refused").is_verdict());
    }

    // Any datagram back ends the wait, whatever is in it.
    let (address, _server) = serve(&[b""]).await;
    let begun = Instant::now();
    ask(&udp(b"x", None, 60_000), address).await.expect("it is there");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn hosts_and_networks_that_nobody_leads_to_are_told_of() {
    let bed = Bed::new();
    let (director, client) = (&bed.director, &bed.client);
    ip(&format!("-n {director} route add 10.88.0.0/16 via 10.77.0.2"));
    ip(&format!("-n {director} -6 route add fd88::/64 via fd77::2"));
    run("ip", &format!("netns exec {client} sysctl -qw net.ipv4.ip_forward=1"));
    run("ip", &format!("netns exec {client} sysctl -qw net.ipv6.conf.all.forwarding=1"));
    ip(&format!("-n {client} route add unreachable 10.88.1.0/24"));
    ip(&format!("-n {client} -6 route add unreachable fd88::/64"));
    // Where the client has no way at all, as to the rest of 10.88, it says that too.
    for real in ["10.88.1.1:53", "10.88.2.1:53", "[fd88::1]:53"] {
        let asked = block_in_ns(director, move || async move {
            ask(&udp(b"x", None, 20_000), real.parse().expect("an address")).await
        });
        let error = asked.expect_err(real);
        assert!(matches!(error, CheckError::Connect(..)) && error.is_verdict(), "{error:?}");
    }
    // The kernel's own neighbour that does not answer.
    let asked = block_in_ns(director, move || async move {
        ask(&udp(b"x", None, 20_000), "10.77.0.77:53".parse().expect("an address")).await
    });
    assert!(matches!(asked, Err(CheckError::Connect(..))), "{asked:?}");
    // What is dropped on the way is not told of.
    run("ip", &format!("netns exec {client} nft add table inet t"));
    run(
        "ip",
        &format!(
            "netns exec {client} nft add chain inet t c {{ type filter hook input priority 0 ; policy drop ; }}"
        ),
    );
    block_in_ns(director, move || async move {
        ask(&udp(b"x", None, 300), "10.77.0.2:53".parse().expect("an address")).await
    })
    .expect("nobody said otherwise");
}

/// In a namespace with one port to ask from, which is taken.
#[test]
fn a_port_that_this_machine_lacks_is_no_verdict() {
    let bed = Bed::new();
    block_in_ns(&bed.director, || async {
        let range = "/proc/sys/net/ipv4/ip_local_port_range";
        std::fs::write(range, "40000 40000").expect("root");
        let _taken = UdpSocket::bind("0.0.0.0:0").await.expect("the one port");
        let real: SocketAddr = "10.77.0.2:53".parse().expect("an address");
        let dns = CheckKind::Dns(DnsCheck { record: RecordType::A, name: "a".to_owned() });
        for check in [udp(b"x", None, 2000), udp(b"x", reply(&[], 0, 9), 2000), Check::new(dns)] {
            let lacking = ask(&check, real).await.expect_err("no port is left");
            assert!(!lacking.is_verdict(), "{lacking:?}");
        }
    });
}
