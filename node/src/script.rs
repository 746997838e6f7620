//! Running one program of an operator's, so that nothing it does can hurt the daemon.
//!
//! It gets a process group of its own, nobody's rights, no terminal, no pipe of ours and a time
//! limit. What may hang before it even runs, which is looking up its user and its path, happens
//! on a thread that nobody waits for longer than the limit.

mod security;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use leasehold_model::{Alerts, Script};
pub(crate) use leasehold_node_core::words::{WordsError, split};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Gid, Group, Pid, Uid, User};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};

pub(crate) use security::Unsafe;

/// Where programs named without a slash are looked for; and all of the environment that a
/// program gets unasked.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whom programs run as where nobody says: the first of these that exists.
const DEFAULT_USERS: [&str; 2] = ["keepalived_script", "nobody"];

/// From the request to end to the kill, and from the kill until nobody waits any longer: a
/// process in the middle of a disk's or a file server's work dies only after it.
const GRACE: Duration = Duration::from_secs(1);

/// A program to run, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// The program and its arguments.
    pub(crate) words: Vec<String>,
    pub(crate) run_as: RunAs,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) timeout: Duration,
}

/// Names, looked up at each start: users come and go while the daemon runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunAs {
    /// Absent: the first of `keepalived_script` and `nobody` that exists.
    pub(crate) user: Option<String>,
    /// Absent: the user's own.
    pub(crate) group: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Exited(i32),
    Signalled(i32),
    /// It ran out of time, and was killed with all that it started in its process group.
    TimedOut,
    /// Why, and what to do.
    NotStarted(String),
}

/// What follows the program's name.
impl fmt::Display for Ended {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(to, "exited with {code}"),
            Self::Signalled(signal) => write!(to, "was ended by signal {signal}"),
            Self::TimedOut => write!(to, "ran out of time, and was killed"),
            Self::NotStarted(why) => write!(to, "did not start: {why}"),
        }
    }
}

/// Why a program can't be started, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("no user {0}: create it, or name another in `user` or `script_user`")]
    NoUser(String),
    #[error("no group {0}: create it, or name another in `group` or `script_group`")]
    NoGroup(String),
    #[error("looking up {0}: {1}")]
    Lookup(String, nix::Error),
    #[error("neither user keepalived_script nor nobody exists: create one, or set script_user")]
    NoDefault,
    #[error("no program {0} in {PATH}: install it, or give its whole path")]
    NotFound(String),
    #[error("{0}: {1}")]
    Unsafe(String, Unsafe),
    #[error("{0}: {1}: is it there, and may user {2} execute it?")]
    Spawn(String, std::io::Error, Uid),
}

impl Job {
    /// The script as the configuration has it.
    pub(crate) fn new(
        script: &Script,
        alerts: &Alerts,
        env: Vec<(String, String)>,
        timeout: Duration,
    ) -> Result<Self, WordsError> {
        let words = split(&script.command)?;
        let run_as = if script.user.is_some() {
            RunAs { user: script.user.clone(), group: script.group.clone() }
        } else {
            let group = script.group.as_ref().or(alerts.script_group.as_ref());
            RunAs { user: alerts.script_user.clone(), group: group.cloned() }
        };
        Ok(Self { words, run_as, env, timeout })
    }
}

/// What a program left behind when its time was over, if it could not be ended: a start that
/// hangs in a file server, a process that the kernel does not let go. Resolves when it is gone.
pub(crate) type Leftover = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs it to its end, or to the end of its time. Whoever drops the future kills the program.
///
/// What it leaves running when it ends in time is left alone: a program may start a daemon.
///
/// Starting hangs where a file server does. Starts wait for each other among those that have the
/// same semaphore: what comes later fails by its time limit, and no more threads are spent on it.
pub(crate) async fn run(job: Job, starting: &'static Semaphore) -> Ended {
    run_watched(job, starting).await.0
}

/// The same, for who runs it again and again: not before what is left over is gone.
pub(crate) async fn run_watched(
    job: Job,
    starting: &'static Semaphore,
) -> (Ended, Option<Leftover>) {
    let over = sleep_until(Instant::now() + job.timeout);
    run_until(job, starting, over).await
}

