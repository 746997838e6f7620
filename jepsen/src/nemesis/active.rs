//! The faults that are in force, each until its time has come.

use std::time::Duration;

use leasehold_lab::{LabError, now_ns};

use super::{Broken, Kind, Package, Planned, World};
use crate::history::{F, Fault, Outcome, Process};

/// One that was tried, for the run's own table.
#[derive(Clone, Debug)]
pub struct Noted {
    pub id: u64,
    pub kind: Kind,
    pub legend: String,
    pub nodes: Vec<String>,
    pub outcome: Outcome,
    pub from_ns: u64,
    /// 0 while it lasts.
    pub until_ns: u64,
}

/// What is broken now, and what was.
#[derive(Debug, Default)]
pub struct Active {
    lasting: Vec<Lasting>,
    pub noted: Vec<Noted>,
    /// By how much a thread of no priority once woke late, in ns: what clients and daemons had to
    /// bear from the machine itself.
    pub late_ns: u64,
}

#[derive(Debug)]
struct Lasting {
    fault: Fault,
    package: Box<dyn Package>,
    heal_ns: u64,
    tick_ns: Option<u64>,
}

impl Active {
    /// Breaks something, and writes down what came of it.
    ///
    /// # Errors
    /// Where the history is full; it is broken nevertheless, and will be healed.
    pub fn inject(&mut self, planned: Planned, world: &mut World) -> Result<(), LabError> {
        let Planned { kind, length, mut package, .. } = planned;
        let id = self.noted.len() as u64;
        let mut fault = Fault::new(id, &kind.name());
        fault.detail = format!("{}, {} ms", package.legend(), length.as_millis());
        let from_ns = now_ns();
        write(world.recorder.invoke(Process::Nemesis, F::Start(fault.clone())))?;
        let broken = package.inject(world).unwrap_or_else(Broken::from);
        (fault.nodes, fault.effect) = (broken.nodes.clone(), broken.effect);
        let told = fault.clone().told(broken.outcome.clone());
        let legend = fault.detail.clone();
        let (nodes, outcome) = (broken.nodes, broken.outcome);
        let noted = Noted { id, kind, legend, nodes, outcome, from_ns, until_ns: 0 };
        if let Outcome::Skipped { .. } = noted.outcome {
            self.noted.push(Noted { until_ns: now_ns(), ..noted });
        } else {
            self.noted.push(noted);
            let heal_ns = now_ns() + nanos(length);
            let tick_ns = package.every().map(|wait| now_ns() + nanos(wait));
            self.lasting.push(Lasting { fault, package, heal_ns, tick_ns });
        }
        write(world.recorder.done(F::Start(told)))
    }

    /// Does what is due.
    ///
    /// # Errors
    /// Where something can't be undone.
    pub fn turn(&mut self, world: &mut World) -> Result<(), LabError> {
        for place in (0..self.lasting.len()).rev() {
            let now = now_ns();
            if self.lasting[place].heal_ns <= now {
                self.heal(place, world)?;
                continue;
            }
            let one = &mut self.lasting[place];
            if one.tick_ns.is_some_and(|at| at <= now) {
                one.package.tick(world);
                one.tick_ns = one.package.every().map(|wait| now_ns() + nanos(wait));
            }
        }
        Ok(())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lasting.is_empty()
    }

    /// Undoes all of it, whatever fails; all that failed.
    pub fn heal_all(&mut self, world: &mut World) -> Vec<LabError> {
        let mut failed = Vec::new();
        while let Some(last) = self.lasting.len().checked_sub(1) {
            failed.extend(self.heal(last, world).err());
        }
        failed
    }

    fn heal(&mut self, place: usize, world: &mut World) -> Result<(), LabError> {
        let mut one = self.lasting.remove(place);
        one.fault.effect = crate::history::Effect::default();
        let begun = world.recorder.invoke(Process::Nemesis, F::Stop(one.fault.clone()));
        let healed = one.package.heal(world);
        // Whether it was healed is one thing; whether it had come about is told to people.
        let (stopped, outcome) = match &healed {
            Ok(outcome) => (Outcome::Installed, outcome.clone()),
            Err(error) => {
                let doubt = Outcome::Indeterminate { reason: error.to_string() };
                (doubt.clone(), doubt)
            }
        };
        if let Some(noted) = self.noted.iter_mut().find(|noted| noted.id == one.fault.id) {
            noted.until_ns = now_ns();
            // What was asked for shows at the end whether it came about.
            if noted.outcome == Outcome::Installed && outcome != Outcome::Installed {
                noted.outcome = outcome;
            }
        }
        write(begun)?;
        write(world.recorder.done(F::Stop(one.fault.told(stopped))))?;
        healed.map(drop)
    }
}

fn write(written: Result<(), crate::history::Refused>) -> Result<(), LabError> {
    written.map_err(|refused| LabError::Argument(refused.to_string()))
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
