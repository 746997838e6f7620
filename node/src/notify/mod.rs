//! Telling the world of what changes here: scripts, named pipes, mail and webhooks.
//!
//! All of it happens on a thread of its own, which only ever reads what the others
//! publish: nothing that a script, a mail relay or a file server does can delay a lease or a
//! check. The ways of telling don't wait for each other either.

mod fifo;
mod mail;
mod news;
mod queue;
mod scripts;
mod server;
#[cfg(test)]
mod tests;
mod transition;
mod ways;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use leasehold_model::{Config, Eligibility, Epoch, GroupId};
use leasehold_node_core::notify::{Facts, Held, Notifier};
use leasehold_raft::state::State;
use tokio::sync::{mpsc, watch};

use crate::daemon::lease_thread::OpenLeases;
use crate::paced::Paced;
use news::unix_ms;
pub(crate) use server::{Line, ServerChange, ServerChanges, line};
use transition::Change;
use ways::Ways;

pub(crate) struct Inputs {
    /// This director's name.
    pub(crate) name: String,
    pub(crate) state: Paced<Arc<State>>,
    pub(crate) open: watch::Receiver<OpenLeases>,
    /// The groups that may have addresses on an interface here.
    pub(crate) bound: watch::Receiver<BTreeSet<GroupId>>,
    pub(crate) eligibility: watch::Receiver<Eligibility>,
    /// Instances for which an advert of lower priority came from outside the cluster.
    pub(crate) lower_adverts: mpsc::Receiver<String>,
    /// What becomes of real servers and quorums.
    pub(crate) servers: ServerChanges,
}

/// Until this director first said how its interfaces are. They are all down before that.
const REPORT_WITHIN: Duration = Duration::from_secs(5);

/// When all were told to stop, what is under way gets this long (keepalived's `child_wait_time`).
const END_WITHIN: Duration = Duration::from_secs(5);

/// Starts the thread. It ends when the daemon was told to stop and everyone knows.
pub(crate) fn spawn(inputs: Inputs) -> anyhow::Result<std::thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let builder = std::thread::Builder::new().name("notify".to_owned());
    let handle = builder.spawn(move || {
        runtime.block_on(run(inputs));
        // A name server that does not answer must not hold up the daemon's end.
        runtime.shutdown_background();
    });
    handle.context("starting the notify thread")
}

/// Runs until everyone was told that the daemon stops, or nobody can tell any more.
pub(crate) async fn run(mut inputs: Inputs) {
    let said = inputs.eligibility.wait_for(|one| *one != Eligibility::default());
    // Silence is news too: then they are all down.
    let _ = tokio::time::timeout(REPORT_WITHIN, said).await;
    let mut teller = Teller::new(inputs);
    teller.watch().await;
    let late = tokio::time::timeout(END_WITHIN, teller.finish()).await.is_err();
    if late {
        tracing::warn!("what was not told {END_WITHIN:?} after the stop stays untold");
    }
}

struct Teller {
    inputs: Inputs,
    notifier: Notifier,
    /// Of the look before: what was deleted is told by it.
    config: Arc<Config>,
    /// Of the leases that are open, or whose addresses are still here: a loss is told when both
    /// are gone.
    epochs: BTreeMap<GroupId, Epoch>,
    /// The thread that checks has nothing more to say.
    checked: bool,
    ways: Ways,
}

impl Teller {
    fn new(inputs: Inputs) -> Self {
        Self {
            inputs,
            notifier: Notifier::default(),
            config: Arc::default(),
            epochs: BTreeMap::new(),
            checked: false,
            ways: Ways::new(),
        }
    }

    async fn watch(&mut self) {
        self.look().await;
        let mut heard = true;
        while !self.is_over() {
            tokio::select! {
                changed = self.inputs.state.changed() => {
                    if changed.is_err() { return }
                }
                changed = self.inputs.eligibility.changed() => {
                    if changed.is_err() { return }
                }
                changed = self.inputs.open.changed() => {
                    if changed.is_err() {
                        // The lease thread has ended. It closed the fence before, and waited for
                        // the addresses to be gone, though not for ever.
                        self.epochs.clear();
                        self.tell().await;
                        return;
                    }
                    // Mostly it is the deadlines that moved.
                    if !self.take_leases() { continue }
                }
                Ok(()) = self.inputs.bound.changed() => {
                    if !self.take_leases() { continue }
                }
                advert = self.inputs.lower_adverts.recv(), if heard => match advert {
                    Some(instance) => self.notifier.handle_lower_advert(&instance),
                    None => heard = false,
                },
                change = self.inputs.servers.pop(), if !self.checked => {
                    self.tell_server(change).await;
                    continue;
                }
                () = self.ways.turn() => continue,
            }
            self.look().await;
        }
    }

    /// Whether there is nothing more to tell.
    fn is_over(&self) -> bool {
        let stopped = self.notifier.is_stopped() && self.inputs.eligibility.borrow().stopping;
        stopped && self.checked
    }

    async fn look(&mut self) {
        self.take_leases();
        self.tell().await;
    }

    /// Whether there are others than before.
    fn take_leases(&mut self) -> bool {
        let bound = self.inputs.bound.borrow_and_update();
        let before = self.epochs.clone();
        self.epochs.retain(|group, _| bound.contains(group));
        let open = self.inputs.open.borrow_and_update();
        self.epochs.extend(open.iter().map(|(group, lease)| (*group, lease.epoch)));
        self.epochs != before
    }

    /// Finds out what changed of instances and groups, and has it told in every way.
    async fn tell(&mut self) {
        let state = self.inputs.state.borrow_and_update().clone();
        let report = self.inputs.eligibility.borrow_and_update().clone();
        let before = std::mem::replace(&mut self.config, state.config.clone());
        if !Arc::ptr_eq(&before, &self.config) {
            self.ways.follow(&self.config).await;
        }
        let held = |name: &str| {
            let group = state.groups.get(name)?;
            let cause = || state.leases.get(group).map(|one| one.cause.to_string());
            let held = |epoch: &Epoch| Held { epoch: *epoch, cause: cause().unwrap_or_default() };
            self.epochs.get(group).map(held)
        };
        let facts = Facts::gather(&state.config, &self.inputs.name, &report, held);
        self.notifier.handle_facts(&facts);
        while let Some(transition) = self.notifier.poll_transition() {
            tracing::info!(
                epoch = transition.epoch.0,
                cause = %transition.cause,
                "{transition}"
            );
            let change = Change::new(transition, &state, &before, &self.inputs.name, unix_ms());
            let global = &self.config.global;
            self.ways.tell(change.news(&global.alerts), global).await;
        }
    }

    /// Has it told in every way what became of a real server or a quorum; nothing: no more comes.
    async fn tell_server(&mut self, change: Option<ServerChange>) {
        let Some(change) = change else {
            self.checked = true;
            return;
        };
        // Whoever is to be told of it may have come with the same configuration.
        if self.inputs.state.is_outdated() {
            self.look().await;
        }
        let cluster = self.inputs.state.borrow().cluster.clone();
        let global = &self.config.global;
        let news = change.news(&cluster, &self.inputs.name, &global.alerts);
        tracing::info!(epoch = change.epoch.0, cause = %change.cause, "{}", news.line);
        self.ways.tell(news, global).await;
    }

    /// Waits until everyone was told everything.
    async fn finish(&mut self) {
        while !self.checked {
            tokio::select! {
                change = self.inputs.servers.pop() => self.tell_server(change).await,
                () = self.ways.turn() => {}
            }
        }
        self.ways.finish().await;
    }
}