/// The same, with its time over when `over` resolves, whatever the job says: it is asked to end,
/// killed, and waited for until it is gone.
pub(crate) async fn run_until(
    job: Job,
    starting: &'static Semaphore,
    over: impl Future<Output = ()>,
) -> (Ended, Option<Leftover>) {
    let mut over = pin!(over);
    let mut start = Box::pin(async move {
        // The semaphore is never closed.
        let permit = starting.acquire().await.ok();
        let start = tokio::task::spawn_blocking(move || {
            let started = start(&job);
            drop(permit);
            started
        });
        start.await
    });
    let started = tokio::select! {
        biased;
        started = &mut start => Some(started),
        () = &mut over => None,
    };
    let mut program = match started {
        None => {
            let left = async move {
                if let Ok(Ok(mut program)) = start.await {
                    program.end().await;
                    program.reap().await;
                }
            };
            let why = "not within its time: what keeps its file, or the look-up of its user?";
            return (Ended::NotStarted(why.to_owned()), Some(Box::pin(left)));
        }
        Some(Err(error)) => return (Ended::NotStarted(format!("starting it: {error}")), None),
        Some(Ok(Err(error))) => return (Ended::NotStarted(error.to_string()), None),
        Some(Ok(Ok(program))) => program,
    };
    let waited = tokio::select! {
        biased;
        waited = program.child.wait() => Some(waited),
        () = &mut over => None,
    };
    match waited {
        Some(Ok(status)) => {
            program.group = None;
            (ended(status), None)
        }
        Some(Err(error)) => (Ended::NotStarted(format!("waiting for it: {error}")), None),
        None => {
            program.end().await;
            let left = program.group.is_some();
            let left = left.then(|| Box::pin(async move { program.reap().await }) as Leftover);
            (Ended::TimedOut, left)
        }
    }
}

fn ended(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Exited(code),
        (None, Some(signal)) => Ended::Signalled(signal),
        // Neither can be: the kernel reports an end in one of the two ways.
        (None, None) => Ended::NotStarted(format!("it ended without a status: {status}")),
    }
}

/// A program that runs. Dropped, it is killed, and the runtime reaps it.
struct Program {
    child: Child,
    /// Absent once the child is reaped: its number may be another's then.
    group: Option<Pid>,
}

impl Program {
    /// Asks it to end, and ends it. It is not reaped in between, so that the group's number
    /// stays its own, and what it started dies with it.
    async fn end(&mut self) {
        self.signal(Signal::SIGTERM);
        let _ = timeout(GRACE, self.exited()).await;
        self.signal(Signal::SIGKILL);
        if let Ok(Ok(_)) = timeout(GRACE, self.child.wait()).await {
            self.group = None;
        }
    }

    /// Waits until it is gone, however long the kernel takes.
    async fn reap(&mut self) {
        if self.group.is_some() && self.child.wait().await.is_ok() {
            self.group = None;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It may be gone already.
            let _ = killpg(group, signal);
        }
    }

    /// Returns when it has exited, and leaves it to be reaped.
    async fn exited(&self) {
        use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        while let Some(group) = self.group {
            pause.tick().await;
            if !matches!(waitid(Id::Pid(group), look), Ok(WaitStatus::StillAlive)) {
                return;
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// Everything of it may block: name services, file servers, the fork.
fn start(job: &Job) -> Result<Program, StartError> {
    let Some((name, arguments)) = job.words.split_first() else {
        return Err(StartError::NotFound(String::new()));
    };
    let (uid, gid) = ids(&job.run_as)?;
    let mut path = find(name)?;
    if uid.is_root() {
        path = security::check(&path).map_err(|why| StartError::Unsafe(name.clone(), why))?;
    }
    let mut command = Command::new(&path);
    command.arg0(OsString::from(name)).args(arguments);
    command.env_clear().env("PATH", PATH).envs(job.env.iter().map(|(key, value)| (key, value)));
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Where root sets a user, the standard library also drops the supplementary groups.
    command.process_group(0).uid(uid.as_raw()).gid(gid.as_raw());
    let child = command.spawn().map_err(|error| StartError::Spawn(name.clone(), error, uid))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    Ok(Program { child, group })
}

/// Whom a program runs as.
pub(crate) fn ids(run_as: &RunAs) -> Result<(Uid, Gid), StartError> {
    let look = |name: &str| {
        User::from_name(name).map_err(|error| StartError::Lookup(name.to_owned(), error))
    };
    let user = match &run_as.user {
        Some(name) => look(name)?.ok_or_else(|| StartError::NoUser(name.clone()))?,
        None => {
            let mut found = None;
            for name in DEFAULT_USERS {
                if found.is_none() {
                    found = look(name)?;
                }
            }
            found.ok_or(StartError::NoDefault)?
        }
    };
    let Some(name) = &run_as.group else { return Ok((user.uid, user.gid)) };
    let group = Group::from_name(name);
    let group = group.map_err(|error| StartError::Lookup(name.clone(), error))?;
    Ok((user.uid, group.ok_or_else(|| StartError::NoGroup(name.clone()))?.gid))
}

/// A name with a slash is a path, below `/` where it is relative.
fn find(name: &str) -> Result<PathBuf, StartError> {
    if name.contains('/') {
        return Ok(Path::new("/").join(name));
    }
    let mut places = PATH.split(':').map(|folder| Path::new(folder).join(name));
    places.find(|path| path.is_file()).ok_or_else(|| StartError::NotFound(name.to_owned()))
}
