//! Telling the group that a daemon is dead.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use leasehold_model::NodeId;
use leasehold_proto::peer::DaemonDiedRequest;
use leasehold_proto::peer::lease_client::LeaseClient;
use leasehold_raft::identity::Identity;
use tokio::task::JoinSet;

use crate::daemon::to_leader::name;
use crate::guard_message::Charge;

/// After this, the group has noticed by itself.
const LIMIT: Duration = Duration::from_secs(5);

/// Tells every peer at once, and asks one after another to stand for election where the daemon
/// led. Returns when all have answered or the time is up.
pub(super) async fn tell_peers(data_dir: &Path, charge: &Charge) -> anyhow::Result<()> {
    let (_, identity) = Identity::read(data_dir)?;
    let identity = Arc::new(identity);
    let mut calls = JoinSet::new();
    for (rank, (peer, address)) in charge.peers.iter().enumerate() {
        let request = DaemonDiedRequest {
            node: identity.node().0,
            released: charge.leases.iter().copied().map(name).collect(),
            was_leader: charge.leading,
            // One at once; the rest stand when their own time-outs say so.
            stand_for_election: charge.leading && rank == 0,
        };
        calls.spawn(tell(identity.clone(), *peer, address.clone(), request));
    }
    let all = async { while calls.join_next().await.is_some() {} };
    if tokio::time::timeout(LIMIT, all).await.is_err() {
        tracing::warn!("not every peer could be told in {LIMIT:?}");
    }
    Ok(())
}

async fn tell(identity: Arc<Identity>, peer: NodeId, address: String, request: DaemonDiedRequest) {
    let told = async {
        let channel = identity.endpoint(peer, &address)?.connect().await?;
        LeaseClient::new(channel).daemon_died(request).await?;
        anyhow::Ok(())
    };
    match told.await {
        Ok(()) => tracing::info!(%peer, "told of the daemon's end"),
        Err(error) => tracing::warn!(%peer, %error, "could not be told of the daemon's end"),
    }
}
