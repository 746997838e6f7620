//! The threads that balance load: checks, what the leader is told of them, and virtual servers.

use std::sync::Arc;

use anyhow::Context;
use leasehold_dataplane::service::Health;
use leasehold_model::{Down, Eligibility};
use leasehold_raft::identity::Identity;
use leasehold_raft::state::State;
use tokio::sync::watch;

use super::desired::Desired;
use super::lease_thread::OpenLeases;
use super::services_thread;
use super::sight::{self, Reasons};
use super::start::{services_journal, thread};
use super::stop::Thread;
use super::virtual_servers::VirtualServers;
use crate::api::Loads;
use crate::health;
use crate::notify::{self, ServerChanges};
use crate::paced::Paced;
use crate::tracking::Numbers;

pub(super) struct Parts<'a> {
    pub(super) identity: &'a Identity,
    pub(super) state: &'a Paced<Arc<State>>,
    pub(super) eligibility: &'a watch::Sender<Eligibility>,
    pub(super) open: watch::Receiver<OpenLeases>,
    pub(super) numbers: watch::Receiver<Numbers>,
    pub(super) desired: watch::Receiver<Desired>,
    pub(super) programmed: watch::Receiver<u64>,
    pub(super) put: watch::Sender<u64>,
}

/// What `status` shows of them, and the thread that acts on it.
pub(super) struct Balancing {
    pub(super) health: watch::Receiver<Health>,
    pub(super) down: watch::Receiver<Option<Down>>,
    pub(super) loads: watch::Receiver<Loads>,
    pub(super) services: Thread,
    /// To be told.
    pub(super) changes: ServerChanges,
}

pub(super) fn start(parts: Parts<'_>) -> anyhow::Result<Balancing> {
    let Parts { identity, state, eligibility, open, numbers, desired, programmed, put } = parts;
    let (found, health) = watch::channel(Health::default());
    let (loading, loads) = watch::channel(Loads::default());
    let (why, reasons) = watch::channel(Reasons::default());
    let (seen, down) = watch::channel(None);
    let (line, changes) = notify::line();
    let sight = sight::Inputs {
        state: state.clone(),
        health: health.clone(),
        reasons,
        down: seen,
        eligibility: eligibility.clone(),
    };
    thread("sight", move || sight::run(sight))?;
    let checks = health::Inputs {
        state: state.clone(),
        open,
        numbers,
        health: found,
        reasons: why,
        sockets: sockets()?,
        line,
    };
    thread("health", move || health::run(checks))?;
    let path = services_journal(identity)?;
    let servers = VirtualServers::open(identity.node(), &path, loading);
    let inputs = services_thread::Inputs {
        desired,
        programmed,
        health: health.clone(),
        eligibility: eligibility.clone(),
        put,
        servers: servers.with_context(|| path.display().to_string())?,
    };
    let services = thread("services", move || services_thread::run(inputs))?;
    Ok(Balancing { health, down, loads, services, changes })
}

/// How many sockets checks may have open: a quarter of all, once all were asked for.
fn sockets() -> anyhow::Result<usize> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("the limit of open files")?;
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    };
    let quarter = usize::try_from(limit / 4).unwrap_or(usize::MAX);
    Ok(quarter.clamp(1, health::AT_ONCE))
}
