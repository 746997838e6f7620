//! Adverts between hosts: sent and heard by our own sockets, dissected by tshark, and believed by
//! Debian's keepalived.

mod bed;
#[path = "vrrp/between.rs"]
mod between;
#[path = "vrrp/dissect.rs"]
mod dissect;
#[path = "vrrp/neighbour.rs"]
mod neighbour;

use std::net::IpAddr;
use std::time::Duration;

use leasehold_dataplane::vrrp::Manner;
use leasehold_dataplane::vrrp::wire::{
    Advert, Audience, Auth, Expected, GROUP4, GROUP6, VrrpVersion,
};
use leasehold_lab::{Host, Lan};

/// Longer than any of this takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two hosts on one wire.
struct Wire {
    _lan: Lan,
    one: Host,
    two: Host,
}

impl Wire {
    /// `10.78.0.1` and `10.78.0.2`, with link-local addresses that are as short.
    fn new() -> Self {
        let lan = Lan::new("vrrp", "10.78.0.0/24", None).expect("a bridge");
        let host = |name, nth| {
            let host = Host::new(name).expect("a namespace");
            lan.attach(&host, "eth0", nth).expect("a port");
            host.add_address("eth0", &format!("fe80::{nth}/64")).expect("an address");
            host
        };
        let (one, two) = (host("one", 1), host("two", 2));
        Self { _lan: lan, one, two }
    }
}

/// One kind of advert, with what is around it.
#[derive(Clone, Debug)]
struct Kind {
    name: &'static str,
    advert: Advert,
    source: IpAddr,
    to: IpAddr,
    manner: Manner,
}

impl Kind {
    /// From host one, for the VIP of its family.
    fn new(name: &'static str, version: VrrpVersion, auth: Auth, to: IpAddr) -> Self {
        let vip = if to.is_ipv4() { "10.78.0.100" } else { "fe80::100" };
        let source = if to.is_ipv4() { "10.78.0.1" } else { "fe80::1" };
        let advert = Advert {
            version,
            vrid: 51,
            priority: 200,
            interval_ms: 1000,
            addresses: vec![ip(vip)],
            auth,
        };
        Self { name, advert, source: ip(source), to, manner: Manner::default() }
    }

    /// Every kind that there is.
    fn all() -> Vec<Self> {
        let secret = Auth::padded("secret");
        let (pass, ah) = (Auth::Pass(secret), Auth::Ah { key: secret, sequence: 1_700_000_000 });
        let (group, group6) = (GROUP4.into(), GROUP6.into());
        let (peer, peer6) = (ip("10.78.0.2"), ip("fe80::2"));
        let (v2, v3) = (VrrpVersion::V2, VrrpVersion::V3);
        let mut all = vec![
            Self::new("v2", v2, Auth::None, group),
            Self::new("v2 PASS", v2, pass, group),
            Self::new("v2 AH", v2, ah, group),
            Self::new("v3", v3, Auth::None, group),
            Self::new("v3 IPv6", v3, Auth::None, group6),
            Self::new("v2 unicast", v2, Auth::None, peer),
            Self::new("v2 AH unicast", v2, ah, peer),
            Self::new("v3 unicast", v3, Auth::None, peer),
            Self::new("v3 IPv6 unicast", v3, Auth::None, peer6),
        ];
        let mut last = Self::new("priority 0", v3, Auth::None, group);
        last.advert.priority = 0;
        let mut fast = Self::new("many addresses, 10 ms", v3, Auth::None, group);
        fast.advert.interval_ms = 10;
        fast.advert.addresses = (1..=255).map(|nth| ip(&format!("10.79.0.{nth}"))).collect();
        let mut far = Self::new("unicast_ttl", v3, Auth::None, peer);
        far.manner.ttl = 64;
        let mut far6 = Self::new("unicast_ttl IPv6", v3, Auth::None, peer6);
        far6.manner.ttl = 64;
        all.extend([last, fast, far, far6]);
        all
    }

    /// What the other side's instance expects.
    fn expected(&self) -> Expected {
        let audience = if self.to.is_multicast() {
            Audience::Group(self.to)
        } else {
            Audience::Peers([self.source].into())
        };
        let auth = match self.advert.auth {
            Auth::Ah { key, .. } => Auth::Ah { key, sequence: 0 },
            other @ (Auth::None | Auth::Pass(_)) => other,
        };
        Expected {
            version: self.advert.version,
            vrid: self.advert.vrid,
            auth,
            interval_ms: self.advert.interval_ms,
            addresses: self.advert.addresses.iter().copied().collect(),
            audience,
            checksum_as_v2: self.manner.checksum_as_v2,
        }
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Runs a future to its end on a current-thread runtime in `host`.
fn block_in<T: Send, F: Future<Output = T>>(host: &Host, future: impl FnOnce() -> F + Send) -> T {
    let inside = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(future())
    };
    host.enter(inside).expect("a thread in the host")
}
