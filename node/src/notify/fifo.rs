//! A named pipe that news is written to, one line each, in order.
//!
//! A pipe that nobody reads fills up. What does not fit is kept here, the newest lines of it,
//! and what has to go is counted and said: nothing is lost silently. A reader that is started
//! from here is told how everything stands whenever it is started anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use leasehold_model::{Alerts, Script};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid};
use tokio::net::unix::pipe::Sender;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::news::{Field, Key, Lasting, News, is_known};
use crate::script::{self, Ended, Job, RunAs};
use crate::wake;

/// Lines that are kept while the pipe takes none, on top of the 64 KiB of the pipe itself.
pub(super) const BACKLOG: usize = 4096;

/// Between two tries to make and open the pipe.
const REOPEN_AFTER: Duration = Duration::from_secs(5);

/// From one end of the reader to its next start: twice as long each time, and from the beginning
/// again when it ran for longer than the last of these.
const RESTART_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Readers that are being started at once, apart from scripts: one that hangs holds up no pipe.
static STARTING: Semaphore = Semaphore::const_new(64);

/// The reader has no time limit; a job must have one.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Which of the configuration's pipes it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Which {
    /// `notify_fifo`, which gets everything.
    All,
    /// `vrrp_notify_fifo` or `lvs_notify_fifo`.
    Of(Field),
    /// Both of these, which have one path.
    Both,
}

impl Which {
    pub(super) const EVERY: [Self; 4] =
        [Self::All, Self::Of(Field::Vrrp), Self::Of(Field::Lvs), Self::Both];

