//! The kernel's virtual services on this node's account: what is in it, and what it refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold_dataplane::fence::boot_now;
use leasehold_dataplane::service::{self, Drains, Health, Key, Table};
use leasehold_dataplane::{Balancer, BalancerError, Done, Failures, Journal, Wishes, sysctl};
use leasehold_model::{Config, Dataplane, Family, Forward, GroupId, NodeId, RealServer};
use tokio::sync::watch;

use super::complaints::Complaints;
use super::desired::Desired;
use crate::api::Loads;

/// Another's hand leaves no event behind: the kernel is looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A look may take one part of so many of this thread's time.
const LOOK_SHARE: u32 = 20;

const DRAIN_FOR: Duration = Duration::from_secs(60);

pub(crate) struct VirtualServers {
    node: NodeId,
    journal: Journal,
    balancer: Option<(Dataplane, Balancer)>,
    drains: Drains,
    table: Table,
    look_at: Instant,
    loads: watch::Sender<Loads>,
    /// What was complained of at the last look: it is said once.
    told: BTreeMap<Key, String>,
    told_of_all: Option<String>,
    /// Groups that can't be served in full.
    complaints: Complaints,
    /// Groups whose real servers' answers this machine would not pass on.
    unforwarded: BTreeMap<GroupId, String>,
}

impl VirtualServers {
    /// The journal of what is in the kernel on this node's account is kept at `path`.
    pub(crate) fn open(
        node: NodeId,
        path: &Path,
        loads: watch::Sender<Loads>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            node,
            loads,
            told: BTreeMap::new(),
            told_of_all: None,
            journal: Journal::open(path)?,
            balancer: None,
            drains: Drains::default(),
            table: Table::new(),
            look_at: Instant::now(),
            complaints: Complaints::default(),
            unforwarded: BTreeMap::new(),
        })
    }

    /// When the kernel should be looked at though nothing changed.
    pub(crate) fn look_at(&self) -> Instant {
        self.look_at
    }

    /// Adds and mends what the open groups serve. To be called before their addresses are bound.
    pub(crate) fn put(&mut self, desired: &Desired, health: &Health) {
        let begun = Instant::now();
        let state = &desired.state;
        let config = &state.config;
        let served = served_here(self.node, desired);
        self.table = service::desired(config, &state.groups, &served, health, &state.overrides);
        let idle = self.table.is_empty() && self.journal.keys().is_empty();
        let failures = if idle
            && config.global.lvs_sync_daemon.is_none()
            && !self.journal.has_sync()
        {
            self.told.clear();
            self.told_of_all = None;
            self.loads.send_replace(Loads::default());
            BTreeMap::new()
        } else {
            // Noted before it is in the kernel: whoever comes after a crash knows it as ours.
            let all = self.journal.keys().iter().chain(self.table.keys()).copied().collect();
            let noted = self.journal.write(all).and_then(|()| {
                let wanted = config.global.lvs_sync_daemon.is_some();
                if wanted { self.journal.note_sync(true) } else { Ok(()) }
            });
            if let Err(error) = noted {
                tracing::warn!(%error, "services can't be noted: a crash could leave some behind");
            }
            self.carry_out(desired)
        };
        self.judge(desired, &served, failures);
        self.look_at = Instant::now() + LOOK_EVERY.max(begun.elapsed() * LOOK_SHARE);
    }

    /// What could not be done, by group.
    fn carry_out(&mut self, desired: &Desired) -> BTreeMap<GroupId, String> {
        let config = &desired.state.config;
        let open = desired.open.keys().copied().collect();
        let sync = service::sync(config, &desired.state.groups, &open);
        let wishes = Wishes {
            table: &self.table,
            owned: self.journal.keys(),
            sync: sync.as_ref(),
            end_sync: self.journal.has_sync() && sync.is_none(),
            timeouts: config.global.lvs_timeouts,
            drain_for: drain_for(config),
        };
        let choice = config.global.dataplane;
        let put = put(&mut self.balancer, choice, &wishes, &mut self.drains)
            // A netlink socket that lost an answer, say, is not used again. What comes back is so.
            .or_else(|_| put(&mut self.balancer, choice, &wishes, &mut self.drains));
        match put {
            Ok(Done { failures, unsynced, before }) => {
                self.loads.send_replace(Arc::new(before));
                // One that could not be stopped is ours still.
                if unsynced.is_none() && sync.is_none() {
                    drop(self.journal.note_sync(false));
                }
                self.complain_of_all(unsynced.map(|why| format!("lvs_sync_daemon: {why}")));
                self.complain(failures)
            }
            Err(error) => {
                let groups: BTreeSet<GroupId> = self.table.values().map(|one| one.group).collect();
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

    fn judge(
        &mut self,
        desired: &Desired,
        served: &BTreeSet<GroupId>,
        failures: BTreeMap<GroupId, String>,
    ) {
        self.complaints.handle_look(&desired.state, served, failures, Instant::now());
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
        let left = match balancer.retire(&self.table, self.journal.keys()) {
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

    /// Nothing is served by this node any more, whatever it held.
    pub(crate) fn end(&mut self) {
        self.table.clear();
        self.retire();
    }

    /// Groups that can't be served in full, and why.
    pub(crate) fn impaired(&self) -> impl Iterator<Item = (GroupId, &str)> {
        self.complaints
            .list()
            .chain(self.unforwarded.iter().map(|(group, why)| (*group, why.as_str())))
    }
}

/// Puts the services by the balancer that is configured; what is ours goes from the other one.
/// One that fails is closed.
fn put(
    balancer: &mut Option<(Dataplane, Balancer)>,
    choice: Dataplane,
    wishes: &Wishes<'_>,
    drains: &mut Drains,
) -> Result<Done, BalancerError> {
    let mut opened = match balancer.take().filter(|(is, _)| *is == choice) {
        Some((_, opened)) => opened,
        None => Balancer::open_alone(choice, wishes.owned)?,
    };
    let done = opened.put(wishes, drains, boot_now())?;
    *balancer = Some((choice, opened));
    Ok(done)
}

/// The groups whose services belong in this kernel: those that are open, and, where connections
/// are copied, all: a copied connection is bound to its real server when it comes, or never, and
/// the kernel tunnels nothing for one that is not bound. No client's packet passes the fence.
fn served_here(node: NodeId, desired: &Desired) -> BTreeSet<GroupId> {
    let state = &desired.state;
    if !state.members.contains_key(&node) {
        return BTreeSet::new();
    }
    if state.config.global.lvs_sync_daemon.is_some() {
        return state.groups.values().copied().collect();
    }
    desired.open.keys().copied().collect()
}

/// The groups with a virtual server whose answers come back through a director that forwards
/// nothing.
fn unforwarded(desired: &Desired) -> BTreeMap<GroupId, String> {
    let mut groups = BTreeMap::new();
    let state = &desired.state;
    let settings = [Family::Inet, Family::Inet6].map(|one| (one, sysctl::no_forwarding(one)));
    if settings.iter().all(|(_, setting)| setting.is_none()) {
        return groups;
    }
    let homes = state.config.homes();
    for server in &state.config.virtual_servers {
        let nat = |one: &RealServer| one.lb_kind.unwrap_or(server.lb_kind) == Forward::Nat;
        if !server.real_servers.iter().any(nat) {
            continue;
        }
        for (entrance, name) in homes.of_server(server) {
            let key = Key::new(entrance, server.protocol);
            let setting = settings.iter().find(|(family, _)| *family == key.family());
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
