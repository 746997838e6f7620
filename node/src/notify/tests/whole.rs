//! All of it together, fed as the daemon feeds it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use leasehold_dataplane::checker;
use leasehold_model::{BootNanos, Cause, Config, Eligibility, Epoch, GroupId, Instance, Notify};
use leasehold_raft::state::{Lease, State};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::bench::{LONG, lines_of, next, open_folder, shell, user};
use super::server::change;
use crate::daemon::lease_thread::{OpenLease, OpenLeases};
use crate::notify::{Inputs, Line, line, run};
use crate::paced::paced;

/// A daemon's other threads, as far as they can be seen from here.
struct Daemon {
    state: watch::Sender<Arc<State>>,
    open: watch::Sender<OpenLeases>,
    bound: watch::Sender<BTreeSet<GroupId>>,
    eligibility: watch::Sender<Eligibility>,
    lower_adverts: mpsc::Sender<String>,
    line: Line,
    task: JoinHandle<()>,
}

impl Daemon {
    fn start(config: Config) -> Self {
        let (state, states) = watch::channel(Arc::new(state(config)));
        let (open, opened) = watch::channel(OpenLeases::new());
        let (bound, still_bound) = watch::channel(BTreeSet::new());
        let (eligibility, reports) = watch::channel(Eligibility::default());
        let (lower_adverts, heard) = mpsc::channel(8);
        let (line, servers) = line();
        let inputs = Inputs {
            name: "ds1".to_owned(),
            state: paced(states),
            open: opened,
            bound: still_bound,
            eligibility: reports,
            lower_adverts: heard,
            servers,
        };
        let task = tokio::spawn(run(inputs));
        Self { state, open, bound, eligibility, lower_adverts, line, task }
    }

    fn report(&self, interfaces: &[&str]) {
        self.eligibility.send_modify(|one| {
            one.interfaces_up = interfaces.iter().map(ToString::to_string).collect();
        });
    }

    fn hold(&self, epoch: u64) {
        let lease = OpenLease { epoch: Epoch(epoch), until: BootNanos::default() };
        self.open.send_replace(BTreeMap::from([(GroupId(1), lease)]));
    }

    async fn ended(self) {
        // The thread that checks ends before.
        drop(self.line);
        timeout(LONG, self.task).await.expect("the thread must end").unwrap();
    }
}

fn state(config: Config) -> State {
    let mut state = State { cluster: "c1".to_owned(), ..State::default() };
    for name in config.instances.keys() {
        state.groups.insert(name.clone(), GroupId(1));
    }
    let lease = Lease { cause: Cause::Moved, ..Lease::default() };
    state.leases.insert(GroupId(1), lease);
    state.config = Arc::new(config);
    state
}

fn config(fifo: &Path, notify: Notify) -> Config {
    let mut web = Instance::new(1, "eth0");
    web.priority = Some(100);
    web.notify = notify;
    let mut config = Config::default();
    config.instances.insert("web".to_owned(), web);
    config.global.alerts.notify_fifo = Some(fifo.display().to_string());
    config.global.alerts.script_user = Some(user().name);
    config
}

/// A pipe that scripts may write to too.
fn pipe(folder: &Path) -> PathBuf {
    let path = folder.join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    nix::unistd::chown(&path, Some(user().uid), Some(user().gid)).unwrap();
    path
}

#[tokio::test]
async fn what_happens_is_told_from_the_start_to_the_stop() {
    let folder = open_folder();
    let path = pipe(folder.path());
    let mut lines = lines_of(&path);
    let daemon = Daemon::start(config(&path, Notify::default()));
    // Until the interfaces are known, there is nothing to say of them.
    daemon.report(&["eth0"]);
    assert_eq!(next(&mut lines).await, "INSTANCE \"web\" BACKUP 100");
    daemon.hold(7);
    assert_eq!(next(&mut lines).await, "INSTANCE \"web\" MASTER 100");
    daemon.lower_adverts.send("web".to_owned()).await.unwrap();
    assert_eq!(next(&mut lines).await, "INSTANCE \"web\" MASTER_RX_LOWER_PRI 100");
    daemon.report(&[]);
    daemon.open.send_replace(OpenLeases::new());
    assert_eq!(next(&mut lines).await, "INSTANCE \"web\" FAULT 100");
    daemon.report(&["eth0"]);
    assert_eq!(next(&mut lines).await, "INSTANCE \"web\" BACKUP 100");
    daemon.eligibility.send_modify(|one| one.stopping = true);
    assert_eq!(next(&mut lines).await, "INSTANCE \"web\" STOP 100");
    daemon.ended().await;
}

#[tokio::test]
async fn a_stop_is_told_also_where_the_lease_thread_says_nothing_more() {
    let folder = open_folder();
    let path = pipe(folder.path());
    let mut lines = lines_of(&path);
    let daemon = Daemon::start(config(&path, Notify::default()));
    daemon.report(&["eth0"]);
    daemon.hold(7);
    for state in ["BACKUP", "MASTER"] {
        assert_eq!(next(&mut lines).await, format!("INSTANCE \"web\" {state} 100"));
    }
    daemon.eligibility.send_modify(|one| one.stopping = true);
    let Daemon { open, task, state, bound, eligibility, lower_adverts, line } = daemon;
    drop((open, line));
    assert_eq!(next(&mut lines).await, "INSTANCE \"web\" STOP 100");
    timeout(LONG, task).await.expect("the thread must end").unwrap();
    drop((state, bound, eligibility, lower_adverts));
}

