//! The thread that makes the kernel's addresses what the lease thread wants, and announces them.
//!
//! It is driven by levels, never by events alone: every pass compares what should be with what is.
//! It may be slow, since the fence, which it never touches, decides what answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use leasehold_dataplane::fence::{Fence, boot_now};
use leasehold_dataplane::plan::{Announcements, Binding};
use leasehold_dataplane::{DataplaneError, Event, Kernel, Watch, links};
use leasehold_model::{Eligibility, Epoch, GroupId};
use leasehold_raft::state::Cause;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::aftercare::Aftercare;
use super::desired::Desired;
use super::lease_thread::{OpenLeases, Order};
use super::lifetime::lifetime;
use super::neighbours::{announced, taken};
use super::routing::Router;
use crate::wake;

/// The kernel's own sweeper: how long an address outlives whoever renews it. An interface that
/// appears after that one's death has no fence, so it is short.
const VALID_LIFETIME: Duration = Duration::from_secs(3);
const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// An instance that could not be programmed is not offered to this node for so long.
const UNABLE_FOR: Duration = Duration::from_secs(10);

/// How long a new address waits for its services.
const SERVICES_WITHIN: Duration = Duration::from_secs(1);

/// What the thread hears and tells.
pub(crate) struct Inputs {
    pub(crate) desired: watch::Receiver<Desired>,
    pub(crate) programmed: watch::Sender<u64>,
    pub(crate) eligibility: watch::Sender<Eligibility>,
    pub(crate) orders: mpsc::Sender<Order>,
    /// Where this node's fence is pinned, if it has one.
    pub(crate) pin_dir: Option<PathBuf>,
    /// Where the addresses' lifetime is the fence: until when each lease is good.
    pub(crate) leases: Option<watch::Receiver<OpenLeases>>,
    /// The serial of the wishes whose services are in the kernel, or can't be.
    pub(crate) put: watch::Receiver<u64>,
    /// Instances whose neighbours may believe another.
    pub(crate) doubted: mpsc::Receiver<String>,
    /// The groups that may have addresses on an interface here.
    pub(crate) bound: watch::Sender<BTreeSet<GroupId>>,
}

pub(crate) struct KernelThread {
    kernel: Kernel,
    router: Router,
    desired: watch::Receiver<Desired>,
    programmed: watch::Sender<u64>,
    eligibility: watch::Sender<Eligibility>,
    orders: mpsc::Sender<Order>,
    leases: Option<watch::Receiver<OpenLeases>>,
    put: watch::Receiver<u64>,
    doubted: mpsc::Receiver<String>,
    bound_groups: watch::Sender<BTreeSet<GroupId>>,
    /// What the last pass left bound.
    bound: BTreeSet<IpAddr>,
    /// The leases that it was for.
    taken: BTreeMap<GroupId, Epoch>,
    /// What the last pass was asked for, where it did all of it.
    carried_out: Option<Desired>,
    /// The new addresses that wait for their services.
    hold: Option<Hold>,
    announcements: Announcements,
    /// Instances that could not be programmed, and until when they are not offered to this node.
    unable: BTreeMap<String, Instant>,
    aftercare: Aftercare,
}

/// New addresses that wait for their services.
struct Hold {
    /// Not longer than until here.
    until: Instant,
    /// The wishes that first had all of them.
    serial: u64,
    addresses: BTreeSet<IpAddr>,
}

/// What events asked for. Many events make one look.
#[derive(Default)]
struct Lookout {
    look: bool,
    links: bool,
}

impl KernelThread {
    /// To be called on the thread itself, and within its runtime.
    pub(crate) fn open(inputs: Inputs) -> Result<Self, DataplaneError> {
        let Inputs { desired, programmed, eligibility, orders, .. } = inputs;
        let Inputs { pin_dir, leases, put, doubted, bound, .. } = inputs;
        let kernel = Kernel::open(pin_dir.as_deref())?;
        let router = Router::open(&kernel.addresses)?;
        Ok(Self {
            kernel,
            router,
            aftercare: Aftercare::new(desired.clone(), pin_dir),
            desired,
            programmed,
            eligibility,
            orders,
            leases,
            put,
            doubted,
            bound_groups: bound,
            bound: BTreeSet::new(),
            taken: BTreeMap::new(),
            carried_out: None,
            hold: None,
            announcements: Announcements::default(),
            unable: BTreeMap::new(),
        })
    }

