//! The data directory: whether what is acknowledged can be durable, and soon enough.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use leasehold_raft::identity::Settings;
use leasehold_raft::lease::Timing;
use nix::sys::statfs::{FsType, NFS_SUPER_MAGIC, TMPFS_MAGIC, statfs};

use super::Finding;

const CHECK: &str = "disk";
const ROOM_NEEDED: u64 = 64 << 20;
const SYNCS: usize = 20;

pub(super) fn examine(data_dir: &Path, settings: &Settings) -> Vec<Finding> {
    let mut found = Vec::new();
    let shown = data_dir.display();
    match statfs(data_dir) {
        Ok(fs) => {
            let block = u64::try_from(fs.block_size()).unwrap_or(0);
            let free = fs.blocks_available().saturating_mul(block);
            found.push(if free < ROOM_NEEDED {
                let left = free >> 20;
                Finding::failure(
                    CHECK,
                    format!("{shown} has {left} MiB left: free some, a full disk ends the daemon"),
                )
            } else {
                Finding::ok(CHECK, format!("{shown} has {} MiB left", free >> 20))
            });
            found.extend(kind(&shown.to_string(), fs.filesystem_type()));
        }
        Err(error) => found.push(Finding::failure(CHECK, format!("{shown}: {error}"))),
    }
    let limit = serde_json::from_value::<Timing>(settings.timing.clone());
    found.push(match (syncs(data_dir), limit) {
        (Err(error), _) => Finding::failure(CHECK, format!("{shown} can't be written: {error}")),
        (Ok((median, worst)), Ok(timing)) if worst > timing.election_min => Finding::warning(
            CHECK,
            format!(
                "a sync took {worst:?} (median {median:?}), longer than an election \
                 ({:?}): a change of holder waits for it; give {shown} a faster disk",
                timing.election_min
            ),
        ),
        (Ok((median, worst)), _) => {
            Finding::ok(CHECK, format!("{SYNCS} syncs: median {median:?}, worst {worst:?}"))
        }
    });
    found
}

fn kind(shown: &str, kind: FsType) -> Option<Finding> {
    if kind == TMPFS_MAGIC {
        let text =
            format!("{shown} is in memory (tmpfs): a reboot loses the log, and with it the node");
        return Some(Finding::failure(CHECK, text));
    }
    (kind == NFS_SUPER_MAGIC).then(|| {
        let text = format!("{shown} is on NFS: it fails when the network does; use a local disk");
        Finding::failure(CHECK, text)
    })
}

/// The median and the longest time that a small write takes to be durable.
fn syncs(data_dir: &Path) -> std::io::Result<(Duration, Duration)> {
    let mut file = tempfile::tempfile_in(data_dir)?;
    let mut took = Vec::new();
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        took.push(begun.elapsed());
    }
    took.sort();
    Ok((took[SYNCS / 2], took[SYNCS - 1]))
}
