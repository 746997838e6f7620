//! One guard per data directory.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// A guard has work for milliseconds, unless its daemon hangs in the kernel.
const PREDECESSOR_WITHIN: Duration = Duration::from_secs(15);

fn open(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join("guard.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    file.with_context(|| format!("opening {}", path.display()))
}

/// Held until the guard ends.
pub(super) fn take(data_dir: &Path) -> anyhow::Result<Flock<File>> {
    Flock::lock(open(data_dir)?, FlockArg::LockExclusiveNonblock)
        .map_err(|(_, error)| error)
        .context("guard: another guard is at work in this data directory")
}

/// Waits until the guard of an earlier daemon has finished: it would take away what this one
/// takes up.
pub(crate) async fn wait_for_predecessor(data_dir: &Path) -> anyhow::Result<()> {
    let file = open(data_dir)?;
    let lock = tokio::task::spawn_blocking(move || Flock::lock(file, FlockArg::LockExclusive));
    match tokio::time::timeout(PREDECESSOR_WITHIN, lock).await {
        Ok(locked) => {
            let locked = locked?.map_err(|(_, error): (File, Errno)| error);
            drop(locked.context("waiting for the guard of the daemon before")?);
            Ok(())
        }
        Err(_) => anyhow::bail!(
            "the guard of the daemon before is still at work in {}: is that daemon stuck in the \
             kernel (`ps` shows state D)?",
            data_dir.display()
        ),
    }
}
