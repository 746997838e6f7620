//! `leasehold guard`: a small process that finishes what its daemon can't.
//!
//! It reads beats from a pipe. When the pipe ends or the beats stop, it first kills the daemon and
//! waits until it is gone, because a hung daemon that woke later would reopen the fence under the
//! next holder. Then it closes the fence, tells the group which leases are over, and unbinds the
//! addresses. It takes a moment where the ttl would take a second; where it too is killed, the
//! fence's deadlines do the same work later.

mod lock;
mod report;

use std::collections::BTreeSet;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use leasehold_dataplane::fence::Gate;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getppid, pidfd_open, pidfd_send_signal};

pub(crate) use lock::wait_for_predecessor;

use crate::guard_message::{Charge, Line};

pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) daemon: i32,
    /// Absent on a witness.
    pub(crate) pin_dir: Option<PathBuf>,
    /// Silence that means a hung daemon.
    pub(crate) hung_after: Duration,
}

pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    // The daemon's terminal and its service manager signal it, not its guard.
    nix::unistd::setsid().context("guard: setsid")?;
    ignore_termination()?;
    let _lock = lock::take(&settings.data_dir)?;
    let daemon = Pid::from_raw(settings.daemon).context("guard: --daemon wants a process id")?;
    let handle = pidfd_open(daemon, PidfdFlags::empty());
    let charge = if getppid() == Some(daemon) {
        match watch(settings.hung_after)? {
            End::Dismissed => return Ok(()),
            End::Silent(charge) => charge,
        }
    } else {
        // It died before this process came up: it held nothing then.
        Charge::default()
    };
    tracing::warn!(leases = charge.leases.len(), "the daemon is gone or hung: taking over");
    if let Ok(handle) = handle {
        // It may be dead already.
        let _ = pidfd_send_signal(&handle, Signal::KILL);
        wait_until_gone(handle.as_fd())?;
    }
    finish(settings.pin_dir.as_deref(), &settings.data_dir, &charge)
}

enum End {
    /// The daemon stopped in good order.
    Dismissed,
    Silent(Charge),
}

/// Reads lines until they say goodbye, end, or stop coming.
fn watch(hung_after: Duration) -> anyhow::Result<End> {
    let mut stdin = std::io::stdin().lock();
    let mut buffer: Vec<u8> = Vec::new();
    let mut chunk = vec![0_u8; 64 * 1024];
    let mut charge = Charge::default();
    let limit = PollTimeout::try_from(hung_after).context("guard: --hung-after is too long")?;
    loop {
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, limit) {
            Ok(0) => return Ok(End::Silent(charge)),
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => continue,
            Err(error) => bail!("guard: poll: {error}"),
        }
        let read = stdin.read(&mut chunk).context("guard: reading beats")?;
        if read == 0 {
            return Ok(End::Silent(charge));
        }
        buffer.extend_from_slice(&chunk[..read]);
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            match serde_json::from_slice(&line).context("guard: a line of the daemon's")? {
                Line::Beat => {}
                Line::Charge(now) => charge = now,
                Line::Goodbye => return Ok(End::Dismissed),
            }
        }
    }
}

fn wait_until_gone(handle: std::os::fd::BorrowedFd<'_>) -> anyhow::Result<()> {
    let mut fds = [PollFd::new(handle, PollFlags::POLLIN)];
    loop {
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => return Ok(()),
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => bail!("guard: waiting for the daemon's end: {error}"),
        }
    }
}

fn finish(pin_dir: Option<&Path>, data_dir: &Path, charge: &Charge) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(pin_dir) = pin_dir {
        let mut gate = Gate::adopt(pin_dir).context("guard: adopting the fence")?;
        gate.close_all().context("guard: closing the fence")?;
    }
    runtime.block_on(async {
        // The fence is closed, so the leases are over: the addresses may take their time.
        let told = report::tell_peers(data_dir, charge).await;
        if pin_dir.is_some() {
            let stripped = leasehold_dataplane::strip(pin_dir, &BTreeSet::new()).await;
            stripped.context("guard: unbinding addresses")?;
        }
        told
    })
}

fn ignore_termination() -> anyhow::Result<()> {
    use nix::sys::signal::{SigSet, Signal};
    // Blocked, not ignored: no handler, so nothing unsafe.
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    set.add(Signal::SIGINT);
    set.add(Signal::SIGHUP);
    set.thread_block().context("guard: blocking signals")
}
