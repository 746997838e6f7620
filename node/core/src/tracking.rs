//! What a director makes of what it watches: for each instance, what is added to or taken from
//! its priority, and whether a fault keeps it from holding the instance at all.
//!
//! The rules are keepalived's. Where something tracked has a weight, it moves the priority: one
//! above 0 is added while it is well, one below 0 is taken while it is not, and `reverse` turns
//! the sign of both. Without a weight it is a fault not to be well (`reverse`: to be well).
//! A file's number times the weight is added, and a sum of -254 or less is a fault.
//!
//! Before a script's first result nothing is added or taken for it. Where it has no weight,
//! keepalived keeps an instance that is starting from coming up until each such script has
//! ended once, and leaves alone an instance that runs when a new configuration is loaded. So it
//! is here: an instance stays what it was, and one that was nothing yet waits. With `init_fail`
//! the script has failed before it has run. Processes not counted and files not read yet are
//! waited for in the same way.

mod counting;
mod reading;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use leasehold_model::{Config, Instance, Tracking, Weight};

use crate::placement::OWNER;

pub use counting::{Quorum, Streak};
pub use reading::{ProcessName, number};

/// What is the case at this director.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Those that exist, are up and have carrier.
    pub interfaces_up: BTreeSet<String>,
    /// By the script's name. One that is not here has no result yet.
    pub scripts: BTreeMap<String, Condition>,
    /// The same for processes.
    pub processes: BTreeMap<String, Condition>,
    /// By the file's name: the number in it, 0 where there is no file. One that is not here was
    /// not read yet.
    pub files: BTreeMap<String, i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    #[default]
    Unknown,
    Well,
    /// And why.
    NotWell(String),
}

/// What tracking says of one instance at one director.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub priority_delta: i16,
    /// Why the director must not hold it.
    pub fault: Option<String>,
    /// The fault is only that something is not known yet: nothing to give it up for.
    pub pending: bool,
}

/// Sums of files at or below are faults.
const FILE_FAULT: i64 = -254;
const FILE_MAX: i64 = 253;

/// By instance. `before` is what was said last: an instance that had no fault gets none from a
/// script that has no result yet.
#[must_use]
pub fn judge(
    config: &Config,
    director: &str,
    facts: &Facts,
    before: &BTreeMap<String, Verdict>,
) -> BTreeMap<String, Verdict> {
    let mut verdicts = BTreeMap::new();
    for unit in config.units() {
        let group = unit.sync_group.map(|group| &group.tracking);
        for (name, instance) in unit.members {
            let tracking = combined(config, &instance.tracking, group);
            let owner = instance.priority_of(director) == OWNER;
            let was_fit = before.get(name).is_some_and(|one| one.fault.is_none());
            let judge = Judge { config, facts, instance, director, owner, was_fit };
            verdicts.insert(name.to_owned(), judge.verdict(&tracking));
        }
    }
    verdicts
}

/// Those scripts, processes and files that some instance follows, and the files that a check of a
/// real server goes by. Nothing else is run or read.
#[must_use]
pub fn followed(config: &Config) -> Tracking {
    let mut all = Tracking::default();
    let of = |instance: &Instance| instance.tracking.clone();
    let groups = config.units().into_iter().filter_map(|unit| unit.sync_group);
    let each = config.instances.values().map(of).chain(groups.map(|one| one.tracking.clone()));
    for mut one in each {
        all.interfaces.append(&mut one.interfaces);
        all.scripts.append(&mut one.scripts);
        all.processes.append(&mut one.processes);
        all.files.append(&mut one.files);
    }
    all.files.extend(config.file_checks().map(|one| (one.track_file.clone(), one.weight)));
    all.scripts.retain(|name, _| config.scripts.contains_key(name));
    all.processes.retain(|name, _| config.processes.contains_key(name));
    all.files.retain(|name, _| config.files.contains_key(name));
    all
}

/// A sync group's tracking is that of each member. Of what both follow, the group's weight
/// counts, unless the instance wants it to be a fault.
fn combined(config: &Config, own: &Tracking, group: Option<&Tracking>) -> Tracking {
    type Tracked = BTreeMap<String, Weight>;
    let Some(group) = group else { return own.clone() };
    let of = |own: &Tracked, group: &Tracked, followed: &dyn Fn(&str) -> Weight, default: i16| {
        let mut all = group.clone();
        let stays = own.iter().filter(|(name, one)| {
            !group.contains_key(*name) || weight(**one, followed(name), default).0 == 0
        });
        all.extend(stays.map(|(name, one)| (name.clone(), *one)));
        all
    };
    let none = |_: &str| Weight::default();
    let script = |name: &str| config.scripts.get(name).map(|one| one.weight).unwrap_or_default();
    let process = |name: &str| config.processes.get(name).map(|one| one.weight).unwrap_or_default();
    let file = |name: &str| config.files.get(name).map(|one| one.weight).unwrap_or_default();
    Tracking {
        interfaces: of(&own.interfaces, &group.interfaces, &none, 0),
        scripts: of(&own.scripts, &group.scripts, &script, 0),
        processes: of(&own.processes, &group.processes, &process, 0),
        files: of(&own.files, &group.files, &file, 1),
    }
}

