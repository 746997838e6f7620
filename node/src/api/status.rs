//! The status document and `explain`.

use std::collections::BTreeMap;

use crate::Group;
use leasehold_dataplane::fence::boot_now;
use leasehold_dataplane::vrrp::wire::Reason;
use leasehold_model::{GroupId, NodeId, Role};
use leasehold_node_core::placement;
use leasehold_node_core::real_servers::{self, Witness};
use leasehold_raft::state::{Lease, State};
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tonic::Status;

use super::control::no_instance;
use super::virtual_servers;
use crate::daemon::director::Seen;
use crate::daemon::governor;
use crate::daemon::lateness::Lateness;
use crate::daemon::lease_thread::OpenLeases;
use crate::daemon::situation::Situation;
use crate::daemon::vrrp_thread::InstanceView;

/// What this node can say of the cluster and of itself.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) node: NodeId,
    pub(crate) group: Group,
    pub(crate) governor: governor::Handle,
    pub(crate) open: watch::Receiver<OpenLeases>,
    pub(crate) lateness: watch::Receiver<Lateness>,
    pub(crate) seen: Seen,
}

impl View {
    pub(crate) fn status(&self) -> Value {
        let state = self.group.state().borrow().clone();
        let leadership = self.group.leadership().borrow().clone();
        let last_leader = leadership.leader.and_then(|id| state.members.get(&id));
        let last_leader = last_leader.map(|one| &one.name);
        let heard_ms = self.group.leader_heard_ago().map(|ago| ago.as_millis());
        let voters = self.group.members().voters;
        let witnesses = self.witnesses(&state);
        let nodes: Vec<_> = state
            .members
            .iter()
            .map(|(id, member)| {
                json!({
                    "id": id, "name": member.name, "address": member.address,
                    "role": member.role, "voter": voters.contains_key(id),
                    "state": self.node_state(*id, member.drained, leadership.is_leader),
                    "drained": member.drained,
                    "real_servers_down": down_count(&witnesses, &member.name),
                })
            })
            .collect();
        // Copies: nobody waits for this to be written out.
        let vrrp = self.seen.vrrp.borrow().clone();
        let instances: Vec<_> = state
            .instances()
            .map(|(name, group, instance, lease)| {
                let vips: Vec<_> = instance
                    .vips()
                    .map(|vip| format!("{}/{}", vip.address, vip.prefix))
                    .collect();
                let (held, left) = self.lease_state(group, lease);
                json!({
                    "name": name, "group": group, "epoch": lease.epoch, "vips": vips,
                    "holder": lease.holder.and_then(|id| state.members.get(&id)).map(|one| &one.name),
                    "state": held, "lease_ms_left": left,
                    "since_unix_ms": lease.since_unix_ms, "cause": lease.cause,
                    "vrrp": vrrp.instances.get(name).map(adverts),
                })
            })
            .collect();
        let health = self.seen.health.borrow().clone();
        let loads = self.seen.loads.borrow().clone();
        let servers = virtual_servers::describe(&virtual_servers::Facts {
            config: &state.config,
            overrides: &state.overrides,
            health: &health,
            loads: &loads,
            witnesses: &witnesses,
        });
        json!({
            "cluster": {
                "id": state.cluster, "leader": last_leader.filter(|_| self.group.has_leader()),
                "last_leader": last_leader, "leader_heard_ms_ago": heard_ms,
                "term": leadership.term, "revision": state.revision, "applied": state.applied,
            },
            "node": { "id": self.node, "lease_thread_late": self.lateness.borrow().json() },
            "nodes": nodes, "instances": instances, "virtual_servers": servers,
            "vrrp_unknown": by_reason(&vrrp.unknown),
        })
    }

