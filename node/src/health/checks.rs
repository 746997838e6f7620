//! The checks of the configuration, each a task that asks for ever and tells what changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use leasehold_dataplane::checker::{
    Checker, Effect, Finding, Findings, Name, Said, Verdict, is_alpha,
};
use leasehold_dataplane::fence::boot_now;
use leasehold_model::{
    Alerts, Check, CheckKind, Config, RealName, RealServer, TrackFile, VirtualServer,
};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::AbortHandle;

use super::question::{self, Outcome, Question};
use crate::tracking::Numbers;
use crate::wake;

/// One check's place: virtual server, real server, and which of its checks.
type Place = (Name, SocketAddr, usize);

/// What a check says, and which one said it: its place may be another's by then.
pub(super) struct Heard {
    place: Place,
    number: u64,
    said: Said,
    /// Of one that is down.
    pub(super) why: Option<String>,
}

/// A check as it is to be carried out. Where any of it changes, another takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) check: Check,
    pub(super) virtualhost: Option<String>,
    alpha: bool,
    /// Who programs run as, for those that have one.
    pub(super) alerts: Option<Alerts>,
    /// The file that it goes by.
    pub(super) file: Option<TrackFile>,
    ha_suspend: bool,
}

struct Running {
    wanted: Wanted,
    number: u64,
    said: Said,
    task: AbortHandle,
}

/// Virtual servers whose checks pause.
type Suspended = Arc<BTreeSet<Name>>;

pub(super) struct Checks {
    running: BTreeMap<Place, Running>,
    /// Checks begun so far.
    started: u64,
    suspended: watch::Sender<Suspended>,
    shared: Shared,
}

/// What every check has.
#[derive(Clone)]
struct Shared {
    tell: mpsc::Sender<Heard>,
    numbers: watch::Receiver<Numbers>,
    sockets: Arc<Semaphore>,
}

impl Checks {
    pub(super) fn new(
        tell: mpsc::Sender<Heard>,
        numbers: watch::Receiver<Numbers>,
        sockets: usize,
    ) -> Self {
        Self {
            running: BTreeMap::new(),
            started: 0,
            suspended: watch::Sender::default(),
            shared: Shared { tell, numbers, sockets: Arc::new(Semaphore::new(sockets)) },
        }
    }

    /// Ends the checks that the configuration has no more, and begins those that it has anew.
    pub(super) fn follow(&mut self, config: &Config) {
        let wanted = wanted(config);
        let mut before: BTreeMap<(Name, SocketAddr), Vec<(Wanted, Said)>> = BTreeMap::new();
        for ((name, address, _), one) in &self.running {
            let said = before.entry((name.clone(), *address)).or_default();
            said.push((one.wanted.clone(), one.said));
        }
        self.running.retain(|place, one| {
            let stays = wanted.get(place) == Some(&one.wanted);
            if !stays {
                one.task.abort();
            }
            stays
        });
        for (place, wanted) in wanted {
            if self.running.contains_key(&place) {
                continue;
            }
            let known = before.get(&(place.0.clone(), place.1));
            let verdict = known.and_then(|known| inherited(&wanted, known));
            self.begin(place, wanted, verdict);
        }
    }

    fn begin(&mut self, place: Place, wanted: Wanted, verdict: Option<Verdict>) {
        let spread = rand::random();
        let (check, alpha) = (question::plain(&wanted.check), wanted.alpha);
        let checker = match verdict {
            Some(verdict) => Checker::continuing(&check, alpha, verdict, spread, boot_now()),
            None => Checker::new(&check, alpha, spread, boot_now()),
        };
        let said = Said::from(&checker);
        self.started += 1;
        let number = self.started;
        let one = One {
            question: Question::new(&wanted, place.1),
            log_all: check.log_all_failures,
            place: place.clone(),
            number,
            checker,
            hindered: false,
            suspended: wanted.ha_suspend.then(|| self.suspended.subscribe()),
            shared: self.shared.clone(),
        };
        let task = tokio::spawn(one.run()).abort_handle();
        self.running.insert(place, Running { wanted, number, said, task });
    }

    pub(super) fn suspend(&self, names: BTreeSet<Name>) {
        self.suspended.send_if_modified(|known| {
            let differs = **known != names;
            *known = Arc::new(names);
            differs
        });
    }

    /// Whose finding it may change. Absent where another check has taken its place.
    pub(super) fn hear(&mut self, heard: Heard) -> Option<RealName> {
        let one = self.running.get_mut(&heard.place).filter(|one| one.number == heard.number)?;
        one.said = heard.said;
        let ((service, protocol), address, _) = heard.place;
        Some(RealName { service, protocol, address })
    }

    pub(super) fn finding(&self, server: &VirtualServer, real: &RealServer) -> Finding {
        let place = |index| (server.key(), real.address, index);
        let mine = self.running.range(place(0)..=place(usize::MAX));
        Finding::of(mine.map(|(_, one)| one.said))
    }

    pub(super) fn findings(&self, config: &Config) -> Findings {
        let servers = config.virtual_servers.iter();
        let all = servers.flat_map(|server| {
            let of = move |real| self.finding(server, real);
            server.real_servers.iter().map(move |real| ((server.key(), real.address), of(real)))
        });
        all.collect()
    }
}

