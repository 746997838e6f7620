//! One run: hosts take their turns by the millisecond, faults come, and all of it is judged.

use std::net::IpAddr;
use std::sync::Arc;

use leasehold_model::NodeId;
use leasehold_proto::peer::{DaemonDiedRequest, LeaseName};
use leasehold_raft::lease::{Profile, Timing};
use prost::Message;
use prost::bytes::{BufMut, Bytes, BytesMut};
use serde_json::json;

use crate::clock::Clock;
use crate::daemon::Errand;
use crate::disk::Disk;
use crate::host::{Host, Site};
use crate::nemesis::{Bounds, Fault};
use crate::network::{Link, Network, Packet};
use crate::panics;
use crate::plant::Plant;
use crate::random::Random;
use crate::sys;
use crate::world::{Shared, Violation};

const TICK: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
/// Long enough for a cluster to form, and to be whole again after any fault.
const FORMS_WITHIN: u64 = 60 * SECOND;
const HEALS_WITHIN: u64 = 20 * SECOND;
/// Batches that the planted disk loses at most.
const PRETENDED: u64 = 40;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub seed: u64,
    pub directors: usize,
    pub profile: Profile,
    /// Nanoseconds of the simulation.
    pub span: u64,
    pub plant: Option<Plant>,
}

/// What came of it.
pub struct Outcome {
    pub simulated: u64,
    pub violation: Option<Violation>,
    pub hash: String,
    pub messages: u64,
    /// Changes of simulated kernels that were judged.
    pub judged: u64,
    pub faults: u64,
    /// The longest that healing took until every address was answered for again.
    pub longest_heal: u64,
    pub heals: u64,
    pub acknowledged: u64,
    pub(crate) world: Shared,
}

impl Outcome {
    /// Writes the trace down.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn write_trace(&self, path: &std::path::Path) -> std::io::Result<()> {
        self.world.lock().trace.write(path)
    }

    /// How often what happened.
    #[must_use]
    pub fn tally(&self) -> Vec<(&'static str, u64)> {
        self.world.lock().tally.iter().map(|(what, times)| (*what, *times)).collect()
    }
}

enum Phase {
    Forming,
    Chaos { until: u64, next: u64 },
    Healing { since: u64, asked: u64 },
}

/// What is to happen to a host later, if it is still the same life.
enum Later {
    /// The guard of a dead daemon does its work.
    Guard { host: usize, leads: bool },
    /// The guard finds a stopped daemon hung.
    Hung { host: usize, life: u64 },
}

struct Simulation {
    settings: Settings,
    timing: Timing,
    bounds: Bounds,
    site: Site,
    hosts: Vec<Host>,
    random: Random,
    now: u64,
    phase: Phase,
    later: Vec<(u64, Later)>,
    addresses: Vec<IpAddr>,
    faults: u64,
    longest_heal: u64,
    heals: u64,
}

/// Runs it on this thread, which must have done nothing else before.
///
/// # Panics
/// Where the machine has no room for the hosts' snapshots.
#[must_use]
pub fn run(settings: Settings) -> Outcome {
    let scratch = tempfile::tempdir().expect("a directory for snapshots in the temporary one");
    sys::set_now(SECOND);
    sys::set_entropy(settings.seed);
    let mut simulation = Simulation::new(settings, scratch.path());
    simulation.run();
    simulation.finish()
}

