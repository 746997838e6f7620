//! Telling the group that a daemon is dead.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// A peer that is up answers a handshake within this.
const HANDSHAKE: Duration = Duration::from_millis(200);

/// Tells every peer at once. Where the daemon led, the first that can be reached is asked to stand
/// for election; the rest would wait until they notice by themselves.
pub(super) async fn tell_peers(data_dir: &Path, charge: &Charge) -> anyhow::Result<()> {
    let (_, identity) = Identity::read(data_dir)?;
    let identity = Arc::new(identity);
    let mut calls = JoinSet::new();
    // Whether somebody was asked already, or nobody has to be.
    let asked = Arc::new(AtomicBool::new(!charge.leading));
    for (peer, address) in charge.peers.iter().cloned() {
        let request = DaemonDiedRequest {
            node: identity.node().0,
            released: charge.leases.iter().copied().map(name).collect(),
            was_leader: charge.leading,
            stand_for_election: false,
        };
        calls.spawn(tell(identity.clone(), peer, address, request, asked.clone()));
    }
    let all = async { while calls.join_next().await.is_some() {} };
    if tokio::time::timeout(LIMIT, all).await.is_err() {
        tracing::warn!("not every peer could be told in {LIMIT:?}");
    }
    Ok(())
}

async fn tell(
    identity: Arc<Identity>,
    peer: NodeId,
    address: String,
    mut request: DaemonDiedRequest,
    asked: Arc<AtomicBool>,
) {
    let told = async {
        let endpoint = identity.endpoint(peer, &address)?.tcp_nodelay(true);
        let channel = tokio::time::timeout(HANDSHAKE, endpoint.connect()).await??;
        // The first to get here.
        request.stand_for_election = !asked.swap(true, Ordering::Relaxed);
        LeaseClient::new(channel).daemon_died(request).await?;
        anyhow::Ok(())
    };
    match told.await {
        Ok(()) => tracing::info!(%peer, "told of the daemon's end"),
        Err(error) => tracing::warn!(%peer, %error, "could not be told of the daemon's end"),
    }
}
