//! What the kernel should have: configuration, leases and health, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_model::{
    Config, Family, Forward, GroupId, Overrides, RealServer, Scheduler, SorryServer, VirtualServer,
};

use crate::health::{Health, Standing};

use super::{Key, Server, Service, Settings, Stickiness};

pub type Table = BTreeMap<Key, Service>;

/// The services of the groups that are open here, as they should be.
///
/// `groups` are the groups of instances, by name.
#[must_use]
pub fn desired(
    config: &Config,
    groups: &BTreeMap<String, GroupId>,
    open: &BTreeSet<GroupId>,
    health: &Health,
    overrides: &Overrides,
) -> Table {
    let mut table = Table::new();
    let homes = config.homes();
    for server in &config.virtual_servers {
        let servers = servers(server, health, overrides);
        let serving: BTreeSet<_> = servers.iter().map(|one| one.address).collect();
        let all = server.real_servers.iter().map(|one| one.address);
        let failed: Vec<_> = all.filter(|address| !serving.contains(address)).collect();
        for (entrance, instance) in homes.of_server(server) {
            let group = instance.and_then(|name| groups.get(name));
            let Some(group) = group.copied().filter(|group| open.contains(group)) else { continue };
            let key = Key::new(entrance, server.protocol);
            let service = Service {
                group,
                settings: settings(server, key.family()),
                servers: servers.clone(),
                failed: failed.clone(),
            };
            table.entry(key).or_insert(service);
        }
    }
    table
}

fn settings(server: &VirtualServer, family: Family) -> Settings {
    let longest = match family {
        Family::Inet => 32,
        Family::Inet6 => 128,
    };
    Settings {
        scheduler: Scheduler::name(server.lb_algo).to_owned(),
        flags: server.flags,
        one_packet: server.ops,
        persistence: server.persistence.as_ref().map(|one| Stickiness {
            timeout_s: one.timeout_s,
            prefix: one.granularity.unwrap_or(longest).min(longest),
            engine: one.engine.clone(),
        }),
    }
}

/// Those that are up; the sorry server instead where too few are. keepalived's `ipvs_cmd` of
/// `ipvswrapper.c`: what goes is taken out, or with `inhibit_on_failure` given weight 0; and that
/// is so of real servers that make room for the sorry server, and with `sorry_server_inhibit` of
/// the sorry server itself.
///
/// One that is drained stays beside the sorry server too: its connections are to end in peace.
fn servers(server: &VirtualServer, health: &Health, overrides: &Overrides) -> Vec<Server> {
    let quorum = health.has_quorum(server);
    let replaced = server.sorry_server.is_some() && !quorum;
    let mut servers: Vec<Server> = server
        .real_servers
        .iter()
        .filter_map(|real| {
            let effective = health.effective(server, real, overrides);
            let drained = effective.standing == Standing::Drained;
            let serves = effective.standing.is_up() && !replaced;
            let weight = if serves { effective.weight } else { 0 };
            let stays = serves || drained || inhibited(server, real);
            stays.then(|| real_server(server, real, weight))
        })
        .collect();
    if let Some(SorryServer { address, lb_kind, inhibit }) = server.sorry_server {
        // It may be one of the real servers: then it serves, and not twice.
        let twice = server.real_servers.iter().any(|one| one.address == address);
        if replaced {
            servers.retain(|one| one.address != address);
        }
        if replaced || inhibit && !twice {
            servers.push(Server {
                address,
                forward: lb_kind.unwrap_or(server.lb_kind),
                weight: u32::from(replaced),
                upper: 0,
                lower: 0,
            });
        }
    }
    servers
}

fn inhibited(server: &VirtualServer, real: &RealServer) -> bool {
    server.inhibit_on_failure || real.inhibit_on_failure
}

fn real_server(server: &VirtualServer, real: &RealServer, weight: u16) -> Server {
    let forward: Forward = real.lb_kind.unwrap_or(server.lb_kind);
    Server {
        address: real.address,
        forward,
        weight: u32::from(weight),
        upper: real.uthreshold,
        lower: real.lthreshold,
    }
}