impl Simulation {
    fn new(settings: Settings, scratch: &std::path::Path) -> Self {
        let hosts = settings.directors;
        let timing = Timing::profile(settings.profile);
        let stream = |purpose| Random::new(settings.seed, purpose);
        // Boots that lie far apart: no two clocks show nearly the same.
        let clocks = (1..=hosts as u64).map(|host| Clock::new(host * 1_000 * SECOND)).collect();
        let world = Shared::new(clocks, settings.plant);
        let network = Network::new(stream(1), world.clone());
        let ledger = Arc::default();
        let plant = settings.plant;
        let site = Site { hosts, timing, plant, world, network, ledger };
        let pretends = (plant == Some(Plant::FsyncDropped)).then_some(PRETENDED);
        let hosts: Vec<Host> = (0..hosts)
            .map(|index| {
                let disk = Disk::new(stream(100 + index as u64), pretends);
                let dir = scratch.join(format!("host-{index}"));
                Host::new(index, site.clone(), disk, dir)
            })
            .collect();
        let drift = i64::from(timing.max_clock_drift_ppm) * 1_000;
        let beyond = if plant == Some(Plant::ClockBeyondBound) { 12 } else { 1 };
        let ttl_ms = u64::try_from(timing.ttl.as_millis()).unwrap_or(u64::MAX);
        // A little less than half the bound either way: the bound is on the ratio.
        let bounds = Bounds { hosts: hosts.len(), ttl_ms, rate: drift * beyond * 49 / 100 };
        let addresses = [1, 2, 3, 9].map(|last| IpAddr::from([192, 0, 2, last])).to_vec();
        Self {
            settings,
            timing,
            bounds,
            site,
            hosts,
            random: stream(2),
            now: 0,
            phase: Phase::Forming,
            later: Vec::new(),
            addresses,
            faults: 0,
            longest_heal: 0,
            heals: 0,
        }
    }

    fn run(&mut self) {
        if let Ok(mut ledger) = self.site.ledger.lock() {
            ledger.nodes.insert(0, NodeId(1));
        }
        self.hosts[0].start(NodeId(1));
        loop {
            self.now += TICK;
            self.site.world.lock().now = self.now;
            self.deliver();
            self.due();
            self.follow_phase();
            for host in &mut self.hosts {
                if !host.is_frozen(self.now) {
                    host.step();
                }
            }
            self.bury();
            if self.now.is_multiple_of(SECOND) {
                self.site.network.sweep();
            }
            let over = self.now >= self.settings.span && matches!(self.phase, Phase::Chaos { .. });
            if over || self.site.world.lock().violation.is_some() {
                return;
            }
        }
    }

    fn deliver(&mut self) {
        for packet in self.site.network.arrived(self.now) {
            match packet {
                Packet::Call(call) => {
                    let to = call.to;
                    self.hosts[to].receive(call);
                }
                Packet::Answer { to, id, answer, .. } => {
                    if let Some(waiter) = self.site.network.waiter(to, id) {
                        self.hosts[to.0].take_turn();
                        // Whoever asked has given up.
                        drop(waiter.send(answer));
                    }
                }
            }
        }
    }

