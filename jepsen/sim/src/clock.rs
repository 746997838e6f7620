//! A host's clock: what it shows at an instant of the simulation, and when it will show something.

const BILLION: i128 = 1_000_000_000;

/// Runs at a rate of its own, which may change, and never goes back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// An instant of the simulation, in nanoseconds, and what the clock showed then.
    known: (u64, u64),
    /// How much faster than the simulation's clock, in billionths.
    faster: i64,
}

impl Clock {
    /// `shows` at the beginning of the simulation.
    pub(crate) fn new(shows: u64) -> Self {
        Self { known: (0, shows), faster: 0 }
    }

    pub(crate) fn at(&self, instant: u64) -> u64 {
        let passed = i128::from(instant.saturating_sub(self.known.0));
        let shown = passed * (BILLION + i128::from(self.faster)) / BILLION;
        self.known.1 + u64::try_from(shown).unwrap_or(0)
    }

    /// The instant at which this clock shows `shown`, if its rate stays.
    pub(crate) fn when(&self, shown: u64) -> u64 {
        let left = i128::from(shown.saturating_sub(self.known.1));
        let passes = left * BILLION / (BILLION + i128::from(self.faster));
        self.known.0.saturating_add(u64::try_from(passes).unwrap_or(u64::MAX))
    }

    /// The machine boots, and its clock shows `shows`.
    pub(crate) fn restart(&mut self, instant: u64, shows: u64) {
        self.known = (instant, shows);
    }

    pub(crate) fn set_rate(&mut self, instant: u64, faster: i64) {
        self.known = (instant, self.at(instant));
        self.faster = faster;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_changes_its_rate_does_not_jump() {
        let mut clock = Clock::new(500);
        clock.set_rate(1_000_000, 10_000_000);
        assert_eq!(clock.at(1_000_000), 1_000_500);
        assert_eq!(clock.at(2_000_000), 2_010_500);
        assert_eq!(clock.when(2_010_500), 2_000_000);
    }
}
