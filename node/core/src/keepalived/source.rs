//! The address that a check comes from. In each node's file it is that node's own; here one
//! configuration is every director's, and has no word for an address of each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use leasehold_model::{CheckKind, Source, VirtualServer};

use super::lex::Report;
use super::server::Server;

/// A real server, the number of its check, and 0 for the check itself or the number of its host.
type Place = (SocketAddr, usize, usize);

/// What each file says, without the `bindto` that is not the same in all of them.
pub(super) fn without_own_addresses(
    members: &[&Server],
    report: &mut Report,
) -> Vec<VirtualServer> {
    let mut values: Vec<VirtualServer> = members.iter().map(|one| one.value.clone()).collect();
    let mut said: BTreeMap<Place, BTreeSet<Option<IpAddr>>> = BTreeMap::new();
    for (place, source) in values.iter_mut().flat_map(sources) {
        said.entry(place).or_default().insert(source.bindto);
    }
    said.retain(|_, addresses| addresses.len() > 1);
    if said.is_empty() {
        return values;
    }
    for (place, source) in values.iter_mut().flat_map(sources) {
        if said.contains_key(&place) {
            source.bindto = None;
        }
    }
    let written = members.iter().flat_map(|one| &one.places);
    let mut written = written.filter(|(path, _)| path.iter().any(|step| step == "bindto"));
    let at = written.next().map_or(members[0].at, |(_, at)| *at);
    let message =
        "bindto is another address on each node: the routes decide where checks come from";
    report.warn(
        at,
        message,
        "bind_if, or fwmark with a rule of routing, is the same on every node",
    );
    values
}

fn sources(server: &mut VirtualServer) -> Vec<(Place, &mut Source)> {
    let mut all = Vec::new();
    for real in &mut server.real_servers {
        let address = real.address;
        for (index, check) in real.checks.iter_mut().enumerate() {
            all.push(((address, index, 0), &mut check.source));
            if let CheckKind::Smtp(smtp) = &mut check.kind {
                let hosts = smtp.hosts.iter_mut().enumerate();
                all.extend(hosts.map(|(host, one)| ((address, index, host + 1), &mut one.source)));
            }
        }
    }
    all
}
