//! The thread that speaks VRRP for the instances that are held here, and hears who else does.
//!
//! It follows the leases and decides nothing about them, except where the operator said that a
//! foreign master is to be yielded to: then it asks the lease thread to let go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use leasehold_dataplane::fence::boot_now;
use leasehold_dataplane::vrrp::wire::{Command, Reason, Router, Sequence, Standing};
use leasehold_dataplane::vrrp::{Arrival, Receiver, Transmitter, VrrpError};
use leasehold_model::{BootNanos, Config, Eligibility, Epoch, Family, Foreigner, GroupId, NodeId};
use leasehold_raft::group::Leadership;
use leasehold_raft::state::{Cause, State};
use tokio::sync::{mpsc, watch};

use super::lease_thread::{OpenLeases, Order};
use crate::paced::Paced;
use crate::spoken::{Farewell, Spoken};
use crate::wake;

/// What is counted of one instance's adverts, and who else was heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InstanceView {
    pub(crate) sent: u64,
    pub(crate) heard: u64,
    pub(crate) dropped: BTreeMap<Reason, u64>,
    /// Why the last advert could not be sent.
    pub(crate) unsent: Option<String>,
    /// A master from outside the cluster, and its priority.
    pub(crate) foreign: Option<(IpAddr, u8)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VrrpView {
    pub(crate) instances: BTreeMap<String, InstanceView>,
    /// Packets of no instance of ours.
    pub(crate) unknown: BTreeMap<Reason, u64>,
}

const OPEN_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Between two reports of who else speaks.
const REPORT_APART: Duration = Duration::from_millis(200);

/// How often counters are shown to others.
const SHOW_EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Inputs {
    pub(crate) node: NodeId,
    pub(crate) name: String,
    pub(crate) state: Paced<Arc<State>>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) open: watch::Receiver<OpenLeases>,
    pub(crate) eligibility: watch::Sender<Eligibility>,
    pub(crate) orders: mpsc::Sender<Order>,
    /// Instances whose neighbours may believe a master of lower priority that spoke.
    pub(crate) doubt: mpsc::Sender<String>,
    /// The same, for those who are told.
    pub(crate) lower: mpsc::Sender<String>,
    pub(crate) view: watch::Sender<VrrpView>,
    /// What the guard says to the neighbours where this process can't.
    pub(crate) farewells: watch::Sender<Arc<Vec<Farewell>>>,
}

/// Runs until the daemon drops the other ends.
pub(crate) async fn run(inputs: Inputs) {
    let (receiver, transmitter) = loop {
        match (Receiver::open(), Transmitter::open()) {
            (Ok(receiver), Ok(transmitter)) => break (receiver, transmitter),
            (Err(error), _) | (_, Err(error)) => pause(&error).await,
        }
    };
    let reported = inputs.eligibility.subscribe();
    let mut thread = VrrpThread {
        inputs,
        reported,
        receiver,
        transmitter,
        instances: BTreeMap::new(),
        joined: BTreeSet::new(),
        followed: None,
        unknown: BTreeMap::new(),
        reported_at: None,
    };
    thread.turn().await;
}

/// A lease does not depend on adverts: without a socket they are missed, and nothing else is.
async fn pause(error: &VrrpError) {
    tracing::warn!(%error, "adverts are neither sent nor heard");
    tokio::time::sleep(OPEN_AGAIN_AFTER).await;
}

struct VrrpThread {
    inputs: Inputs,
    reported: watch::Receiver<Eligibility>,
    receiver: Receiver,
    transmitter: Transmitter,
    instances: BTreeMap<String, Instance>,
    /// Groups that are listened to, by interface.
    joined: BTreeSet<(String, IpAddr)>,
    followed: Option<Followed>,
    unknown: BTreeMap<Reason, u64>,
    /// When the leader was last told of others.
    reported_at: Option<BootNanos>,
}

/// What instances and their adverts are made of.
#[derive(PartialEq)]
struct Followed {
    config: Arc<Config>,
    groups: BTreeMap<String, GroupId>,
    interfaces_up: BTreeSet<String>,
    priority_delta: BTreeMap<String, i16>,
}