    fn name(self) -> &'static str {
        match self {
            Self::All => "notify_fifo",
            Self::Of(Field::Vrrp) => "vrrp_notify_fifo",
            Self::Of(Field::Lvs) => "lvs_notify_fifo",
            Self::Both => "vrrp_notify_fifo and lvs_notify_fifo",
        }
    }

    pub(super) fn takes(self, key: &Key) -> bool {
        match self {
            Self::All | Self::Both => true,
            Self::Of(field) => field == key.field(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    which: Which,
    path: String,
    script: Option<Script>,
    /// Whose scripts are run where they don't say.
    user: Option<String>,
    group: Option<String>,
}

impl Settings {
    /// None where the configuration names no pipe.
    pub(super) fn new(which: Which, alerts: &Alerts) -> Option<Self> {
        let (vrrp, lvs) = (&alerts.vrrp_notify_fifo, &alerts.lvs_notify_fifo);
        let one = vrrp.is_some() && vrrp == lvs;
        let (path, script) = match which {
            Which::All => (&alerts.notify_fifo, &alerts.notify_fifo_script),
            Which::Of(_) if one => return None,
            Which::Of(Field::Vrrp) => (vrrp, &alerts.vrrp_notify_fifo_script),
            Which::Of(Field::Lvs) => (lvs, &alerts.lvs_notify_fifo_script),
            Which::Both if !one => return None,
            Which::Both if alerts.vrrp_notify_fifo_script.is_some() => {
                (vrrp, &alerts.vrrp_notify_fifo_script)
            }
            Which::Both => (lvs, &alerts.lvs_notify_fifo_script),
        };
        Some(Self {
            which,
            path: path.clone()?,
            script: script.clone(),
            user: alerts.script_user.clone(),
            group: alerts.script_group.clone(),
        })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether a pipe that is there can go on with `other`: who makes the next one is all that
    /// differs, and nobody has to be told anything again.
    pub(super) fn goes_on_as(&self, other: &Self) -> bool {
        let owned = Self { user: other.user.clone(), group: other.group.clone(), ..self.clone() };
        owned == *other && self.script.is_none()
    }

    fn reader(&self) -> Option<Job> {
        let alerts = Alerts {
            script_user: self.user.clone(),
            script_group: self.group.clone(),
            ..Alerts::default()
        };
        match Job::new(self.script.as_ref()?, &alerts, Vec::new(), FOR_EVER) {
            Ok(mut job) => {
                job.words.push(self.path.clone());
                Some(job)
            }
            Err(error) => {
                tracing::error!("{}_script: {error}", self.which.name());
                None
            }
        }
    }
}

/// How everything stands: the last line about each key that says so.
#[derive(Clone, Debug, Default)]
pub(super) struct States {
    lines: BTreeMap<Key, String>,
    /// Nothing is remembered of others. None: all that there is.
    keys: Option<Arc<BTreeSet<Key>>>,
}

impl States {
    pub(super) fn handle_news(&mut self, news: &News) {
        match news.lasting {
            Lasting::State if is_known(self.keys.as_deref(), &news.key) => {
                self.lines.insert(news.key.clone(), news.line.clone());
            }
            Lasting::Moment => {}
            Lasting::State | Lasting::Last => drop(self.lines.remove(&news.key)),
        }
    }

    /// Forgets what there can be no more news of.
    pub(super) fn retain(&mut self, keys: &Arc<BTreeSet<Key>>) {
        self.lines.retain(|key, _| keys.contains(key));
        self.keys = Some(keys.clone());
    }

    /// What one of the pipes is to know.
    pub(super) fn of(&self, which: Which) -> Self {
        let mine = self.lines.iter().filter(|(key, _)| which.takes(key));
        let lines = mine.map(|(key, line)| (key.clone(), line.clone())).collect();
        Self { lines, keys: self.keys.clone() }
    }

    fn len(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn lines(&self) -> VecDeque<String> {
        self.lines.values().map(|line| format!("{line}\n")).collect()
    }
}

/// What happens to a pipe while it is there.
pub(super) enum ToPipe {
    News(Arc<News>),
    /// The configuration is another: this is all that there can be news of.
    Keys(Arc<BTreeSet<Key>>),
    /// Who scripts run as is another, and nothing else of it. For a pipe without a reader of ours.
    Settings(Settings),
    /// Another takes its place: the reader is ended, and what waits is not told.
    Leave,
}

pub(super) struct Fifo {
    settings: Settings,
    states: States,
    backlog: VecDeque<String>,
    dropped: u64,
    pipe: Option<Sender>,
    open_at: Instant,
    opening: JoinSet<io::Result<OwnedFd>>,
    /// One that had this path until now: while its reader lives, that would take what the next
    /// one is to be told.
    before: Option<oneshot::Receiver<Infallible>>,
    /// Dropped with the last of it.
    _gone: oneshot::Sender<Infallible>,
    /// Dropped, it ends the reader.
    leave: Option<oneshot::Sender<Infallible>>,
    reader: JoinSet<Ended>,
    read_from: Option<Instant>,
    started: Instant,
    pause: Duration,
}

impl Fifo {
    /// A new pipe is told first how everything stands, and after `before` is gone.
    pub(super) fn new(
        settings: Settings,
        states: States,
        before: Option<oneshot::Receiver<Infallible>>,
        gone: oneshot::Sender<Infallible>,
    ) -> Self {
        Self {
            before,
            _gone: gone,
            leave: None,
            settings,
            backlog: states.lines(),
            states,
            dropped: 0,
            pipe: None,
            open_at: Instant::now(),
            opening: JoinSet::new(),
            reader: JoinSet::new(),
            read_from: None,
            started: Instant::now(),
            pause: RESTART_AFTER.0,
        }
    }

    /// Runs until the other end is dropped, and then until everything is written and read.
    pub(super) async fn run(mut self, mut told: mpsc::Receiver<ToPipe>) {
        let mut ended = false;
        loop {
            self.write();
            // A pipe that waits for the reader before it is not one that nobody reads.
            let nobody = self.pipe.is_none() && self.before.is_none();
            if ended && (self.backlog.is_empty() || nobody) {
                break;
            }
            tokio::select! {
                word = told.recv(), if !ended => match word {
                    Some(ToPipe::News(news)) => {
                        self.states.handle_news(&news);
                        self.keep(format!("{}\n", news.line));
                    }
                    Some(ToPipe::Keys(keys)) => self.states.retain(&keys),
                    Some(ToPipe::Settings(settings)) => self.settings = settings,
                    Some(ToPipe::Leave) => return self.leave().await,
                    None => ended = true,
                },
                () = gone(&mut self.before) => {}
                () = writable(self.pipe.as_ref(), &self.backlog) => {}
                () = tokio::time::sleep_until(self.open_at), if self.is_closed() => self.open(),
                Some(opened) = self.opening.join_next() => {
                    let opened = opened.unwrap_or_else(|error| Err(io::Error::other(error)));
                    self.handle_opened(opened);
                }
                () = wake::at(self.read_from) => self.start_reader(),
                Some(end) = self.reader.join_next() => self.handle_reader_end(end.ok()),
            }
        }
        if !self.backlog.is_empty() {
            tracing::warn!("{}: {} lines were not told", self.settings.path, self.backlog.len());
        }
        // With the last writer gone, the reader reads on to the end, and ends.
        self.pipe = None;
        while self.reader.join_next().await.is_some() {}
    }

    fn is_closed(&self) -> bool {
        self.pipe.is_none() && self.opening.is_empty() && self.before.is_none()
    }

    /// Ends the reader, and waits until it reads no more.
    async fn leave(mut self) {
        self.leave = None;
        if let Some(before) = self.before.take() {
            drop(before.await);
        }
        while self.reader.join_next().await.is_some() {}
    }

    fn keep(&mut self, line: String) {
        self.backlog.push_back(line);
        // What the pipe can take is not dropped, however much comes at once.
        self.write();
        // How everything stands may be more than that, and is told whole.
        if self.backlog.len() > BACKLOG.max(2 * self.states.len()) {
            self.backlog.pop_front();
            self.dropped += 1;
            // A pipe without a reader would otherwise fill the log too.
            if self.dropped.is_power_of_two() {
                tracing::warn!(
                    dropped = self.dropped,
                    "{}: nobody reads it: the oldest lines are dropped",
                    self.settings.path
                );
            }
        }
    }

    /// Writes what the pipe takes. A line is shorter than `PIPE_BUF`, so it goes whole or not at
    /// all (pipe(7)).
    fn write(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        while let Some(line) = self.backlog.front() {
            match pipe.try_write(line.as_bytes()) {
                Ok(_) => drop(self.backlog.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    tracing::error!("{}: {error}: opening it again", self.settings.path);
                    self.pipe = None;
                    self.open_at = Instant::now() + REOPEN_AFTER;
                    return;
                }
            }
        }
    }

    /// Where file systems hang, this does too: on a thread that nobody waits for.
    fn open(&mut self) {
        let path = self.settings.path.clone();
        let owner = RunAs { user: self.settings.user.clone(), group: self.settings.group.clone() };
        self.opening.spawn_blocking(move || open(Path::new(&path), &owner));
    }

    fn handle_opened(&mut self, opened: io::Result<OwnedFd>) {
        match opened.and_then(|pipe| Sender::from_file(File::from(pipe))) {
            Ok(pipe) => {
                self.pipe = Some(pipe);
                if self.reader.is_empty() && self.settings.script.is_some() {
                    self.read_from = Some(Instant::now());
                }
            }
            Err(error) => {
                tracing::error!("{} {}: {error}", self.settings.which.name(), self.settings.path);
                self.open_at = Instant::now() + REOPEN_AFTER;
            }
        }
    }

    fn start_reader(&mut self) {
        self.read_from = None;
        self.started = Instant::now();
        if let Some(job) = self.settings.reader() {
            let (leave, left) = oneshot::channel();
            self.leave = Some(leave);
            self.reader.spawn(async move {
                // Nothing is ever sent: it resolves when the other end is dropped.
                let over = async { drop(left.await) };
                script::run_until(job, &STARTING, over).await.0
            });
        }
    }

    fn handle_reader_end(&mut self, ended: Option<Ended>) {
        if self.started.elapsed() > RESTART_AFTER.1 {
            self.pause = RESTART_AFTER.0;
        }
        tracing::warn!(
            "{}_script ended ({ended:?}): it is started anew in {:?}",
            self.settings.which.name(),
            self.pause
        );
        self.read_from = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(RESTART_AFTER.1);
        // Whatever it had read is forgotten with it. These come in place of what waits.
        self.backlog = self.states.lines();
    }
}

/// Resolves when the pipe before is gone, and forgets it.
async fn gone(before: &mut Option<oneshot::Receiver<Infallible>>) {
    match before {
        Some(left) => drop(left.await),
        None => std::future::pending().await,
    }
    *before = None;
}

async fn writable(pipe: Option<&Sender>, backlog: &VecDeque<String>) {
    match pipe {
        // An error shows when it is written to.
        Some(pipe) if !backlog.is_empty() => drop(pipe.writable().await),
        Some(_) | None => std::future::pending().await,
    }
}

/// Makes the pipe where there is none, for whom scripts run as, and opens it. Opened for reading
/// too, it takes what is written also while nobody reads, and is no error then.
fn open(path: &Path, owner: &RunAs) -> io::Result<OwnedFd> {
    match nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR) {
        Ok(()) => {
            let (user, group): (Uid, Gid) =
                script::ids(owner).map_err(|error| io::Error::other(error.to_string()))?;
            nix::unistd::fchownat(
                nix::fcntl::AT_FDCWD,
                path,
                Some(user),
                Some(group),
                nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
            )?;
        }
        Err(nix::Error::EEXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let pipe = nix::fcntl::open(path, flags, Mode::empty())?;
    let file = File::from(pipe);
    let found = file.metadata()?;
    if !found.file_type().is_fifo() {
        return Err(io::Error::other(
            "it is there, and is no named pipe: remove it, or name another",
        ));
    }
    let user = script::ids(owner).map_or(Uid::from_raw(0), |(user, _)| user);
    let strange = found.uid() != 0 && found.uid() != user.as_raw();
    if strange || found.mode() & 0o022 != 0 {
        return Err(io::Error::other(
            "it is there, and others may write to it: remove it, or name one in a directory of \
             root's",
        ));
    }
    Ok(file.into())
}
