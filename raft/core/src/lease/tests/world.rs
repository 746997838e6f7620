//! Three simulated members, a network that loses, copies and reorders, and a judge.
//!
//! Everything follows from one seed. The judge looks at kernels only: who answers for an address
//! at this true instant. It knows nothing of terms, epochs or deadlines.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use leasehold_model::{BootNanos, NodeId};

use super::node::{Fault, MEMBERS, Message, Node};
use super::site::{base, config};
use super::timing;
use crate::state::{Cause, Command, State};

const MS: u64 = 1_000_000;

/// The drift that `timing` allows, all of it.
const FAST_PPM: u64 = 10_000;

pub(super) struct Chance(u64);

impl Chance {
    /// SplitMix64.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

enum Event {
    Deliver { from: NodeId, to: NodeId, message: Message },
    Tick(usize),
    Fault,
    Guard { node: usize, incarnation: u64 },
    Start { node: usize, incarnation: u64 },
    Resume { node: usize, incarnation: u64 },
    Heal,
}

/// What came about, so that a run in which nothing happens can't pass for a good one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) opened: u64,
    pub(super) shortened: u64,
    pub(super) handovers: u64,
    pub(super) moved: u64,
    pub(super) guarded: u64,
    pub(super) frozen_writes: u64,
}

/// What one seed favours: each run has its own mixture, as a mixture of everything finds less.
struct Mixture {
    fault_pause: u64,
    faults: Vec<u64>,
    freeze_once_in: u64,
}

pub(super) struct World {
    mixture: Mixture,
    chance: Chance,
    now: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    nodes: Vec<Node>,
    clocks: Vec<Clock>,
    /// Stopped processes do nothing, and what is sent to them waits.
    stopped: Vec<Option<Vec<(NodeId, Message)>>>,
    cut: BTreeMap<(NodeId, NodeId), ()>,
    alone_since: Vec<Option<u64>>,
    calm: bool,
    base: State,
    pub(super) tally: Tally,
}

#[derive(Clone, Copy)]
struct Clock {
    /// True time at boot.
    boot: u64,
    fast_ppm: u64,
}

impl Clock {
    fn read(self, now: u64) -> BootNanos {
        let span = u128::from(now - self.boot) * u128::from(1_000_000 + self.fast_ppm) / 1_000_000;
        BootNanos(u64::try_from(span).unwrap())
    }
}

impl World {
    pub(super) fn new(seed: u64, fault: Fault) -> Self {
        let mut chance = Chance(seed);
        let faults = chance.next();
        let mut tardy = [1, 1, 8, 64][chance.below(4) as usize];
        let slowness_ms = match fault {
            Fault::None => [40, 40, 400, 2000][(faults >> 9 & 3) as usize],
            Fault::OpenUnprogrammed | Fault::ReportApplied => 2000,
            Fault::StaleGrant
            | Fault::RetireBySilence
            | Fault::NoSelfAcknowledgement
            | Fault::NoStarted
            | Fault::ForgetfulVoter
            | Fault::NoConfirm => 40,
        };
        let mut mixture = Mixture {
            fault_pause: [400, 1000, 2000][chance.below(3) as usize] * MS,
            faults: (0..9).filter(|kind| faults >> kind & 1 == 1).collect(),
            freeze_once_in: [20, 100, 1000][chance.below(3) as usize],
        };
        // A planted mistake shows sooner where what it needs is common.
        let (favoured, favoured_tardy): (&[u64], u64) = match fault {
            Fault::None | Fault::NoConfirm => (&mixture.faults.clone(), tardy),
            Fault::StaleGrant => (&[2, 5], 1),
            Fault::RetireBySilence => (&[5, 8], 256),
            Fault::NoSelfAcknowledgement => (&[4, 5], 1),
            Fault::NoStarted => (&[0], 1),
            Fault::ForgetfulVoter => (&[0, 1, 5], 1),
            Fault::OpenUnprogrammed | Fault::ReportApplied => (&[2, 7, 8], 1),
        };
        tardy = favoured_tardy;
        mixture.faults = favoured.to_vec();
        let mut world = Self {
            mixture,
            chance,
            now: 10_000 * MS,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            nodes: MEMBERS.into_iter().map(|id| Node::new(id, fault)).collect(),
            clocks: Vec::new(),
            stopped: vec![None, None, None],
            cut: BTreeMap::new(),
            alone_since: vec![None; 3],
            calm: false,
            base: base(),
            tally: Tally::default(),
        };
        for node in 0..3 {
            world.nodes[node].tardy = tardy;
            world.nodes[node].slowness_ms = slowness_ms;
            let fast_ppm = [0, FAST_PPM, world.chance.below(FAST_PPM)];
            let fast_ppm = fast_ppm[world.chance.below(3) as usize];
            let boot = world.chance.below(5_000) * MS;
            world.clocks.push(Clock { boot, fast_ppm });
            world.start(node);
            world.after(0, Event::Tick(node));
        }
        world.after(500 * MS, Event::Fault);
        world
    }