struct Instance {
    group: GroupId,
    spoken: Spoken,
    router: Router,
    sequence: Sequence,
    sent: u64,
    unsent: Option<String>,
    /// The epoch that was open here last.
    opened: Option<Epoch>,
    /// What was said of a foreign master: it is said once.
    told: Option<IpAddr>,
}

impl VrrpThread {
    async fn turn(&mut self) {
        let mut show = tokio::time::interval(SHOW_EVERY);
        show.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.follow();
        loop {
            let due = self.instances.values().filter_map(|one| one.router.poll_timeout()).min();
            tokio::select! {
                biased;
                changed = self.inputs.open.changed() => {
                    if changed.is_err() {
                        self.handle_leases();
                        return;
                    }
                    self.handle_leases();
                }
                changed = self.inputs.state.changed() => {
                    if changed.is_err() { return }
                    self.follow();
                }
                changed = self.inputs.leadership.changed() => {
                    if changed.is_err() { return }
                    self.handle_leases();
                }
                changed = self.reported.changed() => {
                    if changed.is_err() { return }
                    self.follow();
                }
                () = wake::at_boot(due) => {
                    let now = boot_now();
                    for one in self.instances.values_mut() {
                        one.router.handle_timeout(now);
                    }
                    self.carry_out();
                }
                arrival = self.receiver.receive() => match arrival {
                    Ok(arrival) => {
                        self.hear(&arrival);
                        self.carry_out();
                    }
                    Err(error) => self.open_again(&error).await,
                },
                _ = show.tick() => {
                    self.listen_again();
                    if self.lacks_source() {
                        self.follow();
                    }
                    self.report();
                    self.show();
                }
            }
        }
    }

    async fn open_again(&mut self, error: &VrrpError) {
        pause(error).await;
        match Receiver::open() {
            Ok(receiver) => {
                self.receiver = receiver;
                self.joined.clear();
                self.listen();
            }
            Err(error) => tracing::warn!(%error, "adverts are not heard"),
        }
    }

    /// The configuration, the leases or this node's interfaces changed.
    fn follow(&mut self) {
        let state = self.inputs.state.borrow_and_update().clone();
        let report = self.reported.borrow_and_update().clone();
        let followed = Followed {
            config: state.config.clone(),
            groups: state.groups.clone(),
            interfaces_up: report.interfaces_up,
            priority_delta: report.priority_delta,
        };
        if self.lacks_source() || self.followed.as_ref() != Some(&followed) {
            self.compose(&state, &followed);
            self.followed = Some(followed);
        }
        self.handle_leases();
    }

    /// One without an address to send from may have got one, which is no news to anybody.
    fn lacks_source(&self) -> bool {
        self.instances.values().any(|one| one.spoken.source.is_none())
    }

    fn compose(&mut self, state: &State, followed: &Followed) {
        let now = boot_now();
        let config = &state.config;
        let vips = config.instances.values().flat_map(|one| one.vips());
        let vips: BTreeSet<IpAddr> = vips.map(|vip| vip.address).collect();
        let mut before = std::mem::take(&mut self.instances);
        for (name, group, instance, _) in state.instances() {
            let delta = followed.priority_delta.get(name).copied().unwrap_or(0);
            let known = before.get(name).map(|one| &one.spoken);
            let up = &followed.interfaces_up;
            let spoken =
                Spoken::new(&config.global, instance, &self.inputs.name, delta, &vips, up, known);
            let one = match before.remove(name) {
                Some(mut one) => {
                    one.group = group;
                    one.router.handle_settings(spoken.settings(one.sequence.highest()), now);
                    one.spoken = spoken;
                    one
                }
                None => Instance {
                    group,
                    router: Router::new(spoken.settings(0), now),
                    spoken,
                    sequence: Sequence::default(),
                    sent: 0,
                    unsent: None,
                    opened: None,
                    told: None,
                },
            };
            self.instances.insert(name.to_owned(), one);
        }
        // What left the configuration is not ours any more.
        for (name, mut one) in before {
            one.router.handle_standing(Standing::Nobody, now);
            self.instances.insert(name.clone(), one);
            self.carry_out();
            self.instances.remove(&name);
        }
        self.listen();
    }

