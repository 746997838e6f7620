//! The simulated kernels, and the judge that looks at all of them after every change to one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leasehold_model::{BootNanos, Epoch, GroupId};
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::plant::Plant;
use crate::trace::Trace;

/// The slot that never opens.
pub(crate) const CLOSED: GroupId = GroupId(0);

/// What a clock shows when the daemon starts after a boot, in nanoseconds.
const BOOTED: u64 = 10_000_000_000;

/// What one host's kernel has.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) clock: Clock,
    /// Addresses behind the fence, and whose deadline each waits for.
    vips: BTreeMap<IpAddr, GroupId>,
    /// By the host's own clock.
    deadlines: BTreeMap<GroupId, BootNanos>,
    bound: BTreeSet<IpAddr>,
    /// Its daemon leads the cluster, as far as it knows.
    pub(crate) leads: bool,
}

/// A broken promise.
#[derive(Clone, Debug)]
pub struct Violation {
    /// In nanoseconds of the simulation.
    pub at: u64,
    pub what: String,
}

pub(crate) struct World {
    /// Nanoseconds of the simulation.
    pub(crate) now: u64,
    pub(crate) kernels: Vec<Kernel>,
    pub(crate) trace: Trace,
    pub(crate) violation: Option<Violation>,
    plant: Option<Plant>,
    /// The latest epoch that each group was opened under, and by whom.
    opened: BTreeMap<GroupId, (Epoch, usize)>,
    pub(crate) events: u64,
    pub(crate) tally: BTreeMap<&'static str, u64>,
}

/// Shared by all hosts; one thread runs them all.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn new(clocks: Vec<Clock>, plant: Option<Plant>) -> Self {
        let kernels = clocks.into_iter().map(|clock| Kernel {
            clock,
            vips: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            bound: BTreeSet::new(),
            leads: false,
        });
        Self(Arc::new(Mutex::new(World {
            now: 0,
            kernels: kernels.collect(),
            trace: Trace::default(),
            violation: None,
            plant,
            opened: BTreeMap::new(),
            events: 0,
            tally: BTreeMap::new(),
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    pub(crate) fn note(&mut self, host: usize, what: &'static str, more: &Value) {
        *self.tally.entry(what).or_default() += 1;
        let now = self.now;
        self.trace.note(now, host, what, more);
    }

    pub(crate) fn accuse(&mut self, what: String) {
        self.note(0, "violation", &json!(what));
        let at = self.now;
        self.violation.get_or_insert(Violation { at, what });
    }

    /// Makes the addresses behind `host`'s fence these.
    pub(crate) fn set_vips(&mut self, host: usize, vips: BTreeMap<IpAddr, GroupId>) {
        if self.kernels[host].vips != vips {
            self.note(host, "vips", &json!(vips));
            self.kernels[host].vips = vips;
            self.judge();
        }
    }

    pub(crate) fn open_until(
        &mut self,
        host: usize,
        (group, epoch): (GroupId, Epoch),
        deadline: BootNanos,
        first: bool,
    ) {
        let kernel = &mut self.kernels[host];
        kernel.deadlines.insert(group, deadline);
        let (now, until) = (self.now, kernel.clock.when(deadline.0));
        let data = json!({"group": group, "epoch": epoch, "until_us": until / 1000});
        self.note(host, if first { "open" } else { "renew" }, &data);
        if until > now {
            let latest = self.opened.get(&group).copied();
            if latest.is_some_and(|(last, by)| epoch < last || (epoch == last && by != host)) {
                self.accuse(format!(
                    "host {host} opened group {group} under epoch {epoch}, after {latest:?}"
                ));
            }
            self.opened.insert(group, (epoch, host));
        }
        self.judge();
    }

    pub(crate) fn close(&mut self, host: usize, group: GroupId, why: &str) {
        self.kernels[host].deadlines.remove(&group);
        self.note(host, "close", &json!({"group": group, "why": why}));
    }

    pub(crate) fn close_all(&mut self, host: usize, why: &str) {
        self.kernels[host].deadlines.clear();
        self.kernels[host].bound.clear();
        self.note(host, "close_all", &json!(why));
    }

    pub(crate) fn bind(&mut self, host: usize, bound: BTreeSet<IpAddr>) {
        if self.kernels[host].bound != bound {
            self.note(host, "bound", &json!(bound));
            self.kernels[host].bound = bound;
            self.judge();
        }
    }

    /// The machine is off: it answers for nothing, and boots with an empty kernel.
    pub(crate) fn power_off(&mut self, host: usize) {
        let kernel = &mut self.kernels[host];
        kernel.vips.clear();
        kernel.deadlines.clear();
        kernel.bound.clear();
        kernel.clock.restart(self.now, BOOTED);
    }

    /// The leases that `host`'s fence has a deadline for.
    pub(crate) fn leases_of(&self, host: usize) -> Vec<(GroupId, Epoch)> {
        let open = self.kernels[host].deadlines.keys();
        let epochs = open.filter_map(|group| {
            let (epoch, by) = self.opened.get(group)?;
            (*by == host).then_some((*group, *epoch))
        });
        epochs.collect()
    }

    fn answers(&self, host: usize, address: IpAddr) -> bool {
        let kernel = &self.kernels[host];
        if !kernel.bound.contains(&address) {
            return false;
        }
        match kernel.vips.get(&address) {
            None => true,
            Some(&CLOSED) => false,
            Some(group) => {
                let skipped = self.plant == Some(Plant::FenceSkipped);
                let now = kernel.clock.at(self.now);
                kernel.deadlines.get(group).is_some_and(|until| skipped || until.0 > now)
            }
        }
    }

    /// Who answers for `address` at this instant.
    pub(crate) fn answerers(&self, address: IpAddr) -> Vec<usize> {
        (0..self.kernels.len()).filter(|host| self.answers(*host, address)).collect()
    }

    fn judge(&mut self) {
        self.events += 1;
        let bound: BTreeSet<IpAddr> =
            self.kernels.iter().flat_map(|one| one.bound.iter().copied()).collect();
        for address in bound {
            let answerers = self.answerers(address);
            if answerers.len() > 1 {
                self.accuse(format!("hosts {answerers:?} answer for {address} at once"));
            }
        }
    }
}