    /// Runs for so long; an error says who answered when nobody should have.
    pub(super) fn run(&mut self, span: Duration) -> Result<(), String> {
        let end = self.now + u64::try_from(span.as_nanos()).unwrap();
        while let Some(Reverse((when, id))) = self.queue.pop() {
            self.now = when;
            let event = self.events.remove(&id).unwrap();
            self.step(event);
            self.judge()?;
            if self.now >= end {
                break;
            }
        }
        Ok(())
    }

    /// Faults end: every link works, every process runs.
    pub(super) fn calm(&mut self) {
        self.calm = true;
        self.heal();
        for node in 0..3 {
            self.resume(node);
            if self.nodes[node].process.is_none() {
                self.start(node);
            }
        }
    }

    /// Who answers for each address.
    pub(super) fn answerers(&self) -> BTreeMap<IpAddr, Vec<NodeId>> {
        let mut all: BTreeMap<IpAddr, Vec<NodeId>> = BTreeMap::new();
        for (node, clock) in self.nodes.iter().zip(&self.clocks) {
            let now = clock.read(self.now);
            for (address, group) in &node.bound {
                if node.fence.get(group).is_some_and(|deadline| now < *deadline) {
                    all.entry(*address).or_default().push(node.id);
                }
            }
        }
        all
    }

    pub(super) fn retiring(&self) -> usize {
        self.nodes.iter().filter_map(|node| node.process.as_ref()).map(retiring_of).max().unwrap()
    }

