//! The kernel thread's virtual services: put before an address is bound, retired after it went.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold_dataplane::fence::boot_now;
use leasehold_dataplane::service::{self, Drains, Health, Key, Table};
use leasehold_dataplane::{Balancer, Done, Journal, Wishes};
use leasehold_model::{Config, Dataplane, GroupId, Revision};
use tokio::sync::watch;

use super::lease_thread::Desired;
use crate::api::Loads;

/// Another's hand leaves no event behind: the kernel is looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A look may take one part of so many of this thread's time.
const LOOK_SHARE: u32 = 20;

const DRAIN_FOR: Duration = Duration::from_secs(60);

pub(crate) struct VirtualServers {
    journal: Journal,
    balancer: Option<(Dataplane, Balancer)>,
    drains: Drains,
    table: Table,
    owned: BTreeSet<Key>,
    had_sync: bool,
    look_at: Instant,
    loads: watch::Sender<Loads>,
    /// Groups that can't be served in full, since which revision, and why.
    impaired: BTreeMap<GroupId, (Revision, String)>,
}

impl VirtualServers {
    /// The journal of what is in the kernel on this node's account is kept at `path`.
    pub(crate) fn open(path: &Path, loads: watch::Sender<Loads>) -> std::io::Result<Self> {
        Ok(Self {
            loads,
            journal: Journal::open(path)?,
            balancer: None,
            drains: Drains::default(),
            table: Table::new(),
            owned: BTreeSet::new(),
            had_sync: false,
            look_at: Instant::now(),
            impaired: BTreeMap::new(),
        })
    }

    /// Whether the kernel should be looked at though nothing changed.
    pub(crate) fn is_due(&self) -> bool {
        Instant::now() >= self.look_at
    }

    /// Adds and mends what the open groups serve. To be called before their addresses are bound.
    pub(crate) fn put(&mut self, desired: &Desired, health: &Health) {
        let state = &desired.state;
        let config = &state.config;
        self.table = service::desired(config, &state.groups, &desired.open, health);
        self.owned = service::configured(config);
        self.owned.extend(self.journal.keys());
        self.impaired.retain(|_, (revision, _)| *revision == state.revision);
        if self.owned.is_empty() && config.global.lvs_sync_daemon.is_none() && !self.had_sync {
            return;
        }
        // On disk before it is in the kernel: whoever comes after a crash knows it as ours.
        let all = self.journal.keys().iter().chain(self.table.keys()).copied().collect();
        if let Err(error) = self.journal.write(all) {
            tracing::warn!(%error, "services can't be noted: a crash could leave some behind");
        }
        let begun = Instant::now();
        let failures = self.carry_out(desired);
        self.look_at = Instant::now() + LOOK_EVERY.max(begun.elapsed() * LOOK_SHARE);
        self.judge(desired, failures);
    }

    /// What could not be done, by group.
    fn carry_out(&mut self, desired: &Desired) -> BTreeMap<GroupId, String> {
        let config = &desired.state.config;
        let sync = service::sync(config, &desired.state.groups, &desired.open);
        let wishes = Wishes {
            table: &self.table,
            owned: &self.owned,
            sync: sync.as_ref(),
            end_sync: self.had_sync && sync.is_none(),
            timeouts: config.global.lvs_timeouts,
            drain_for: drain_for(config),
        };
        let put = match open(&mut self.balancer, config.global.dataplane) {
            Ok(balancer) => balancer.put(&wishes, &mut self.drains, boot_now()),
            Err(error) => Err(error),
        };
        match put {
            Ok(Done { failures, before }) => {
                self.loads.send_replace(Arc::new(before));
                self.had_sync = sync.is_some();
                let mut groups = BTreeMap::new();
                for (key, why) in failures {
                    tracing::error!("{key} can't be served: {why}");
                    if let Some(service) = self.table.get(&key) {
                        groups.entry(service.group).or_insert_with(|| format!("{key}: {why}"));
                    }
                }
                groups
            }
            Err(error) => {
                let groups: BTreeSet<GroupId> = self.table.values().map(|one| one.group).collect();
                // A balancer that fails is opened anew by the next pass.
                self.balancer = None;
                if !groups.is_empty() {
                    tracing::error!(%error, "virtual servers can't be programmed");
                }
                groups.into_iter().map(|group| (group, error.to_string())).collect()
            }
        }
    }

    fn judge(&mut self, desired: &Desired, failures: BTreeMap<GroupId, String>) {
        // What is served well now was so only while it is held: others keep their complaint.
        self.impaired.retain(|group, _| !desired.open.contains(group));
        let revision = desired.state.revision;
        let failed = failures.into_iter().map(|(group, why)| (group, (revision, why)));
        self.impaired.extend(failed);
    }

    /// Removes what no open group serves any more. To be called once its addresses are unbound.
    pub(crate) fn retire(&mut self) {
        let Some((_, balancer)) = &mut self.balancer else { return };
        let left = match balancer.retire(&self.table, &self.owned) {
            Ok(failures) => {
                for (key, why) in &failures {
                    tracing::error!("{key} can't be removed: {why}");
                }
                failures
            }
            Err(error) => {
                tracing::error!(%error, "services that are over can't be removed");
                self.balancer = None;
                return;
            }
        };
        let noted = self.table.keys().chain(left.keys()).copied().collect();
        if let Err(error) = self.journal.write(noted) {
            tracing::debug!(%error, "the journal of services keeps what is gone");
        }
    }

    /// Groups that can't be served in full, and why.
    pub(crate) fn impaired(&self) -> impl Iterator<Item = (GroupId, &str)> {
        self.impaired.iter().map(|(group, (_, why))| (*group, why.as_str()))
    }
}

/// The balancer that is configured; another one first removes what it has.
fn open(
    balancer: &mut Option<(Dataplane, Balancer)>,
    choice: Dataplane,
) -> Result<&mut Balancer, leasehold_dataplane::BalancerError> {
    if balancer.as_ref().is_some_and(|(is, _)| *is != choice) {
        *balancer = None;
    }
    match balancer {
        Some((_, balancer)) => Ok(balancer),
        None => Ok(&mut balancer.insert((choice, Balancer::open(choice)?)).1),
    }
}

fn drain_for(config: &Config) -> Duration {
    let set = config.global.drain_timeout_ms;
    set.map_or(DRAIN_FOR, |ms| Duration::from_millis(ms.into()))
}
