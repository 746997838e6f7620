//! Until the daemon is told to stop, and how it then stops: leases first, leadership next.

use crate::Group;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use leasehold_model::{Eligibility, NodeId};
use leasehold_raft::identity::Directory;
use leasehold_raft::state::{Cause, State};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::lease_thread::Order;

/// After this, the fence closes by itself what could not be handed over.
const HANDOVER_WITHIN: Duration = Duration::from_secs(3);

/// What clients of the control socket get to read their last answer.
const FAREWELL_WITHIN: Duration = Duration::from_millis(500);

pub(crate) type Thread = std::thread::JoinHandle<()>;

pub(crate) struct Running {
    pub(super) directory: Directory,
    pub(super) node: NodeId,
    pub(super) group: Group,
    pub(super) eligibility: watch::Sender<Eligibility>,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) guard: Child,
    pub(super) lease: Thread,
    /// In the order in which they end, each once those before it have nothing more to say.
    pub(super) threads: Vec<(&'static str, Thread)>,
    pub(super) serving: Serving,
}

pub(crate) struct Serving {
    pub(super) peers: JoinHandle<anyhow::Result<()>>,
    pub(super) local: JoinHandle<anyhow::Result<()>>,
    pub(super) stop: watch::Sender<bool>,
    /// Told first: whoever watches this node should go to another.
    pub(super) ending: watch::Sender<bool>,
}

pub(super) async fn until_told(mut running: Running) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut child_ended = signal(SignalKind::child())?;
    // It may have ended before anybody listened.
    check_guard(&mut running.guard)?;
    // No service manager, no notification: both are fine.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!(node = %running.node, dir = %running.directory.path().display(), "up");
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = child_ended.recv() => check_guard(&mut running.guard)?,
            why = running.group.fatal() => die(&format!("consensus stopped: {why}")),
            ended = &mut running.serving.peers => return ended.context("the peer service")?,
            ended = &mut running.serving.local => return ended.context("the control service")?,
        }
    }
    tracing::info!("told to stop: handing over");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    stop(running).await
}

/// A daemon without a guard would still be fenced, only later: start again from a clean state, as
/// with any other part that fails.
fn check_guard(guard: &mut Child) -> anyhow::Result<()> {
    match guard.try_wait().context("asking after the guard")? {
        Some(status) => die(&format!("the guard ended ({status})")),
        None => Ok(()),
    }
}

async fn stop(running: Running) -> anyhow::Result<()> {
    let Running { node, group, eligibility, orders, lease, threads, serving, .. } = running;
    serving.ending.send_replace(true);
    eligibility.send_modify(|one| one.stopping = true);
    let mut state = group.state();
    let held: Vec<_> = state.borrow().held_by(node).iter().map(|one| one.group).collect();
    for group in held {
        orders.send(Order::Surrender(group, Cause::Stopped)).await.context("the lease thread")?;
    }
    let free = state.wait_for(|state: &Arc<State>| state.held_by(node).is_empty());
    if tokio::time::timeout(HANDOVER_WITHIN, free).await.is_err() {
        tracing::warn!("no leader took the leases back: they end by their ttl");
    }
    if group.leadership().borrow().is_leader
        && let Some(to) = group.successor()
        && let Err(error) = group.transfer_leadership(to).await
    {
        tracing::warn!(%error, "leadership was not handed over");
    }
    // The kernel thread ends when the lease thread has no more wishes.
    orders.send(Order::Stop).await.context("the lease thread")?;
    join(lease, "lease").await?;
    for (name, thread) in threads {
        join(thread, name).await?;
    }
    serving.stop.send_replace(true);
    group.shutdown().await;
    serving.peers.abort();
    // Answers under way, and farewells, should arrive.
    let mut local = serving.local;
    if tokio::time::timeout(FAREWELL_WITHIN, &mut local).await.is_err() {
        local.abort();
    }
    tracing::info!("stopped");
    Ok(())
}

async fn join(thread: Thread, name: &'static str) -> anyhow::Result<()> {
    let joined = tokio::task::spawn_blocking(move || thread.join()).await?;
    joined.map_err(|_| anyhow!("the {name} thread panicked"))
}

/// Ends the process at once. The guard and the fence do the rest; a service manager starts anew.
pub(crate) fn die(why: &str) -> ! {
    tracing::error!("{why}: ending, the guard takes over");
    std::process::exit(1)
}
