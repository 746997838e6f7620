//! The thread that checks real servers: every director does, whoever holds what.
//!
//! A fresh holder starts from results that it has. Nothing here can hold up a lease.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use leasehold_dataplane::check::ask;
use leasehold_dataplane::checker::Checker;
use leasehold_dataplane::fence::boot_now;
use leasehold_dataplane::service::{Health, Verdict};
use leasehold_model::{Check, Config, Protocol, Service};
use leasehold_raft::state::State;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

/// One checker's place: virtual server, real server, and which of its checkers.
type Place = (Service, Protocol, SocketAddr, usize);

/// Verdicts that may wait: a checker that finds no room waits with its next question.
const VERDICTS: usize = 1024;

/// A check as it is to be carried out. Where any of it changes, another takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    check: Check,
    virtualhost: Option<String>,
}

struct Running {
    wanted: Wanted,
    verdict: Option<Verdict>,
    task: AbortHandle,
}

/// Runs until the daemon drops the other ends.
pub(crate) async fn run(mut state: watch::Receiver<Arc<State>>, health: watch::Sender<Health>) {
    let mut running: BTreeMap<Place, Running> = BTreeMap::new();
    let (tell, mut told) = mpsc::channel(VERDICTS);
    let mut config: Arc<Config> = Arc::default();
    loop {
        tokio::select! {
            changed = state.changed() => {
                if changed.is_err() { return }
                let current = state.borrow_and_update().config.clone();
                if !Arc::ptr_eq(&current, &config) {
                    config = current;
                    follow(&config, &mut running, &tell);
                    health.send_modify(|health| health.handle_config(&config));
                }
            }
            Some((place, verdict)) = told.recv() => {
                judge(&config, &mut running, place, verdict, &health);
            }
        }
    }
}

/// Ends the checks that the configuration has no more, and begins those that it has anew.
fn follow(
    config: &Config,
    running: &mut BTreeMap<Place, Running>,
    tell: &mpsc::Sender<(Place, Verdict)>,
) {
    let mut wanted: BTreeMap<Place, Wanted> = BTreeMap::new();
    for server in &config.virtual_servers {
        let (service, protocol) = server.key();
        for real in &server.real_servers {
            let virtualhost = real.virtualhost.as_ref().or(server.virtualhost.as_ref());
            for (index, check) in real.checks.iter().enumerate() {
                let place = (service.clone(), protocol, real.address, index);
                let check = check.clone();
                wanted.insert(place, Wanted { check, virtualhost: virtualhost.cloned() });
            }
        }
    }
    running.retain(|place, one| {
        let stays = wanted.get(place) == Some(&one.wanted);
        if !stays {
            one.task.abort();
        }
        stays
    });
    for (place, wanted) in wanted {
        running.entry(place.clone()).or_insert_with(|| {
            let task = tokio::spawn(check(place, wanted.clone(), tell.clone()));
            Running { wanted, verdict: None, task: task.abort_handle() }
        });
    }
}

/// Asks for ever, and tells every change of the verdict.
async fn check(place: Place, wanted: Wanted, tell: mpsc::Sender<(Place, Verdict)>) {
    let Wanted { check, virtualhost } = wanted;
    let real = place.2;
    let mut checker = Checker::new(&check, rand::random(), boot_now());
    loop {
        tokio::time::sleep(checker.poll_timeout().since(boot_now())).await;
        let outcome = ask(&check, real, virtualhost.as_deref()).await;
        let changed = checker.handle_result(outcome.is_ok(), boot_now());
        if let Err(error) = &outcome {
            tracing::debug!(%error, "a check failed");
        }
        if let Some(verdict) = checker.verdict().filter(|_| changed) {
            match &outcome {
                Ok(()) => tracing::info!("{} of {} is up", real, place.0),
                Err(error) => tracing::warn!("{} of {} is down: {error}", real, place.0),
            }
            if tell.send((place.clone(), verdict)).await.is_err() {
                return;
            }
        }
    }
}

/// A real server is up when all of its checkers that have a verdict say so.
fn judge(
    config: &Config,
    running: &mut BTreeMap<Place, Running>,
    place: Place,
    verdict: Verdict,
    health: &watch::Sender<Health>,
) {
    let (service, protocol, real, _) = place.clone();
    match running.get_mut(&place) {
        Some(one) => one.verdict = Some(verdict),
        // It was ended with this on its way.
        None => return,
    }
    let first = (service.clone(), protocol, real, 0);
    let last = (service.clone(), protocol, real, usize::MAX);
    let mut verdicts = running.range(first..=last).map(|(_, one)| one.verdict);
    let all =
        if verdicts.all(|one| one != Some(Verdict::Down)) { Verdict::Up } else { Verdict::Down };
    let name = (service, protocol);
    if let Some(server) = config.virtual_servers.iter().find(|one| one.key() == name) {
        health.send_if_modified(|health| health.handle_verdict(server, real, all));
    }
}
