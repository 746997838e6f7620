//! Who copies its connections to whom.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_model::{Config, GroupId, SyncDaemon};

/// What the kernel's connection sync should do here. Both at once, where leases are shared out:
/// each holder sends what is its own, and hears the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    pub daemon: SyncDaemon,
    /// It sends.
    pub master: bool,
    /// It listens.
    pub backup: bool,
}

/// Whoever holds sends, and whoever does not hold everything listens; absent where the
/// configuration has no sync daemon.
#[must_use]
pub fn sync(
    config: &Config,
    groups: &BTreeMap<String, GroupId>,
    open: &BTreeSet<GroupId>,
) -> Option<Sync> {
    let daemon = config.global.lvs_sync_daemon.clone()?;
    let named = daemon.instance.as_ref().and_then(|name| groups.get(name));
    let (master, backup) = match named {
        Some(group) => (open.contains(group), !open.contains(group)),
        None => (!open.is_empty(), groups.values().any(|group| !open.contains(group))),
    };
    Some(Sync { daemon, master, backup })
}