    fn judge(&self) -> Result<(), String> {
        for (address, nodes) in self.answerers() {
            if nodes.len() > 1 {
                return Err(format!("{address} has {nodes:?} at {} ms", self.now / MS));
            }
        }
        for (index, since) in self.alone_since.iter().enumerate() {
            // Its clock may be the slow one; the judge's is true.
            let limit = u64::try_from(timing().ttl.as_nanos()).unwrap();
            let (node, now) = (&self.nodes[index], self.clocks[index].read(self.now));
            let open = node.fence.values().any(|deadline| now < *deadline);
            if open && since.is_some_and(|since| self.now > since + limit) {
                return Err(format!("{} holds alone at {} ms", node.id, self.now / MS));
            }
        }
        Ok(())
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, message } => {
                let node = index(to);
                if let Some(waiting) = &mut self.stopped[node] {
                    waiting.push((from, message));
                    return;
                }
                let (now, random) = (self.clocks[node].read(self.now), self.chance.next());
                self.nodes[node].handle(from, message, now, random);
                self.carry_out(node);
            }
            Event::Tick(node) => {
                if self.stopped[node].is_none() {
                    let (now, random) = (self.clocks[node].read(self.now), self.chance.next());
                    self.nodes[node].tick(now, random);
                    self.carry_out(node);
                }
                let pause = (3 + self.chance.below(5)) * MS;
                self.after(pause, Event::Tick(node));
            }
            Event::Fault if self.calm => {}
            Event::Fault => {
                for _ in 0..=self.chance.below(3) {
                    self.fault();
                }
                let pause = self.chance.below(self.mixture.fault_pause);
                self.after(pause, Event::Fault);
            }
            Event::Guard { node, incarnation } => self.guard(node, incarnation),
            Event::Start { node, incarnation } => {
                let dead = self.nodes[node].process.is_none();
                if dead && self.nodes[node].incarnation == incarnation {
                    self.start(node);
                }
            }
            Event::Resume { node, incarnation } => {
                if self.nodes[node].incarnation == incarnation {
                    self.resume(node);
                }
            }
            Event::Heal => self.heal(),
        }
    }

    fn fault(&mut self) {
        let node = self.chance.below(3) as usize;
        let incarnation = self.nodes[node].incarnation;
        let kinds = self.mixture.faults.len() as u64;
        if kinds == 0 {
            return;
        }
        match self.mixture.faults[self.chance.below(kinds) as usize] {
            0 => self.kill(node, incarnation),
            1 => self.reboot(node),
            2 | 3 => self.stop(node),
            4 => {
                let (from, to) = (self.chance.below(3) as usize, self.chance.below(3) as usize);
                self.cut.insert((MEMBERS[from], MEMBERS[to]), ());
                self.heal_later();
            }
            5 | 6 => {
                for other in MEMBERS.into_iter().filter(|other| index(*other) != node) {
                    self.cut.insert((MEMBERS[node], other), ());
                    self.cut.insert((other, MEMBERS[node]), ());
                }
                self.alone_since[node] = Some(self.now);
                self.heal_later();
            }
            7 => self.propose_handover(),
            _ => self.propose_move(),
        }
    }

    fn kill(&mut self, node: usize, incarnation: u64) {
        self.nodes[node].process = None;
        self.stopped[node] = None;
        let (guard, start) = (self.chance.below(60) * MS, self.chance.below(1500) * MS);
        if !self.chance.once_in(3) {
            self.after(guard, Event::Guard { node, incarnation });
        }
        self.after(start, Event::Start { node, incarnation });
    }

    /// The kernel goes too, and its clock starts anew.
    fn reboot(&mut self, node: usize) {
        self.nodes[node].process = None;
        self.stopped[node] = None;
        self.nodes[node].fence.clear();
        self.nodes[node].bound.clear();
        self.clocks[node].boot = self.now;
        let (pause, incarnation) = (self.chance.below(1500) * MS, self.nodes[node].incarnation);
        self.after(pause, Event::Start { node, incarnation });
    }

    fn stop(&mut self, node: usize) {
        self.stopped[node].get_or_insert_default();
        let (pause, incarnation) = (self.chance.below(2500) * MS, self.nodes[node].incarnation);
        self.after(pause, Event::Resume { node, incarnation });
    }

    fn resume(&mut self, node: usize) {
        let Some(waiting) = self.stopped[node].take() else { return };
        let now = self.clocks[node].read(self.now);
        if let Some(process) = &mut self.nodes[node].process {
            process.grantor.handle_stall(now);
        }
        self.carry_out(node);
        for (from, message) in waiting {
            self.after(0, Event::Deliver { from, to: MEMBERS[node], message });
        }
    }

    fn start(&mut self, node: usize) {
        let (now, random) = (self.clocks[node].read(self.now), self.chance.next());
        self.nodes[node].start(&self.base, now, random);
        self.carry_out(node);
    }

    /// The guard closes, and only then says so: to anybody, and its word may arrive at any time.
    fn guard(&mut self, node: usize, incarnation: u64) {
        let dead = &mut self.nodes[node];
        if dead.process.is_some() || dead.incarnation != incarnation {
            return;
        }
        dead.fence.clear();
        dead.bound.clear();
        let known = self.nodes.iter().filter_map(|one| one.process.as_ref());
        let Some(state) = known.map(|process| &process.state).max_by_key(|state| state.applied)
        else {
            return;
        };
        let releases: Vec<Command> = state
            .held_by(MEMBERS[node])
            .iter()
            .map(|held| Command::Release {
                group: held.group,
                epoch: held.epoch,
                next: None,
                cause: Cause::DaemonDied,
            })
            .collect();
        self.tally.guarded += releases.len() as u64;
        for release in releases {
            for to in MEMBERS.into_iter().filter(|to| index(*to) != node) {
                self.send(MEMBERS[node], to, Message::Propose(release.clone()));
            }
        }
    }

    fn propose_handover(&mut self) {
        let to = MEMBERS[self.chance.below(3) as usize];
        for node in &mut self.nodes {
            let Some(process) = &node.process else { continue };
            let Some((group, lease)) = process.state.leases.iter().next() else { continue };
            let (group, epoch, cause) = (*group, lease.epoch, Cause::Moved);
            node.propose(Command::Handover { group, epoch, to, cause });
            self.tally.handovers += 1;
        }
    }

    fn propose_move(&mut self) {
        let variant = self.chance.below(4);
        for node in &mut self.nodes {
            node.propose(Command::Apply {
                config: Arc::new(config(variant)),
                if_revision: None,
                note: None,
            });
            self.tally.moved += 1;
        }
    }

    fn heal_later(&mut self) {
        let pause = self.chance.below(2500) * MS;
        self.after(pause, Event::Heal);
    }

    fn heal(&mut self) {
        self.cut.clear();
        self.alone_since = vec![None; 3];
    }

    fn carry_out(&mut self, node: usize) {
        let now = self.clocks[node].read(self.now);
        let chance = &mut self.chance;
        let (calm, once_in) = (self.calm, self.mixture.freeze_once_in);
        let froze = self.nodes[node].drain(now, || !calm && chance.once_in(once_in));
        let out = std::mem::take(&mut self.nodes[node].out);
        for (to, message) in out {
            self.send(MEMBERS[node], to, message);
        }
        if froze {
            self.tally.frozen_writes += 1;
            self.stop(node);
        }
        if let Some(process) = &mut self.nodes[node].process {
            self.tally.opened += std::mem::take(&mut process.opened);
            self.tally.shortened += std::mem::take(&mut process.shortened);
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: Message) {
        let lost = from != to && !self.calm && self.chance.once_in(20);
        if lost || self.cut.contains_key(&(from, to)) {
            return;
        }
        let copies = if self.chance.once_in(20) { 2 } else { 1 };
        for _ in 0..copies {
            let late = !self.calm && self.chance.once_in(50);
            let most = if late { 3000 * MS } else { 20 * MS };
            let delay = self.chance.below(most);
            let message = message.clone();
            self.after(delay, Event::Deliver { from, to, message });
        }
    }

    fn after(&mut self, delay: u64, event: Event) {
        let id = self.events.last_key_value().map_or(0, |(last, _)| last + 1);
        self.events.insert(id, event);
        self.queue.push(Reverse((self.now + delay, id)));
    }
}

fn retiring_of(process: &super::node::Process) -> usize {
    process.state.retiring.len()
}

fn index(node: NodeId) -> usize {
    usize::try_from(node.0).unwrap() - 1
}
