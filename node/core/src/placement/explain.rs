//! Why an instance is where it is, who else could hold it, and what would happen next.

use std::fmt;
use std::time::Duration;

use leasehold_model::{BootNanos, GroupId, NodeId};
use serde::{Deserialize, Serialize};

use super::decide::{Board, Placer, Unfit, why_not};
use super::{Bar, Cause, Decision, Director, Slot, Standing};

/// Made for one instance at one instant; [`fmt::Display`] says it in plain words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    pub instance: String,
    pub holding: Holding,
    pub cause: Cause,
    pub changed_ago_ms: u64,
    /// Where an operator moved it.
    pub pin: Option<String>,
    pub preempt: bool,
    pub preempt_delay_ms: u32,
    /// Members by number.
    pub parts: Vec<Part>,
    /// What comes next, a sentence each.
    pub next: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holding {
    Nobody,
    /// The named one held it last, and its lease is over.
    Over(String),
    By(String),
    /// The first is asked to release it in favour of the second.
    Moving {
        from: String,
        to: String,
    },
}

/// One member's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub name: String,
    pub holds: bool,
    pub eligible_ms: Option<u64>,
    #[serde(flatten)]
    pub standing: Standing,
}

impl Placer {
    /// Explains `group`; absent where there is no such group. Changes nothing.
    #[must_use]
    pub fn explain(
        &self,
        directors: &[Director<'_>],
        slots: &[Slot<'_>],
        leader: NodeId,
        now: BootNanos,
        group: GroupId,
    ) -> Option<Explanation> {
        let index = slots.iter().position(|slot| slot.group == group)?;
        let slot = &slots[index];
        let placement = self.clone().place(directors, slots, leader, now);
        let decision = placement.decisions.iter().find(|one| one.group() == group);
        let board = Board::new(directors, slots, leader);
        let teller = Teller { placer: self, board: &board, index, slot, now };
        Some(Explanation {
            instance: slot.name.to_owned(),
            holding: teller.holding(),
            cause: slot.cause,
            changed_ago_ms: ms(slot.changed_ago),
            pin: slot.pin.map(|pin| teller.name(pin)),
            preempt: slot.preempt(),
            preempt_delay_ms: slot.preempt_delay_ms(),
            parts: teller.parts(),
            next: teller.next(decision),
        })
    }
}

struct Teller<'a> {
    placer: &'a Placer,
    board: &'a Board<'a>,
    index: usize,
    slot: &'a Slot<'a>,
    now: BootNanos,
}

impl Teller<'_> {
    fn name(&self, node: NodeId) -> String {
        let known = self.board.directors.iter().find(|one| one.node == node);
        known.map_or_else(|| format!("node {node}, no longer a member"), |one| one.name.to_owned())
    }

    fn holding(&self) -> Holding {
        match (self.slot.holder, self.slot.over, self.slot.handover) {
            (None, _, _) => Holding::Nobody,
            (Some(holder), true, _) => Holding::Over(self.name(holder)),
            (Some(holder), false, None) => Holding::By(self.name(holder)),
            (Some(from), false, Some(to)) => {
                Holding::Moving { from: self.name(from), to: self.name(to) }
            }
        }
    }

    fn parts(&self) -> Vec<Part> {
        let all = self.board.directors.iter().zip(&self.board.standings[self.index]);
        let part = |(director, standing): (&Director<'_>, &Standing)| {
            let since = self.placer.eligible_since(self.slot.group, director.node);
            Part {
                name: director.name.to_owned(),
                holds: !self.slot.over && self.slot.holder == Some(director.node),
                eligible_ms: since.map(|since| ms(self.now.since(since))),
                standing: standing.clone(),
            }
        };
        all.map(part).collect()
    }

    fn next(&self, decision: Option<&Decision>) -> Vec<String> {
        match decision {
            Some(Decision::Grant { to, .. }) => return vec![format!("{} gets it", self.name(*to))],
            Some(Decision::Handover { to, cause, .. }) => {
                let why = match cause {
                    Cause::Moved => "an operator moved it there",
                    Cause::Drained => "the holder is drained",
                    Cause::Stopped => "the holder is stopping",
                    Cause::Unserviceable => "the holder can't serve it",
                    Cause::Yielded => "the holder yields to a router from outside the cluster",
                    Cause::Preempted => "its priority is higher",
                    Cause::Balanced => "it holds less",
                    Cause::Created | Cause::Expired | Cause::DaemonDied => "nobody holds it",
                };
                return vec![format!("it moves to {}: {why}", self.name(*to))];
            }
            None => {}
        }
        let Some(holder) = self.slot.holder.filter(|_| !self.slot.over) else {
            return vec!["it stays without a holder: no director is eligible".to_owned()];
        };
        if let Some(to) = self.slot.handover
            && self.board.eligible(self.index, to)
        {
            return vec![format!("{} gets it when {} lets go", self.name(to), self.name(holder))];
        }
        self.next_of_held(holder)
    }