    /// Runs until the daemon drops the other ends.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        let mut changes = Watch::open()?;
        let mut refresh = tokio::time::interval(REFRESH_EVERY);
        refresh.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut lookout = Lookout::default();
        self.report_interfaces().await?;
        let eligibility = self.eligibility.clone();
        // It asks a program.
        tokio::task::spawn_blocking(move || {
            let ipvs = Some(leasehold_dataplane::ipvs::is_available());
            eligibility.send_modify(|one| one.ipvs = ipvs);
        });
        loop {
            let (announce, held) =
                (self.announcements.poll_timeout(), self.hold.as_ref().map(|hold| hold.until));
            tokio::select! {
                biased;
                // Whatever else there is to do: what is not refreshed goes.
                _ = refresh.tick() => {
                    self.forgive();
                    // Whatever event was missed; that a tcx link went has none.
                    self.look(true).await?;
                    self.refresh().await;
                }
                changed = self.desired.changed() => {
                    if changed.is_err() { return Ok(()) }
                    self.follow().await?;
                }
                changed = self.put.changed(), if held.is_some() => {
                    if changed.is_err() { return Ok(()) }
                    self.pass().await?;
                }
                () = wake::at(held) => self.pass().await?,
                changed = renewed(&mut self.leases) => {
                    if changed.is_err() { return Ok(()) }
                    self.refresh().await;
                }
                event = changes.next() => lookout.hear(event, &self.bound),
                () = tokio::task::yield_now(), if lookout.look => {
                    let links = std::mem::take(&mut lookout).links;
                    self.look(links).await?;
                }
                Some((addresses, why)) = self.aftercare.obstructed() => {
                    let bindings = self.desired.borrow().bindings.clone();
                    let lost = bindings.into_iter().filter(|one| addresses.contains(&one.address));
                    self.give_up(&lost.collect::<Vec<_>>(), &why);
                }
                Some(name) = self.doubted.recv() => self.doubt(&name),
                () = wake::at_boot(announce) => self.announce_due().await,
            }
        }
    }

    /// Compares everything with what it should be.
    async fn look(&mut self, links: bool) -> anyhow::Result<()> {
        let risen = if links { self.report_interfaces().await? } else { BTreeSet::new() };
        self.pass().await?;
        // Neighbours behind a link that came back may have missed us.
        let desired = self.desired.borrow().clone();
        let doubted: Vec<_> =
            desired.bindings.iter().filter(|one| risen.contains(&one.interface)).collect();
        self.announcements.handle_doubt(&announced(&desired.state, &doubted), boot_now());
        Ok(())
    }

    /// Another announced the addresses of this instance.
    fn doubt(&mut self, name: &str) {
        let desired = self.desired.borrow().clone();
        let Some(instance) = desired.state.config.instances.get(name) else { return };
        let theirs: BTreeSet<IpAddr> = instance.vips().map(|vip| vip.address).collect();
        let doubted: Vec<_> =
            desired.bindings.iter().filter(|one| theirs.contains(&one.address)).collect();
        self.announcements.handle_doubt(&announced(&desired.state, &doubted), boot_now());
    }

    async fn announce_due(&mut self) {
        let (bindings, open) = self.wished();
        // Where no fence stops a frame, the lifetime that is left does.
        let lasting = self.lifetimes(&bindings, &open);
        let held: BTreeMap<IpAddr, &Binding> = bindings
            .iter()
            .filter(|one| lasting.contains_key(&one.group) && self.bound.contains(&one.address))
            .map(|one| (one.address, one))
            .collect();
        let due = self.announcements.take_due(&held.keys().copied().collect(), boot_now());
        let due: Vec<Binding> = due.iter().map(|address| held[address].clone()).collect();
        self.announce(&due).await;
    }

    /// New wishes. Where they differ in what is behind the addresses only, nothing is to be done.
    /// That an address which leaves the fence is gone is not believed without a look.
    async fn follow(&mut self) -> anyhow::Result<()> {
        let serial = {
            let wishes = self.desired.borrow_and_update();
            let seen = |done: &Desired| done.serial >= wishes.awaited && done.binds_as(&wishes);
            self.carried_out.as_ref().is_some_and(seen).then_some(wishes.serial)
        };
        match serial {
            Some(serial) => drop(self.programmed.send_replace(serial)),
            None => self.pass().await?,
        }
        Ok(())
    }

    async fn pass(&mut self) -> anyhow::Result<()> {
        let whole = self.desired.borrow_and_update().clone();
        self.carried_out = None;
        let mut desired = whole.clone();
        // What is bound now may be lost before it is said to be bound.
        let wanted: BTreeSet<GroupId> = desired.bindings.iter().map(|one| one.group).collect();
        self.bound_groups.send_if_modified(|told| {
            let before = told.len();
            told.extend(wanted);
            told.len() != before
        });
        self.hold_back(&mut desired);
        self.router.withdraw(&whole.routing).await;
        // The fence is hung on new ones before anything is bound there.
        self.router.raise(&whole.macvlans).await;
        let lifetimes = self.lifetimes(&desired.bindings, &desired.open);
        desired.bindings.retain(|one| lifetimes.contains_key(&one.group));
        let shortest = lifetimes.values().min().copied().unwrap_or(VALID_LIFETIME);
        self.bound = desired.bindings.iter().map(|one| one.address).collect();
        let whole_done = desired.bindings.len() == whole.bindings.len();
        let made = self.kernel.reconcile(&desired.bindings, &desired.owned, shortest).await;
        let whole_done = whole_done && made.is_ok();
        let added: Vec<Binding> = match made {
            Ok(report) => {
                if self.leases.is_some() {
                    // No address may go on living on the time of a lease that it has left.
                    self.refresh().await;
                }
                self.programmed.send_replace(desired.serial);
                // Where something went wrong, nobody knows what is left of what was bound before.
                self.bound_groups.send_if_modified(|told| {
                    let before = told.len();
                    told.retain(|group| whole.bindings.iter().any(|one| one.group == *group));
                    told.len() != before
                });
                let bound: BTreeSet<IpAddr> = report.bound.into_iter().collect();
                taken(&desired, &bound, &self.taken)
            }
            // The fence was given newer wishes already. They are on their way here too.
            Err(DataplaneError::Unfenced { address, .. }) => {
                tracing::debug!(%address, "not behind the fence any more");
                return Ok(());
            }
            Err(error) => {
                let missing = self.missing(&desired.bindings).await?;
                tracing::error!(%error, missing = missing.len(), "addresses can't be served");
                self.give_up(&missing, &error.to_string());
                if self.leases.is_some() && missing.is_empty() {
                    self.decline(&whole, &error.to_string());
                }
                self.bound.retain(|address| !missing.iter().any(|one| one.address == *address));
                // Among the rest are some that were bound just now.
                desired.bindings.retain(|one| !missing.contains(one));
                desired.bindings
            }
        };
        self.taken.clone_from(&whole.open);
        if !added.is_empty() {
            // Binding took time, and where no fence stops a frame, time may be up.
            let lasting = self.lifetimes(&added, &desired.open);
            let added: Vec<_> =
                added.into_iter().filter(|one| lasting.contains_key(&one.group)).collect();
            self.announce(&added).await;
            let taken: Vec<_> = added.iter().collect();
            self.announcements.handle_taken(&announced(&desired.state, &taken), boot_now());
            self.aftercare.begin(&added);
        }
        self.router.lay(&whole.routing, &whole.bindings, &self.bound).await;
        self.carried_out = whole_done.then_some(whole);
        Ok(())
    }

    /// A new address waits until its services are in the kernel, or clients would be refused. It
    /// does not wait for ever: a VIP that serves in part is better than none, and another director
    /// that does better gets it.
    fn hold_back(&mut self, desired: &mut Desired) {
        let new = |one: &Binding| !self.bound.contains(&one.address);
        let news: BTreeSet<IpAddr> =
            desired.bindings.iter().filter(|one| new(one)).map(|one| one.address).collect();
        let hold = match self.hold.take() {
            Some(hold) if news.is_subset(&hold.addresses) => hold,
            earlier => Hold {
                until: earlier.map_or_else(|| Instant::now() + SERVICES_WITHIN, |one| one.until),
                serial: desired.serial,
                addresses: news.clone(),
            },
        };
        // Newer wishes for what is behind them may come for ever: these were put once.
        if news.is_empty() || *self.put.borrow_and_update() >= hold.serial {
            return;
        }
        if Instant::now() < hold.until {
            desired.bindings.retain(|one| !new(one));
            self.hold = Some(hold);
            return;
        }
        tracing::error!("virtual servers are not in the kernel yet: their VIPs do not wait longer");
        let groups: BTreeSet<GroupId> =
            desired.bindings.iter().filter(|one| new(one)).map(|one| one.group).collect();
        let late = desired.state.groups.iter().filter(|(_, group)| groups.contains(group));
        let why = "its virtual servers are not in the kernel yet";
        let late: Vec<_> = late.map(|(name, _)| (name.clone(), why.to_owned())).collect();
        // The thread that is late withdraws this when it comes round.
        self.eligibility.send_if_modified(|one| {
            let before = one.impaired.len();
            one.impaired.extend(late);
            one.impaired.len() != before
        });
    }

    /// The newest wishes for addresses, and the leases that they are for.
    fn wished(&self) -> (Vec<Binding>, BTreeMap<GroupId, Epoch>) {
        let desired = self.desired.borrow();
        (desired.bindings.clone(), desired.open.clone())
    }

    /// How long the addresses of each group may stay without another renewal of the lease that
    /// they were wished under; a later one may cover others. A group that is missing has no time
    /// left.
    fn lifetimes(
        &self,
        bindings: &[Binding],
        open: &BTreeMap<GroupId, Epoch>,
    ) -> BTreeMap<GroupId, Duration> {
        let groups = bindings.iter().map(|one| one.group);
        let Some(leases) = &self.leases else {
            return groups.map(|group| (group, VALID_LIFETIME)).collect();
        };
        let (leases, now) = (leases.borrow(), boot_now());
        let left = groups.filter_map(|group| {
            let lease = leases.get(&group).filter(|one| open.get(&group) == Some(&one.epoch))?;
            Some((group, lifetime(lease.until, now)?))
        });
        left.collect()
    }

    /// Renews lifetimes.
    async fn refresh(&self) {
        // What is held back is not bound by this.
        let (mut bindings, open) = self.wished();
        bindings.retain(|one| self.bound.contains(&one.address));
        let mut by_lifetime: BTreeMap<Duration, Vec<Binding>> = BTreeMap::new();
        let lifetimes = self.lifetimes(&bindings, &open);
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
    fn give_up(&mut self, missing: &[Binding], why: &str) {
        let state = self.desired.borrow().state.clone();
        for binding in missing {
            let name = state.groups.iter().find(|(_, group)| **group == binding.group);
            if let Some((name, _)) = name {
                self.offer_no_more(name, why);
            }
            self.order(Order::Surrender(binding.group, Cause::Unserviceable));
        }
    }

    /// What can't be unbound keeps this node from opening anything, where nothing else closes it.
    fn decline(&mut self, desired: &Desired, why: &str) {
        let groups = desired.state.groups.iter();
        for (name, _) in groups.filter(|(_, group)| !desired.open.contains_key(group)) {
            self.offer_no_more(name, why);
        }
    }

    fn offer_no_more(&mut self, name: &str, why: &str) {
        self.unable.insert(name.to_owned(), Instant::now() + UNABLE_FOR);
        self.eligibility.send_if_modified(|one| {
            let before = one.unable.insert(name.to_owned(), why.to_owned());
            before.is_none_or(|before| before != why)
        });
    }

    async fn announce(&self, bindings: &[Binding]) {
        if let Err(error) = self.kernel.announce(bindings).await {
            // It is repeated anyway.
            tracing::warn!(%error, "announcement failed");
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

    fn forgive(&mut self) {
        let now = Instant::now();
        if self.unable.values().any(|until| *until <= now) {
            self.unable.retain(|_, until| *until > now);
            let unable = &self.unable;
            self.eligibility
                .send_modify(|one| one.unable.retain(|name, _| unable.contains_key(name)));
        }
    }

    fn order(&self, order: Order) {
        // Where the queue is full, the surrender comes again with the next pass.
        let _ = self.orders.try_send(order);
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

impl Lookout {
    /// `bound`: what the last pass left so. It may be wanted again by the time of the next.
    fn hear(&mut self, event: Event, bound: &BTreeSet<IpAddr>) {
        match event {
            Event::AddressAdded { .. } => {}
            Event::AddressRemoved { address } => {
                self.look |= bound.contains(&address);
            }
            Event::Filters => self.look = true,
            Event::Link { .. } | Event::Resync => {
                self.look = true;
                self.links = true;
            }
        }
    }
}
