//! The requests that make the kernel's services what they should be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use leasehold_model::BootNanos;

use super::drain::Drains;
use super::{Existing, ExistingServer, Key, Server, Service, Settings, Table};

/// Whether something is new to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    New,
    Changed,
}

/// One request to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Service(Put, Key, Settings),
    RemoveService(Key),
    Server(Put, Key, Server),
    RemoveServer(Key, SocketAddr),
}

impl Op {
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Service(_, key, _)
            | Self::RemoveService(key)
            | Self::Server(_, key, _)
            | Self::RemoveServer(key, _) => *key,
        }
    }
}

/// The requests that make `actual` what `desired` says, for the services in `owned` or in
/// `desired`. A service that is neither is someone else's, and is not touched.
///
/// A real server that left the configuration takes no new connection, and goes when `drains`
/// says so. Removals of whole services come last.
#[must_use]
pub fn diff(
    desired: &Table,
    actual: &BTreeMap<Key, Existing>,
    owned: &BTreeSet<Key>,
    drains: &mut Drains,
    now: BootNanos,
    drain_for: Duration,
) -> Vec<Op> {
    let mut ops = Vec::new();
    for (key, service) in desired {
        match actual.get(key) {
            None => {
                ops.push(Op::Service(Put::New, *key, service.settings.clone()));
                let new = |one: &Server| Op::Server(Put::New, *key, *one);
                ops.extend(service.servers.iter().map(new));
            }
            Some(existing) => {
                if existing.settings != service.settings {
                    ops.push(Op::Service(Put::Changed, *key, service.settings.clone()));
                }
                let mut leaves = |one: &ExistingServer| {
                    service.failed.contains(&one.address)
                        || drains.is_over(*key, one.address, one.load, now, drain_for)
                };
                servers(*key, service, existing, &mut leaves, &mut ops);
            }
        }
    }
    drains.finish_pass();
    let gone = |key: &&Key| owned.contains(*key) && !desired.contains_key(*key);
    ops.extend(actual.keys().filter(gone).map(|key| Op::RemoveService(*key)));
    ops
}

/// What is new comes before what is taken away: a service is never without a real server that it
/// could have.
fn servers(
    key: Key,
    service: &Service,
    existing: &Existing,
    leaves: &mut impl FnMut(&ExistingServer) -> bool,
    ops: &mut Vec<Op>,
) {
    let there: BTreeMap<SocketAddr, &ExistingServer> =
        existing.servers.iter().map(|one| (one.address, one)).collect();
    let mut wanted = BTreeSet::new();
    for one in &service.servers {
        wanted.insert(one.address);
        match there.get(&one.address) {
            None => ops.push(Op::Server(Put::New, key, *one)),
            Some(is) if is.is(one) => {}
            Some(_) => ops.push(Op::Server(Put::Changed, key, *one)),
        }
    }
    for one in existing.servers.iter().filter(|one| !wanted.contains(&one.address)) {
        if leaves(one) {
            ops.push(Op::RemoveServer(key, one.address));
        } else if one.weight != 0
            && let Some(forward) = one.forward
        {
            let ExistingServer { address, upper, lower, .. } = *one;
            let silent = Server { address, forward, weight: 0, upper, lower };
            ops.push(Op::Server(Put::Changed, key, silent));
        }
    }
}
