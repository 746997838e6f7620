//! The lease protocol's network side.

use crate::Group;
use std::time::Duration;

use leasehold_model::{Eligibility, Epoch, GroupId, NodeId};
use leasehold_proto::peer::lease_server::Lease;
use leasehold_proto::peer::{
    DaemonDiedRequest, DaemonDiedResponse, LastAcknowledgedRequest, LastAcknowledgedResponse,
    LeaseName, ProposeRequest, ProposeResponse, RenewRequest, RenewResponse,
};
use leasehold_raft::state::{Command, Outcome};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use super::serve::member;
use crate::daemon::governor::{self, Refusal};
use crate::daemon::to_leader::name;

/// A guard's report waits so long for a leader to be elected.
const LEADER_WAIT: Duration = Duration::from_secs(5);

pub(crate) struct LeaseService {
    pub(crate) group: Group,
    pub(crate) governor: governor::Handle,
}

#[tonic::async_trait]
impl Lease for LeaseService {
    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let from = member(&request)?;
        let request = request.into_inner();
        if from != NodeId(request.node) {
            return Err(Status::permission_denied("a node renews its own leases only"));
        }
        let eligibility: Eligibility = parse(&request.eligibility)?;
        let (answer, good) = oneshot::channel();
        self.governor
            .send(governor::Request::Renew {
                from,
                leases: request.leases.iter().map(pair).collect(),
                programmed: request.programmed_index,
                eligibility,
                answer,
            })
            .await;
        let good = good.await.map_err(|_| Status::unavailable("this node does not lead"))?;
        Ok(Response::new(RenewResponse { good: good.into_iter().map(name).collect() }))
    }

    async fn propose(
        &self,
        request: Request<ProposeRequest>,
    ) -> Result<Response<ProposeResponse>, Status> {
        let from = member(&request)?;
        let command: Command = parse(&request.into_inner().command)?;
        // A release ends renewals from the moment it arrives, so it goes by way of the governor.
        let (outcome, log_index) = if let Command::Release { group, epoch, cause, .. } = command {
            let (answer, done) = oneshot::channel();
            let release = governor::Request::Release { from, group, epoch, cause, answer };
            self.governor.send(release).await;
            match done.await {
                Ok(Ok(index)) => (Outcome::Done, index),
                Ok(Err(Refusal::Stale)) => (Outcome::Stale, 0),
                Ok(Err(Refusal::Failed(why))) => return Err(Status::unavailable(why)),
                Err(_) => return Err(Status::unavailable("this node does not lead")),
            }
        } else {
            let proposed = self.group.propose_local(command).await;
            let proposed = proposed.map_err(Status::from)?;
            (proposed.outcome, proposed.index)
        };
        let outcome = serde_json::to_vec(&outcome)
            .map_err(|error| Status::internal(format!("encoding the outcome: {error}")))?;
        Ok(Response::new(ProposeResponse { outcome, log_index }))
    }

    async fn last_acknowledged(
        &self,
        request: Request<LastAcknowledgedRequest>,
    ) -> Result<Response<LastAcknowledgedResponse>, Status> {
        member(&request)?;
        let ago = self.group.last_acknowledged(&request.into_inner().vote)?;
        let ago_nanos = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
        Ok(Response::new(LastAcknowledgedResponse { ago_nanos }))
    }

    async fn daemon_died(
        &self,
        request: Request<DaemonDiedRequest>,
    ) -> Result<Response<DaemonDiedResponse>, Status> {
        let from = member(&request)?;
        let request = request.into_inner();
        if from != NodeId(request.node) {
            return Err(Status::permission_denied("a guard speaks for its own daemon only"));
        }
        tracing::warn!(node = %from, leases = request.released.len(), "a guard ended its daemon");
        let mut leadership = self.group.leadership();
        let died = |leadership: &leasehold_raft::group::Leadership| {
            leadership.leader.is_some_and(|leader| leader != from)
        };
        if request.stand_for_election && !died(&leadership.borrow()) {
            let group = self.group.clone();
            tokio::spawn(async move {
                if let Err(error) = group.stand_for_election().await {
                    tracing::info!(%error, "not elected in the dead leader's place");
                }
            });
        }
        let leases = request.released.iter().map(pair).collect();
        let settled = leadership.wait_for(died);
        let settled = tokio::time::timeout(LEADER_WAIT, settled).await;
        // Every peer was told: the one that leads does what is to be done.
        let leads = settled.is_ok_and(|now| now.is_ok_and(|now| now.is_leader));
        if leads {
            self.governor.send(governor::Request::Died { node: from, leases }).await;
        }
        Ok(Response::new(DaemonDiedResponse {}))
    }
}

fn pair(name: &LeaseName) -> (GroupId, Epoch) {
    (GroupId(name.group), Epoch(name.epoch))
}

fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Status> {
    serde_json::from_slice(bytes)
        .map_err(|error| Status::invalid_argument(format!("not what this version speaks: {error}")))
}
