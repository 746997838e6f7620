//! Where questions come from, and what they leave behind, seen from both ends in network
//! namespaces.

mod bed;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use bed::{Bed, CLIENT_IP, CLIENT_IP6, DIRECTOR_IP, block_in_ns, in_ns, ip};
use leasehold_dataplane::health::{CheckError, Prober};
use leasehold_model::{Check, CheckKind, HttpCheck, Source, Url};

/// Longer than any answer takes on a busy machine.
const PATIENT: Duration = Duration::from_secs(20);

fn http() -> CheckKind {
    let url = Url { path: "/".to_owned(), ..Url::default() };
    CheckKind::Http(HttpCheck { urls: vec![url], ..HttpCheck::default() })
}

/// Answers every request at this address in the client's namespace, and tells who asked.
fn listen(bed: &Bed, address: SocketAddr) -> Receiver<SocketAddr> {
    let listener = in_ns(&bed.client, move || TcpListener::bind(address).expect("a free port"));
    let (tell, told) = mpsc::sync_channel(1000);
    thread::spawn(move || {
        // Of the queue, as the connection itself may be gone and nobody's peer.
        while let Ok((mut stream, peer)) = listener.accept() {
            tell.send(peer).expect("a test");
            // A TCP_CHECK sends nothing, and is gone.
            if stream.read(&mut [0; 1024]).is_ok_and(|length| length > 0) {
                stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").expect("a reader");
            }
        }
    });
    told
}

fn ask(bed: &Bed, kind: CheckKind, source: Source, real: SocketAddr) -> Result<(), CheckError> {
    let check = Check { source, connect_timeout_ms: 20_000, ..Check::new(kind) };
    let prober = Prober::new(&check, real, None).expect("it asks the network");
    block_in_ns(&bed.director, move || async move { prober.ask().await })
}

#[test]
fn a_question_comes_from_the_address_and_port_that_it_says() {
    let bed = Bed::new();
    let director = &bed.director;
    ip(&format!("-n {director} addr add 10.77.0.9/24 dev eth0"));
    ip(&format!("-n {director} addr add fd77::9/64 dev eth0 nodad"));
    for (real, first, second) in [
        (IpAddr::from(CLIENT_IP), IpAddr::from(DIRECTOR_IP), "10.77.0.9"),
        (CLIENT_IP6.into(), "fd77::1".parse().expect("an address"), "fd77::9"),
    ] {
        let second: IpAddr = second.parse().expect("an address");
        let real = SocketAddr::new(real, 80);
        let seen = listen(&bed, real);
        for kind in [CheckKind::Tcp, http()] {
            let asked = |bindto, bind_port| {
                let source = Source { bindto, bind_port, ..Source::default() };
                ask(&bed, kind.clone(), source, real).expect("it answers");
                seen.recv_timeout(PATIENT).expect("it was asked")
            };
            assert_eq!(asked(Some(first), None).ip(), first);
            assert_eq!(asked(Some(second), None).ip(), second);
            // The same port again at once: nothing of the connection before is in the way.
            for _ in 0..20 {
                assert_eq!(asked(Some(second), Some(4444)), SocketAddr::new(second, 4444));
            }
            assert_eq!(asked(None, Some(5555)).port(), 5555);
        }
    }
}

#[test]
fn an_address_or_interface_that_is_not_here_is_no_verdict() {
    let bed = Bed::new();
    let real = SocketAddr::new(CLIENT_IP.into(), 80);
    let _seen = listen(&bed, real);
    for source in [
        Source { bindto: Some([10, 77, 0, 250].into()), ..Source::default() },
        Source { bind_if: Some("nosuch0".to_owned()), ..Source::default() },
    ] {
        for kind in [CheckKind::Tcp, http()] {
            let error = ask(&bed, kind, source.clone(), real).expect_err("it is not here");
            assert!(matches!(&error, CheckError::Unknown(at, _) if *at == real), "{error:?}");
        }
    }
}

