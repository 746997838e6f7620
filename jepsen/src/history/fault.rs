//! A fault as checkers need it: not how it was done, but what it took away, and whether it held.

use serde::{Deserialize, Serialize};

/// One fault, at its start and at its stop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The same at start and stop; never used again in a run.
    pub id: u64,
    /// The nemesis's name for it: `partition-halves`, `kill-daemon`, `clock-rate`.
    pub kind: String,
    /// Whom it befell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// What it takes away while it lasts; a stop need not repeat it.
    #[serde(default, skip_serializing_if = "Effect::is_none")]
    pub effect: Effect,
    /// Of the completion only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Whatever a reader of the timeline should know: lengths, rates, arguments.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What is gone while a fault lasts. Say only what is certain: a checker takes it as proven from
/// the completion of the start, if that says `installed`, to the invocation of the stop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// Between whom no packet passes, and which way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<Way>,
    /// Whose daemon does not run: killed and kept down, or stopped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub down: Vec<String>,
    /// Who can't be reached by clients, though it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<String>,
    /// The longest that a packet of the service network may be held back, so that an answer tells
    /// less about when it was given.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub delay_ns: u64,
    /// Packets of the service network may arrive twice.
    #[serde(default, skip_serializing_if = "is_false")]
    pub duplicates: bool,
}

/// Packets from one to the other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Way {
    pub from: String,
    pub to: String,
}

/// What became of an attempt to break or heal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was seen to be in effect; of a stop: to be healed.
    Installed,
    /// Nothing was done.
    Skipped { reason: String },
    /// It may be in effect or not.
    Indeterminate { reason: String },
}

impl Fault {
    #[must_use]
    pub fn new(id: u64, kind: &str) -> Fault {
        Fault { id, kind: kind.to_owned(), ..Fault::default() }
    }

    #[must_use]
    pub fn on(mut self, nodes: &[&str]) -> Fault {
        self.nodes = nodes.iter().map(|node| (*node).to_owned()).collect();
        self
    }

    #[must_use]
    pub fn with(mut self, effect: Effect) -> Fault {
        self.effect = effect;
        self
    }

    #[must_use]
    pub fn told(mut self, outcome: Outcome) -> Fault {
        self.outcome = Some(outcome);
        self
    }

    /// Whether it certainly came into effect.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        self.outcome == Some(Outcome::Installed)
    }

    /// Whether nothing was done.
    #[must_use]
    pub fn is_skipped(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Skipped { .. }))
    }
}

impl Effect {
    /// Takes nothing away that a checker knows of.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Effect::default()
    }

    /// No packet passes between the two sides; either way.
    #[must_use]
    pub fn split(one: &[&str], other: &[&str]) -> Effect {
        let mut cut = Vec::new();
        for from in one {
            for to in other {
                cut.push(Way::new(from, to));
                cut.push(Way::new(to, from));
            }
        }
        Effect { cut, ..Effect::default() }
    }

    /// No packet passes from the one side to the other; back they do.
    #[must_use]
    pub fn one_way(from: &[&str], to: &[&str]) -> Effect {
        let ways = from.iter().flat_map(|from| to.iter().map(move |to| Way::new(from, to)));
        Effect { cut: ways.collect(), ..Effect::default() }
    }

    /// These daemons do not run.
    #[must_use]
    pub fn down(nodes: &[&str]) -> Effect {
        Effect { down: nodes.iter().map(|node| (*node).to_owned()).collect(), ..Effect::default() }
    }
}

impl Way {
    #[must_use]
    pub fn new(from: &str, to: &str) -> Way {
        Way { from: from.to_owned(), to: to.to_owned() }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !*flag
}
