//! `leasehold guard`: a small process that finishes what its daemon can't.
//!
//! It reads beats from a pipe. When the pipe ends or the beats stop, it first kills the daemon and
//! waits until it is gone, because a hung daemon that woke later would reopen the fence under the
//! next holder. Then it closes the fence, tells the group which leases are over, and unbinds the
//! addresses. It takes a moment where the ttl would take a second; where it too is killed, the
//! fence's deadlines do the same work later.

mod lock;
mod report;

use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use leasehold_dataplane::fence::Gate;
use leasehold_dataplane::vrrp::Transmitter;
use leasehold_raft::identity::Identity;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getppid, pidfd_open, pidfd_send_signal};

pub(crate) use lock::wait_for_predecessor;

use crate::daemon::services_journal;
use crate::guard_message::{Charge, Line};
use crate::spoken::Farewell;

pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) daemon: i32,
    /// Absent where no program is the fence.
    pub(crate) pin_dir: Option<PathBuf>,
    /// Silence that means a hung daemon, while the guard itself is awake.
    pub(crate) hung_after: Duration,
}

pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    // The daemon's terminal and its service manager signal it, not its guard.
    nix::unistd::setsid().context("guard: setsid")?;
    ignore_termination()?;
    let _lock = lock::take(&settings.data_dir)?;
    // All that is needed later is read now: the disk or the pins may be what kills the daemon.
    let (_, identity) = Identity::read(&settings.data_dir)?;
    let services = services_journal(&identity)?;
    let mut gate = settings.pin_dir.as_deref().map(Gate::adopt).transpose()?;
    let daemon = Pid::from_raw(settings.daemon).context("guard: --daemon wants a process id")?;
    let handle = pidfd_open(daemon, PidfdFlags::empty());
    let charge = if getppid() == Some(daemon) {
        let handle = handle.context("guard: a handle on the daemon")?;
        match watch(settings.hung_after)? {
            End::Dismissed => return Ok(()),
            End::Silent(charge) => {
                // It may be dead already.
                let _ = pidfd_send_signal(&handle, Signal::KILL);
                wait_until_gone(handle.as_fd())?;
                charge
            }
        }
    } else {
        // It died before this process came up, and held nothing then. Its number may be
        // another's by now.
        Charge::default()
    };
    finish(gate.as_mut(), identity, &charge, &services)
}

/// Where the whole machine stands still, as a virtual one does that is moved, guard and daemon wake
/// at once, and by any clock the daemon was silent for long. So silence is counted in looks that
/// the guard was awake for: it loses one by sleeping, and the daemon has the rest to beat again.
const LOOKS: u32 = 8;

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
    let look = hung_after.as_micros().div_ceil(u128::from(LOOKS) * 1000);
    let look = PollTimeout::try_from(look).context("guard: --hung-after is too long")?;
    let mut in_vain = 0;
    loop {
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, look) {
            Ok(0) => {
                in_vain += 1;
                if in_vain == LOOKS {
                    return Ok(End::Silent(charge));
                }
                continue;
            }
            Ok(_) => in_vain = 0,
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

/// Nothing is logged before it is done: whoever should read the log may be what is stuck.
fn finish(
    gate: Option<&mut Gate>,
    identity: Identity,
    charge: &Charge,
    services: &Path,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let told = match gate {
            // A witness has no addresses.
            None if charge.vips.is_empty() => report::tell_peers(identity, charge).await,
            None => {
                strip(None, charge, services).await?;
                say_farewell(&charge.farewells);
                report::tell_peers(identity, charge).await
            }
            Some(gate) => {
                gate.close_all().context("guard: closing the fence")?;
                say_farewell(&charge.farewells);
                // The leases are over: the addresses may take their time.
                let told = report::tell_peers(identity, charge).await;
                strip(Some(gate), charge, services).await?;
                told
            }
        };
        tracing::warn!(leases = charge.leases.len(), "the daemon was gone or hung: finished it");
        for (peer, outcome) in told {
            match outcome {
                Ok(()) => tracing::info!(%peer, "told of the daemon's end"),
                Err(error) => {
                    tracing::warn!(%peer, %error, "could not be told of the daemon's end");
                }
            }
        }
        Ok(())
    })
}

/// Adverts of priority 0: whoever only knows VRRP need not wait.
fn say_farewell(farewells: &[Farewell]) {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    // Without a socket they are not said, and waited for.
    let Ok(mut transmitter) = Transmitter::open() else { return };
    for one in farewells {
        let advert = one.advert(unix);
        let _ = transmitter.send(&one.interface, one.source, &one.to, &advert, one.manner());
    }
}

async fn strip(gate: Option<&mut Gate>, charge: &Charge, services: &Path) -> anyhow::Result<()> {
    let stripped = leasehold_dataplane::strip(gate, &charge.vips).await;
    stripped.context("guard: unbinding addresses")?;
    // Last: nobody reaches them any more, and the disk may be what is stuck.
    leasehold_dataplane::clear(services).context("guard: removing virtual servers")
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
