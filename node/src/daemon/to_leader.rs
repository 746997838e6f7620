//! Calls to whoever leads: over the network, or across this process where this node does.

use leasehold_raft::network::{Channels, Way, tuned};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_model::{Eligibility, Epoch, GroupId, NodeId};
use leasehold_proto::peer::lease_client::LeaseClient;
use leasehold_proto::peer::{LeaseName, ProposeRequest, RenewRequest};
use leasehold_raft::group::Leadership;
use leasehold_raft::state::{Cause, Command};
use tokio::sync::{oneshot, watch};

use super::governor::{Handle, Request};
use crate::Group;

/// Made for one runtime: its channels live where they were first used.
#[derive(Clone)]
pub(crate) struct ToLeader {
    node: NodeId,
    governor: Handle,
    channels: Arc<dyn Channels>,
    leadership: watch::Receiver<Leadership>,
    /// An answer that comes later than this is of no use: another renewal was sent meanwhile.
    limit: Duration,
    /// A connection that gives no sign of life for so long is given up.
    silence: Duration,
    cached: Arc<Mutex<Option<(NodeId, String, Way)>>>,
}

impl ToLeader {
    pub(crate) fn new(
        governor: Handle,
        group: &Group,
        channels: Arc<dyn Channels>,
        limit: Duration,
    ) -> Self {
        let (node, leadership) = (group.node(), group.leadership());
        let silence = group.silence();
        Self { node, governor, channels, leadership, limit, silence, cached: Arc::default() }
    }

    /// The leases that the leader confirms, or nothing where no leader answered in time.
    pub(crate) fn renew(
        &self,
        leases: Vec<(GroupId, Epoch)>,
        programmed: u64,
        eligibility: Eligibility,
    ) -> impl Future<Output = Option<Vec<(GroupId, Epoch)>>> + Send + 'static {
        let this = self.clone();
        async move {
            let (limit, cached) = (this.limit, this.cached.clone());
            let renewed = this.renew_now(leases, programmed, eligibility);
            let answer = tokio::time::timeout(limit, renewed).await;
            if answer.is_err()
                && let Ok(mut cached) = cached.lock()
            {
                // Whatever holds this connection up, a new one has not met it.
                *cached = None;
            }
            answer.ok()?
        }
    }

    async fn renew_now(
        self,
        leases: Vec<(GroupId, Epoch)>,
        programmed: u64,
        eligibility: Eligibility,
    ) -> Option<Vec<(GroupId, Epoch)>> {
        let leader = self.leadership.borrow().clone();
        if leader.is_leader {
            let (answer, good) = oneshot::channel();
            let from = self.node;
            let request = Request::Renew { from, leases, programmed, eligibility, answer };
            self.governor.send(request).await;
            return good.await.ok();
        }
        let request = RenewRequest {
            node: self.node.0,
            leases: leases.into_iter().map(name).collect(),
            programmed_index: programmed,
            eligibility: serde_json::to_vec(&eligibility).ok()?,
        };
        let mut client = LeaseClient::new(self.channel(&leader)?);
        let answer = client.renew(request).await.ok()?.into_inner();
        Some(answer.good.into_iter().map(|one| (GroupId(one.group), Epoch(one.epoch))).collect())
    }

    /// Tells the leader that this node has stopped answering for a lease. The log shows whether
    /// it heard; the holder repeats itself until then.
    pub(crate) fn release(
        &self,
        group: GroupId,
        epoch: Epoch,
        cause: Cause,
    ) -> impl Future<Output = ()> + Send + 'static {
        let this = self.clone();
        async move {
            let limit = this.limit;
            // The holder repeats a release that was not heard.
            let _ = tokio::time::timeout(limit, this.release_now(group, epoch, cause)).await;
        }
    }

    async fn release_now(self, group: GroupId, epoch: Epoch, cause: Cause) -> Option<()> {
        let leader = self.leadership.borrow().clone();
        if leader.is_leader {
            let (answer, done) = oneshot::channel();
            let request = Request::Release { from: self.node, group, epoch, cause, answer };
            self.governor.send(request).await;
            done.await.ok()?.ok()?;
            return Some(());
        }
        let command = Command::Release { group, epoch, next: None, cause };
        let request = ProposeRequest { command: serde_json::to_vec(&command).ok()? };
        LeaseClient::new(self.channel(&leader)?).propose(request).await.ok()?;
        Some(())
    }

    fn channel(&self, leader: &Leadership) -> Option<Way> {
        let (node, address) = (leader.leader?, leader.leader_address.clone()?);
        // Nothing panics while the lock is held.
        let mut cached = self.cached.lock().ok()?;
        if let Some((known, at, channel)) = cached.as_ref()
            && *known == node
            && *at == address
        {
            return Some(channel.clone());
        }
        let endpoint = self.channels.endpoint(node, &address).ok()?;
        let channel = self.channels.connect(node, tuned(endpoint, self.silence));
        *cached = Some((node, address, channel.clone()));
        Some(channel)
    }
}

pub(crate) fn name((group, epoch): (GroupId, Epoch)) -> LeaseName {
    LeaseName { group: group.0, epoch: epoch.0 }
}
