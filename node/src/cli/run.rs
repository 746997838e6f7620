//! `run` and the guard it starts.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::args::{Fence, Guard, Run};
use crate::{daemon, guard};

pub(super) fn run(data_dir: PathBuf, args: &Run) -> anyhow::Result<()> {
    log();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let fence = match args.fence {
        Fence::Bpf => daemon::FenceKind::Bpf,
        Fence::AddressLifetime => daemon::FenceKind::AddressLifetime,
    };
    let settings = daemon::Settings { data_dir, profile: args.profile, fence };
    let result = runtime.block_on(daemon::run(settings));
    // The log is closed by the last of the tasks; one that waits for a peer must not keep a stopped
    // daemon alive.
    runtime.shutdown_timeout(Duration::from_secs(3));
    result
}

pub(super) fn guard(data_dir: PathBuf, args: &Guard) -> anyhow::Result<()> {
    log();
    guard::run(&guard::Settings {
        data_dir,
        daemon: args.daemon,
        pin_dir: args.pin_dir.clone(),
        hung_after: Duration::from_millis(args.hung_after_ms),
    })
}

/// To stderr; `RUST_LOG` chooses what.
fn log() {
    let quiet = "info,openraft=off";
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(quiet));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Said by a panic otherwise, and a full disk must not end the daemon.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
