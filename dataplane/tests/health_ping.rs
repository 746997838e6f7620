//! `PING_CHECK` over both kinds of socket: answered, dropped, unreachable, and a thousand at once.

mod bed;

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;

use leasehold_dataplane::health::{CheckError, Prober};
use leasehold_model::{Check, CheckKind, Source};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::task::JoinSet;

use bed::{Bed, block_in_ns, in_ns, ip, run};

const ADDRESSES: [&str; 2] = ["10.77.0.2:0", "[fd77::2]:80"];

/// Who may have sockets for datagrams of ICMP, in the director's namespace.
const NOBODY: &str = "1 0";
const ALL: &str = "0 2147483647";

fn ping(limit_ms: u32) -> Check {
    Check { connect_timeout_ms: limit_ms, ..Check::new(CheckKind::Ping) }
}

async fn ask(check: &Check, real: SocketAddr) -> Result<(), CheckError> {
    Prober::new(check, real, None).expect("it asks the network").ask().await
}

fn in_client(bed: &Bed, words: &str) {
    run("ip", &format!("netns exec {} {words}", bed.client));
}

/// Lets `who` have datagram sockets. The rest have raw ones.
fn allow(bed: &Bed, who: &'static str) {
    let written = move || std::fs::write("/proc/sys/net/ipv4/ping_group_range", who);
    bed.on_director(written).expect("root");
}

/// Asks once from the director.
fn asked(bed: &Bed, real: &str, check: Check) -> Result<(), CheckError> {
    let real: SocketAddr = real.parse().expect("an address");
    block_in_ns(&bed.director, move || async move { ask(&check, real).await })
}

#[test]
fn an_echo_comes_back_or_is_dropped_or_can_not_get_there() {
    let bed = Bed::new();
    let director = &bed.director;
    ip(&format!("-n {director} route add 10.88.0.0/16 via 10.77.0.2"));
    ip(&format!("-n {director} -6 route add fd88::/64 via fd77::2"));
    in_client(&bed, "sysctl -qw net.ipv4.ip_forward=1");
    in_client(&bed, "sysctl -qw net.ipv6.conf.all.forwarding=1");
    ip(&format!("-n {} route add unreachable 10.88.0.0/16", bed.client));
    ip(&format!("-n {} -6 route add unreachable fd88::/64", bed.client));
    for who in [NOBODY, ALL] {
        allow(&bed, who);
        for real in ADDRESSES {
            let answered = asked(&bed, real, ping(5000));
            answered.unwrap_or_else(|error| panic!("{real}, {who}: {error}"));
        }
        for real in ["10.88.1.1:80", "[fd88::1]:80"] {
            let unreachable = asked(&bed, real, ping(20_000)).expect_err("no way leads there");
            let told = matches!(&unreachable, CheckError::Connect(..)) && unreachable.is_verdict();
            assert!(told, "{real}, {who}: {unreachable:?}");
        }
    }
    in_client(&bed, "nft add table inet t");
    in_client(&bed, "nft add chain inet t c { type filter hook input priority 0 ; }");
    in_client(&bed, "nft add rule inet t c icmp type echo-request drop");
    in_client(&bed, "nft add rule inet t c icmpv6 type echo-request drop");
    for who in [NOBODY, ALL] {
        allow(&bed, who);
        for real in ADDRESSES {
            let silent = asked(&bed, real, ping(200));
            assert!(matches!(silent, Err(CheckError::Silent(..))), "{real}, {who}: {silent:?}");
        }
    }
}

/// Half of them ask one who answers, and half one who does not, all at the same time.
#[test]
fn a_thousand_at_once_do_not_take_each_other_s_replies() {
    let bed = Bed::new();
    let client = &bed.client;
    ip(&format!("-n {client} addr add 10.77.0.3/24 dev eth0"));
    ip(&format!("-n {client} addr add fd77::3/64 dev eth0 nodad"));
    in_client(&bed, "nft add table inet t");
    in_client(&bed, "nft add chain inet t c { type filter hook input priority 0 ; }");
    in_client(&bed, "nft add rule inet t c ip daddr 10.77.0.3 drop");
    in_client(&bed, "nft add rule inet t c ip6 daddr fd77::3 icmpv6 type echo-request drop");
    // By default it answers a thousand a second, and fifty at once.
    in_client(&bed, "sysctl -qw net.ipv4.icmp_msgs_per_sec=100000");
    in_client(&bed, "sysctl -qw net.ipv4.icmp_msgs_burst=10000");
    in_client(&bed, "sysctl -qw net.ipv4.icmp_ratelimit=0");
    in_client(&bed, "sysctl -qw net.ipv6.icmp.ratelimit=0");
    for who in [NOBODY, ALL] {
        allow(&bed, who);
        for (good, bad) in [("10.77.0.2:80", "10.77.0.3:80"), ("[fd77::2]:80", "[fd77::3]:80")] {
            let (good, bad): (SocketAddr, SocketAddr) =
                (good.parse().expect("an address"), bad.parse().expect("an address"));
            let wrong = block_in_ns(&bed.director, move || async move {
                let mut all = JoinSet::new();
                for nth in 0..1000 {
                    let real = if nth % 2 == 0 { good } else { bad };
                    all.spawn(async move { (real == good, ask(&ping(5000), real).await) });
                }
                let all = all.join_all().await;
                assert_eq!(all.len(), 1000);
                let wrong = all.into_iter().filter(|(good, asked)| match asked {
                    Ok(()) => !good,
                    Err(CheckError::Silent(..)) => *good,
                    Err(_) => true,
                });
                wrong.collect::<Vec<_>>()
            });
            assert!(wrong.is_empty(), "{who}, {good}: {} as {:?}", wrong.len(), wrong.first());
        }
    }
}