    /// Joins the groups of all interfaces that an instance is on, and leaves others.
    fn listen(&mut self) {
        let groups = self
            .instances
            .values()
            .filter_map(|one| Some((one.spoken.interface.clone(), one.spoken.group?)));
        let wanted: BTreeSet<(String, IpAddr)> = groups.collect();
        for (interface, group) in self.joined.difference(&wanted) {
            self.receiver.leave(interface, *group);
        }
        for (interface, group) in wanted.difference(&self.joined) {
            if let Err(error) = self.receiver.join(interface, *group) {
                tracing::debug!(%error, "adverts are not heard yet");
            }
        }
        self.joined = wanted;
        self.listen_again();
    }

    /// Where an interface was not there yet, or is another by now.
    fn listen_again(&mut self) {
        for error in self.receiver.refresh() {
            tracing::debug!(%error, "adverts are not heard yet");
        }
    }

    /// Leases came or went.
    fn handle_leases(&mut self) {
        let open = self.inputs.open.borrow_and_update().clone();
        let state = self.inputs.state.borrow().clone();
        let led = self.inputs.leadership.borrow_and_update().leader.is_some();
        let now = boot_now();
        for one in self.instances.values_mut() {
            let lease = state.leases.get(&one.group);
            let standing = match lease.map(|lease| (lease.holder, lease.epoch)) {
                Some((Some(holder), epoch)) if holder == self.inputs.node => {
                    let opened = open.get(&one.group).is_some_and(|it| it.epoch == epoch);
                    // What was open and is not any more is about to be another's.
                    let was_open = one.opened == Some(epoch);
                    match (opened, led && !was_open) {
                        (true, _) => {
                            one.opened = Some(epoch);
                            Standing::Open
                        }
                        (false, true) => Standing::Granted,
                        (false, false) => Standing::Unknown,
                    }
                }
                Some((Some(_), _)) => Standing::Another,
                // The log that this node has may be old, and who speaks may hold by a newer one.
                Some((None, _)) | None if !led => Standing::Unknown,
                Some((None, _)) | None => Standing::Nobody,
            };
            one.router.handle_standing(standing, now);
        }
        self.carry_out();
        self.tell_guard(&open);
    }

    fn hear(&mut self, arrival: &Arrival) {
        let packet = match &arrival.packet {
            Ok(packet) => packet,
            Err(malformed) => {
                *self.unknown.entry((*malformed).into()).or_default() += 1;
                return;
            }
        };
        let now = boot_now();
        let family = Family::of(packet.source());
        let theirs = self.instances.values_mut().filter(|one| {
            one.spoken.interface == arrival.interface
                && one.spoken.family == family
                && packet.vrid() == Some(one.router.settings().expected.vrid)
        });
        // Two may share a number where their adverts go to different groups.
        let theirs = theirs.max_by_key(|one| one.spoken.group == Some(packet.destination()));
        match theirs {
            Some(one) => {
                one.router.handle_packet(packet, now);
                one.sequence.hear(one.router.highest_sequence());
            }
            None => *self.unknown.entry(Reason::VridUnknown).or_default() += 1,
        }
    }

    /// Carries out what the routers want.
    fn carry_out(&mut self) {
        // Whoever is asked to give a lease to another should know why it was given up.
        self.report();
        for (name, one) in &mut self.instances {
            while let Some(command) = one.router.poll_command() {
                match command {
                    Command::Advertise(priority) => {
                        // Of a lease that ran out while this process stood still, not a word.
                        // The lease thread writes here: it must not wait for an advert.
                        let lease = self.inputs.open.borrow().get(&one.group).copied();
                        let over = lease.is_none_or(|it| it.until <= boot_now());
                        if priority > 0 && over && one.router.is_open() {
                            continue;
                        }
                        one.advertise(&mut self.transmitter, priority);
                    }
                    // Where the queue is full, the same is on its way.
                    Command::Announce => {
                        drop(self.inputs.doubt.try_send(name.clone()));
                        drop(self.inputs.lower.try_send(name.clone()));
                    }
                    Command::Yield => {
                        tracing::warn!("{name} yields to a master from outside the cluster");
                        let order = Order::Surrender(one.group, Cause::Yielded);
                        // It comes again with the next advert.
                        let _ = self.inputs.orders.try_send(order);
                    }
                }
            }
        }
    }