    /// What the checks of each director find, as far as it is known here: only the leader hears
    /// the others.
    fn witnesses<'a>(&self, state: &'a State) -> Vec<Witness<'a>> {
        let reports = self.governor.reports();
        let directors = state.members.iter().filter(|(_, one)| one.role == Role::Director);
        let witness = |(id, member): (&NodeId, &'a leasehold_raft::state::Member)| {
            let down = if *id == self.node {
                self.seen.down.borrow().clone()
            } else {
                reports.get(*id).and_then(|one| one.eligibility.down.clone())
            };
            Witness { name: &member.name, down }
        };
        directors.map(witness).collect()
    }

    /// Only the leader hears members; others know of nobody but themselves.
    fn node_state(&self, node: NodeId, drained: bool, leading: bool) -> &'static str {
        let report = self.governor.reports();
        match (drained, node == self.node, leading, report.get(node)) {
            (true, ..) => "drained",
            (false, true, ..) => "up",
            (false, false, true, Some(one)) if one.eligibility.stopping => "stopping",
            (false, false, true, Some(_)) => "up",
            (false, false, true, None) => "silent",
            (false, false, false, _) => "unknown",
        }
    }

    /// The holder itself knows its deadline; others know what the log says.
    fn lease_state(&self, group: GroupId, lease: &Lease) -> (&'static str, Option<u128>) {
        match lease.holder {
            None => ("unassigned", None),
            Some(holder) if holder != self.node => ("assigned", None),
            Some(_) => {
                let open = self.open.borrow();
                let mine = open.get(&group).filter(|one| one.epoch == lease.epoch);
                match mine.map(|one| one.until.since(boot_now())) {
                    Some(left) if !left.is_zero() => ("held", Some(left.as_millis())),
                    Some(_) | None => ("waiting", Some(0)),
                }
            }
        }
    }

    pub(crate) async fn explain(&self, instance: &str) -> Result<(String, String), Status> {
        let state = self.group.state().borrow().clone();
        let Some(group) = state.group_named(instance) else {
            return Err(no_instance(&state, instance));
        };
        let (answer, told) = oneshot::channel();
        self.governor.send(governor::Request::Explain { group, answer }).await;
        let told =
            told.await.map_err(|_| Status::unavailable("this node does not lead any more"))?;
        let disagreements = self.disagreements(&state, group);
        let encoded = serde_json::to_value(&told).and_then(|mut json| {
            json["disagreements"] = serde_json::to_value(&disagreements)?;
            serde_json::to_string(&json)
        });
        let json = encoded
            .map_err(|error| Status::internal(format!("encoding the explanation: {error}")))?;
        Ok((json, told.to_string() + &real_servers::text(&disagreements)))
    }

    /// Where directors do not see the real servers of this group alike.
    fn disagreements(&self, state: &State, group: GroupId) -> Vec<real_servers::Disagreement> {
        let holder = state.leases.get(&group).and_then(|lease| lease.holder);
        let holder = holder.and_then(|id| state.members.get(&id)).map(|one| one.name.as_str());
        let served = |instance: &str| state.groups.get(instance) == Some(&group);
        real_servers::disagreements(&state.config, &self.witnesses(state), holder, served)
    }

    /// Refuses a move that the leader knows to be futile.
    pub(crate) fn can_hold(&self, instance: &str, node: NodeId) -> Result<(), Status> {
        let state = self.group.state().borrow().clone();
        let reports = self.governor.reports();
        let situation = Situation::new(&state, &reports, |_, _| false);
        let (directors, slots) = (situation.directors(), situation.slots());
        let director = directors.iter().find(|one| one.node == node);
        let slot = slots.iter().find(|one| Some(one.group) == state.group_named(instance));
        let (Some(director), Some(slot)) = (director, slot) else {
            return Err(no_instance(&state, instance));
        };
        match placement::standing(director, slot).bars.first() {
            Some(bar) => Err(Status::failed_precondition(format!("{}: {bar}", director.name))),
            None => Ok(()),
        }
    }
}

/// How many real servers a member finds down; absent where it is not known here.
fn down_count(witnesses: &[Witness<'_>], name: &str) -> Option<usize> {
    let down = witnesses.iter().find(|one| one.name == name)?.down.as_ref()?;
    Some(down.named.len() + usize::try_from(down.unnamed).unwrap_or(usize::MAX))
}

/// What this node counted of an instance's adverts.
fn adverts(one: &InstanceView) -> Value {
    json!({
        "sent": one.sent, "heard": one.heard, "dropped": by_reason(&one.dropped),
        "unsent": one.unsent,
        "foreign_master": one.foreign.map(|(source, priority)| {
            json!({ "address": source, "priority": priority })
        }),
    })
}

fn by_reason(counts: &BTreeMap<Reason, u64>) -> Value {
    counts.iter().map(|(reason, count)| (reason.name().to_owned(), json!(count))).collect()
}
