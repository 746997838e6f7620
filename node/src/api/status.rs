//! The status document and `explain`.

use crate::Group;
use leasehold_dataplane::fence::boot_now;
use leasehold_dataplane::service::Health;
use leasehold_model::NodeId;
use leasehold_node_core::placement;
use leasehold_raft::state::Lease;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tonic::Status;

use super::control::no_instance;
use super::virtual_servers::{self, Loads};
use crate::daemon::governor;
use crate::daemon::lease_thread::OpenLeases;
use crate::daemon::situation::Situation;

/// What this node can say of the cluster and of itself.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) node: NodeId,
    pub(crate) group: Group,
    pub(crate) governor: governor::Handle,
    pub(crate) open: watch::Receiver<OpenLeases>,
    pub(crate) lateness: watch::Receiver<u64>,
    pub(crate) health: watch::Receiver<Health>,
    pub(crate) loads: watch::Receiver<Loads>,
}

impl View {
    pub(crate) fn status(&self) -> Value {
        let state = self.group.state().borrow().clone();
        let leadership = self.group.leadership().borrow().clone();
        let leader = leadership.leader.and_then(|id| state.members.get(&id));
        let voters = self.group.members().voters;
        let nodes: Vec<_> = state
            .members
            .iter()
            .map(|(id, member)| {
                json!({
                    "id": id, "name": member.name, "address": member.address,
                    "role": member.role, "voter": voters.contains_key(id),
                    "state": self.node_state(*id, member.drained, leadership.is_leader),
                    "drained": member.drained,
                })
            })
            .collect();
        let instances: Vec<_> = state
            .instances()
            .map(|(name, group, instance, lease)| {
                let vips: Vec<_> = instance
                    .virtual_ipaddress
                    .iter()
                    .map(|vip| format!("{}/{}", vip.address, vip.prefix))
                    .collect();
                let (held, left) = self.lease_state(group, lease);
                json!({
                    "name": name, "group": group, "epoch": lease.epoch, "vips": vips,
                    "holder": lease.holder.and_then(|id| state.members.get(&id)).map(|one| &one.name),
                    "state": held, "lease_ms_left": left,
                    "since_unix_ms": lease.since_unix_ms, "cause": lease.cause,
                })
            })
            .collect();
        // Copies: nobody waits for this to be written out.
        let (health, loads) = (self.health.borrow().clone(), self.loads.borrow().clone());
        let servers = virtual_servers::describe(&state.config, &health, &loads);
        json!({
            "cluster": {
                "id": state.cluster, "leader": leader.map(|one| &one.name),
                "term": leadership.term, "revision": state.revision, "applied": state.applied,
            },
            "node": { "id": self.node, "lease_thread_max_late_ns": *self.lateness.borrow() },
            "nodes": nodes, "instances": instances, "virtual_servers": servers,
        })
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
    fn lease_state(
        &self,
        group: leasehold_model::GroupId,
        lease: &Lease,
    ) -> (&'static str, Option<u128>) {
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
        let Some(group) = state.groups.get(instance).copied() else {
            return Err(no_instance(&state, instance));
        };
        let (answer, told) = oneshot::channel();
        self.governor.send(governor::Request::Explain { group, answer }).await;
        let told =
            told.await.map_err(|_| Status::unavailable("this node does not lead any more"))?;
        let json = serde_json::to_string(&told)
            .map_err(|error| Status::internal(format!("encoding the explanation: {error}")))?;
        Ok((json, told.to_string()))
    }

    /// Refuses a move that the leader knows to be futile.
    pub(crate) fn can_hold(&self, instance: &str, node: NodeId) -> Result<(), Status> {
        let state = self.group.state().borrow().clone();
        let reports = self.governor.reports();
        let situation = Situation::new(&state, &reports, |_, _| false);
        let (directors, slots) = (situation.directors(), situation.slots());
        let director = directors.iter().find(|one| one.node == node);
        let slot = slots.iter().find(|one| one.name == instance);
        let (Some(director), Some(slot)) = (director, slot) else {
            return Err(no_instance(&state, instance));
        };
        match placement::standing(director, slot).bars.first() {
            Some(bar) => Err(Status::failed_precondition(format!("{}: {bar}", director.name))),
            None => Ok(()),
        }
    }
}
