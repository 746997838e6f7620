//! The thread that checks real servers: every director does, whoever holds what.
//!
//! A fresh holder starts from results that it has. Nothing here can hold up a lease: questions are
//! tasks of this thread alone, programs run as processes of their own, and files are read by the
//! thread that tracks.

mod checks;
mod file;
mod misc;
mod question;
mod telling;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leasehold_dataplane::checker::{Health, suspended};
use leasehold_dataplane::fence::boot_now;
use leasehold_model::{Config, GroupId, Overrides, RealName};
use leasehold_raft::state::State;
use tokio::sync::{mpsc, watch};

use crate::daemon::lease_thread::OpenLeases;
use crate::daemon::sight::Reasons;
use crate::notify::Line;
use crate::paced::Paced;
use crate::tracking::Numbers;
use crate::wake;
use checks::{Checks, Heard};
use telling::{Look, Telling};

/// Questions under way at once. Each has a socket, and the daemon needs some for itself.
pub(crate) const AT_ONCE: usize = 4096;

/// Answers that may wait: a check that finds no room waits with its next question.
const ANSWERS: usize = 1024;

pub(crate) struct Inputs {
    pub(crate) state: Paced<Arc<State>>,
    /// Whose holder checks is said by `ha_suspend`, and whose tells by `omega`.
    pub(crate) open: watch::Receiver<OpenLeases>,
    /// What is in tracked files.
    pub(crate) numbers: watch::Receiver<Numbers>,
    pub(crate) health: watch::Sender<Health>,
    pub(crate) reasons: watch::Sender<Reasons>,
    /// How many may be open.
    pub(crate) sockets: usize,
    /// Where what changes is told.
    pub(crate) line: Line,
}

/// Runs until the daemon drops the other ends.
pub(crate) async fn run(inputs: Inputs) {
    let (tell, mut told) = mpsc::channel(ANSWERS);
    let Inputs { mut state, mut open, numbers, health, reasons, sockets, line } = inputs;
    let mut thread = Thread {
        checks: Checks::new(tell, numbers, sockets),
        config: Arc::default(),
        overrides: Arc::default(),
        groups: BTreeMap::new(),
        telling: Telling::new(line),
        health,
        reasons,
    };
    loop {
        let held_until = thread.health.borrow().poll_timeout();
        // What is told along with a change has the lease that is open then: leases come first.
        // Answers may come without a pause, and so come last.
        tokio::select! {
            biased;
            changed = open.changed() => {
                if changed.is_err() {
                    // The lease thread has ended: nothing is served here any more.
                    return thread.handle_open(&OpenLeases::new());
                }
                let open = open.borrow_and_update().clone();
                thread.handle_open(&open);
            }
            changed = state.changed() => {
                if changed.is_err() { return }
                let state = state.borrow_and_update().clone();
                thread.handle_state(&state);
            }
            () = wake::at_boot(held_until) => thread.let_go(),
            Some(heard) = told.recv() => thread.hear(heard),
        }
    }
}

struct Thread {
    checks: Checks,
    config: Arc<Config>,
    overrides: Arc<Overrides>,
    groups: BTreeMap<String, GroupId>,
    telling: Telling,
    health: watch::Sender<Health>,
    reasons: watch::Sender<Reasons>,
}

impl Thread {
    fn handle_state(&mut self, state: &State) {
        let (same_config, same_overrides) =
            (Arc::ptr_eq(&self.config, &state.config), *self.overrides == *state.overrides);
        let same_groups = self.groups == state.groups;
        self.groups.clone_from(&state.groups);
        self.overrides = state.overrides.clone();
        if !same_config {
            self.config = state.config.clone();
            self.checks.follow(&self.config);
            let findings = self.checks.findings(&self.config);
            self.reasons.send_modify(|all| {
                all.retain(|name, _| {
                    let RealName { service, protocol, address } = name.clone();
                    findings.contains_key(&((service, protocol), address))
                });
            });
            self.health.send_modify(|health| {
                health.handle_config(&self.config, &findings, &self.overrides, boot_now());
            });
        } else if !same_overrides {
            self.health
                .send_modify(|health| health.handle_overrides(&self.config, &self.overrides));
        }
        if !same_config || !same_groups {
            self.telling.handle_config(&self.config, &self.groups);
        }
        if !same_config || !same_groups || !same_overrides {
            self.tell(Telling::look);
        }
        self.suspend();
    }

    fn handle_open(&mut self, open: &OpenLeases) {
        if self.tell(|telling, look| telling.handle_open(look, open)) {
            self.suspend();
        }
    }

    fn suspend(&mut self) {
        self.checks.suspend(suspended(&self.config, &self.groups, &self.telling.open()));
    }

    fn tell<T>(&mut self, tell: impl FnOnce(&mut Telling, Look<'_>) -> T) -> T {
        let (health, reasons) = (self.health.borrow(), self.reasons.borrow());
        let look = Look {
            config: &self.config,
            groups: &self.groups,
            health: &health,
            overrides: &self.overrides,
            reasons: &reasons,
        };
        tell(&mut self.telling, look)
    }

    fn hear(&mut self, heard: Heard) {
        let why = heard.why.clone();
        let Some(name) = self.checks.hear(heard) else { return };
        let config = self.config.clone();
        let Some((server, real)) = config.real_server(&name) else { return };
        // Before the verdict: whoever sees that asks for the reason.
        if let Some(why) = why {
            self.reasons.send_modify(|all| drop(all.insert(name, why)));
        }
        let finding = self.checks.finding(server, real);
        let changed = self.health.send_if_modified(|health| {
            health.handle_finding(server, real, finding, &self.overrides, boot_now())
        });
        if changed {
            self.tell(|telling, look| telling.look_at_one(look, server, real));
        }
    }

    /// Of those that are kept down for a while, the while is over.
    fn let_go(&mut self) {
        let mut names = BTreeSet::new();
        self.health.send_if_modified(|health| {
            names = health.handle_timeout(&self.config, &self.overrides, boot_now());
            !names.is_empty()
        });
        self.tell(|telling, look| telling.look_at(look, &names));
    }
}