/// Two ways lead to the real server, and the first is the default: an interface or a mark leads
/// to the second, which the server sees by the address that it is asked from.
#[test]
fn an_interface_or_a_mark_leads_another_way() {
    let bed = Bed::new();
    bed.wire("eth1");
    let (director, client) = (&bed.director, &bed.client);
    ip(&format!("-n {director} addr add 10.78.0.1/24 dev eth1"));
    ip(&format!("-n {client} addr add 10.78.0.2/24 dev eth1"));
    ip(&format!("-n {client} addr add 10.99.0.1/32 dev lo"));
    ip(&format!("-n {director} route add 10.99.0.1 via {CLIENT_IP} dev eth0 metric 10"));
    ip(&format!("-n {director} route add 10.99.0.1 via 10.78.0.2 dev eth1 metric 20"));
    ip(&format!("-n {director} route add 10.99.0.1 via 10.78.0.2 dev eth1 table 100"));
    ip(&format!("-n {director} rule add fwmark 7 lookup 100"));
    let real = SocketAddr::from(([10, 99, 0, 1], 80));
    let seen = listen(&bed, real);
    let (first, second) = (IpAddr::from(DIRECTOR_IP), IpAddr::from([10, 78, 0, 1]));
    for (source, from) in [
        (Source::default(), first),
        (Source { bind_if: Some("eth1".to_owned()), ..Source::default() }, second),
        (Source { bind_if: Some("eth0".to_owned()), ..Source::default() }, first),
        (Source { fwmark: Some(7), ..Source::default() }, second),
        (Source { fwmark: Some(8), ..Source::default() }, first),
    ] {
        for kind in [CheckKind::Tcp, http()] {
            ask(&bed, kind, source.clone(), real).expect("it answers");
            let peer = seen.recv_timeout(PATIENT).expect("it was asked");
            assert_eq!(peer.ip(), from, "{source:?}");
        }
    }
}

/// A network that has no route says so at once: as for keepalived, the real server is down.
#[test]
fn a_real_server_without_a_route_is_down() {
    let bed = Bed::new();
    let real = SocketAddr::from(([192, 0, 2, 1], 80));
    for kind in [CheckKind::Tcp, http()] {
        let error = ask(&bed, kind, Source::default(), real).expect_err("no route");
        assert!(matches!(&error, CheckError::Connect(at, _) if *at == real), "{error:?}");
    }
}

/// The connections of this namespace by their state, without those that listen.
fn connections() -> Vec<String> {
    // Of this thread: the process may be in another namespace.
    let table = std::fs::read_to_string("/proc/thread-self/net/tcp").expect("the kernel's");
    let state = |line: &str| line.split_whitespace().nth(3).map(str::to_owned);
    let mut states: Vec<String> = table.lines().skip(1).filter_map(state).collect();
    states.retain(|state| state != "0A");
    states
}

/// What ends the server of the next test; no request is as short.
const LAST: &[u8] = b"last";

#[test]
fn ten_thousand_checks_leave_nothing_behind() {
    let bed = Bed::new();
    let real = SocketAddr::new(CLIENT_IP.into(), 80);
    let listener = in_ns(&bed.client, move || TcpListener::bind(real).expect("a free port"));
    // HTTP/1.0: the server closes first, which is what leaves TIME_WAIT with it.
    let (tell, told) = mpsc::sync_channel(1);
    let server = thread::spawn(move || {
        let mut answered = 0;
        loop {
            let (mut stream, _) = listener.accept().expect("a connection");
            let asked = stream.read(&mut [0; 1024]).unwrap_or(0);
            if asked == LAST.len() {
                return answered;
            }
            if asked > 0 && stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nwell").is_ok() {
                answered += 1;
            }
            tell.send(()).expect("a test");
        }
    });
    let left = block_in_ns(&bed.director, move || async move {
        let of = |kind| Prober::new(&Check::new(kind), real, None).expect("it asks the network");
        for (prober, times) in [(of(CheckKind::Tcp), 10_000), (of(http()), 1000)] {
            for _ in 0..times {
                prober.ask().await.expect("it is well");
                // In step, or the queue of connections that nobody accepts would be full.
                told.recv_timeout(PATIENT).expect("the server goes on");
            }
        }
        connections()
    });
    assert_eq!(left, Vec::<String>::new(), "with the director");
    let left = in_ns(&bed.client, move || {
        let mut last = std::net::TcpStream::connect(real).expect("it accepts");
        last.write_all(LAST).expect("a reader");
        let answered = server.join().expect("it was asked to end");
        drop(last);
        (answered, connections())
    });
    let (answered, mut left) = left;
    assert_eq!(answered, 1000);
    // The last connection of all is the test's own.
    left.truncate(left.len().saturating_sub(2));
    assert_eq!(left, Vec::<String>::new(), "with the real server");
}
