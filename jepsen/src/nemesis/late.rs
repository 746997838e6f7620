//! Answers that are still under way when whoever waits for them is cut off, or stopped.
//!
//! A lease counts from the sending of its renewal. Where it counted from the answer, nothing would
//! show as long as answers take a millisecond: they have to be slow, and the last.

use std::time::Duration;

use leasehold_lab::relay::{Manners, Relay};
use leasehold_lab::{Host, LabError, Signal};

use super::{Broken, Package, Site, Skipped, Target, World};
use crate::history::{Effect, Outcome};
use crate::random::Random;

pub(super) fn answers(random: &mut Random, site: &Site) -> Box<dyn Package> {
    let late = random.between(site.ttl / 8, site.ttl / 3);
    let then = match random.below(4) {
        0 | 1 => Then::CutOff,
        2 => Then::StopDaemon,
        _ => Then::StopAll,
    };
    let target = Target::Holder(random.below(site.instances));
    let (seed, after) = (random.word(), site.ttl);
    Box::new(LateAnswers {
        target,
        late,
        then,
        after,
        seed,
        member: None,
        out: Vec::new(),
        back: Vec::new(),
        stopped: None,
    })
}

/// What becomes of the holder while the last answers are under way.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// It is heard by nobody any more.
    CutOff,
    StopDaemon,
    /// And its guard.
    StopAll,
}

/// What members say to a holder comes late; then the holder falls silent.
#[derive(Debug)]
struct LateAnswers {
    target: Target,
    late: Duration,
    then: Then,
    /// How long answers are late before that.
    after: Duration,
    seed: u64,
    member: Option<usize>,
    /// From the holder to its peers, and from each of them to it.
    out: Vec<Relay>,
    back: Vec<Relay>,
    stopped: Option<Vec<i32>>,
}

impl LateAnswers {
    fn slow_down(&mut self, world: &World, member: usize) -> Result<(), LabError> {
        let others = world.others(member);
        let peers: Vec<&Host> = others.iter().map(|other| world.host(*other)).collect();
        let (one, lan) = (world.host(member), &world.cluster.lan);
        let manners = Manners { delay: self.late, ..Manners::default() };
        for (nth, peer) in (1_u64..).zip(&peers) {
            self.back.push(lan.relay(peer, &[one], manners, self.seed.wrapping_add(nth))?);
        }
        self.out.push(lan.relay(one, &peers, Manners::default(), self.seed)?);
        Ok(())
    }
}

impl Package for LateAnswers {
    fn legend(&self) -> String {
        let late = self.late.as_millis();
        format!("answers to {:?} {late} ms late, then {:?}", self.target, self.then).to_lowercase()
    }

    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped> {
        let member = world.resolve(self.target)?;
        self.member = Some(member);
        let names = vec![world.name(member)];
        Ok(match self.slow_down(world, member) {
            Ok(()) => Broken::installed(names, Effect::default()),
            Err(error) => Broken::in_doubt(names, &error),
        })
    }

    fn every(&self) -> Option<Duration> {
        Some(self.after)
    }

    fn tick(&mut self, world: &mut World) {
        let Some(member) = self.member.filter(|_| self.stopped.is_none()) else { return };
        let Ok(daemon) = world.cluster.daemon(member) else { return };
        let pids = match self.then {
            Then::CutOff => {
                self.out.iter().for_each(Relay::halt);
                Vec::new()
            }
            Then::StopDaemon => vec![daemon.pid()],
            Then::StopAll => daemon.tree(),
        };
        if !pids.is_empty() {
            // What can't be stopped has ended, and is started again when this is healed.
            let _ = daemon.freeze_some(&pids);
            world.hold(member);
        }
        self.stopped = Some(pids);
    }

    fn heal(&mut self, world: &mut World) -> Result<Outcome, LabError> {
        if let (Some(member), Some(pids)) = (self.member, self.stopped.take())
            && !pids.is_empty()
        {
            if let Ok(daemon) = world.cluster.daemon(member) {
                daemon.signal_some(&pids, Signal::SIGCONT);
            }
            world.let_go(member)?;
        }
        let passed: u64 = self.back.iter().map(Relay::passed).sum();
        for relay in self.out.drain(..).chain(self.back.drain(..)) {
            world.cluster.lan.bypass(relay)?;
        }
        Ok(if passed == 0 {
            Outcome::Indeterminate { reason: "no frame passed meanwhile".to_owned() }
        } else {
            Outcome::Installed
        })
    }
}
