//! The daemon's end of the pipe to its guard.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use leasehold_model::{BootNanos, NodeId};
use leasehold_raft::state::State;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::guard::Settings;
use crate::guard_message::{Charge, Line};
use crate::spoken::Farewell;

/// Room for the leases of every group at once: a write never waits for the guard.
const PIPE_BYTES: i32 = 1 << 20;

pub(crate) struct GuardLine {
    node: NodeId,
    pipe: OwnedFd,
    told: Charge,
    /// When a beat was last written.
    beaten: BootNanos,
    /// What the pipe had no room for.
    pending: Vec<u8>,
}

/// Starts the guard. The line goes to the lease thread; the child to whoever waits for it.
pub(crate) fn spawn(node: NodeId, settings: &Settings) -> anyhow::Result<(GuardLine, Child)> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).context("guard: pipe")?;
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("guard: pipe flags")?;
    // Where the limit for pipes is lower, long lines just take several beats.
    let _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
    let program = std::env::current_exe().context("guard: this program's path")?;
    let mut command = Command::new(program);
    command.arg("guard").arg("--data-dir").arg(&settings.data_dir);
    command.arg("--daemon").arg(std::process::id().to_string());
    command.arg("--hung-after-ms").arg(settings.hung_after.as_millis().to_string());
    if let Some(pin_dir) = &settings.pin_dir {
        command.arg("--pin-dir").arg(pin_dir);
    }
    command.stdin(Stdio::from(read)).stdout(Stdio::null());
    let child = command.spawn().context("starting the guard")?;
    let (told, beaten) = (Charge::default(), BootNanos::default());
    Ok((GuardLine { node, pipe: write, told, beaten, pending: Vec::new() }, child))
}

impl GuardLine {
    /// Every lease that the log gives to this node is in the guard's charge, open or not: once
    /// the daemon is dead, it will never be opened. True where that was news.
    pub(crate) fn charge<'a>(
        &mut self,
        state: &State,
        vips: impl Iterator<Item = &'a IpAddr>,
        leading: bool,
        farewells: &[Farewell],
    ) -> bool {
        let mine = state.leases.iter().filter(|(_, lease)| lease.holder == Some(self.node));
        let leases = mine.map(|(group, lease)| (*group, lease.epoch)).collect();
        let others = state.members.iter().filter(|(id, _)| **id != self.node);
        let peers = others.map(|(id, member)| (*id, member.address.clone())).collect();
        let vips = vips.copied().collect();
        let charge = Charge { leases, leading, peers, vips, farewells: farewells.to_vec() };
        if charge == self.told {
            return false;
        }
        self.write(&Line::Charge(charge.clone()));
        self.told = charge;
        true
    }

    /// When a beat was last written.
    pub(crate) fn beaten(&self) -> BootNanos {
        self.beaten
    }

    /// Says that the daemon lives, unless it was said less than `apart` ago.
    pub(crate) fn beat(&mut self, now: BootNanos, apart: Duration) {
        if now >= self.beaten.after(apart) {
            self.write(&Line::Beat);
            self.beaten = now;
        }
    }

    /// The daemon has cleaned up after itself.
    pub(crate) fn goodbye(&mut self) {
        self.write(&Line::Goodbye);
    }

    fn write(&mut self, line: &Line) {
        if self.pending.is_empty() || *line != Line::Beat {
            // A line is made of strings and numbers: it always encodes.
            self.pending.extend(serde_json::to_vec(line).unwrap_or_default());
            self.pending.push(b'\n');
        }
        while !self.pending.is_empty() {
            match nix::unistd::write(&self.pipe, &self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(nix::errno::Errno::EINTR) => {}
                // Full, or the guard is gone: whoever waits for the child starts another.
                Err(_) => return,
            }
        }
    }
}

impl std::fmt::Debug for GuardLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardLine").field("pipe", &self.pipe.as_raw_fd()).finish_non_exhaustive()
    }
}