#[tokio::test]
async fn a_loss_is_told_when_the_addresses_are_gone() {
    let folder = open_folder();
    let path = pipe(folder.path());
    let mut lines = lines_of(&path);
    let daemon = Daemon::start(config(&path, Notify::default()));
    daemon.report(&["eth0"]);
    daemon.hold(7);
    for state in ["BACKUP", "MASTER"] {
        assert_eq!(next(&mut lines).await, format!("INSTANCE \"web\" {state} 100"));
    }
    daemon.bound.send_replace(BTreeSet::from([GroupId(1)]));
    daemon.open.send_replace(OpenLeases::new());
    let early = timeout(Duration::from_millis(200), next(&mut lines)).await;
    assert!(early.is_err(), "told with the address still here: {early:?}");
    daemon.lower_adverts.send("web".to_owned()).await.unwrap();
    assert_eq!(next(&mut lines).await, "INSTANCE \"web\" MASTER_RX_LOWER_PRI 100");
    daemon.bound.send_replace(BTreeSet::new());
    assert_eq!(next(&mut lines).await, "INSTANCE \"web\" BACKUP 100");
    daemon.eligibility.send_modify(|one| one.stopping = true);
    assert_eq!(next(&mut lines).await, "INSTANCE \"web\" STOP 100");
    daemon.ended().await;
}

#[tokio::test]
async fn the_stop_waits_for_its_scripts_and_not_for_ever() {
    let folder = open_folder();
    let path = pipe(folder.path());
    let mut lines = lines_of(&path);
    let stop = format!("read line < /dev/null; echo stopped > {}", path.display());
    let notify = Notify {
        notify_stop: Some(shell(&stop)),
        notify: Some(shell("test $3 != STOP || exec tail -f /dev/null")),
        ..Notify::default()
    };
    let daemon = Daemon::start(config(&path, notify));
    daemon.report(&["eth0"]);
    assert_eq!(next(&mut lines).await, "INSTANCE \"web\" BACKUP 100");
    daemon.eligibility.send_modify(|one| one.stopping = true);
    let mut told = [next(&mut lines).await, next(&mut lines).await];
    told.sort();
    assert_eq!(told, ["INSTANCE \"web\" STOP 100", "stopped"]);
    daemon.ended().await;
}

#[tokio::test]
async fn a_change_of_the_configuration_is_followed() {
    let folder = open_folder();
    let (path, other) = (pipe(folder.path()), folder.path().join("other"));
    let mut lines = lines_of(&path);
    let gone = Notify {
        notify_deleted: Some(shell(&format!("echo $LEASEHOLD_STATE > {}", path.display()))),
        ..Notify::default()
    };
    let daemon = Daemon::start(config(&path, gone.clone()));
    daemon.report(&["eth0"]);
    assert_eq!(next(&mut lines).await, "INSTANCE \"web\" BACKUP 100");
    // A new pipe is told how everything stands.
    nix::unistd::mkfifo(&other, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let mut others = lines_of(&other);
    daemon.state.send_replace(Arc::new(state(config(&other, gone))));
    assert_eq!(next(&mut others).await, "INSTANCE \"web\" BACKUP 100");
    // What is gone is told by what it was, though the configuration knows it no more.
    let mut without = config(&other, Notify::default());
    without.instances.clear();
    daemon.state.send_replace(Arc::new(state(without)));
    assert_eq!(next(&mut others).await, "INSTANCE \"web\" DELETED 100");
    assert_eq!(next(&mut lines).await, "DELETED");
    daemon.eligibility.send_modify(|one| one.stopping = true);
    daemon.ended().await;
}

#[tokio::test]
async fn what_was_seen_of_real_servers_is_told_to_the_end_and_to_those_who_came_with_it() {
    let folder = open_folder();
    let path = pipe(folder.path());
    let mut lines = lines_of(&path);
    let daemon = Daemon::start(Config::default());
    daemon.report(&["eth0"]);
    // The configuration that has the pipe is the one that has the real server.
    daemon.state.send_replace(Arc::new(state(config(&path, Notify::default()))));
    let mut gone = change(1, false);
    gone.event.cause = checker::Cause::Removed;
    daemon.line.push(gone);
    let mut told = [next(&mut lines).await, next(&mut lines).await];
    told.sort();
    let real = "RS [10.0.0.1]:tcp:80 [192.168.1.100]:tcp:80 DOWN";
    assert_eq!(told, ["INSTANCE \"web\" BACKUP 100", real]);
    daemon.eligibility.send_modify(|one| one.stopping = true);
    assert_eq!(next(&mut lines).await, "INSTANCE \"web\" STOP 100");
    daemon.line.push(change(1, true));
    assert_eq!(next(&mut lines).await, real.replace("DOWN", "UP"), "after the stop was told");
    let Daemon { open, task, line, .. } = daemon;
    line.push(change(1, false));
    drop((open, line));
    timeout(LONG, task).await.expect("the thread must end").unwrap();
    assert_eq!(next(&mut lines).await, real, "what waited at the end");
}

#[tokio::test]
async fn a_thread_that_checks_and_never_ends_is_not_waited_for() {
    let daemon = Daemon::start(Config::default());
    daemon.report(&["eth0"]);
    let Daemon { open, task, line, .. } = daemon;
    drop(open);
    timeout(LONG, task).await.expect("the thread must end").unwrap();
    drop(line);
}
