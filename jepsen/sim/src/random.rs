//! The one source of chance: everything that a run throws dice for follows from its seed.

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

/// The next number from `state`.
pub(crate) fn step(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Random {
    /// A stream of its own for each purpose, so that one more throw in one changes no other.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        let mut state = seed ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93);
        step(&mut state);
        Self(state)
    }

    pub(crate) fn number(&mut self) -> u64 {
        step(&mut self.0)
    }

    /// From `low` up to and without `high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.number() % high.saturating_sub(low).max(1)
    }

    pub(crate) fn one_in(&mut self, cases: u64) -> bool {
        self.between(0, cases) == 0
    }

    /// True so many times in a million.
    pub(crate) fn in_a_million(&mut self, cases: u64) -> bool {
        self.between(0, 1_000_000) < cases
    }
}
