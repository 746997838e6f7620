//! The lease protocol's service, and the calls to whoever leads.

use std::future::Future;
use std::time::Duration;

use leasehold_model::{Eligibility, Epoch, GroupId, NodeId};
use leasehold_proto::peer::lease_client::LeaseClient;
use leasehold_proto::peer::{
    DaemonDiedRequest, DaemonDiedResponse, LastAcknowledgedRequest, LastAcknowledgedResponse,
    LeaseName, ProposeRequest, ProposeResponse, RenewRequest, RenewResponse, lease_server,
};
use leasehold_raft::group::Leadership;
use leasehold_raft::state::{Cause, Command, Outcome};
use tokio::sync::{mpsc, oneshot};
use tonic::{Extensions, Request, Response, Status};

use super::Raft;
use super::governor::{Request as Asked, RequestSender};

/// Who calls; the network knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller(pub(crate) NodeId);

pub(super) fn caller(extensions: &Extensions) -> Result<NodeId, Status> {
    let caller = extensions.get::<Caller>();
    caller.map(|one| one.0).ok_or_else(|| Status::permission_denied("nobody called"))
}

const LEADER_WAIT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct Lease {
    pub(super) group: Raft,
    pub(super) governor: mpsc::Sender<Asked>,
}

pub(super) type Leases = Vec<(GroupId, Epoch)>;

fn name((group, epoch): (GroupId, Epoch)) -> LeaseName {
    LeaseName { group: group.0, epoch: epoch.0 }
}

fn pair(name: &LeaseName) -> (GroupId, Epoch) {
    (GroupId(name.group), Epoch(name.epoch))
}

fn parse<T: for<'a> serde::Deserialize<'a>>(bytes: &[u8]) -> Result<T, Status> {
    serde_json::from_slice(bytes).map_err(|error| Status::invalid_argument(error.to_string()))
}

#[tonic::async_trait]
impl lease_server::Lease for Lease {
    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let from = caller(request.extensions())?;
        let request = request.into_inner();
        let eligibility: Eligibility = parse(&request.eligibility)?;
        let (answer, good) = oneshot::channel();
        let asked = Asked::Renew {
            from,
            leases: request.leases.iter().map(pair).collect(),
            programmed: request.programmed_index,
            eligibility,
            answer,
        };
        self.governor.tell(asked).await;
        let good = good.await.map_err(|_| Status::unavailable("this node does not lead"))?;
        Ok(Response::new(RenewResponse { good: good.into_iter().map(name).collect() }))
    }

    async fn propose(
        &self,
        request: Request<ProposeRequest>,
    ) -> Result<Response<ProposeResponse>, Status> {
        let from = caller(request.extensions())?;
        let command: Command = parse(&request.into_inner().command)?;
        let (outcome, log_index) = if let Command::Release { group, epoch, cause, .. } = command {
            let (answer, done) = oneshot::channel();
            self.governor
                .tell(Asked::Release { from, group, epoch, cause, answer: Some(answer) })
                .await;
            match done.await {
                Ok(Some(index)) => (Outcome::Done, index),
                Ok(None) => (Outcome::Stale, 0),
                Err(_) => return Err(Status::unavailable("this node does not lead")),
            }
        } else {
            let proposed = self.group.propose_local(command).await.map_err(Status::from)?;
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
        let ago = self.group.last_acknowledged(&request.into_inner().vote)?;
        let ago_nanos = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
        Ok(Response::new(LastAcknowledgedResponse { ago_nanos }))
    }

    async fn daemon_died(
        &self,
        request: Request<DaemonDiedRequest>,
    ) -> Result<Response<DaemonDiedResponse>, Status> {
        let from = caller(request.extensions())?;
        let request = request.into_inner();
        let mut leadership = self.group.leadership();
        let died = |now: &Leadership| now.leader.is_some_and(|leader| leader != from);
        if request.stand_for_election && !died(&leadership.borrow()) {
            let group = self.group.clone();
            // Where it fails, elections go their usual way.
            tokio::spawn(async move { drop(group.stand_for_election().await) });
        }
        let settled = tokio::time::timeout(LEADER_WAIT, leadership.wait_for(died)).await;
        if settled.is_ok_and(|now| now.is_ok_and(|now| now.is_leader)) {
            let leases = request.released.iter().map(pair).collect();
            self.governor.tell(Asked::Died { node: from, leases }).await;
        }
        Ok(Response::new(DaemonDiedResponse {}))
    }
}

/// The way to the leader: across this process where this node leads.
#[derive(Clone)]
pub(super) struct ToLeader {
    pub(super) node: NodeId,
    pub(super) group: Raft,
    pub(super) governor: mpsc::Sender<Asked>,
    pub(super) limit: Duration,
}

impl ToLeader {
    /// The leases that the leader confirms, or nothing where none answered in time.
    pub(super) fn renew(
        &self,
        leases: Leases,
        programmed: u64,
    ) -> impl Future<Output = Option<Leases>> + Send + 'static {
        let this = self.clone();
        async move {
            tokio::time::timeout(this.limit, this.clone().renew_now(leases, programmed))
                .await
                .ok()?
        }
    }

    async fn renew_now(self, leases: Leases, programmed: u64) -> Option<Leases> {
        let eligibility =
            Eligibility { interfaces_up: ["eth0".to_owned()].into(), ..Eligibility::default() };
        let leader = self.group.leadership().borrow().clone();
        if leader.is_leader {
            let (answer, good) = oneshot::channel();
            let from = self.node;
            self.governor
                .tell(Asked::Renew { from, leases, programmed, eligibility, answer })
                .await;
            return good.await.ok();
        }
        let request = RenewRequest {
            node: self.node.0,
            leases: leases.into_iter().map(name).collect(),
            programmed_index: programmed,
            eligibility: serde_json::to_vec(&eligibility).ok()?,
        };
        let answer = self.client(&leader)?.renew(request).await.ok()?.into_inner();
        Some(answer.good.iter().map(pair).collect())
    }

    pub(super) fn release(
        &self,
        group: GroupId,
        epoch: Epoch,
    ) -> impl Future<Output = ()> + Send + 'static {
        let this = self.clone();
        async move {
            let released = this.clone().release_now(group, epoch);
            // The holder repeats a release that was not heard.
            drop(tokio::time::timeout(this.limit, released).await);
        }
    }

    async fn release_now(self, group: GroupId, epoch: Epoch) -> Option<()> {
        let cause = Cause::Stopped;
        let leader = self.group.leadership().borrow().clone();
        if leader.is_leader {
            let (answer, done) = oneshot::channel();
            let from = self.node;
            self.governor
                .tell(Asked::Release { from, group, epoch, cause, answer: Some(answer) })
                .await;
            return done.await.ok().map(drop);
        }
        let command = Command::Release { group, epoch, next: None, cause };
        let request = ProposeRequest { command: serde_json::to_vec(&command).ok()? };
        self.client(&leader)?.propose(request).await.ok().map(drop)
    }

    fn client(&self, leader: &Leadership) -> Option<LeaseClient<leasehold_raft::network::Way>> {
        let (node, address) = (leader.leader?, leader.leader_address.as_ref()?);
        Some(LeaseClient::new(self.group.lease_channel(node, address).ok()?))
    }
}
