//! Choices that a document is built of. A list of numbers is all there is to shrink, and to repeat.

/// Hands out one number after the other; 0, the plainest choice, when there are no more.
pub(super) struct Draw {
    choices: std::vec::IntoIter<u32>,
}

impl Draw {
    pub(super) fn new(choices: Vec<u32>) -> Self {
        Self { choices: choices.into_iter() }
    }

    /// The choices of a fixed seed (Knuth's generator of 64 bits).
    pub(super) fn seeded(seed: u64, count: usize) -> Self {
        let mut state = seed;
        let next = || {
            let (factor, summand) = (6_364_136_223_846_793_005u64, 1_442_695_040_888_963_407);
            state = state.wrapping_mul(factor).wrapping_add(summand);
            u32::try_from(state >> 33).unwrap()
        };
        Self::new(std::iter::repeat_with(next).take(count).collect())
    }

    pub(super) fn number(&mut self, least: u32, most: u32) -> u32 {
        least + self.choices.next().unwrap_or(0) % (most - least + 1)
    }

    pub(super) fn flag(&mut self) -> bool {
        self.number(0, 1) == 1
    }

    /// One time in `parts`.
    pub(super) fn rarely(&mut self, parts: u32) -> bool {
        self.number(0, parts - 1) == parts - 1
    }

    pub(super) fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        let last = u32::try_from(all.len() - 1).unwrap();
        all[usize::try_from(self.number(0, last)).unwrap()].clone()
    }

    pub(super) fn some<T>(&mut self, one: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.rarely(3).then(|| one(self))
    }

    pub(super) fn list<T>(
        &mut self,
        most: u32,
        mut one: impl FnMut(&mut Self, u32) -> T,
    ) -> Vec<T> {
        (0..self.number(0, most)).map(|index| one(self, index)).collect()
    }
}
