//! An address that goes to another group while its old group's holder is cut off.
//!
//! Whoever has it now must wait for that one: it answers for the address until its lease is over,
//! and hears of nothing. Where both change hands among members that reach each other, nothing of
//! that shows for longer than two of them take to apply one entry.

use std::time::{Duration, Instant};

use leasehold_lab::LabError;

use super::{Broken, Package, Site, Skipped, Target, World, network};
use crate::history::{Effect, Outcome};
use crate::random::Random;
use crate::workload::document::{Change, Order};

/// How often it is looked whether the address is where it is to be taken from.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) fn address(random: &mut Random, site: &Site) -> Box<dyn Package> {
    let from = random.below(site.instances);
    let to = (from + 1) % site.instances.max(1);
    Box::new(Moved { from, to, serve_for: site.ttl, phase: Phase::Begun })
}

/// The wanderer to one instance; then that one's holder is cut off, and it goes to the other.
#[derive(Debug)]
struct Moved {
    from: usize,
    to: usize,
    /// How long its first holder is to answer for it before that.
    serve_for: Duration,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Begun,
    Ordered(Order),
    Served(Instant),
    /// From its peers, as far as that could be done.
    CutOff {
        ways: Vec<(usize, usize)>,
        order: Result<Order, String>,
    },
    /// Why it came to nothing.
    Failed(String),
}

impl Moved {
    fn cut_off(&self, world: &mut World) -> Phase {
        let ways = match network::ways_of(Target::Holder(self.from), world) {
            Ok(ways) => ways,
            Err(why) => return Phase::Failed(why),
        };
        let order = world.cut(&ways).map_err(|error| error.to_string()).and_then(|()| {
            let orders = world.orders.as_ref();
            let order = orders.and_then(|all| all.place(Change::Wander { to: Some(self.to) }));
            order.ok_or_else(|| "too many changes wait already".to_owned())
        });
        Phase::CutOff { ways, order }
    }
}

impl Package for Moved {
    fn legend(&self) -> String {
        let (from, to) = (self.from + 1, self.to + 1);
        format!("holder of instance {from} cut off, then its address to instance {to}")
    }

    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped> {
        let Some(orders) = &world.orders else { return Err(Skipped::because("nobody changes it")) };
        match orders.place(Change::Wander { to: Some(self.from) }) {
            Some(order) => self.phase = Phase::Ordered(order),
            None => return Err(Skipped::because("too many changes wait already")),
        }
        Ok(Broken::installed(Vec::new(), Effect::default()))
    }

    fn every(&self) -> Option<Duration> {
        Some(LOOK_EVERY)
    }

    fn tick(&mut self, world: &mut World) {
        match &self.phase {
            Phase::Ordered(order) if order.is_done() => {
                self.phase = Phase::Served(Instant::now());
            }
            Phase::Served(since) if since.elapsed() >= self.serve_for => {
                self.phase = self.cut_off(world);
            }
            Phase::Begun
            | Phase::Ordered(_)
            | Phase::Served(_)
            | Phase::CutOff { .. }
            | Phase::Failed(_) => {}
        }
    }

    fn heal(&mut self, world: &mut World) -> Result<Outcome, LabError> {
        let reason = match std::mem::replace(&mut self.phase, Phase::Begun) {
            Phase::CutOff { ways, order } => {
                world.mend(&ways)?;
                match order {
                    Ok(order) if order.is_done() => return Ok(Outcome::Installed),
                    Ok(_) => "the address did not move meanwhile".to_owned(),
                    Err(why) => why,
                }
            }
            Phase::Failed(why) => why,
            Phase::Begun | Phase::Ordered(_) | Phase::Served(_) => {
                "the address did not come to be served in time".to_owned()
            }
        };
        Ok(Outcome::Indeterminate { reason })
    }
}
