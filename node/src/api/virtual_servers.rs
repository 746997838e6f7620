//! The virtual servers of the status document.

use std::collections::BTreeMap;
use std::sync::Arc;

use leasehold_dataplane::service::{Existing, Health, Key, Load};
use leasehold_model::{
    Config, Forward, Homes, Overrides, RealName, RealServer, Service, TunnelKind, VirtualServer,
};
use leasehold_node_core::real_servers::{Sight, Witness, sight};
use serde_json::{Value, json};

/// What the kernel of this node had at the last look. Empty where it holds nothing.
pub(crate) type Loads = Arc<BTreeMap<Key, Existing>>;

/// What there is to say of virtual servers, and who says it.
pub(super) struct Facts<'a> {
    pub(super) config: &'a Config,
    pub(super) overrides: &'a Overrides,
    /// What this node's checks find.
    pub(super) health: &'a Health,
    pub(super) loads: &'a Loads,
    /// What the checks of each director find, as far as it is known here.
    pub(super) witnesses: &'a [Witness<'a>],
}

pub(super) fn describe(facts: &Facts<'_>) -> Vec<Value> {
    let homes = facts.config.homes();
    facts.config.virtual_servers.iter().map(|one| server(facts, &homes, one)).collect()
}

fn server(facts: &Facts<'_>, homes: &Homes<'_>, server: &VirtualServer) -> Value {
    let entrances = homes.of_server(server);
    let keys: Vec<Key> = entrances.iter().map(|(at, _)| Key::new(*at, server.protocol)).collect();
    let instances: Vec<_> = entrances.iter().filter_map(|(_, instance)| *instance).collect();
    let quorum = facts.health.has_quorum(server);
    let real = |one: &RealServer| real_server(facts, server, one, load(&keys, one, facts.loads));
    let protocol = match server.service {
        Service::Fwmark(_) => "fwmark",
        Service::Address(_) | Service::Group(_) => server.protocol.name(),
    };
    json!({
        "name": server.name(),
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

fn real_server(
    facts: &Facts<'_>,
    server: &VirtualServer,
    real: &RealServer,
    load: Option<Load>,
) -> Value {
    let name = RealName::new(server, real.address);
    let word = facts.overrides.get(&name).copied();
    let effective = facts.health.effective(server, real, facts.overrides);
    let (mut down_for, mut up_for) = (Vec::new(), Vec::new());
    // With ha_suspend one who does not hold it does not look.
    let witnesses = if server.ha_suspend { &[] } else { facts.witnesses };
    for witness in witnesses {
        match sight(witness.down.as_ref(), &name) {
            Sight::Down(why) => down_for.push(json!({ "director": witness.name, "why": why })),
            Sight::Up => up_for.push(witness.name),
            Sight::Unknown => {}
        }
    }
    json!({
        "address": real.address.to_string(),
        "weight": effective.weight,
        "configured_weight": real.weight,
        "state": effective.standing.word(),
        "override": word.map(|word| word.to_string()),
        "down_for": down_for,
        "up_for": up_for,
        "checks": real.checks.len(),
        "forward": forward(real.lb_kind.unwrap_or(server.lb_kind)),
        "active": load.map(|load| load.active),
        "inactive": load.map(|load| load.inactive),
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
