//! The virtual servers of the status document.

use std::collections::BTreeMap;
use std::sync::Arc;

use leasehold_dataplane::service::{Existing, Health, Key, Load};
use leasehold_model::{Config, Forward, RealServer, Service, TunnelKind, VirtualServer};
use serde_json::{Value, json};

/// What the kernel of this node had at the last look. Empty where it holds nothing.
pub(crate) type Loads = Arc<BTreeMap<Key, Existing>>;

pub(super) fn describe(config: &Config, health: &Health, loads: &Loads) -> Vec<Value> {
    config.virtual_servers.iter().map(|one| server(config, one, health, loads)).collect()
}

fn server(config: &Config, server: &VirtualServer, health: &Health, loads: &Loads) -> Value {
    let entrances = config.entrances(server);
    let keys: Vec<Key> = entrances.iter().map(|at| Key::new(*at, server.protocol)).collect();
    let instances: Vec<_> =
        entrances.iter().filter_map(|at| config.instance_for(server, *at)).collect();
    let quorum = health.has_quorum(server);
    let real = |one: &RealServer| {
        let up = health.is_up(server, one);
        let load = load(&keys, one, loads);
        json!({
            "address": one.address.to_string(),
            "weight": one.weight,
            "state": if up { "up" } else { "down" },
            "checks": one.checks.len(),
            "forward": forward(one.lb_kind.unwrap_or(server.lb_kind)),
            "active": load.map(|load| load.active),
            "inactive": load.map(|load| load.inactive),
        })
    };
    let protocol = match server.service {
        Service::Fwmark(_) => "fwmark",
        Service::Address(_) | Service::Group(_) => server.protocol.name(),
    };
    json!({
        "address": address(&server.service),
        "protocol": protocol,
        "instances": dedup(instances),
        "scheduler": server.lb_algo.name(),
        "forward": forward(server.lb_kind),
        "quorum": quorum,
        "sorry_server": server.sorry_server.as_ref().map(|one| json!({
            "address": one.address.to_string(), "serves": !quorum,
        })),
        "real_servers": server.real_servers.iter().map(real).collect::<Vec<_>>(),
    })
}

fn address(service: &Service) -> String {
    match service {
        Service::Address(at) => at.to_string(),
        Service::Fwmark(_) | Service::Group(_) => service.to_string(),
    }
}

pub(crate) fn forward(forward: Forward) -> &'static str {
    match forward {
        Forward::Nat => "NAT",
        Forward::Dr => "DR",
        Forward::Tun(tunnel) => match tunnel.kind {
            TunnelKind::Ipip => "TUN",
            TunnelKind::Gue { .. } => "TUN gue",
            TunnelKind::Gre => "TUN gre",
        },
    }
}

fn dedup(mut names: Vec<&str>) -> Vec<&str> {
    names.dedup();
    names
}

/// The connections by every entrance; absent where none is served here.
fn load(keys: &[Key], real: &RealServer, loads: &Loads) -> Option<Load> {
    let of = |key| loads.get(key)?.servers.iter().find(|one| one.address == real.address);
    let found = keys.iter().filter_map(of).map(|one| one.load);
    found.reduce(|sum, one| Load {
        active: sum.active.saturating_add(one.active),
        inactive: sum.inactive.saturating_add(one.inactive),
    })
}
