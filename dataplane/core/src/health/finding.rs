//! What all checks of one real server say together.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{Adjustment, Checker, Effect, Name, Verdict};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Absent: nothing that counts was said yet.
    pub verdict: Option<Verdict>,
    pub adjustment: Adjustment,
}

/// By virtual server and real server. What is missing was not checked yet.
pub type Findings = BTreeMap<(Name, SocketAddr), Finding>;

/// What one check says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Absent: nothing yet.
    pub verdict: Option<Verdict>,
    pub effect: Effect,
    /// The real server is not up before it has passed.
    pub alpha: bool,
}

impl Finding {
    /// It is down where one check says so. The silence of one that has to pass first (`alpha`) is
    /// the silence of all.
    #[must_use]
    pub fn of(checks: impl IntoIterator<Item = Said>) -> Self {
        let (mut up, mut down, mut unproven) = (false, false, false);
        let mut adjustment = Adjustment::default();
        for Said { verdict, effect, alpha } in checks {
            match verdict {
                Some(Verdict::Up) => up = true,
                Some(Verdict::Down) => down = true,
                None => unproven |= alpha,
            }
            adjustment = adjustment.and(effect);
        }
        let verdict = match (down, unproven, up) {
            (true, _, _) => Some(Verdict::Down),
            (false, true, _) | (false, false, false) => None,
            (false, false, true) => Some(Verdict::Up),
        };
        Self { verdict, adjustment }
    }
}

impl From<Verdict> for Finding {
    fn from(verdict: Verdict) -> Self {
        Self { verdict: Some(verdict), ..Self::default() }
    }
}

impl From<&Checker> for Said {
    fn from(checker: &Checker) -> Self {
        Self { verdict: checker.verdict(), effect: checker.effect(), alpha: checker.is_alpha() }
    }
}
