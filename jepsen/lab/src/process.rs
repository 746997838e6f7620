//! A program running in a host, with its children: watched, signalled, and ended on drop.
//!
//! Every program carries a cookie in its environment that its children inherit. The tree is found
//! by that cookie, not by parentage, so a child that outlived its parent still belongs to it, and
//! nothing that the lab did not start can ever be signalled.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::capture::Capture;
use crate::owner::{Alive, COOKIE, Owner, alive, marked, next_number};
use crate::wait::patience;
use crate::{Host, LabError, Result, until};

/// How long a killed process may take to be gone.
const END_LIMIT: Duration = Duration::from_secs(10);

/// A program to be started.
#[derive(Clone, Debug)]
pub struct Program {
    label: String,
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    log: Option<PathBuf>,
}

impl Program {
    /// Names the program; `label` is what errors call it.
    pub fn new(label: &str, program: impl AsRef<OsStr>) -> Program {
        Program {
            label: label.to_owned(),
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: None,
            log: None,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Program {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Program {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Program {
        self.environment.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the working directory.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Program {
        self.directory = Some(directory.into());
        self
    }

    /// Also writes what it prints to a file.
    pub fn log_to(mut self, path: impl Into<PathBuf>) -> Program {
        self.log = Some(path.into());
        self
    }

    /// Starts it in `host`, in a process group of its own.
    pub fn start(&self, host: &Host) -> Result<Process> {
        let cookie = format!("{}-{}", Owner::this().tag(), next_number());
        // nsenter changes the namespace and becomes the program, so the pid is the program's;
        // `ip netns exec` would hide the BPF file system.
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", host.path().display()))
            .arg("--")
            .arg(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .env(COOKIE, format!("{cookie}."))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let log = self
            .log
            .as_ref()
            .map(|path| File::create(path).map_err(LabError::system(path.display().to_string())));
        let log = log.transpose()?;
        let copy = log.as_ref().map(File::try_clone).transpose();
        let copy = copy.map_err(LabError::system("duplicating the log's descriptor"))?;
        let mut child =
            command.spawn().map_err(LabError::system(format!("starting {}", self.label)))?;
        let output = Capture::default();
        output.follow(child.stderr.take().expect("standard error was asked to be a pipe"), log);
        output.follow(child.stdout.take().expect("standard output was asked to be a pipe"), copy);
        let pid = child.id() as i32;
        let exit = Arc::new(Exit::default());
        let watched = Arc::clone(&exit);
        std::thread::spawn(move || watched.watch(child));
        let (label, host) = (self.label.clone(), host.clone());
        Ok(Process { label, pid, cookie: format!("{cookie}."), host, output, exit })
    }
}

/// A started program. Dropping it ends it and its children.
#[derive(Debug)]
pub struct Process {
    label: String,
    pid: i32,
    cookie: String,
    host: Host,
    output: Capture,
    exit: Arc<Exit>,
}

#[derive(Debug, Default)]
struct Exit {
    status: Mutex<Option<ExitStatus>>,
    happened: Condvar,
}

impl Process {
    /// The pid of the program itself.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The host it runs in.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The program and all its descendants that live.
    pub fn tree(&self) -> Vec<i32> {
        marked(&self.cookie).iter().map(|process| process.pid).collect()
    }

    /// Its descendants that live.
    pub fn children(&self) -> Vec<i32> {
        self.tree().into_iter().filter(|pid| *pid != self.pid).collect()
    }

    /// Its descendants that live and have this word on their command line.
    pub fn children_running(&self, word: &str) -> Vec<i32> {
        let runs = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|one| one == word.as_bytes())
        };
        self.children().into_iter().filter(runs).collect()
    }

    /// Sends a signal to those of these processes that are its own and live; which those were.
    pub fn signal_some(&self, pids: &[i32], signal: Signal) -> Vec<i32> {
        let mut own = self.tree();
        own.retain(|pid| pids.contains(pid));
        own.retain(|pid| kill(Pid::from_raw(*pid), signal).is_ok());
        own
    }

    /// Sends a signal to the program alone.
    pub fn kill(&self, signal: Signal) -> Result<()> {
        // While the status is locked the pid can't be collected, hence not be reused.
        let status = self.exit.status();
        if status.is_some() {
            return Err(LabError::Argument(format!("{} has ended already", self.label)));
        }
        kill(Pid::from_raw(self.pid), signal)
            .map_err(LabError::errno(format!("{signal} to {}", self.label)))
    }

    /// Sends a signal to the program and its descendants: microseconds apart and the program
    /// last, so that no child can react to its death.
    pub fn signal_tree(&self, signal: Signal) -> Vec<i32> {
        let mut tree = marked(&self.cookie);
        tree.sort_by_key(|process| process.pid == self.pid);
        let pids: Vec<i32> = tree.iter().map(|process| process.pid).collect();
        for pid in &pids {
            let _gone_already = kill(Pid::from_raw(*pid), signal);
        }
        pids
    }

    /// Kills the program and its descendants, and returns when none is left.
    pub fn kill_tree(&self) -> Result<()> {
        // One amid an exec has no environment for a moment, and so is not seen by its cookie.
        let mut unseen = 0;
        until(&format!("all processes of {} to be gone", self.label), END_LIMIT, || {
            let gone = self.signal_tree(Signal::SIGKILL).is_empty();
            unseen = if gone { unseen + 1 } else { 0 };
            (unseen == 2).then_some(())
        })?;
        self.wait(END_LIMIT).map(drop)
    }

    /// Stops the program and its descendants, and returns when none of them can run.
    pub fn freeze_tree(&self) -> Result<()> {
        until(&format!("all processes of {} to stop", self.label), END_LIMIT, || {
            self.signal_tree(Signal::SIGSTOP);
            let tree = marked(&self.cookie);
            tree.iter().all(|process| alive(process.pid).is_none_or(rests)).then_some(())
        })
    }

    /// Stops these of its processes, and returns when none of them can run; which those are.
    pub fn freeze_some(&self, pids: &[i32]) -> Result<Vec<i32>> {
        let own = self.signal_some(pids, Signal::SIGSTOP);
        until(&format!("processes of {} to stop", self.label), END_LIMIT, || {
            own.iter().all(|pid| alive(*pid).is_none_or(rests)).then_some(())
        })?;
        Ok(own)
    }

    /// Lets them go on.
    pub fn thaw_tree(&self) {
        self.signal_tree(Signal::SIGCONT);
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        *self.exit.status()
    }

    /// Waits for the program's end.
    pub fn wait(&self, limit: Duration) -> Result<ExitStatus> {
        let limit = patience(limit);
        let deadline = Instant::now() + limit;
        let mut status = self.exit.status();
        loop {
            if let Some(status) = *status {
                return Ok(status);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let what = format!("{} to end", self.label);
                return Err(LabError::Timeout { what, limit });
            }
            let waited = self.exit.happened.wait_timeout(status, left);
            status = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The last lines it printed, on either stream.
    pub fn output(&self) -> Vec<String> {
        self.output.lines()
    }

    /// A mark in its output, for `wait_for_line_after`.
    pub fn mark(&self) -> usize {
        self.output.mark()
    }

    /// Waits for a line that contains `text`, printed earlier or not.
    pub fn wait_for_line(&self, text: &str, limit: Duration) -> Result<String> {
        self.wait_for_line_after(0, text, limit)
    }

    /// Waits for a line that contains `text` and was printed after `mark`.
    pub fn wait_for_line_after(&self, mark: usize, text: &str, limit: Duration) -> Result<String> {
        let limit = patience(limit);
        self.output.wait(mark, limit, |line| line.contains(text)).ok_or_else(|| {
            let output = self.output();
            let last = output[output.len().saturating_sub(15)..].join("\n  ");
            let what = format!("`{text}` from {}; it last printed:\n  {last}", self.label);
            LabError::Timeout { what, limit }
        })
    }
}

/// A stop reaches a process in an uninterruptible wait (`D`) only at its end, but before any code
/// of its own; and the wait of a vfork for a child stopped short has no end.
fn rests(now: Alive) -> bool {
    matches!(now.state, 'T' | 't' | 'D' | 'Z' | 'X')
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing more can be done about a process that SIGKILL does not end; the sweep tries
        // again.
        let _ = self.kill_tree();
    }
}

impl Exit {
    fn watch(&self, mut child: Child) {
        // First wait without collecting: the pid stays taken until the status is locked.
        let pid = Pid::from_raw(child.id() as i32);
        while let Err(nix::errno::Errno::EINTR) =
            waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
        {}
        let mut status = self.status();
        *status = Some(child.wait().unwrap_or_else(|_| ExitStatus::from_raw(0)));
        self.happened.notify_all();
    }

    fn status(&self) -> MutexGuard<'_, Option<ExitStatus>> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