    /// Tells the leader who else speaks, and whether that keeps this director from holding.
    fn report(&mut self) {
        let now = boot_now();
        let mut foreigners = BTreeMap::new();
        for (name, one) in &mut self.instances {
            let master = one.router.foreign_master(now);
            // A director's advert may be here before the log says who holds the lease.
            let twice = Duration::from_millis(one.router.settings().expected.interval_ms.into());
            let lasting = master.filter(|it| now.since(it.since) >= twice);
            if let Some(master) = lasting.filter(|it| one.told != Some(it.source)) {
                tracing::error!(
                    "{name}: {} sends adverts of virtual router {} with priority {}, and is no \
                     director",
                    master.source,
                    one.router.settings().expected.vrid,
                    master.priority
                );
            }
            one.told = lasting.map(|it| it.source);
            let listens = one.router.listens(now);
            // One that would yield says also that it hears nobody.
            if master.is_some() || one.router.would_yield() {
                let master = master.map(|it| (it.source, it.priority));
                foreigners.insert(name.clone(), Foreigner { master, listens });
            }
        }
        // Each report is a renewal, and anybody on the link can change what is heard.
        if self.reported_at.is_some_and(|at| now.since(at) < REPORT_APART) {
            return;
        }
        let reported_at = &mut self.reported_at;
        self.inputs.eligibility.send_if_modified(|one| {
            let differs = one.foreigners != foreigners;
            one.foreigners = foreigners;
            if differs {
                *reported_at = Some(now);
            }
            differs
        });
    }

    fn tell_guard(&self, open: &OpenLeases) {
        let mine = self.instances.values().filter(|one| open.contains_key(&one.group));
        let farewells: Vec<Farewell> =
            mine.filter_map(|one| one.spoken.farewell(one.sequence.highest())).collect();
        self.inputs.farewells.send_if_modified(|told| {
            let differs = !same(told, &farewells);
            if differs {
                *told = Arc::new(farewells);
            }
            differs
        });
    }

    fn show(&self) {
        let now = boot_now();
        let instances = self.instances.iter().map(|(name, one)| {
            let view = InstanceView {
                sent: one.sent,
                heard: one.router.counters.heard,
                dropped: one.router.counters.dropped.clone(),
                unsent: one.unsent.clone(),
                foreign: one.router.foreign_master(now).map(|it| (it.source, it.priority)),
            };
            (name.clone(), view)
        });
        let view = VrrpView { instances: instances.collect(), unknown: self.unknown.clone() };
        self.inputs.view.send_if_modified(|shown| {
            let differs = *shown != view;
            *shown = view;
            differs
        });
    }
}

/// Sequence numbers go up with every advert: the guard counts on by itself.
fn same(one: &[Farewell], other: &[Farewell]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is_like(other))
}

impl Instance {
    fn advertise(&mut self, transmitter: &mut Transmitter, priority: u8) {
        let Some(source) = self.spoken.source else {
            return self.fail(format!("{} has no address to send from", self.spoken.interface));
        };
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let Some(sequence) = self.sequence.next(unix.as_secs()) else {
            return self.fail("its authentication key is used up: choose another".to_owned());
        };
        let advert = self.spoken.advert(priority, sequence);
        let Spoken { interface, leaves_by, to, manner, .. } = &self.spoken;
        let sent = match transmitter.send(leaves_by, source, to, &advert, *manner) {
            // Deleted with the lease, and who waits for this word looks at no MAC address.
            Err(VrrpError::NoInterface { .. }) if priority == 0 => {
                transmitter.send(interface, source, to, &advert, *manner)
            }
            outcome => outcome,
        };
        match sent {
            Ok(()) => {
                self.sent += 1;
                self.unsent = None;
            }
            // It is made as the lease opens: the next advert finds it.
            Err(VrrpError::NoInterface { name }) if name != self.spoken.interface => {
                tracing::debug!(name, "an advert is left out: its interface is not there");
            }
            Err(error) => self.fail(error.to_string()),
        }
    }

    fn fail(&mut self, why: String) {
        if self.unsent.as_ref() != Some(&why) {
            tracing::warn!("no advert is sent: {why}");
        }
        self.unsent = Some(why);
    }
}
