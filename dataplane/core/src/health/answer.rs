//! What one question to a real server came to, and what that does to its weight.

/// What one question came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Passed(Effect),
    Failed,
    /// This machine lacked something to ask with: nothing is known of the real server by it.
    Unknown,
}

/// What a check that passed does to the weight of its real server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    #[default]
    None,
    /// It should be this one: `misc_dynamic`.
    Set(u16),
    /// This is added: a file with a weight.
    Add(i32),
}

impl Answer {
    /// One that passed, and leaves the weight alone.
    pub const PASSED: Self = Self::Passed(Effect::None);
}

/// What all checks of one real server do to its weight together.
///
/// As keepalived adds up: each check has a difference to the configured weight (`cur_weight`),
/// which for `misc_dynamic` is the weight it asks for less the configured one, and all differences
/// are added. So one `misc_dynamic` alone sets the weight; two add up to less than either where
/// both ask for less than is configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adjustment {
    /// Checks that ask for a weight.
    asking: u32,
    /// All that is asked for or added.
    sum: i64,
}

impl Adjustment {
    #[must_use]
    pub fn of(effects: impl IntoIterator<Item = Effect>) -> Self {
        effects.into_iter().fold(Self::default(), Self::and)
    }

    pub(super) fn and(mut self, effect: Effect) -> Self {
        match effect {
            Effect::None => {}
            Effect::Set(weight) => {
                self.asking = self.asking.saturating_add(1);
                self.sum = self.sum.saturating_add(i64::from(weight));
            }
            Effect::Add(number) => self.sum = self.sum.saturating_add(i64::from(number)),
        }
        self
    }

    /// The weight that it makes of the configured one: 0 to 65535, which is all that a
    /// configuration can say (keepalived's sum ends at 2147483647).
    #[must_use]
    pub fn weigh(self, configured: u16) -> u16 {
        let configured = i64::from(configured);
        let asked = configured.saturating_mul(i64::from(self.asking));
        let weight = configured.saturating_sub(asked).saturating_add(self.sum);
        u16::try_from(weight.max(0)).unwrap_or(u16::MAX)
    }
}