/// What a check begins with: what the same one said in another place, or else, of the same real
/// server asked in another way, what all that asked it before said together.
fn inherited(wanted: &Wanted, known: &[(Wanted, Said)]) -> Option<Verdict> {
    let same = known.iter().find(|(one, _)| one == wanted);
    let said = same.map_or(known, std::slice::from_ref);
    Finding::of(said.iter().map(|(_, said)| *said)).verdict
}

fn wanted(config: &Config) -> BTreeMap<Place, Wanted> {
    let mut wanted = BTreeMap::new();
    for server in &config.virtual_servers {
        for real in &server.real_servers {
            let virtualhost = real.virtualhost.as_ref().or(server.virtualhost.as_ref());
            for (index, check) in real.checks.iter().enumerate() {
                let (mut alerts, mut file) = (None, None);
                match &check.kind {
                    // Of these, who programs run as: nothing else changes a check.
                    CheckKind::Misc(_) => {
                        let Alerts { script_user, script_group, .. } = config.global.alerts.clone();
                        alerts = Some(Alerts { script_user, script_group, ..Alerts::default() });
                    }
                    CheckKind::File(one) => file = config.files.get(&one.track_file).cloned(),
                    CheckKind::Tcp
                    | CheckKind::Http(_)
                    | CheckKind::Smtp(_)
                    | CheckKind::Dns(_)
                    | CheckKind::Udp(_)
                    | CheckKind::Ping => {}
                }
                let one = Wanted {
                    check: check.clone(),
                    virtualhost: virtualhost.cloned(),
                    alpha: is_alpha(server, real, check),
                    alerts,
                    file,
                    ha_suspend: server.ha_suspend,
                };
                wanted.insert((server.key(), real.address, index), one);
            }
        }
    }
    wanted
}

/// A check that goes on until it is aborted.
struct One {
    question: Question,
    log_all: bool,
    place: Place,
    number: u64,
    checker: Checker,
    /// This machine could not ask the last time.
    hindered: bool,
    /// Present where it may have to pause.
    suspended: Option<watch::Receiver<Suspended>>,
    shared: Shared,
}

impl One {
    /// Asks for ever, and tells every change of what it says.
    async fn run(mut self) {
        loop {
            if self.is_suspended() {
                self.checker.handle_suspend();
            } else {
                self.checker.handle_resume(boot_now());
            }
            tokio::select! {
                () = wake::at_boot(self.checker.poll_timeout()) => {}
                changed = self.shared.numbers.changed(), if self.question.is_file() => {
                    if changed.is_err() { return }
                }
                () = changed(&mut self.suspended) => continue,
            }
            let Some(outcome) = self.ask().await else { return };
            let changed = self.checker.handle_answer(outcome.answer(), boot_now());
            self.log(&outcome, changed);
            let hindered = self.is_hindered_anew(&outcome);
            if !changed && !hindered {
                continue;
            }
            let said = Said::from(&self.checker);
            let why = match outcome {
                Outcome::Failed(why) | Outcome::Unknown(why) => Some(why),
                Outcome::Passed(_) => None,
            };
            let heard = Heard { place: self.place.clone(), number: self.number, said, why };
            if self.shared.tell.send(heard).await.is_err() {
                return;
            }
        }
    }

    /// One that can't be asked stays what it was, for as long as that may be: it is said once.
    fn is_hindered_anew(&mut self, outcome: &Outcome) -> bool {
        let ((service, _), real, _) = &self.place;
        match (outcome, self.hindered) {
            (Outcome::Unknown(why), false) => {
                tracing::warn!("a check of {real} of {service} can't be made: {why}");
                self.hindered = true;
                true
            }
            (Outcome::Passed(_) | Outcome::Failed(_), true) => {
                tracing::info!("a check of {real} of {service} can be made again");
                self.hindered = false;
                false
            }
            (Outcome::Unknown(_), true) | (Outcome::Passed(_) | Outcome::Failed(_), false) => false,
        }
    }

    fn is_suspended(&mut self) -> bool {
        let name = &self.place.0;
        self.suspended.as_mut().is_some_and(|all| all.borrow_and_update().contains(name))
    }

    /// Absent at the end of the thread.
    async fn ask(&mut self) -> Option<Outcome> {
        let socket = match self.question.has_socket() {
            true => Some(self.shared.sockets.acquire().await.ok()?),
            false => None,
        };
        let numbers = self.shared.numbers.borrow_and_update().clone();
        let outcome = self.question.ask(&numbers).await;
        drop(socket);
        Some(outcome)
    }

    fn log(&self, outcome: &Outcome, changed: bool) {
        let ((service, _), real, _) = &self.place;
        match outcome {
            Outcome::Passed(Effect::None) if changed => tracing::info!("{real} of {service} is up"),
            Outcome::Passed(effect) if changed => {
                tracing::info!("{real} of {service} is up: {effect:?}");
            }
            Outcome::Failed(why) if changed => {
                tracing::warn!("{real} of {service} is down: {why}");
            }
            Outcome::Failed(why) if self.log_all => {
                tracing::warn!("a check of {real} of {service} failed: {why}");
            }
            Outcome::Failed(why) | Outcome::Unknown(why) => {
                tracing::debug!("a check of {real} of {service}: {why}");
            }
            Outcome::Passed(_) => {}
        }
    }
}

/// Resolves when others pause than before; never for what never pauses.
async fn changed(suspended: &mut Option<watch::Receiver<Suspended>>) {
    match suspended {
        // Without a sender the thread is at its end, and this task with it.
        Some(all) => drop(all.changed().await),
        None => std::future::pending().await,
    }
}
