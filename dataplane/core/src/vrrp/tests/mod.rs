//! Adverts by hand, by keepalived, by chance, and in every way broken.

mod golden;
mod judging;
mod property;
mod router;
mod timing;

use std::net::IpAddr;

use super::{Advert, Audience, Auth, Envelope, Expected, Received, VrrpVersion, encode};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The advert of virtual router 51 for these addresses, every second.
fn advert(version: VrrpVersion, auth: Auth, addresses: &[&str]) -> Advert {
    let addresses = addresses.iter().map(|text| ip(text)).collect();
    Advert { version, vrid: 51, priority: 255, interval_ms: 1000, addresses, auth }
}

fn envelope(source: &str, destination: &str) -> Envelope {
    Envelope {
        source: ip(source),
        destination: ip(destination),
        ttl: 255,
        id: 1,
        checksum_as_v2: false,
    }
}

/// What the other side's socket yields.
fn arrived(bytes: Vec<u8>, envelope: &Envelope) -> Received {
    match (envelope.source, envelope.destination) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Received::ipv6(source, destination, envelope.ttl, bytes)
        }
        (IpAddr::V4(_), _) | (_, IpAddr::V4(_)) => Received::ipv4(bytes).unwrap(),
    }
}

fn sent(advert: &Advert, envelope: &Envelope) -> Received {
    arrived(encode(advert, envelope).unwrap(), envelope)
}

/// What an instance with this advert's settings expects.
fn expected(advert: &Advert, envelope: &Envelope) -> Expected {
    let audience = if envelope.destination.is_multicast() {
        Audience::Group(envelope.destination)
    } else {
        Audience::Peers([envelope.source].into())
    };
    let auth = match advert.auth {
        Auth::Ah { key, sequence } => Auth::Ah { key, sequence: sequence.saturating_sub(1) },
        other @ (Auth::None | Auth::Pass(_)) => other,
    };
    Expected {
        version: advert.version,
        vrid: advert.vrid,
        auth,
        interval_ms: advert.interval_ms,
        addresses: advert.addresses.iter().copied().collect(),
        audience,
        checksum_as_v2: envelope.checksum_as_v2,
    }
}