struct Judge<'a> {
    config: &'a Config,
    facts: &'a Facts,
    instance: &'a Instance,
    director: &'a str,
    owner: bool,
    was_fit: bool,
}

/// What one thing adds, or why it must not be held.
type Effect = Result<i64, Objection>;

enum Objection {
    Fault(String),
    /// Nobody knows yet.
    Pending(String),
}

impl Judge<'_> {
    fn verdict(&self, tracking: &Tracking) -> Verdict {
        let interfaces = tracking.interfaces.iter().map(|(name, one)| {
            // The instance's interface, written once more, is the director's own for it.
            let own = *name == self.instance.interface;
            let name = if own { self.instance.interface_at(self.director) } else { name };
            let up = self.facts.interfaces_up.contains(name);
            let condition = if up {
                Condition::Well
            } else {
                Condition::NotWell("is down or missing".to_owned())
            };
            let weight = weight(*one, Weight::default(), 0);
            self.effect(&format!("tracked interface {name}"), &condition, weight)
        });
        let scripts = tracking.scripts.iter().filter_map(|(name, one)| {
            let script = self.config.scripts.get(name)?;
            let unrun = if script.init_fail {
                Condition::NotWell("has not succeeded yet (init_fail)".to_owned())
            } else {
                Condition::Unknown
            };
            let found = match self.facts.scripts.get(name) {
                None | Some(Condition::Unknown) => &unrun,
                Some(known @ (Condition::Well | Condition::NotWell(_))) => known,
            };
            Some(self.effect(&format!("script {name}"), found, weight(*one, script.weight, 0)))
        });
        let processes = tracking.processes.iter().filter_map(|(name, one)| {
            let process = self.config.processes.get(name)?;
            let found = self.facts.processes.get(name).unwrap_or(&Condition::Unknown);
            Some(self.effect(&format!("process {name}"), found, weight(*one, process.weight, 0)))
        });
        let files = tracking.files.iter().filter_map(|(name, one)| {
            let file = self.config.files.get(name)?;
            // To an owner only a fault means anything, so what has no weight of its own is one.
            let default = if self.owner { 0 } else { 1 };
            let number = self.facts.files.get(name).copied();
            Some(self.file(name, number, weight(*one, file.weight, default)))
        });
        let effects: Vec<Effect> =
            interfaces.chain(scripts).chain(processes).chain(files).collect();
        let sum: i64 = effects.iter().filter_map(|one| one.as_ref().ok()).sum();
        let (mut faults, mut pending) = (Vec::new(), Vec::new());
        for objection in effects.into_iter().filter_map(Result::err) {
            match objection {
                Objection::Fault(why) => faults.push(why),
                Objection::Pending(why) => pending.push(why),
            }
        }
        let only_pending = faults.is_empty() && !pending.is_empty();
        faults.append(&mut pending);
        let bounded = sum.clamp(i64::from(i16::MIN), i64::from(i16::MAX));
        Verdict {
            priority_delta: i16::try_from(bounded).unwrap_or(0),
            fault: (!faults.is_empty()).then(|| faults.join("; ")),
            pending: only_pending,
        }
    }

    fn effect(&self, what: &str, found: &Condition, (weight, reverse): (i64, bool)) -> Effect {
        if weight == 0 {
            let fault = |why: &str| Err(Objection::Fault(format!("{what} {why}")));
            return match (found, reverse) {
                (Condition::Unknown, _) if self.was_fit => Ok(0),
                (Condition::Unknown, _) => {
                    Err(Objection::Pending(format!("{what} has no result yet")))
                }
                (Condition::NotWell(why), false) => fault(why),
                (Condition::Well, true) => fault("is well, and must not be"),
                (Condition::Well, false) | (Condition::NotWell(_), true) => Ok(0),
            };
        }
        let signed = if reverse { -weight } else { weight };
        let counts = match found {
            Condition::Unknown => false,
            Condition::Well => weight > 0,
            Condition::NotWell(_) => weight < 0,
        };
        Ok(if counts && !self.owner { signed } else { 0 })
    }

    fn file(&self, name: &str, number: Option<i64>, (weight, reverse): (i64, bool)) -> Effect {
        if self.owner && weight != 0 {
            return Ok(0);
        }
        let fault = |why: String| Err(Objection::Fault(format!("file {name} {why}")));
        // Any number may turn out to be a fault.
        let number = match number {
            Some(number) => number,
            None if self.was_fit => return Ok(0),
            None => {
                return Err(Objection::Pending(format!("file {name} was not read yet")));
            }
        };
        if weight == 0 {
            return match (number == 0, reverse) {
                (false, false) => fault(format!("has {number}, not 0")),
                (true, true) => fault("has 0".to_owned()),
                (true, false) | (false, true) => Ok(0),
            };
        }
        let signed = if reverse { -weight } else { weight };
        let sum = number.saturating_mul(signed);
        if sum <= FILE_FAULT {
            return fault(format!("has {number}, which times {signed} is {sum}"));
        }
        Ok(sum.min(FILE_MAX))
    }
}

/// The tracker's own weight, else that of what it follows. What is reversed once is reversed.
fn weight(own: Weight, followed: Weight, default: i16) -> (i64, bool) {
    let weight = own.weight.or(followed.weight).unwrap_or(default);
    (i64::from(weight), own.reverse || followed.reverse)
}
