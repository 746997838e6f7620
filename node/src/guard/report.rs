//! Telling the group that a daemon is dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::anyhow;
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

/// What became of telling each peer.
pub(super) type Told = Vec<(NodeId, anyhow::Result<()>)>;

/// Tells every peer at once. Where the daemon led, the first that can be reached is asked to stand
/// for election; the rest would wait until they notice by themselves.
pub(super) async fn tell_peers(identity: Identity, charge: &Charge) -> Told {
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
    let mut told = Told::new();
    let all = async {
        while let Some(done) = calls.join_next().await {
            // A call that panicked told nobody, like one that is still under way at the end.
            told.extend(done.ok());
        }
    };
    let _ = tokio::time::timeout(LIMIT, all).await;
    for (peer, _) in &charge.peers {
        let silent = || Err(anyhow!("no answer within {LIMIT:?}"));
        if !told.iter().any(|(one, _)| one == peer) {
            told.push((*peer, silent()));
        }
    }
    told
}

async fn tell(
    identity: Arc<Identity>,
    peer: NodeId,
    address: String,
    mut request: DaemonDiedRequest,
    asked: Arc<AtomicBool>,
) -> (NodeId, anyhow::Result<()>) {
    let told = async {
        let endpoint = identity.endpoint(peer, &address)?.tcp_nodelay(true);
        let channel = tokio::time::timeout(HANDSHAKE, endpoint.connect()).await??;
        // The first to get here.
        request.stand_for_election = !asked.swap(true, Ordering::Relaxed);
        LeaseClient::new(channel).daemon_died(request).await?;
        anyhow::Ok(())
    };
    (peer, told.await)
}
