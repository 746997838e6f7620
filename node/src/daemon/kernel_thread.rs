//! The thread that makes the kernel's addresses what the lease thread wants, and announces them.
//!
//! It is driven by levels, never by events alone: every pass compares what should be with what is.
//! It may be slow, since the fence, which it never touches, decides what answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leasehold_dataplane::fence::{Fence, boot_now};
use leasehold_dataplane::plan::Binding;
use leasehold_dataplane::service::Health;
use leasehold_dataplane::{DataplaneError, Event, Kernel, Watch, links, probe, sysctl};
use leasehold_model::{Eligibility, GroupId};
use leasehold_raft::state::{Cause, State};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::lease_thread::{Desired, OpenLeases, Order};
use super::lifetime::lifetime;
use super::virtual_servers::VirtualServers;

/// The kernel's own sweeper: how long an address outlives whoever renews it. An interface that
/// appears after that one's death has no fence, so it is short.
const VALID_LIFETIME: Duration = Duration::from_secs(3);
const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// When announcements are repeated, counted from the takeover: a lost gratuitous ARP would
/// black-hole a VIP until the neighbours' caches expire.
const ANNOUNCE_AT: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// A machine on the link answers a question at once.
const RIVALS_ANSWER_WITHIN: Duration = Duration::from_millis(300);

/// An instance that could not be programmed is not offered to this node for so long.
const UNABLE_FOR: Duration = Duration::from_secs(10);

/// What the thread hears and tells.
pub(crate) struct Inputs {
    pub(crate) desired: watch::Receiver<Desired>,
    pub(crate) programmed: watch::Sender<u64>,
    pub(crate) eligibility: watch::Sender<Eligibility>,
    pub(crate) orders: mpsc::Sender<Order>,
    /// To complain of an instance by its name.
    pub(crate) state: watch::Receiver<Arc<State>>,
    /// Where this node's fence is pinned, if it has one.
    pub(crate) pin_dir: Option<PathBuf>,
    /// Where the addresses' lifetime is the fence: until when each lease is good.
    pub(crate) leases: Option<watch::Receiver<OpenLeases>>,
    pub(crate) health: watch::Receiver<Health>,
    pub(crate) services: VirtualServers,
}

pub(crate) struct KernelThread {
    kernel: Kernel,
    desired: watch::Receiver<Desired>,
    programmed: watch::Sender<u64>,
    eligibility: watch::Sender<Eligibility>,
    orders: mpsc::Sender<Order>,
    state: watch::Receiver<Arc<State>>,
    pin_dir: Option<PathBuf>,
    leases: Option<watch::Receiver<OpenLeases>>,
    health: watch::Receiver<Health>,
    services: VirtualServers,
    /// Interfaces whose settings were looked at.
    judged: BTreeSet<String>,
}

/// Fences of other nodes, each told once a takeover.
const OBSTRUCTIONS: usize = 16;

/// Addresses that can't be served here, and why.
type Obstructed = (Vec<IpAddr>, String);

/// When the virtual servers in the kernel are compared with what they should be.
#[derive(Clone, Copy)]
enum Look {
    Now,
    /// When the last look was long enough ago.
    WhenDue,
}

/// What events asked for. Many events make one look.
#[derive(Default)]
struct Lookout {
    look: bool,
    links: bool,
}

#[derive(Default)]
struct Announcements {
    due: Vec<(Instant, BTreeSet<IpAddr>)>,
}

impl KernelThread {
    /// To be called on the thread itself, and within its runtime.
    pub(crate) fn open(inputs: Inputs) -> Result<Self, DataplaneError> {
        let Inputs { desired, programmed, eligibility, orders, .. } = inputs;
        let Inputs { state, pin_dir, leases, health, services, .. } = inputs;
        let kernel = Kernel::open(pin_dir.as_deref())?;
        let judged = BTreeSet::new();
        Ok(Self {
            kernel,
            desired,
            programmed,
            eligibility,
            orders,
            state,
            pin_dir,
            leases,
            health,
            services,
            judged,
        })
    }

