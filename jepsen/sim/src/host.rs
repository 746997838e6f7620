//! One host: a clock, a disk, a kernel, and a daemon that may be running, stopped or dead.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use leasehold_model::NodeId;
use leasehold_raft::lease::Timing;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tonic::body::Body;
use tower::Service;

use crate::daemon::{self, Caller, Errand, Ledger, Parts, Services};
use crate::disk::Disk;
use crate::network::{Answer, Call, Life, Network};
use crate::plant::Plant;
use crate::sys::set_now;
use crate::world::Shared;

/// How often a daemon's tasks get their turn in one tick. What is left over runs in the next.
const TURNS: usize = 6;
const ERRANDS: usize = 64;

/// What all hosts share.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) hosts: usize,
    pub(crate) timing: Timing,
    pub(crate) plant: Option<Plant>,
    pub(crate) world: Shared,
    pub(crate) network: Network,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
}

struct Daemon {
    runtime: Runtime,
    errands: mpsc::Sender<Errand>,
    services: Arc<Mutex<Option<Services>>>,
    ended: Arc<Mutex<Option<String>>>,
}

pub(crate) struct Host {
    pub(crate) index: usize,
    site: Site,
    pub(crate) disk: Disk,
    dir: PathBuf,
    lives: u64,
    daemon: Option<Daemon>,
    /// Its processes are stopped until this instant of the simulation.
    pub(crate) frozen_until: Option<u64>,
    /// It starts again at this instant.
    pub(crate) starts_at: Option<u64>,
    /// No power: not even a kernel that refuses connections.
    pub(crate) dark: bool,
    /// Calls that arrived while its processes were stopped.
    held_up: Vec<Call>,
}

impl Host {
    pub(crate) fn new(index: usize, site: Site, disk: Disk, dir: PathBuf) -> Self {
        Self {
            index,
            site,
            disk,
            dir,
            lives: 0,
            daemon: None,
            frozen_until: None,
            starts_at: None,
            dark: false,
            held_up: Vec::new(),
        }
    }

    pub(crate) fn life(&self) -> Life {
        (self.index, self.lives)
    }

    pub(crate) fn runs(&self) -> bool {
        self.daemon.is_some()
    }

    pub(crate) fn node(&self) -> Option<NodeId> {
        let ledger = self.site.ledger.lock().ok()?;
        ledger.nodes.get(&self.index).copied()
    }

    /// Points the clock of the thread at this host's.
    pub(crate) fn take_turn(&self) {
        let world = self.site.world.lock();
        set_now(world.kernels[self.index].clock.at(world.now));
    }

    pub(crate) fn start(&mut self, node: NodeId) {
        self.take_turn();
        self.lives += 1;
        let again = self.lives > 1;
        (self.dark, self.starts_at, self.frozen_until) = (false, None, None);
        let Ok(runtime) = Builder::new_current_thread().enable_time().build() else { return };
        let (errands, queue) = mpsc::channel(ERRANDS);
        let parts = Parts {
            life: self.life(),
            node,
            hosts: self.site.hosts,
            founds: self.index == 0 && !again,
            timing: self.site.timing,
            plant: self.site.plant,
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            world: self.site.world.clone(),
            network: self.site.network.clone(),
            ledger: Arc::clone(&self.site.ledger),
            services: Arc::default(),
            ended: Arc::default(),
        };
        {
            let mut world = self.site.world.lock();
            world.note(self.index, "starts", &json!({"node": node, "life": self.lives}));
            // A start closes the fence that it finds, before anything else.
            world.close_all(self.index, "start");
        }
        let (services, ended) = (Arc::clone(&parts.services), Arc::clone(&parts.ended));
        runtime.spawn(daemon::run(parts, queue));
        self.daemon = Some(Daemon { runtime, errands, services, ended });
    }

    /// The daemon is gone, in the middle of whatever it was doing.
    pub(crate) fn kill(&mut self) {
        self.take_turn();
        self.daemon = None;
        self.frozen_until = None;
        self.held_up.clear();
        self.site.network.forget(self.life());
    }

    pub(crate) fn is_frozen(&self, now: u64) -> bool {
        self.frozen_until.is_some_and(|until| until > now)
    }

    /// Whether this host's daemon leads, as far as it knows.
    pub(crate) fn site_leads(&self) -> bool {
        self.site.world.lock().kernels[self.index].leads
    }

    pub(crate) fn ask(&self, errand: Errand) {
        if let Some(daemon) = &self.daemon {
            // Where nobody answers for long, an operator's patience ends too.
            let _ = daemon.errands.try_send(errand);
        }
    }

    /// Why the daemon ended by itself, if it did.
    pub(crate) fn ended(&self) -> Option<String> {
        self.daemon.as_ref()?.ended.lock().ok()?.clone()
    }

    /// Lets the daemon do what there is to do at this instant.
    pub(crate) fn step(&mut self) {
        let Some(daemon) = &self.daemon else { return };
        self.take_turn();
        let held_up = std::mem::take(&mut self.held_up);
        daemon.runtime.block_on(async {
            for call in held_up {
                self.serve(daemon, call);
            }
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
        });
    }

    /// A call has come in.
    pub(crate) fn receive(&mut self, call: Call) {
        if self.dark {
            return;
        }
        if self.daemon.is_none() {
            let refused = tonic::Status::unavailable("connection refused").into_http::<()>();
            let answer = (refused.headers().clone(), prost::bytes::Bytes::new(), None);
            return self.site.network.answer(self.index, call.from, call.id, answer);
        }
        self.held_up.push(call);
    }

    fn serve(&self, daemon: &Daemon, call: Call) {
        let services = daemon.services.lock().ok().and_then(|services| services.clone());
        let caller = self
            .site
            .ledger
            .lock()
            .ok()
            .and_then(|ledger| ledger.nodes.get(&call.from.0).copied().map(Caller));
        let (Some(services), Some(caller)) = (services, caller) else { return };
        let (network, here) = (self.site.network.clone(), self.index);
        tokio::spawn(async move {
            let (from, id) = (call.from, call.id);
            if let Some(answer) = answer(services, caller, call).await {
                network.answer(here, from, id, answer);
            }
        });
    }
}

/// Hands a call to the product's service that it is for.
async fn answer(mut services: Services, caller: Caller, call: Call) -> Option<Answer> {
    let mut request = http::Request::new(Body::new(Full::new(call.body)));
    *request.uri_mut() = call.path.parse().ok()?;
    *request.method_mut() = http::Method::POST;
    request
        .headers_mut()
        .insert("content-type", http::HeaderValue::from_static("application/grpc"));
    request.extensions_mut().insert(caller);
    let response = if call.path.contains("Raft/") {
        services.raft.call(request).await
    } else {
        services.lease.call(request).await
    };
    let Ok(response) = response;
    let (head, body) = response.into_parts();
    let body = body.collect().await.ok()?;
    let trailers = body.trailers().cloned();
    Some((head.headers, body.to_bytes(), trailers))
}