    fn next_of_held(&self, holder: NodeId) -> Vec<String> {
        let name = self.name(holder);
        let other = self.board.best(self.index, |node, _| node != holder);
        let own = self.board.standing(self.index, holder);
        match own.and_then(why_not) {
            Some(Unfit::Because(_)) => {
                return vec![format!("it stays with {name}: no other director is eligible")];
            }
            None if own.is_some() => {}
            Some(Unfit::Silent) | None => {
                let then = other.map_or_else(
                    || "and then nobody has it: no other director is eligible".to_owned(),
                    |other| format!("and then {} gets it", self.name(other)),
                );
                return vec![format!("the lease of {name} runs out unless it is heard, {then}")];
            }
        }
        let mut next = self.challenge(own.map_or((true, 0), Standing::fitness), holder);
        next.push(match other {
            Some(other) => format!("if {name} fails, {} takes over", self.name(other)),
            None => format!("if {name} fails, nobody takes over: no other director is eligible"),
        });
        next
    }

    /// Of the directors with a higher priority than the holder's: why they don't have it.
    fn challenge(&self, held_with: (bool, u8), holder: NodeId) -> Vec<String> {
        let pinned = self.slot.pin == Some(holder);
        let delay = Duration::from_millis(self.slot.preempt_delay_ms().into());
        let all = self.board.directors.iter().zip(&self.board.standings[self.index]);
        let higher = all.filter(|(_, one)| one.eligible() && one.fitness() > held_with);
        let tell = |(director, one): (&Director<'_>, &Standing)| {
            let (name, priority) = (director.name, one.effective);
            if pinned {
                return format!("{name} has priority {priority}, but an operator moved it here");
            }
            if !self.slot.preempt() {
                return format!("{name} has priority {priority}, but the instance has no preempt");
            }
            let since = self.placer.eligible_since(self.slot.group, director.node);
            let left = since.unwrap_or(self.now).after(delay).since(self.now);
            format!("{name}, of priority {priority}, takes it in {}", span(ms(left)))
        };
        higher.map(tell).collect()
    }
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A length of time as people say it.
fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.instance;
        let ago = span(self.changed_ago_ms);
        match &self.holding {
            Holding::Nobody => writeln!(f, "{name} is held by nobody, for {ago}")?,
            Holding::Over(last) => {
                writeln!(f, "{name} is held by nobody: the lease of {last} is over")?;
            }
            Holding::By(holder) => writeln!(f, "{name} is held by {holder}, for {ago}")?,
            Holding::Moving { from, to } => {
                writeln!(f, "{name} is moving from {from} to {to}")?;
            }
        }
        writeln!(f, "  why:  {}", self.cause)?;
        if let Some(pin) = &self.pin {
            writeln!(f, "  pin:  an operator moved it to {pin}; that outranks priorities")?;
        }
        let width = self.parts.iter().map(|part| part.name.chars().count()).max().unwrap_or(0);
        for part in &self.parts {
            writeln!(f, "  {:width$}  {part}", part.name)?;
        }
        for next in &self.next {
            writeln!(f, "  next: {next}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Standing { bars, configured, delta, effective, foreign, impaired } = &self.standing;
        match (configured, delta) {
            (0, _) => f.write_str("spare")?,
            (_, 0) => write!(f, "priority {effective}")?,
            (_, _) => write!(f, "priority {effective} ({configured}{delta:+} by tracking)")?,
        }
        if self.holds {
            f.write_str(", holds it")?;
        }
        if let Some(foreign) = foreign {
            write!(f, ", hears a router from outside the cluster: {foreign}")?;
        }
        if bars.is_empty() {
            let since = self.eligible_ms.map(|since| format!(" for {}", span(since)));
            write!(f, ", eligible{}", since.unwrap_or_default())?;
            match impaired {
                Some(why) => write!(f, ", can't serve all of it: {why}"),
                None => Ok(()),
            }
        } else {
            let bars: Vec<String> = bars.iter().map(Bar::to_string).collect();
            write!(f, ", not eligible: {}", bars.join("; "))
        }
    }
}