    /// Runs until the daemon drops the other ends.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        let mut changes = Watch::open()?;
        let mut refresh = tokio::time::interval(REFRESH_EVERY);
        refresh.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut announcements = Announcements::default();
        let mut lookout = Lookout::default();
        let mut unable: BTreeMap<String, Instant> = BTreeMap::new();
        let (obstruct, mut obstructed) = mpsc::channel(OBSTRUCTIONS);
        let ipvs = Some(leasehold_dataplane::ipvs::is_available());
        self.eligibility.send_modify(|one| one.ipvs = ipvs);
        self.report_interfaces().await?;
        loop {
            let announce = announcements.next();
            tokio::select! {
                biased;
                changed = either(&mut self.desired, &mut self.health) => {
                    if changed.is_err() { return Ok(()) }
                    self.pass(Look::Now, &mut announcements, &mut unable, &obstruct).await?;
                }
                changed = renewed(&mut self.leases) => {
                    if changed.is_err() { return Ok(()) }
                    self.refresh().await;
                }
                event = changes.next() => match event {
                    Event::AddressAdded { .. } => {}
                    Event::AddressRemoved { address } => {
                        let bindings = &self.desired.borrow().bindings;
                        let ours = bindings.iter().any(|one| one.address == address);
                        if ours {
                            lookout.look = true;
                        }
                    }
                    Event::Filters => lookout.look = true,
                    Event::Link { .. } | Event::Resync => {
                        lookout.look = true;
                        lookout.links = true;
                    }
                },
                () = tokio::task::yield_now(), if lookout.look => {
                    let links = std::mem::take(&mut lookout).links;
                    let risen =
                        if links { self.report_interfaces().await? } else { BTreeSet::new() };
                    let look = Look::WhenDue;
                    self.pass(look, &mut announcements, &mut unable, &obstruct).await?;
                    // Neighbours behind a link that came back may have missed us.
                    announcements.schedule(&on(&self.desired.borrow().bindings, &risen));
                }
                Some((addresses, why)) = obstructed.recv() => {
                    let bindings = self.desired.borrow().bindings.clone();
                    let lost = bindings.into_iter().filter(|one| addresses.contains(&one.address));
                    self.give_up(&lost.collect::<Vec<_>>(), &why, &mut unable);
                }
                () = tokio::time::sleep_until(announce) => {
                    let due = announcements.take_due();
                    let current = self.desired.borrow().bindings.clone();
                    let current = current.into_iter().filter(|one| due.contains(&one.address));
                    self.announce(&current.collect::<Vec<_>>()).await;
                }
                _ = refresh.tick() => {
                    self.forgive(&mut unable);
                    // Whatever event was missed; that a tcx link went has none.
                    let risen = self.report_interfaces().await?;
                    let look = Look::WhenDue;
                    self.pass(look, &mut announcements, &mut unable, &obstruct).await?;
                    self.refresh().await;
                    let bindings = self.desired.borrow().bindings.clone();
                    announcements.schedule(&on(&bindings, &risen));
                }
            }
        }
    }

    /// A takeover puts the services before the addresses; whatever else there is to do to
    /// services comes after them, so that nothing that goes waits for it.
    async fn pass(
        &mut self,
        services: Look,
        announcements: &mut Announcements,
        unable: &mut BTreeMap<String, Instant>,
        obstruct: &mpsc::Sender<Obstructed>,
    ) -> anyhow::Result<()> {
        let mut desired = self.desired.borrow_and_update().clone();
        let serve = matches!(services, Look::Now) || self.services.is_due();
        let takes_over = serve && self.services.is_takeover(&desired);
        if takes_over {
            self.put_services(&desired);
        }
        let wanted = desired.clone();
        let lifetimes = self.lifetimes(&desired.bindings);
        desired.bindings.retain(|one| lifetimes.contains_key(&one.group));
        let shortest = lifetimes.values().min().copied().unwrap_or(VALID_LIFETIME);
        let made = self.kernel.reconcile(&desired.bindings, &desired.owned, shortest).await;
        let added = match made {
            Ok(report) => {
                self.programmed.send_replace(desired.serial);
                let bound: BTreeSet<IpAddr> = report.bound.into_iter().collect();
                let new = |one: &&Binding| bound.contains(&one.address);
                desired.bindings.iter().filter(new).cloned().collect()
            }
            // The fence was given newer wishes already. They are on their way here too.
            Err(DataplaneError::Unfenced { address, .. }) => {
                tracing::debug!(%address, "not behind the fence any more");
                Vec::new()
            }
            Err(error) => {
                let missing = self.missing(&desired.bindings).await?;
                tracing::error!(%error, missing = missing.len(), "addresses can't be served");
                self.give_up(&missing, &error.to_string(), unable);
                // Among the rest are some that were bound just now.
                desired.bindings.retain(|one| !missing.contains(one));
                desired.bindings
            }
        };
        if serve {
            if !takes_over {
                self.put_services(&wanted);
            }
            self.services.retire();
        }
        if !added.is_empty() {
            self.announce(&added).await;
            announcements.schedule(&added);
            self.judge_settings(&added);
            self.look_for_rivals(&added);
            self.look_for_other_fences(&added, obstruct);
        }
        Ok(())
    }

    /// How long the addresses of each group may stay without another renewal. A group that is
    /// missing has no time left.
    fn lifetimes(&self, bindings: &[Binding]) -> BTreeMap<GroupId, Duration> {
        let groups = bindings.iter().map(|one| one.group);
        let Some(leases) = &self.leases else {
            return groups.map(|group| (group, VALID_LIFETIME)).collect();
        };
        let (leases, now) = (leases.borrow(), boot_now());
        let left =
            groups.filter_map(|group| Some((group, lifetime(leases.get(&group)?.until, now)?)));
        left.collect()
    }

    /// Renews lifetimes.
    async fn refresh(&self) {
        let bindings = self.desired.borrow().bindings.clone();
        let mut by_lifetime: BTreeMap<Duration, Vec<Binding>> = BTreeMap::new();
        let lifetimes = self.lifetimes(&bindings);
        for one in bindings {
            if let Some(left) = lifetimes.get(&one.group) {
                by_lifetime.entry(*left).or_default().push(one);
            }
        }
        for (left, some) in by_lifetime {
            if let Err(error) = self.kernel.refresh(&some, left).await {
                tracing::warn!(%error, "addresses were not refreshed");
            }
        }
    }

    /// What of it can't be served. Where the fence has a hole, all.
    async fn missing(&self, bindings: &[Binding]) -> anyhow::Result<Vec<Binding>> {
        let fence = self.kernel.fence.as_ref().map(Fence::unguarded).transpose();
        if !fence.is_ok_and(|unguarded| unguarded.is_none_or(|some| some.is_empty())) {
            return Ok(bindings.to_vec());
        }
        let actual = self.kernel.addresses.read().await?;
        let there = |one: &&Binding| actual.iter().any(|bound| one.is(bound));
        Ok(bindings.iter().filter(|one| !there(one)).cloned().collect())
    }

    /// A lease that can't be served is another's to serve.
    fn give_up(&self, missing: &[Binding], why: &str, unable: &mut BTreeMap<String, Instant>) {
        let state = self.state.borrow().clone();
        for binding in missing {
            let name = state.groups.iter().find(|(_, group)| **group == binding.group);
            if let Some((name, _)) = name {
                unable.insert(name.clone(), Instant::now() + UNABLE_FOR);
                self.eligibility
                    .send_modify(|one| drop(one.unable.insert(name.clone(), why.to_owned())));
            }
            self.order(Order::Surrender(binding.group, Cause::Unserviceable));
        }
    }

    async fn announce(&self, bindings: &[Binding]) {
        if let Err(error) = self.kernel.announce(bindings).await {
            // It is repeated anyway.
            tracing::warn!(%error, "announcement failed");
        }
    }

    /// Says once what makes VIPs on an interface misbehave.
    fn judge_settings(&mut self, taken: &[Binding]) {
        for one in taken {
            if self.judged.insert(one.interface.clone()) {
                for sysctl::Finding { name, is, should_be, why } in sysctl::check(&one.interface) {
                    tracing::warn!("{name} is {is}, better {should_be}: {why}");
                }
            }
        }
    }

    /// The fence of a node that is no more, of this machine's, would go on dropping our VIPs.
    fn look_for_other_fences(&self, taken: &[Binding], obstruct: &mpsc::Sender<Obstructed>) {
        let Some(pin_dir) = self.pin_dir.clone() else { return };
        let taken: BTreeSet<IpAddr> = taken.iter().map(|one| one.address).collect();
        let obstruct = obstruct.clone();
        // It asks the kernel for every program that is loaded.
        tokio::task::spawn_blocking(move || match Fence::obstructing(&pin_dir, &taken) {
            Ok(others) => {
                for (path, addresses) in others {
                    let why = format!(
                        "the fence of another node, {}, hangs here and drops it; if that node is \
                         no more: leasehold doctor --remove-fence {}",
                        path.display(),
                        path.display()
                    );
                    tracing::error!(?addresses, "{why}");
                    // Where so many wait already, the rest is told after the next takeover.
                    let _ = obstruct.try_send((addresses, why));
                }
            }
            Err(error) => tracing::warn!(%error, "other fences could not be looked for"),
        });
    }

    /// Nobody else in the cluster answers now. A machine outside of it may, and the fence can't
    /// stop that one: all there is to do is to say so.
    fn look_for_rivals(&self, taken: &[Binding]) {
        let mut by_interface: BTreeMap<String, Vec<Ipv4Addr>> = BTreeMap::new();
        for one in taken {
            if let IpAddr::V4(address) = one.address {
                by_interface.entry(one.interface.clone()).or_default().push(address);
            }
        }
        for (interface, addresses) in by_interface {
            let desired = self.desired.clone();
            tokio::task::spawn_blocking(move || {
                let heard = probe::who_answers(&interface, &addresses, RIVALS_ANSWER_WITHIN);
                // A copy: whoever reads the log may be slow, and the lease thread writes here.
                let desired = desired.borrow().clone();
                for (address, rivals) in heard.unwrap_or_default() {
                    // It may be another director's by now.
                    if desired.bindings.iter().any(|one| one.address == address) {
                        let rivals: Vec<_> = rivals.iter().map(ToString::to_string).collect();
                        tracing::error!(
                            "{address} on {interface} is answered for by {} too, which is no \
                             director: take it from that machine",
                            rivals.join(" and ")
                        );
                    }
                }
            });
        }
    }

    /// Tells the leader which interfaces are up. Returns those that were not when last told.
    async fn report_interfaces(&mut self) -> anyhow::Result<BTreeSet<String>> {
        let up = links::interfaces_up(self.kernel.addresses.handle()).await?;
        let mut risen = BTreeSet::new();
        self.eligibility.send_if_modified(|one| {
            risen = up.difference(&one.interfaces_up).cloned().collect();
            let differs = one.interfaces_up != up;
            one.interfaces_up = up;
            differs
        });
        Ok(risen)
    }

    fn put_services(&mut self, desired: &Desired) {
        let health = self.health.borrow_and_update().clone();
        self.services.put(desired, &health);
        self.report_impaired();
    }

    /// Tells the leader what is served in part only.
    fn report_impaired(&self) {
        let state = self.state.borrow().clone();
        let name = |group: GroupId| state.groups.iter().find(|(_, one)| **one == group);
        let now: BTreeMap<String, String> = self
            .services
            .impaired()
            .filter_map(|(group, why)| Some((name(group)?.0.clone(), why.to_owned())))
            .collect();
        self.eligibility.send_if_modified(|one| {
            let differs = one.impaired != now;
            one.impaired = now;
            differs
        });
    }

    fn forgive(&self, unable: &mut BTreeMap<String, Instant>) {
        let now = Instant::now();
        if unable.values().any(|until| *until <= now) {
            unable.retain(|_, until| *until > now);
            self.eligibility
                .send_modify(|one| one.unable.retain(|name, _| unable.contains_key(name)));
        }
    }

    fn order(&self, order: Order) {
        // Where the queue is full, the surrender comes again with the next pass.
        let _ = self.orders.try_send(order);
    }
}