/// Echo replies that nobody asked for, with every identifier that there is.
#[test]
fn what_is_no_reply_to_the_question_is_passed_over() {
    let bed = Bed::new();
    in_client(&bed, "sysctl -qw net.ipv4.icmp_echo_ignore_all=1");
    let liar = Liar::start(&bed, |identifier| {
        let [high, low] = identifier.to_be_bytes();
        let header = [0, 0, 0, 0, high, low, 0, 7];
        [header.as_slice(), &[0; 16]].concat()
    });
    for who in [NOBODY, ALL] {
        allow(&bed, who);
        let silent = asked(&bed, "10.77.0.2:80", ping(500));
        assert!(matches!(silent, Err(CheckError::Silent(..))), "{who}: {silent:?}");
    }
    assert!(liar.stop() > 10_000, "it got through the identifiers");
}

/// Errors that quote somebody else's requests to the same address, as a traceroute has them.
#[test]
fn errors_of_others_requests_are_passed_over() {
    let bed = Bed::new();
    ip(&format!("-n {} route add 10.88.0.0/16 via 10.77.0.2", bed.director));
    let liar = Liar::start(&bed, |identifier| {
        let [high, low] = identifier.to_be_bytes();
        // A host that can't be reached, and the header and echo that could not reach it.
        let mut error = vec![3, 1, 0, 0, 0, 0, 0, 0, 0x45, 0, 0, 44, 0, 1, 0, 0, 64, 1, 0, 0];
        error.extend([10, 77, 0, 1, 10, 88, 1, 1]);
        // Its sequence is another's than ours, but for one in 65536.
        error.extend([8, 0, 0, 0, high, low, 0, 7]);
        error
    });
    // A raw socket hears of all of them; to the other kind the kernel gives only its own.
    allow(&bed, NOBODY);
    let silent = asked(&bed, "10.88.1.1:80", ping(500));
    assert!(matches!(silent, Err(CheckError::Silent(..))), "{silent:?}");
    assert!(liar.stop() > 1000, "it lied all the time");
}

/// Sends messages of ICMP from the client to the director, one for each identifier, over and
/// over.
struct Liar {
    stop: mpsc::SyncSender<()>,
    thread: JoinHandle<usize>,
}

impl Liar {
    fn start(bed: &Bed, lie: impl Fn(u16) -> Vec<u8> + Send + 'static) -> Self {
        let (stop, stopped) = mpsc::sync_channel(1);
        let client = bed.client.clone();
        let (begin, begun) = mpsc::sync_channel(1);
        let send = move || {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4));
            let socket = socket.expect("root");
            let director: SocketAddr = "10.77.0.1:0".parse().expect("an address");
            let mut sent = 0;
            for identifier in (0..=u16::MAX).cycle() {
                let mut message = lie(identifier);
                let sum = checksum(&message);
                message[2..4].copy_from_slice(&sum.to_be_bytes());
                sent += usize::from(socket.send_to(&message, &director.into()).is_ok());
                let _ = begin.try_send(());
                if stopped.try_recv() == Err(mpsc::TryRecvError::Disconnected) {
                    break;
                }
            }
            sent
        };
        let thread = std::thread::spawn(move || in_ns(&client, send));
        begun.recv().expect("it lies");
        Self { stop, thread }
    }

    /// How many it sent.
    fn stop(self) -> usize {
        drop(self.stop);
        self.thread.join().expect("a liar")
    }
}

fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.as_chunks::<2>().0.iter().map(|two| u32::from(u16::from_be_bytes(*two)));
    let sum: u32 = words.sum();
    !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap_or(u16::MAX)
}

#[test]
fn it_asks_from_where_the_check_says() {
    let bed = Bed::new();
    ip(&format!("-n {} addr add 10.77.0.9/24 dev eth0", bed.director));
    in_client(&bed, "nft add table inet t");
    in_client(&bed, "nft add chain inet t c { type filter hook input priority 0 ; }");
    in_client(&bed, "nft add rule inet t c icmp type echo-request ip saddr != 10.77.0.9 drop");
    for who in [NOBODY, ALL] {
        allow(&bed, who);
        let from = |bindto: Option<&str>| {
            let bindto = bindto.map(|one| one.parse().expect("an address"));
            // A port means nothing here.
            let source = Source { bindto, bind_port: Some(9), ..Source::default() };
            asked(&bed, "10.77.0.2:80", Check { source, ..ping(500) })
        };
        from(Some("10.77.0.9")).unwrap_or_else(|error| panic!("{who}: {error}"));
        let other = from(None);
        assert!(matches!(other, Err(CheckError::Silent(..))), "{who}: {other:?}");
        let nobody = from(Some("10.77.0.99")).expect_err("it is not our address");
        assert!(!nobody.is_verdict(), "{who}: {nobody:?}");
    }
}
