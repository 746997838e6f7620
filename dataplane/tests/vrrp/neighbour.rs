//! Debian's keepalived as the other router: it stays backup while we advertise, takes over when
//! we stop, and we hear it as it hears us.

use std::time::{Duration, SystemTime};

use leasehold_dataplane::vrrp::wire::{
    Advert, Audience, Auth, GROUP4, GROUP6, Heard, Sequence, VrrpVersion, judge, master_down,
};
use leasehold_dataplane::vrrp::{Receiver, Transmitter};
use leasehold_lab::peers::keepalived::Keepalived;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::{Kind, PATIENCE, Wire, block_in, ip};

/// Its own priority.
const THEIRS: u8 = 100;

fn config(kind: &Kind) -> String {
    let advert = &kind.advert;
    let version = match advert.version {
        VrrpVersion::V2 => 2,
        VrrpVersion::V3 => 3,
    };
    let auth = |kind| {
        format!(
            "    authentication {{\n        auth_type {kind}\n        auth_pass secret\n    }}\n"
        )
    };
    let authentication = match advert.auth {
        Auth::None => String::new(),
        Auth::Pass(_) => auth("PASS"),
        Auth::Ah { .. } => auth("AH"),
    };
    let (unicast, source) = (!kind.to.is_multicast(), kind.source);
    let peers = if unicast {
        let own = kind.to;
        format!("    unicast_src_ip {own}\n    unicast_peer {{\n        {source}\n    }}\n")
    } else {
        String::new()
    };
    let seconds = f64::from(advert.interval_ms) / 1000.0;
    let vips: String = advert.addresses.iter().map(|vip| format!("        {vip}\n")).collect();
    format!(
        "global_defs {{\n    vrrp_version {version}\n}}\n\
         vrrp_instance neighbour {{\n    state BACKUP\n    interface eth0\n    \
         virtual_router_id 51\n    priority {THEIRS}\n    advert_int {seconds}\n\
         {authentication}{peers}    virtual_ipaddress {{\n{vips}    }}\n}}\n"
    )
}

/// One director's side of the conversation.
struct Director<'a> {
    kind: &'a Kind,
    transmitter: Transmitter,
    receiver: Receiver,
    sequence: Sequence,
}

impl<'a> Director<'a> {
    fn open(kind: &'a Kind) -> Self {
        let mut receiver = Receiver::open().expect("sockets");
        if kind.to.is_multicast() {
            receiver.join("eth0", kind.to).expect("joined");
        }
        let transmitter = Transmitter::open().expect("sockets");
        Self { kind, transmitter, receiver, sequence: Sequence::default() }
    }

    fn advertise(&mut self, priority: u8) {
        let Kind { advert, source, to, manner, .. } = self.kind;
        let auth = match advert.auth {
            Auth::Ah { key, .. } => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                let now = now.expect("after 1970").as_secs();
                Auth::Ah { key, sequence: self.sequence.next(now).expect("a number") }
            }
            other @ (Auth::None | Auth::Pass(_)) => other,
        };
        let advert = Advert { priority, auth, ..advert.clone() };
        self.transmitter.send("eth0", *source, &[*to], &advert, *manner).expect("sent");
    }

    /// Advertises at the interval for an interval longer than a silent master is waited for.
    async fn hold(&mut self) {
        let period = Duration::from_millis(self.kind.advert.interval_ms.into());
        let until = Instant::now() + period + master_down(self.kind.advert.version, THEIRS, period);
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while ticks.tick().await < until {
            self.advertise(200);
        }
    }

    /// The next advert of the neighbour, as an instance judges it.
    async fn hears(&mut self) -> Advert {
        let mut expected = self.kind.expected();
        if let Audience::Peers(peers) = &mut expected.audience {
            *peers = [self.kind.to].into();
        }
        if let Auth::Ah { key, .. } = expected.auth {
            expected.auth = Auth::Ah { key, sequence: self.sequence.highest() };
        }
        let arrival = timeout(PATIENCE, self.receiver.receive()).await.expect("an advert in time");
        let packet = arrival.expect("a packet").packet.expect("sound");
        match judge(&expected, &packet) {
            Heard::Advert { advert, source, note: None } => {
                let theirs = if source.is_ipv4() { ip("10.78.0.2") } else { ip("fe80::2") };
                assert_eq!(source, theirs);
                if let Auth::Ah { sequence, .. } = advert.auth {
                    self.sequence.hear(sequence);
                }
                advert
            }
            other @ (Heard::Advert { .. } | Heard::Dropped(_)) => panic!("{other:?}"),
        }
    }
}