/// Resolves when there is something else to want: other leases, or other real servers.
async fn either(
    desired: &mut watch::Receiver<Desired>,
    health: &mut watch::Receiver<Health>,
) -> Result<(), watch::error::RecvError> {
    tokio::select! {
        biased;
        changed = desired.changed() => changed,
        changed = health.changed() => changed,
    }
}

/// Resolves when a lease was renewed whose addresses' lifetime has to follow.
async fn renewed(
    leases: &mut Option<watch::Receiver<OpenLeases>>,
) -> Result<(), watch::error::RecvError> {
    match leases {
        Some(leases) => leases.changed().await,
        None => std::future::pending().await,
    }
}

/// Those of `bindings` that are on one of `interfaces`.
fn on(bindings: &[Binding], interfaces: &BTreeSet<String>) -> Vec<Binding> {
    bindings.iter().filter(|one| interfaces.contains(&one.interface)).cloned().collect()
}

impl Announcements {
    fn schedule(&mut self, bindings: &[Binding]) {
        if bindings.is_empty() {
            return;
        }
        let now = Instant::now();
        let addresses: BTreeSet<IpAddr> = bindings.iter().map(|one| one.address).collect();
        for delay in ANNOUNCE_AT {
            self.due.push((now + delay, addresses.clone()));
        }
    }

    fn next(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        self.due.iter().map(|(at, _)| *at).min().unwrap_or(far)
    }

    /// What is due, once however often. It may be another's by now.
    fn take_due(&mut self) -> BTreeSet<IpAddr> {
        let now = Instant::now();
        let (due, later) =
            std::mem::take(&mut self.due).into_iter().partition(|(at, _)| *at <= now);
        self.due = later;
        due.into_iter().flat_map(|(_, addresses): (_, BTreeSet<IpAddr>)| addresses).collect()
    }
}
