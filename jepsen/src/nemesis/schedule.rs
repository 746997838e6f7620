//! When what is broken: drawn from a seed, one step after the other, for as long as a run lasts.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Kind, Package, Site};
use crate::random::Random;

/// Faults that overlap, and the quiet before them.
#[derive(Debug)]
pub struct Step {
    pub quiet: Duration,
    pub faults: Vec<Planned>,
}

/// A fault of a step.
#[derive(Debug)]
pub struct Planned {
    pub kind: Kind,
    /// After the step's begin.
    pub after: Duration,
    pub length: Duration,
    pub package: Box<dyn Package>,
}

/// Gives the same steps for the same seed, kinds and site.
#[derive(Debug)]
pub struct Generator {
    random: Random,
    kinds: Vec<Kind>,
    site: Site,
    /// A round of all kinds, so that none has to wait for its luck.
    round: VecDeque<Kind>,
}

impl Generator {
    /// There must be a kind.
    #[must_use]
    pub fn new(seed: u64, kinds: &[Kind], site: Site) -> Generator {
        let mut kinds = kinds.to_vec();
        kinds.sort_unstable();
        kinds.dedup();
        Generator { random: Random::new(seed), kinds, site, round: VecDeque::new() }
    }

    pub fn step(&mut self) -> Step {
        let first = self.next_kind();
        let mut kinds = vec![first];
        if !first.stands_alone() {
            // Alone as often as in company, and three at once now and then.
            let company = match self.random.below(10) {
                0..=4 => 0,
                5..=8 => 1,
                _ => 2,
            };
            let sociable: Vec<Kind> =
                self.kinds.iter().copied().filter(|kind| !kind.stands_alone()).collect();
            kinds.extend((0..company).map(|_| self.random.pick(&sociable)));
        }
        let faults = (0..).zip(kinds).map(|(nth, kind)| self.plan(nth, kind)).collect();
        let ttl = self.site.ttl;
        // Half of the steps meet a cluster that has not come to rest.
        let quiet = if self.random.chance(50) {
            self.random.between(Duration::from_millis(50), ttl)
        } else {
            self.random.between(ttl, ttl + Duration::from_secs(3))
        };
        Step { quiet, faults }
    }

    fn plan(&mut self, nth: u32, kind: Kind) -> Planned {
        let after = match nth {
            0 => Duration::ZERO,
            // Within the time in which the first is noticed.
            _ => self.random.between(Duration::ZERO, self.site.ttl * 2),
        };
        let length = kind.length(&mut self.random, &self.site);
        let package = kind.draw(&mut self.random, &self.site);
        Planned { kind, after, length, package }
    }

    fn next_kind(&mut self) -> Kind {
        if self.round.is_empty() {
            let mut round = self.kinds.clone();
            self.random.shuffle(&mut round);
            self.round = round.into();
        }
        self.round.pop_front().unwrap_or(Kind::KillDaemon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: Site = Site { directors: 3, members: 4, instances: 2, ttl: Duration::from_secs(1) };

    fn steps(seed: u64, number: usize) -> Vec<Step> {
        let mut generator = Generator::new(seed, &Kind::ALL, SITE);
        (0..number).map(|_| generator.step()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule_and_another_gives_another() {
        let text = |seed| format!("{:?}", steps(seed, 200));
        assert_eq!(text(42), text(42));
        assert_ne!(text(42), text(43));
    }

    #[test]
    fn every_kind_has_its_turn_in_each_round_and_company_comes_in_twos_and_threes() {
        let steps = steps(1, Kind::ALL.len());
        let mut first: Vec<Kind> = steps.iter().map(|step| step.faults[0].kind).collect();
        first.sort_unstable();
        assert_eq!(first, Kind::ALL);
        let mut sizes: Vec<usize> = steps.iter().map(|step| step.faults.len()).collect();
        sizes.sort_unstable();
        sizes.dedup();
        assert_eq!(sizes, [1, 2, 3]);
    }

    #[test]
    fn what_stands_alone_has_no_company() {
        for step in steps(5, 300) {
            let alone = step.faults.iter().any(|fault| fault.kind.stands_alone());
            assert!(!alone || step.faults.len() == 1, "{step:?}");
        }
    }

    #[test]
    fn lengths_and_pauses_lie_around_the_ttl() {
        for step in steps(9, 300) {
            assert!(step.quiet >= Duration::from_millis(50) && step.quiet <= SITE.ttl * 4);
            for fault in &step.faults {
                assert!(fault.after <= SITE.ttl * 2);
                assert!(fault.length >= SITE.ttl / 10 && fault.length <= Duration::from_secs(15));
            }
        }
    }
}
