//! A director's daemon: the product's consensus, store and lease protocol in a shell of ours.
//!
//! The shell stands in for `node`'s lease thread and governor, in their order of steps, and for
//! its services; what it calls is the product.

mod calls;
mod clerk;
mod governor;
mod holding;
mod placing;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use leasehold_model::NodeId;
use leasehold_proto::peer::lease_server::LeaseServer;
use leasehold_raft::group::{Group, GroupSettings};
use leasehold_raft::lease::Timing;
use leasehold_raft::network::{Channels, RaftService};
use leasehold_raft::store::{self, StateMachine};
use serde_json::json;
use tokio::sync::mpsc;

pub(crate) use calls::Caller;
pub(crate) use clerk::{Errand, Ledger};

use crate::disk::{Disk, Paced};
use crate::network::{Life, Network, Wires, address_of};
use crate::plant::Plant;
use crate::world::Shared;

pub(crate) type Raft = Group<StateMachine>;

/// Requests that may wait for the governor.
const QUEUE: usize = 1024;

/// The services of one life, as the network finds them.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) raft: RaftService<StateMachine>,
    pub(crate) lease: LeaseServer<calls::Lease>,
}

/// What a life is made of.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) life: Life,
    pub(crate) node: NodeId,
    pub(crate) hosts: usize,
    /// The cluster is to be founded here.
    pub(crate) founds: bool,
    pub(crate) timing: Timing,
    pub(crate) plant: Option<Plant>,
    pub(crate) disk: Disk,
    pub(crate) dir: PathBuf,
    pub(crate) world: Shared,
    pub(crate) network: Network,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    /// Filled once the daemon serves.
    pub(crate) services: Arc<Mutex<Option<Services>>>,
    pub(crate) ended: Arc<Mutex<Option<String>>>,
}

impl Parts {
    fn host(&self) -> usize {
        self.life.0
    }
}

/// Runs until consensus dies; a crash drops it with its runtime.
pub(crate) async fn run(parts: Parts, errands: mpsc::Receiver<Errand>) {
    let why = match serve(&parts, errands).await {
        Ok(why) | Err(why) => why,
    };
    // Where its files are is no part of what happened.
    let why = why.replace(&parts.dir.display().to_string(), "DIR");
    parts.world.lock().note(parts.host(), "daemon_ends", &json!(why));
    *parts.ended.lock().expect("nothing that holds this lock panics") = Some(why);
}

async fn serve(parts: &Parts, errands: mpsc::Receiver<Errand>) -> Result<String, String> {
    let opened = store::open_on(Box::new(parts.disk.clone()), &parts.dir);
    let (opened, writer) = opened.map_err(|error| error.to_string())?;
    tokio::spawn(Paced::new(writer, parts.disk.clone()));
    let timing = parts.timing;
    let settings = GroupSettings {
        node: parts.node,
        name: format!("host-{}", parts.host()),
        address: address_of(parts.host()),
        heartbeat: timing.heartbeat,
        election_min: timing.election_min,
        election_max: timing.election_max,
    };
    let wires = Wires { life: parts.life, network: parts.network.clone() };
    let group = Raft::start(settings, opened, Arc::new(wires) as Arc<dyn Channels>);
    let group = group.await.map_err(|error| error.to_string())?;
    let (governor, queue) = mpsc::channel(QUEUE);
    *parts.services.lock().expect("nothing that holds this lock panics") = Some(Services {
        raft: group.raft_service(Some(Arc::new(calls::caller))),
        lease: LeaseServer::new(calls::Lease { group: group.clone(), governor: governor.clone() }),
    });
    tokio::spawn(governor::run(parts.clone(), group.clone(), queue));
    tokio::spawn(holding::run(parts.clone(), group.clone(), governor));
    tokio::spawn(clerk::run(parts.clone(), group.clone(), errands));
    Ok(group.fatal().await)
}
