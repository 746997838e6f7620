//! Networks that part, lose, delay and repeat; links that come and go.

use std::time::Duration;

use leasehold_lab::relay::{Manners, Relay};
use leasehold_lab::{End, Host, LabError};

use super::{Broken, Package, Site, Skipped, Target, World};
use crate::history::{Effect, Outcome, Way};
use crate::random::Random;

pub(super) fn link_flap(random: &mut Random, site: &Site) -> Box<dyn Package> {
    let end = if random.chance(50) { End::Bridge } else { End::Host };
    let target = Target::director(random, site);
    let every = random.between(site.ttl / 10, site.ttl);
    Box::new(LinkFlap { target, end, every, member: None, is_down: false })
}

pub(super) fn loss(random: &mut Random, site: &Site) -> Box<dyn Package> {
    let percent = u8::try_from(5 + random.below(60)).unwrap_or(30);
    Box::new(Loss { target: Target::draw(random, site), percent, member: None })
}

/// A line that is too narrow: what does not fit into its queue is lost.
pub(super) fn narrow(random: &mut Random, site: &Site) -> Box<dyn Package> {
    // From what heartbeats alone fill to what a large configuration does.
    let bytes_per_s = 4_000 << random.below(8);
    relayed(Manners { bytes_per_s, ..Manners::default() }, random, site)
}

/// Nothing is lost for long, and then much at once.
pub(super) fn bursts(random: &mut Random, site: &Site) -> Box<dyn Package> {
    let burst_permille = u16::try_from(1 + random.below(60)).unwrap_or(30);
    let burst_frames = u16::try_from(2 + random.below(100)).unwrap_or(30);
    relayed(Manners { burst_permille, burst_frames, ..Manners::default() }, random, site)
}

fn relayed(manners: Manners, random: &mut Random, site: &Site) -> Box<dyn Package> {
    let target = Target::draw(random, site);
    Box::new(Slow { target, manners, seed: random.word(), relays: Vec::new() })
}

/// Late and out of order; so many of a hundred frames twice.
pub(super) fn slow(repeated_percent: u8, random: &mut Random, site: &Site) -> Box<dyn Package> {
    let manners = Manners {
        delay: random.between(Duration::ZERO, site.ttl / 8),
        jitter: random.between(Duration::from_millis(1), site.ttl / 4),
        repeated_percent,
        ..Manners::default()
    };
    relayed(manners, random, site)
}

pub(super) fn halves(random: &mut Random, site: &Site) -> Box<dyn Package> {
    partition(Shape::Halves(order(random, site)), None)
}

pub(super) fn bridge(random: &mut Random, site: &Site) -> Box<dyn Package> {
    partition(Shape::Bridge(order(random, site)), None)
}

pub(super) fn one_way_out(random: &mut Random, site: &Site) -> Box<dyn Package> {
    partition(Shape::Out(Target::draw(random, site)), None)
}

pub(super) fn one_way_in(random: &mut Random, site: &Site) -> Box<dyn Package> {
    partition(Shape::In(Target::draw(random, site)), None)
}

pub(super) fn isolate(target: Target) -> Box<dyn Package> {
    partition(Shape::Alone(target), None)
}

pub(super) fn flapping(random: &mut Random, site: &Site) -> Box<dyn Package> {
    let every = random.between(site.ttl / 10, site.ttl);
    partition(Shape::Alone(Target::draw(random, site)), Some(every))
}

fn partition(shape: Shape, flaps: Option<Duration>) -> Box<dyn Package> {
    Box::new(Partition { shape, flaps, ways: Vec::new(), is_cut: false })
}

/// All ways between one and its peers.
pub(super) fn ways_of(target: Target, world: &World) -> Result<Vec<(usize, usize)>, String> {
    Shape::Alone(target).ways(world)
}

fn order(random: &mut Random, site: &Site) -> Vec<usize> {
    let mut order: Vec<usize> = (0..site.members).collect();
    random.shuffle(&mut order);
    order
}

/// Who hears whom no more. Clients hear all.
#[derive(Clone, Debug)]
enum Shape {
    /// The first half of these and the others.
    Halves(Vec<usize>),
    /// What it says is not heard by its peers.
    Out(Target),
    /// It hears nothing from its peers.
    In(Target),
    /// The first reaches all; the others part into two who hear the first alone.
    Bridge(Vec<usize>),
    Alone(Target),
}

impl Shape {
    fn ways(&self, world: &World) -> Result<Vec<(usize, usize)>, String> {
        let both = |one: &[usize], other: &[usize]| {
            let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b)));
            pairs.flat_map(|(a, b)| [(a, b), (b, a)]).collect::<Vec<_>>()
        };
        match self {
            Shape::Halves(order) => {
                let (one, other) = order.split_at(order.len() / 2);
                Ok(both(one, other))
            }
            Shape::Bridge(order) => {
                let sides = &order[1..];
                let (one, other) = sides.split_at(sides.len() / 2);
                Ok(both(one, other))
            }
            Shape::Alone(target) => {
                let one = world.resolve(*target)?;
                Ok(both(&[one], &world.others(one)))
            }
            Shape::Out(target) => {
                let one = world.resolve(*target)?;
                Ok(world.others(one).into_iter().map(|other| (one, other)).collect())
            }
            Shape::In(target) => {
                let one = world.resolve(*target)?;
                Ok(world.others(one).into_iter().map(|other| (other, one)).collect())
            }
        }
    }
}

#[derive(Debug)]
struct Partition {
    shape: Shape,
    /// Comes and goes so often.
    flaps: Option<Duration>,
    ways: Vec<(usize, usize)>,
    is_cut: bool,
}

