//! The threads that a director has and a witness has not: they carry out what the lease thread
//! decides, and report what it should know.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use leasehold_dataplane::service::Health;
use leasehold_model::{Down, Eligibility};
use leasehold_raft::group::Leadership;
use leasehold_raft::identity::Identity;
use leasehold_raft::state::State;
use tokio::sync::{mpsc, watch};

use super::balancing;
use super::desired::Desired;
use super::kernel_thread::{self, KernelThread};
use super::lease_thread::{OpenLeases, Order};
use super::start::thread;
use super::stop::{self, Thread};
use super::vrrp_thread::{self, VrrpView};
use crate::api::Loads;
use crate::notify;
use crate::paced::Paced;
use crate::spoken::Farewell;
use crate::tracking::{self, Numbers};

/// What one thread has for another of a flood of adverts: one that waits says it all.
const ADVERTS: usize = 256;

pub(super) struct Parts {
    pub(super) identity: Arc<Identity>,
    pub(super) name: String,
    pub(super) state: Paced<Arc<State>>,
    pub(super) leadership: watch::Receiver<Leadership>,
    pub(super) desired: watch::Receiver<Desired>,
    pub(super) programmed: watch::Sender<u64>,
    pub(super) open: watch::Receiver<OpenLeases>,
    pub(super) eligibility: watch::Sender<Eligibility>,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) farewells: watch::Sender<Arc<Vec<Farewell>>>,
    /// Where this node's fence is pinned, if it has one.
    pub(super) pin_dir: Option<PathBuf>,
}

/// What the threads see, for `status`. A witness sees nothing.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) health: watch::Receiver<Health>,
    /// As the leader is told it.
    pub(crate) down: watch::Receiver<Option<Down>>,
    pub(crate) loads: watch::Receiver<Loads>,
    pub(crate) vrrp: watch::Receiver<VrrpView>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            health: watch::channel(Health::default()).1,
            down: watch::channel(None).1,
            loads: watch::channel(Loads::default()).1,
            vrrp: watch::channel(VrrpView::default()).1,
        }
    }
}

#[derive(Default)]
pub(super) struct Director {
    /// Those that the end of the daemon waits for, in the order in which they end.
    pub(super) threads: Vec<(&'static str, Thread)>,
    pub(super) seen: Seen,
}

pub(super) fn start(parts: Parts) -> anyhow::Result<Director> {
    let Parts { identity, name, state, desired, programmed, open, eligibility, .. } = parts;
    let Parts { leadership, orders, farewells, pin_dir, .. } = parts;
    let (put, services_put) = watch::channel(0);
    let (doubt, doubted) = mpsc::channel(ADVERTS);
    let (lower, lower_adverts) = mpsc::channel(ADVERTS);
    let (bound, still_bound) = watch::channel(BTreeSet::new());
    let (vrrp_view, vrrp) = watch::channel(VrrpView::default());
    let (numbers, tracked_numbers) = watch::channel(Numbers::default());
    let balancing = balancing::start(balancing::Parts {
        identity: &identity,
        state: &state,
        eligibility: &eligibility,
        open: open.clone(),
        numbers: tracked_numbers,
        desired: desired.clone(),
        programmed: programmed.subscribe(),
        put,
    })?;
    let tracked = tracking::Inputs {
        node: identity.node(),
        name: name.clone(),
        state: state.clone(),
        eligibility: eligibility.clone(),
        orders: orders.clone(),
        numbers,
    };
    thread("tracking", move || tracking::run(tracked))?;
    let kernel = kernel_thread(kernel_thread::Inputs {
        desired,
        programmed,
        eligibility: eligibility.clone(),
        orders: orders.clone(),
        leases: pin_dir.is_none().then(|| open.clone()),
        pin_dir,
        put: services_put,
        doubted,
        bound,
    })?;
    let notify = notify::spawn(notify::Inputs {
        name: name.clone(),
        state: state.clone(),
        open: open.clone(),
        bound: still_bound,
        eligibility: eligibility.subscribe(),
        lower_adverts,
        servers: balancing.changes,
    })?;
    let vrrp_thread = vrrp_thread(vrrp_thread::Inputs {
        node: identity.node(),
        name,
        state,
        leadership,
        open,
        eligibility,
        orders,
        doubt,
        lower,
        view: vrrp_view,
        farewells,
    })?;
    Ok(Director {
        threads: vec![
            ("kernel", kernel),
            ("vrrp", vrrp_thread),
            ("services", balancing.services),
            // The leases are closed: now STOP can be told.
            ("notify", notify),
        ],
        seen: Seen { health: balancing.health, down: balancing.down, loads: balancing.loads, vrrp },
    })
}

fn kernel_thread(inputs: kernel_thread::Inputs) -> anyhow::Result<stop::Thread> {
    thread("kernel", move || async move {
        let thread = match KernelThread::open(inputs) {
            Ok(thread) => thread,
            Err(error) => stop::die(&format!("no netlink: {error}")),
        };
        if let Err(error) = thread.run().await {
            stop::die(&format!("the kernel can't be driven: {error:#}"));
        }
    })
}

fn vrrp_thread(inputs: vrrp_thread::Inputs) -> anyhow::Result<Thread> {
    thread("vrrp", move || vrrp_thread::run(inputs))
}