/// keepalived stays backup, takes over when we stop, is heard, and yields again.
fn converse(kind: &Kind) {
    let wire = Wire::new();
    let theirs = Keepalived::start(&wire.two, &config(kind)).expect("keepalived");
    let line = |after, text: &str, limit| {
        let found = theirs.process().wait_for_line_after(after, text, limit);
        found.unwrap_or_else(|error| panic!("{}: {error}", kind.name))
    };
    block_in(&wire.one, || async {
        let mut director = Director::open(kind);
        line(0, "Entering BACKUP STATE", PATIENCE);
        director.hold().await;
        let output = theirs.process().output();
        let bad = |line: &&String| {
            let line = line.to_lowercase();
            ["master", "invalid", "mismatch", "wrong", "expect", "unknown", "ipsec"]
                .iter()
                .any(|word| line.contains(word))
        };
        assert_eq!(output.iter().find(bad), None, "{}: {output:#?}", kind.name);

        let mark = theirs.process().mark();
        director.advertise(0);
        // Less than the three intervals that it would wait for a master that says nothing.
        let period = Duration::from_millis(kind.advert.interval_ms.into());
        line(mark, "Entering MASTER STATE", 3 * period);
        let heard = director.hears().await;
        let auth = heard.auth;
        assert_eq!(heard, Advert { priority: THEIRS, auth, ..kind.advert.clone() });

        let mark = theirs.process().mark();
        director.advertise(200);
        line(mark, "Entering BACKUP STATE", PATIENCE);
    });
}

fn secret() -> [u8; 8] {
    Auth::padded("secret")
}

#[test]
fn version_two_with_a_password() {
    converse(&Kind::new("v2 PASS", VrrpVersion::V2, Auth::Pass(secret()), GROUP4.into()));
}

#[test]
fn version_two_with_an_authentication_header() {
    let auth = Auth::Ah { key: secret(), sequence: 0 };
    converse(&Kind::new("v2 AH", VrrpVersion::V2, auth, GROUP4.into()));
}

#[test]
fn version_two_with_an_authentication_header_to_a_peer() {
    let auth = Auth::Ah { key: secret(), sequence: 0 };
    converse(&Kind::new("v2 AH unicast", VrrpVersion::V2, auth, ip("10.78.0.2")));
}

#[test]
fn version_three() {
    let mut kind = Kind::new("v3", VrrpVersion::V3, Auth::None, GROUP4.into());
    kind.advert.interval_ms = 700;
    converse(&kind);
}

#[test]
fn version_three_over_ipv6() {
    let mut kind = Kind::new("v3 IPv6", VrrpVersion::V3, Auth::None, GROUP6.into());
    kind.advert.interval_ms = 700;
    converse(&kind);
}

#[test]
fn version_three_to_a_peer() {
    let mut kind = Kind::new("v3 unicast", VrrpVersion::V3, Auth::None, ip("10.78.0.2"));
    kind.advert.interval_ms = 700;
    converse(&kind);
}

#[test]
fn version_three_over_ipv6_to_a_peer() {
    let mut kind = Kind::new("v3 IPv6 unicast", VrrpVersion::V3, Auth::None, ip("fe80::2"));
    kind.advert.interval_ms = 700;
    converse(&kind);
}
