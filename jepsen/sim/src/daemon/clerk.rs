//! What a daemon proposes by itself at its start, and what an operator asks of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leasehold_model::{Config, GroupId, NodeId, Role};
use leasehold_raft::Peer;
use leasehold_raft::group::Proposed;
use leasehold_raft::state::{Command, Outcome, State};
use serde_json::json;
use tokio::sync::mpsc;

use super::{Parts, Raft};
use crate::network::address_of;

const PAUSE: Duration = Duration::from_millis(100);
/// The configuration's counter of changes travels where nothing reads it.
const COUNTER: &str = "changes";

/// An operator's wish.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Errand {
    /// One more change of the configuration, on top of the one in force.
    Configure,
    Drain(usize, bool),
    /// Put the group on a host.
    Pin(GroupId, usize),
    /// Hand leadership to the voter that comes next.
    Transfer,
}

/// What the cluster has promised to whoever asked.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The nodes' numbers, by host. Known once a host was admitted.
    pub(crate) nodes: BTreeMap<usize, NodeId>,
    /// Every member votes, and the first configuration is in force.
    pub(crate) formed: bool,
    /// The counters of acknowledged changes.
    pub(crate) acknowledged: BTreeMap<u64, u64>,
}

pub(super) async fn run(parts: Parts, group: Raft, mut errands: mpsc::Receiver<Errand>) {
    if parts.founds {
        while let Err(why) = form(&parts, &group).await {
            parts.world.lock().note(parts.host(), "forming_failed", &json!(why));
            tokio::time::sleep(PAUSE).await;
        }
    }
    tokio::spawn(introduce(parts.clone(), group.clone()));
    while let Some(errand) = errands.recv().await {
        tokio::spawn(carry_out(parts.clone(), group.clone(), errand));
    }
}

/// Tells the log of this start, which ends the leases of earlier ones.
async fn introduce(parts: Parts, group: Raft) {
    let (node, incarnation) = (parts.node, parts.life.1);
    loop {
        let known = group.state().borrow().members.get(&node).map(|one| one.incarnation);
        if known >= Some(incarnation) {
            return;
        }
        if let Ok(proposed) = group.propose(Command::Started { node, incarnation }).await {
            let mut state = group.state();
            if state.wait_for(|state| state.applied >= proposed.index).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn propose(group: &Raft, command: Command) -> Result<Proposed, String> {
    group.propose(command).await.map_err(|error| error.to_string())
}

/// Founds the cluster, admits every other host and makes it a voter.
async fn form(parts: &Parts, group: &Raft) -> Result<(), String> {
    if group.state().borrow().cluster.is_empty() {
        // Founded before, where an earlier attempt came so far.
        drop(group.found().await);
        let (name, address) = ("host-0".to_owned(), address_of(0));
        propose(group, Command::Found { cluster: "simulated".to_owned(), name, address }).await?;
    }
    for host in 1..parts.hosts {
        let name = format!("host-{host}");
        let peer = Peer { name: name.clone(), address: address_of(host) };
        let known = parts.ledger.lock().ok().and_then(|one| one.nodes.get(&host).copied());
        let node = match known {
            Some(node) => node,
            None => {
                let node = admit(group, name, peer.address.clone()).await?;
                parts.ledger.lock().map_err(|_| "the ledger")?.nodes.insert(host, node);
                node
            }
        };
        group.add_learner(node, peer).await.map_err(|error| error.to_string())?;
        group.promote(node).await.map_err(|error| error.to_string())?;
    }
    configure(parts, group).await?;
    parts.ledger.lock().map_err(|_| "the ledger")?.formed = true;
    Ok(())
}

async fn admit(group: &Raft, name: String, address: String) -> Result<NodeId, String> {
    let hash = format!("token-{name}");
    let (role, expires_unix_ms) = (Role::Director, u64::MAX);
    propose(group, Command::AddToken { hash: hash.clone(), role, expires_unix_ms }).await?;
    let admission = propose(group, Command::Admit { token_hash: hash, name, address }).await?;
    let Outcome::Admitted { node, .. } = admission.outcome else {
        return Err(format!("{:?}", admission.outcome));
    };
    Ok(node)
}

async fn carry_out(parts: Parts, group: Raft, errand: Errand) {
    let node = |host: usize| parts.ledger.lock().ok()?.nodes.get(&host).copied();
    let result = match errand {
        Errand::Configure => configure(&parts, &group).await,
        Errand::Drain(host, drained) => match node(host) {
            Some(node) => propose(&group, Command::Drain { node, drained }).await.map(drop),
            None => Ok(()),
        },
        Errand::Pin(on, host) => match node(host) {
            Some(node) => propose(&group, Command::Pin { group: on, node }).await.map(drop),
            None => Ok(()),
        },
        Errand::Transfer => match group.successor() {
            Some(to) => group.transfer_leadership(to).await.map_err(|error| error.to_string()),
            None => Ok(()),
        },
    };
    let told = json!({"errand": format!("{errand:?}"), "refused": result.err()});
    parts.world.lock().note(parts.host(), "errand", &told);
}

/// How many changes `state` has seen.
pub(crate) fn changes(state: &State) -> u64 {
    let counter = state.config.global.router_id.get(COUNTER);
    counter.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Counts up, and moves an address between groups on the way.
async fn configure(parts: &Parts, group: &Raft) -> Result<(), String> {
    let (number, revision) = {
        let state = group.state().borrow().clone();
        (changes(&state) + 1, state.revision)
    };
    let floor = highest(parts);
    let config = Arc::new(document(number)?);
    let command = Command::Apply { config, if_revision: Some(revision), note: None };
    let done = propose(group, command).await?;
    let Outcome::Applied { revision, changed: true } = done.outcome else {
        return Err(format!("{:?}", done.outcome));
    };
    let twice = match parts.ledger.lock() {
        Ok(mut ledger) => ledger.acknowledged.insert(number, revision.0),
        Err(_) => None,
    };
    let mut world = parts.world.lock();
    world.note(parts.host(), "configured", &json!({"number": number, "revision": revision}));
    if let Some(earlier) = twice {
        world.accuse(format!("change {number} was acknowledged at {earlier} and at {revision}"));
    }
    if number <= floor {
        world.accuse(format!("change {number} was acknowledged after change {floor}"));
    }
    Ok(())
}

/// The last change that was acknowledged before now.
fn highest(parts: &Parts) -> u64 {
    let ledger = parts.ledger.lock();
    ledger.ok().and_then(|ledger| ledger.acknowledged.keys().next_back().copied()).unwrap_or(0)
}

/// Three groups with an address each, and a fourth address that goes from one to the next.
fn document(number: u64) -> Result<Config, String> {
    let mut instances = serde_json::Map::new();
    for vrid in 1..=3_u64 {
        let mut vips = vec![vip(vrid)];
        if number % 3 + 1 == vrid {
            vips.push(vip(9));
        }
        instances.insert(
            format!("VI_{vrid}"),
            json!({"virtual_router_id": vrid, "interface": "eth0", "virtual_ipaddress": vips}),
        );
    }
    let text = json!({
        "global": {"router_id": {COUNTER: number.to_string()}},
        "instance": instances,
    });
    serde_json::from_value(text).map_err(|error| error.to_string())
}

fn vip(last: u64) -> serde_json::Value {
    json!({"address": format!("192.0.2.{last}"), "prefix": 32})
}
