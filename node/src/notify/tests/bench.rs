//! What the tests share: a configuration, events, and the far ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use leasehold_model::{Alerts, Epoch, Notify, Script};
use leasehold_node_core::notify::{Kind, State, Transition};
use nix::unistd::{Uid, User, geteuid};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::unix::pipe::{OpenOptions, Receiver};
use tokio::time::timeout;

use crate::notify::news::News;
use crate::notify::transition::Change;

/// Longer than anything takes that happens at all.
pub(super) const LONG: Duration = Duration::from_secs(20);

/// The tests run as root, or as anyone.
pub(super) fn user() -> User {
    let name = if geteuid().is_root() { "nobody" } else { "" };
    let found = User::from_name(name).unwrap();
    found.unwrap_or_else(|| User::from_uid(Uid::current()).unwrap().unwrap())
}

/// A directory that any user may enter and write to.
pub(super) fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

pub(super) fn shell(text: &str) -> Script {
    Script { command: format!("/bin/sh -c '{text}' word"), user: Some(user().name), group: None }
}

pub(super) fn news(name: &str, state: State, epoch: u64, notify: &Notify) -> Arc<News> {
    Arc::new(change(name, state, epoch, notify).news(&Alerts::default()))
}

pub(super) fn change(name: &str, state: State, epoch: u64, notify: &Notify) -> Change {
    Change {
        transition: Transition {
            kind: Kind::Instance,
            name: name.to_owned(),
            state,
            priority: 100,
            epoch: Epoch(epoch),
            cause: "moved by an operator".to_owned(),
        },
        cluster: "c1".to_owned(),
        node: "ds1".to_owned(),
        vips: vec!["192.168.1.100".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        unix_ms: 1_700_000_000_123,
        notify: notify.clone(),
        gone: false,
    }
}

/// A named pipe that scripts write lines to, and the test reads.
pub(super) struct Sink {
    path: PathBuf,
    lines: Lines<BufReader<Receiver>>,
}

impl Sink {
    pub(super) fn new(folder: &Path) -> Self {
        let path = folder.join("sink");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        nix::unistd::chown(&path, Some(user().uid), Some(user().gid)).unwrap();
        Self { lines: lines_of(&path), path }
    }

    pub(super) fn path(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    pub(super) async fn next(&mut self) -> String {
        next(&mut self.lines).await
    }
}

/// Reads a pipe as an operator's reader does, and outlives its writers.
pub(super) fn lines_of(path: &Path) -> Lines<BufReader<Receiver>> {
    let pipe = OpenOptions::new().read_write(true).open_receiver(path).unwrap();
    BufReader::new(pipe).lines()
}

pub(super) async fn next(lines: &mut Lines<BufReader<Receiver>>) -> String {
    let line = timeout(LONG, lines.next_line()).await.expect("nothing was told");
    line.unwrap().expect("a pipe opened for writing too never ends")
}