impl Package for Partition {
    fn legend(&self) -> String {
        match self.flaps {
            None => format!("{:?}", self.shape).to_lowercase(),
            Some(every) => format!("{:?}, on and off every {} ms", self.shape, every.as_millis())
                .to_lowercase(),
        }
    }

    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped> {
        self.ways = self.shape.ways(world)?;
        let mut members: Vec<usize> = self.ways.iter().map(|(from, _)| *from).collect();
        members.sort_unstable();
        members.dedup();
        let names = world.names(&members);
        self.is_cut = true;
        if let Err(error) = world.cut(&self.ways) {
            return Ok(Broken::in_doubt(names, &error));
        }
        let effect = match self.flaps {
            Some(_) => Effect::default(),
            None => cut(world, &self.ways),
        };
        Ok(Broken::installed(names, effect))
    }

    fn every(&self) -> Option<Duration> {
        self.flaps
    }

    fn tick(&mut self, world: &mut World) {
        // What fails now is seen when it is healed.
        if self.is_cut {
            let _ = world.mend(&self.ways);
        } else {
            let _ = world.cut(&self.ways);
        }
        self.is_cut = !self.is_cut;
    }

    fn heal(&mut self, world: &mut World) -> Result<Outcome, LabError> {
        if std::mem::take(&mut self.is_cut) {
            world.mend(&self.ways)?;
        }
        Ok(Outcome::Installed)
    }
}

fn cut(world: &World, ways: &[(usize, usize)]) -> Effect {
    let way = |(from, to): &(usize, usize)| Way::new(&world.name(*from), &world.name(*to));
    Effect { cut: ways.iter().map(way).collect(), ..Effect::default() }
}

/// Frames between a member and its peers are lost at random.
#[derive(Debug)]
struct Loss {
    target: Target,
    percent: u8,
    member: Option<usize>,
}

impl Loss {
    fn set(&self, world: &World, member: usize, percent: u8) -> Result<(), LabError> {
        let others = world.others(member);
        let others: Vec<&Host> = others.iter().map(|other| world.host(*other)).collect();
        let one = world.host(member);
        world.cluster.lan.lose(&[one], &others, percent)?;
        world.cluster.lan.lose(&others, &[one], percent)
    }
}

impl Package for Loss {
    fn legend(&self) -> String {
        format!("{} % of what {:?} sends and gets", self.percent, self.target)
    }

    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped> {
        let member = world.resolve(self.target)?;
        self.member = Some(member);
        Ok(Broken::by(self.set(world, member, self.percent), vec![world.name(member)]))
    }

    fn heal(&mut self, world: &mut World) -> Result<Outcome, LabError> {
        if let Some(member) = self.member.take() {
            self.set(world, member, 0)?;
        }
        Ok(Outcome::Installed)
    }
}

/// Frames between a member and its peers come late, out of order, twice, or not at all.
#[derive(Debug)]
struct Slow {
    target: Target,
    manners: Manners,
    seed: u64,
    relays: Vec<Relay>,
}

impl Package for Slow {
    fn legend(&self) -> String {
        format!("{}, {:?}", self.manners, self.target)
    }

    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped> {
        let member = world.resolve(self.target)?;
        let others = world.others(member);
        let lan = &world.cluster.lan;
        let peers: Vec<&Host> = others.iter().map(|other| world.host(*other)).collect();
        let one = world.host(member);
        let names = vec![world.name(member)];
        let ways = std::iter::once((one, peers.clone()));
        let ways = ways.chain(peers.iter().map(|peer| (*peer, vec![one])));
        for (nth, (from, to)) in (0_u64..).zip(ways) {
            match lan.relay(from, &to, self.manners, self.seed.wrapping_add(nth)) {
                Ok(relay) => self.relays.push(relay),
                Err(error) => return Ok(Broken::in_doubt(names, &error)),
            }
        }
        // Between members alone: what clients send and get is as quick as ever.
        Ok(Broken::installed(names, Effect::default()))
    }

    fn heal(&mut self, world: &mut World) -> Result<Outcome, LabError> {
        let passed: u64 = self.relays.iter().map(Relay::passed).sum();
        for relay in self.relays.drain(..) {
            world.cluster.lan.bypass(relay)?;
        }
        Ok(if passed == 0 {
            Outcome::Indeterminate { reason: "no frame passed meanwhile".to_owned() }
        } else {
            Outcome::Installed
        })
    }
}

/// A cable that is pulled and put back, or an interface set down and up.
#[derive(Debug)]
struct LinkFlap {
    target: Target,
    end: End,
    every: Duration,
    member: Option<usize>,
    is_down: bool,
}

impl LinkFlap {
    fn set(&mut self, world: &World, down: bool) -> Result<(), LabError> {
        let Some(member) = self.member else { return Ok(()) };
        let host = world.host(member);
        self.is_down = down;
        if down {
            world.cluster.lan.link_down(host, self.end)
        } else {
            world.cluster.lan.link_up(host, self.end)
        }
    }
}

impl Package for LinkFlap {
    fn legend(&self) -> String {
        format!("{:?}'s end, {:?}, every {} ms", self.end, self.target, self.every.as_millis())
    }

    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped> {
        let member = world.resolve(self.target)?;
        self.member = Some(member);
        Ok(Broken::by(self.set(world, true), vec![world.name(member)]))
    }

    fn every(&self) -> Option<Duration> {
        Some(self.every)
    }

    fn tick(&mut self, world: &mut World) {
        // A link that won't change is seen when it is healed.
        let _ = self.set(world, !self.is_down);
    }

    fn heal(&mut self, world: &mut World) -> Result<Outcome, LabError> {
        if self.is_down {
            self.set(world, false)?;
        }
        Ok(Outcome::Installed)
    }
}
