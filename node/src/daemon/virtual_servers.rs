//! The kernel thread's virtual services: put before an address is bound, retired after it went.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold_dataplane::fence::boot_now;
use leasehold_dataplane::service::{self, Drains, Health, Key, Table};
use leasehold_dataplane::{Balancer, Done, Failures, Journal, Wishes, sysctl};
use leasehold_model::{Config, Dataplane, Family, Forward, GroupId, RealServer, Revision};
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
    /// The groups that were open at the last look.
    served: BTreeSet<GroupId>,
    owned: BTreeSet<Key>,
    had_sync: bool,
    look_at: Instant,
    loads: watch::Sender<Loads>,
    /// What was complained of at the last look: it is said once.
    told: BTreeMap<Key, String>,
    told_of_all: Option<String>,
    /// Groups that can't be served in full, since which revision, and why.
    impaired: BTreeMap<GroupId, (Revision, String)>,
    /// Groups whose real servers' answers this machine would not pass on.
    unforwarded: BTreeMap<GroupId, String>,
}

impl VirtualServers {
    /// The journal of what is in the kernel on this node's account is kept at `path`.
    pub(crate) fn open(path: &Path, loads: watch::Sender<Loads>) -> std::io::Result<Self> {
        Ok(Self {
            loads,
            told: BTreeMap::new(),
            told_of_all: None,
            journal: Journal::open(path)?,
            balancer: None,
            drains: Drains::default(),
            table: Table::new(),
            served: BTreeSet::new(),
            owned: BTreeSet::new(),
            had_sync: false,
            look_at: Instant::now(),
            impaired: BTreeMap::new(),
            unforwarded: BTreeMap::new(),
        })
    }

    /// Whether the kernel should be looked at though nothing changed.
    pub(crate) fn is_due(&self) -> bool {
        Instant::now() >= self.look_at
    }

    /// Whether a group is open that nothing was put for yet.
    pub(crate) fn is_takeover(&self, desired: &Desired) -> bool {
        !desired.open.is_subset(&self.served)
    }

    /// Adds and mends what the open groups serve. To be called before their addresses are bound.
    pub(crate) fn put(&mut self, desired: &Desired, health: &Health) {
        let state = &desired.state;
        let config = &state.config;
        let served = served_here(desired);
        self.table = service::desired(config, &state.groups, &served, health);
        self.served.clone_from(&desired.open);
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
        let put = match open(&mut self.balancer, config.global.dataplane, &self.owned) {
            Ok(balancer) => balancer.put(&wishes, &mut self.drains, boot_now()),
            Err(error) => Err(error),
        };
        match put {
            Ok(Done { failures, unsynced, before }) => {
                self.loads.send_replace(Arc::new(before));
                self.had_sync = sync.is_some();
                self.complain_of_all(unsynced.map(|why| format!("lvs_sync_daemon: {why}")));
                self.complain(failures)
            }
            Err(error) => {
                let groups: BTreeSet<GroupId> = self.table.values().map(|one| one.group).collect();
                // A balancer that fails is opened anew by the next pass.
                self.balancer = None;
                self.complain_of_all(Some(format!("virtual servers: {error}")));
                groups.into_iter().map(|group| (group, error.to_string())).collect()
            }
        }
    }

    /// Says what concerns all services, once.
    fn complain_of_all(&mut self, why: Option<String>) {
        if let Some(why) = why.as_ref().filter(|why| self.told_of_all.as_ref() != Some(*why)) {
            tracing::error!("{why}");
        }
        self.told_of_all = why;
    }

    /// Says what is new of these; by group.
    fn complain(&mut self, failures: Failures) -> BTreeMap<GroupId, String> {
        let mut groups = BTreeMap::new();
        for (key, why) in &failures {
            if self.told.get(key) != Some(why) {
                tracing::error!("{key} can't be served: {why}");
            }
            if let Some(service) = self.table.get(key) {
                groups.entry(service.group).or_insert_with(|| format!("{key}: {why}"));
            }
        }
        self.told = failures;
        groups
    }

    fn judge(&mut self, desired: &Desired, failures: BTreeMap<GroupId, String>) {
        // Only a holder knows what the kernel takes: others keep their complaint.
        self.impaired.retain(|group, _| !desired.open.contains(group));
        let revision = desired.state.revision;
        let failed = failures.into_iter().map(|(group, why)| (group, (revision, why)));
        self.impaired.extend(failed);
        // This everybody can see.
        let unforwarded = unforwarded(desired);
        for (group, why) in &unforwarded {
            if !self.unforwarded.contains_key(group) {
                tracing::warn!("{why}");
            }
        }
        self.unforwarded = unforwarded;
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
        let failed = self.impaired.iter().map(|(group, (_, why))| (*group, why.as_str()));
        failed.chain(self.unforwarded.iter().map(|(group, why)| (*group, why.as_str())))
    }
}

/// The balancer that is configured; what is ours goes from the other one.
fn open<'a>(
    balancer: &'a mut Option<(Dataplane, Balancer)>,
    choice: Dataplane,
    owned: &BTreeSet<Key>,
) -> Result<&'a mut Balancer, leasehold_dataplane::BalancerError> {
    if balancer.as_ref().is_some_and(|(is, _)| *is != choice) {
        *balancer = None;
    }
    match balancer {
        Some((_, balancer)) => Ok(balancer),
        None => Ok(&mut balancer.insert((choice, Balancer::open_alone(choice, owned)?)).1),
    }
}

/// The groups whose services belong in this kernel: those that are open, and, where connections
/// are copied, all: a copied connection is bound to its real server when it comes, or never, and
/// the kernel tunnels nothing for one that is not bound. No client's packet passes the fence.
fn served_here(desired: &Desired) -> BTreeSet<GroupId> {
    if desired.state.config.global.lvs_sync_daemon.is_some() {
        return desired.state.groups.values().copied().collect();
    }
    desired.open.clone()
}

/// The groups with a virtual server whose answers come back through a director that forwards
/// nothing.
fn unforwarded(desired: &Desired) -> BTreeMap<GroupId, String> {
    let mut groups = BTreeMap::new();
    let state = &desired.state;
    let settings = [Family::Inet, Family::Inet6].map(|one| (one, sysctl::no_forwarding(one)));
    for server in &state.config.virtual_servers {
        let nat = |one: &RealServer| one.lb_kind.unwrap_or(server.lb_kind) == Forward::Nat;
        if !server.real_servers.iter().any(nat) {
            continue;
        }
        for entrance in state.config.entrances(server) {
            let key = Key::new(entrance, server.protocol);
            let setting = settings.iter().find(|(family, _)| *family == key.family());
            let name = state.config.instance_for(server, entrance);
            let group = name.and_then(|name| state.groups.get(name));
            if let (Some((_, Some(setting))), Some(group)) = (setting, group) {
                groups.entry(*group).or_insert_with(|| {
                    format!("{key}: {setting} is 0, and NAT's answers have to be passed on")
                });
            }
        }
    }
    groups
}

fn drain_for(config: &Config) -> Duration {
    let set = config.global.drain_timeout_ms;
    set.map_or(DRAIN_FOR, |ms| Duration::from_millis(ms.into()))
}
