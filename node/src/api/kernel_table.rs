//! The kernel's table of services, as this node has it now: ours, and anybody else's.

use std::collections::BTreeMap;

use leasehold_dataplane::ipvs::{Ipvs, key};
use leasehold_dataplane::service::Key;
use leasehold_ipvs::{DestinationStatus, Error, Forward, Persistence, ServiceStatus, Stats};
use leasehold_model::Config;
use serde_json::{Value, json};

/// Reads the kernel, which must have IPVS: may take a while where there are thousands.
pub(super) fn read(config: &Config) -> Result<Value, Error> {
    let mut ipvs = Ipvs::open()?;
    let client = ipvs.client();
    let info = client.info()?;
    let (major, minor, patch) = info.version;
    let owners = owners(config);
    let services: Vec<Value> = client
        .table()?
        .iter()
        .map(|(one, destinations)| service(one, destinations, &owners))
        .collect();
    Ok(json!({
        "dataplane": "ipvs",
        "version": format!("{major}.{minor}.{patch}"),
        "connection_table_size": info.table_size,
        "services": services,
    }))
}

/// The instance that each configured service belongs to.
fn owners(config: &Config) -> BTreeMap<Key, &str> {
    let mut owners = BTreeMap::new();
    let homes = config.homes();
    for server in &config.virtual_servers {
        for (entrance, instance) in homes.of_server(server) {
            if let Some(instance) = instance {
                owners.insert(Key::new(entrance, server.protocol), instance);
            }
        }
    }
    owners
}

fn service(
    one: &ServiceStatus,
    destinations: &[DestinationStatus],
    owners: &BTreeMap<Key, &str>,
) -> Value {
    let key = key(one.service.id);
    let (protocol, address) = match key {
        Key::Address { protocol, address, port } => {
            (protocol.name(), std::net::SocketAddr::new(address, port).to_string())
        }
        Key::Fwmark { mark, .. } => ("fwmark", mark.to_string()),
    };
    let flags = one.service.flags;
    let names = [
        (flags.sched_1, "flag-1"),
        (flags.sched_2, "flag-2"),
        (flags.sched_3, "flag-3"),
        (flags.one_packet, "ops"),
    ];
    let flags: Vec<&str> = names.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
    let persistence = one.service.persistence.as_ref().map(|Persistence { timeout, prefix, engine }| {
        json!({ "timeout_s": timeout, "prefix": prefix, "engine": engine })
    });
    json!({
        "ipvsadm": key.to_string(),
        "protocol": protocol,
        "address": address,
        "family": match key.family() {
            leasehold_model::Family::Inet => "inet",
            leasehold_model::Family::Inet6 => "inet6",
        },
        "scheduler": one.service.scheduler,
        "flags": flags,
        "persistence": persistence,
        "instance": owners.get(&key),
        "stats": stats(&one.stats),
        "real_servers": destinations.iter().map(destination).collect::<Vec<_>>(),
    })
}

fn destination(one: &DestinationStatus) -> Value {
    let is = one.destination;
    let forward = match is.forward {
        Forward::Masquerade => "Masq",
        Forward::Direct => "Route",
        Forward::Tunnel(..) => "Tunnel",
        Forward::Local => "Local",
        Forward::Bypass => "Bypass",
        Forward::Other { .. } => "Other",
    };
    json!({
        "address": is.address.to_string(),
        "forward": forward,
        "weight": is.weight,
        "uthreshold": is.upper,
        "lthreshold": is.lower,
        "active": one.active,
        "inactive": one.inactive,
        "persistent": one.persistent,
        "stats": stats(&one.stats),
    })
}

fn stats(stats: &Stats) -> Value {
    json!({
        "connections": stats.connections,
        "in_packets": stats.in_packets,
        "out_packets": stats.out_packets,
        "in_bytes": stats.in_bytes,
        "out_bytes": stats.out_bytes,
        "connections_per_s": stats.connections_per_second,
        "in_packets_per_s": stats.in_packets_per_second,
        "out_packets_per_s": stats.out_packets_per_second,
        "in_bytes_per_s": stats.in_bytes_per_second,
        "out_bytes_per_s": stats.out_bytes_per_second,
    })
}
