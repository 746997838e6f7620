//! What the kernel should have: configuration, leases and health, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_model::{
    Config, Family, Forward, GroupId, RealServer, Scheduler, SorryServer, VirtualServer,
};

use super::health::Health;
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
) -> Table {
    let mut table = Table::new();
    for server in &config.virtual_servers {
        let servers = servers(server, health);
        let failed: Vec<_> = server
            .real_servers
            .iter()
            .map(|one| one.address)
            .filter(|address| !servers.iter().any(|one| one.address == *address))
            .collect();
        for entrance in config.entrances(server) {
            let group = config.instance_for(server, entrance).and_then(|name| groups.get(name));
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

/// Every service that the configuration has, whoever serves it: ours to remove elsewhere.
#[must_use]
pub fn configured(config: &Config) -> BTreeSet<Key> {
    let all = config.virtual_servers.iter().flat_map(|server| {
        let entrances = config.entrances(server).into_iter();
        entrances.map(|entrance| Key::new(entrance, server.protocol))
    });
    all.collect()
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

/// Those that are up; the sorry server instead where too few are.
fn servers(server: &VirtualServer, health: &Health) -> Vec<Server> {
    let sorry = server.sorry_server.as_ref().filter(|_| !health.has_quorum(server));
    let mut servers: Vec<Server> = server
        .real_servers
        .iter()
        .filter_map(|real| {
            let wanted = real_server(server, real);
            let silent = Server { weight: 0, ..wanted };
            match (sorry, health.is_up(server, real)) {
                (None, true) => Some(wanted),
                (None, false) => inhibited(server, real).then_some(silent),
                (Some(sorry), true) => sorry.inhibit.then_some(silent),
                (Some(sorry), false) => {
                    (sorry.inhibit || inhibited(server, real)).then_some(silent)
                }
            }
        })
        .collect();
    if let Some(SorryServer { address, lb_kind, .. }) = sorry {
        // It may be one of the real servers: then it serves, and not twice.
        servers.retain(|one| one.address != *address);
        servers.push(Server {
            address: *address,
            forward: lb_kind.unwrap_or(server.lb_kind),
            weight: 1,
            upper: 0,
            lower: 0,
        });
    }
    servers
}

fn inhibited(server: &VirtualServer, real: &RealServer) -> bool {
    server.inhibit_on_failure || real.inhibit_on_failure
}

fn real_server(server: &VirtualServer, real: &RealServer) -> Server {
    let forward: Forward = real.lb_kind.unwrap_or(server.lb_kind);
    Server {
        address: real.address,
        forward,
        weight: u32::from(real.weight),
        upper: real.uthreshold,
        lower: real.lthreshold,
    }
}