    /// Starts what is to start, and lets guards act.
    fn due(&mut self) {
        for index in 0..self.hosts.len() {
            let host = &mut self.hosts[index];
            let first = host.life().1 == 0;
            let starts = host.starts_at.is_some_and(|at| at <= self.now) || first;
            if !host.runs()
                && starts
                && let Some(node) = host.node()
            {
                host.start(node);
            }
        }
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.later).into_iter().partition(|(at, _)| *at <= now);
        self.later = later;
        for (_, what) in due {
            match what {
                Later::Guard { host, leads } => self.guard(host, leads, true),
                Later::Hung { host, life } => {
                    let hung = self.hosts[host].is_frozen(now) && self.hosts[host].life().1 == life;
                    if hung && self.settings.plant == Some(Plant::GuardKillsNobody) {
                        self.guard(host, false, false);
                    } else if hung {
                        let down = 1_000;
                        self.kill(host, down, true);
                    }
                }
            }
        }
    }

    /// What the guard does once its daemon is gone: closes the fence, and tells the peers.
    fn guard(&mut self, host: usize, leads: bool, closes: bool) {
        let released = {
            let mut world = self.site.world.lock();
            let leases = world.leases_of(host);
            if closes {
                world.close_all(host, "guard");
            }
            leases
        };
        let Some(node) = self.hosts[host].node() else { return };
        let names =
            released.iter().map(|(group, epoch)| LeaseName { group: group.0, epoch: epoch.0 });
        let message = DaemonDiedRequest {
            node: node.0,
            released: names.collect(),
            was_leader: leads,
            stand_for_election: leads,
        };
        let body = framed(&message.encode_to_vec());
        for to in (0..self.hosts.len()).filter(|to| *to != host) {
            let path = "/leasehold.peer.v1.Lease/DaemonDied";
            self.site.network.tell(self.hosts[host].life(), to, path, body.clone());
        }
    }

    fn kill(&mut self, host: usize, down: u64, guarded: bool) {
        if !self.hosts[host].runs() {
            return;
        }
        self.hosts[host].kill();
        self.hosts[host].starts_at = Some(self.now + down * TICK);
        let mut world = self.site.world.lock();
        let leads = std::mem::take(&mut world.kernels[host].leads);
        if guarded {
            let after = self.random.between(3, 30).min(down);
            self.later.push((self.now + after * TICK, Later::Guard { host, leads }));
        }
    }

    /// Daemons that ended by themselves: their guards act, and they are started again.
    fn bury(&mut self) {
        if let Some(why) = panics::take() {
            self.site.world.lock().accuse(format!("a daemon panicked: {why}"));
        }
        for index in 0..self.hosts.len() {
            if self.hosts[index].ended().is_some() {
                let down = self.random.between(300, 2_000);
                self.hosts[index].disk.heal();
                self.kill(index, down, true);
            }
        }
    }

    fn follow_phase(&mut self) {
        match self.phase {
            Phase::Forming => {
                let formed = self.site.ledger.lock().is_ok_and(|ledger| ledger.formed);
                if formed {
                    self.phase = Phase::Healing { since: self.now, asked: 0 };
                } else if self.now > FORMS_WITHIN {
                    self.site.world.lock().accuse("the cluster did not form".to_owned());
                }
            }
            Phase::Chaos { until, next } => {
                if self.now >= until {
                    self.heal();
                    self.phase = Phase::Healing { since: self.now, asked: 0 };
                } else if self.now >= next {
                    let fault = self.bounds.draw(&mut self.random);
                    self.strike(fault);
                    let pause = self.random.between(20, 1_500) * TICK;
                    self.phase = Phase::Chaos { until, next: self.now + pause };
                }
            }
            Phase::Healing { since, asked } => self.follow_healing(since, asked),
        }
    }

    fn follow_healing(&mut self, since: u64, asked: u64) {
        let took = self.now - since;
        let served = {
            let world = self.site.world.lock();
            self.addresses.iter().all(|address| world.answerers(*address).len() == 1)
        };
        if served {
            self.longest_heal = self.longest_heal.max(took);
            self.heals += 1;
            let until = self.now + self.random.between(5, 40) * SECOND;
            self.phase = Phase::Chaos { until, next: self.now + SECOND };
            return;
        }
        if took > HEALS_WITHIN {
            let missing: Vec<_> = {
                let world = self.site.world.lock();
                let missing = |one: &&IpAddr| world.answerers(**one).is_empty();
                self.addresses.iter().filter(missing).copied().collect()
            };
            let why =
                format!("{missing:?} not answered for {HEALS_WITHIN} ns after all was healed");
            self.site.world.lock().accuse(why);
        }
        if self.now >= asked + SECOND {
            for host in 0..self.hosts.len() {
                self.hosts[host].ask(Errand::Drain((host + 1) % self.hosts.len(), false));
            }
            self.phase = Phase::Healing { since, asked: self.now };
        }
    }

    fn heal(&mut self) {
        self.site.world.lock().note(0, "heal", &json!(null));
        self.site.network.heal();
        for host in &mut self.hosts {
            host.disk.heal();
            host.frozen_until = None;
            if let Some(at) = &mut host.starts_at {
                *at = (*at).min(self.now + SECOND);
            }
        }
    }

    fn strike(&mut self, fault: Fault) {
        self.faults += 1;
        self.site.world.lock().note(0, "fault", &json!(format!("{fault:?}")));
        let hosts = self.hosts.len();
        match fault {
            Fault::KillDaemon { host, down } => self.kill(host, down, true),
            Fault::KillAll { host, down } => self.kill(host, down, false),
            Fault::CutPower { host, down } => {
                self.kill(host, down, false);
                self.hosts[host].dark = true;
                self.hosts[host].starts_at = Some(self.now + down * TICK);
                self.hosts[host].disk.cut_power();
                self.later.retain(
                    |(_, what)| !matches!(what, Later::Guard { host: of, .. } if *of == host),
                );
                self.site.world.lock().power_off(host);
            }
            Fault::Stop { host, span, guard_too } => self.stop(host, span, guard_too),
            Fault::Cut { from, to, both } => {
                self.site.network.change(from, to, |link| link.cut = true);
                if both {
                    self.site.network.change(to, from, |link| link.cut = true);
                }
            }
            Fault::Isolate { host, inward, outward } => {
                for other in (0..hosts).filter(|other| *other != host) {
                    self.site.network.change(other, host, |link| link.cut |= inward);
                    self.site.network.change(host, other, |link| link.cut |= outward);
                }
            }
            Fault::Halves { size } => {
                for (one, other) in (0..hosts).flat_map(|one| (0..hosts).map(move |two| (one, two)))
                {
                    let apart = (one < size) != (other < size);
                    self.site.network.change(one, other, |link| link.cut |= apart);
                }
            }
            Fault::Degrade { from, to, lost, doubled, late } => {
                let delay = (Link::default().delay.0, late);
                self.site.network.change(from, to, |link| {
                    *link = Link { lost, doubled, delay, ..*link };
                });
            }
            Fault::Late { host, late } => {
                for from in (0..self.hosts.len()).filter(|from| *from != host) {
                    let delay = (late / 4 * 3, late);
                    self.site.network.change(from, host, |link| link.delay = delay);
                }
            }
            Fault::HealNetwork => self.site.network.heal(),
            Fault::Rate { host, faster } => {
                let mut world = self.site.world.lock();
                let now = world.now;
                world.kernels[host].clock.set_rate(now, faster);
            }
            Fault::SlowDisk { host, takes } => self.hosts[host].disk.slow((takes / 2, takes)),
            Fault::FailDisk { host } => self.hosts[host].disk.fail(),
            Fault::HealDisk { host } => self.hosts[host].disk.heal(),
            Fault::Transfer => self.hosts.iter().for_each(|host| {
                if host.site_leads() {
                    host.ask(Errand::Transfer);
                }
            }),
            Fault::Configure { host } => self.hosts[host].ask(Errand::Configure),
            Fault::Drain { host, drained } => {
                self.hosts[(host + 1) % hosts].ask(Errand::Drain(host, drained));
            }
            Fault::Pin { group, host } => {
                self.hosts[(host + 1) % hosts].ask(Errand::Pin(group, host));
            }
        }
    }

    fn stop(&mut self, host: usize, span: u64, guard_too: bool) {
        if !self.hosts[host].runs() || self.hosts[host].is_frozen(self.now) {
            return;
        }
        self.hosts[host].frozen_until = Some(self.now + span * TICK);
        if !guard_too {
            let planted = self.settings.plant == Some(Plant::GuardKillsNobody);
            let ttl = self.bounds.ttl_ms;
            let after = if planted { ttl / 4 } else { ttl };
            let life = self.hosts[host].life().1;
            self.later.push((self.now + after * TICK, Later::Hung { host, life }));
        }
    }

    fn finish(self) -> Outcome {
        let acknowledged = self.site.ledger.lock().map_or(0, |ledger| ledger.acknowledged.len());
        let outcome = {
            let world = self.site.world.lock();
            Outcome {
                simulated: self.now,
                violation: world.violation.clone(),
                hash: world.trace.hash(),
                messages: world.trace.messages(),
                judged: world.events,
                faults: self.faults,
                longest_heal: self.longest_heal,
                heals: self.heals,
                acknowledged: acknowledged as u64,
                world: self.site.world.clone(),
            }
        };
        let _ = self.timing;
        outcome
    }
}

/// A gRPC message's frame: not compressed, and its length.
fn framed(message: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(message.len() + 5);
    body.put_u8(0);
    body.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    body.put_slice(message);
    body.freeze()
}
