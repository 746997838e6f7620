//! Numbers that follow from a seed alone: the same seed, the same run of choices.

use std::time::Duration;

/// SplitMix64: every seed is a good one, zero included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random(u64);

impl Random {
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`; zero where that is zero.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        // The bias of a remainder is nothing beside 2^64.
        usize::try_from(self.word() % bound).unwrap_or(0)
    }

    /// From `least` to `most`, in microseconds.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least).as_micros();
        let span = usize::try_from(span).unwrap_or(usize::MAX - 1);
        least + Duration::from_micros(u64::try_from(self.below(span + 1)).unwrap_or(0))
    }

    /// True `percent` times out of a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of several. There must be one.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// In another order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            all.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_gives_others() {
        let run = |seed| {
            let mut random = Random::new(seed);
            (0..8).map(|_| random.word()).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        // The published first output of SplitMix64 for seed 0.
        assert_eq!(Random::new(0).word(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn choices_keep_their_bounds_and_reach_them() {
        let mut random = Random::new(1);
        let drawn: Vec<usize> = (0..200).map(|_| random.below(4)).collect();
        assert!((0..4).all(|one| drawn.contains(&one)) && drawn.iter().all(|one| *one < 4));
        let (least, most) = (Duration::from_millis(3), Duration::from_millis(5));
        assert!((0..200).all(|_| (least..=most).contains(&random.between(least, most))));
        let mut all = [1, 2, 3, 4, 5];
        random.shuffle(&mut all);
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3, 4, 5]);
    }
}
