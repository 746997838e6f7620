//! The thread that makes the kernel's addresses what the lease thread wants, and announces them.
//!
//! It is driven by levels, never by events alone: every pass compares what should be with what is.
//! It may be slow, since the fence, which it never touches, decides what answers.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use leasehold_dataplane::plan::Binding;
use leasehold_dataplane::{Event, Kernel, Watch, links, probe};
use leasehold_model::Eligibility;
use leasehold_raft::state::{Cause, State};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::lease_thread::{Desired, Order};

/// The kernel's own sweeper: how long an address outlives whoever renews it.
const VALID_LIFETIME: Duration = Duration::from_secs(5);
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

pub(crate) struct KernelThread {
    pub(crate) kernel: Kernel,
    pub(crate) desired: watch::Receiver<Desired>,
    pub(crate) programmed: watch::Sender<u64>,
    pub(crate) eligibility: watch::Sender<Eligibility>,
    pub(crate) orders: mpsc::Sender<Order>,
    /// To complain of an instance by its name.
    pub(crate) state: watch::Receiver<Arc<State>>,
}

/// What events asked for. Many events make one look.
#[derive(Default)]
struct Lookout {
    look: bool,
    links: bool,
}

#[derive(Default)]
struct Announcements {
    due: Vec<(Instant, Vec<Binding>)>,
}

impl KernelThread {
    /// Runs until the daemon drops the other ends.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        let mut changes = Watch::open()?;
        let mut refresh = tokio::time::interval(REFRESH_EVERY);
        refresh.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut announcements = Announcements::default();
        let mut lookout = Lookout::default();
        let mut unable: BTreeMap<String, Instant> = BTreeMap::new();
        self.report_interfaces().await?;
        loop {
            let announce = announcements.next();
            tokio::select! {
                biased;
                changed = self.desired.changed() => {
                    if changed.is_err() { return Ok(()) }
                    self.pass(&mut announcements, &mut unable).await?;
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
                    if links {
                        self.report_interfaces().await?;
                    }
                    self.pass(&mut announcements, &mut unable).await?;
                    if links {
                        // Neighbours behind a link that came back may have missed us.
                        announcements.schedule(&self.desired.borrow().bindings);
                    }
                }
                () = tokio::time::sleep_until(announce) => {
                    let current = self.desired.borrow().bindings.clone();
                    let due = announcements.take_due();
                    let due: Vec<_> = current.into_iter().filter(|one| due.contains(one)).collect();
                    self.announce(&due).await;
                }
                _ = refresh.tick() => {
                    self.forgive(&mut unable);
                    // Whatever event was missed.
                    self.report_interfaces().await?;
                    let bindings = self.desired.borrow().bindings.clone();
                    if let Err(error) = self.kernel.refresh(&bindings, VALID_LIFETIME).await {
                        tracing::warn!(%error, "addresses were not refreshed");
                        self.pass(&mut announcements, &mut unable).await?;
                    }
                }
            }
        }
    }

    async fn pass(
        &mut self,
        announcements: &mut Announcements,
        unable: &mut BTreeMap<String, Instant>,
    ) -> anyhow::Result<()> {
        let desired = self.desired.borrow_and_update().clone();
        let made = self.kernel.reconcile(&desired.bindings, &desired.owned, VALID_LIFETIME).await;
        let added = match made {
            Ok(report) => {
                self.programmed.send_replace(desired.serial);
                let bound = |one: &&Binding| report.bound.contains(&one.address);
                desired.bindings.iter().filter(bound).cloned().collect()
            }
            Err(error) => {
                let actual = self.kernel.addresses.read().await?;
                let there = |one: &Binding| actual.iter().any(|bound| one.is(bound));
                let (there, missing): (Vec<_>, Vec<_>) =
                    desired.bindings.iter().cloned().partition(there);
                tracing::error!(%error, missing = missing.len(), "addresses could not be bound");
                self.give_up(&missing, &error.to_string(), unable);
                there
            }
        };
        if !added.is_empty() {
            self.announce(&added).await;
            announcements.schedule(&added);
            self.look_for_rivals(&added);
        }
        Ok(())
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
                let desired = desired.borrow();
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

    async fn report_interfaces(&mut self) -> anyhow::Result<()> {
        let up = links::interfaces_up(self.kernel.addresses.handle()).await?;
        self.eligibility.send_if_modified(|one| {
            let differs = one.interfaces_up != up;
            one.interfaces_up = up;
            differs
        });
        Ok(())
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

impl Announcements {
    fn schedule(&mut self, bindings: &[Binding]) {
        let now = Instant::now();
        for delay in ANNOUNCE_AT {
            self.due.push((now + delay, bindings.to_vec()));
        }
    }

    fn next(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        self.due.iter().map(|(at, _)| *at).min().unwrap_or(far)
    }

    /// What is due, once however often. It may be another's by now.
    fn take_due(&mut self) -> Vec<Binding> {
        let now = Instant::now();
        let (due, later) =
            std::mem::take(&mut self.due).into_iter().partition(|(at, _)| *at <= now);
        self.due = later;
        due.into_iter().flat_map(|(_, bindings): (_, Vec<Binding>)| bindings).collect()
    }
}
