//! What changed at this director, told as keepalived tells it: in one order, each change once.
//!
//! A [`Notifier`] is given [`Facts`] whenever they may have changed, and yields
//! [`Transition`]s. It does not matter how many changes lie between two looks: an instance
//! always comes to MASTER by way of BACKUP, and to another epoch by way of BACKUP too, so that a
//! script never misses the epoch that it is to act by. A sync group is told of after its members,
//! step by step.

mod facts;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use leasehold_model::Epoch;

pub use facts::{Facts, Held, MemberFacts, UnitFacts};

/// Instances are told of before groups, also by this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Instance,
    Group,
}

/// What a transition says, in keepalived's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Master,
    Backup,
    Fault,
    Stop,
    Deleted,
    /// Not a change of state: while it was held, an advert of lower priority came.
    MasterRxLowerPri,
    /// Not a change of state: the priority changed.
    MasterPriority,
    BackupPriority,
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    pub kind: Kind,
    pub name: String,
    pub state: State,
    /// The director's effective priority for the instance; 0 for a group.
    pub priority: u8,
    /// Of the lease that is held, or that was the last one held here; 0: none since the start.
    pub epoch: Epoch,
    /// Why, for people.
    pub cause: String,
}

impl Kind {
    /// As scripts and pipes are told.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Instance => "INSTANCE",
            Self::Group => "GROUP",
        }
    }
}

impl State {
    /// As scripts and pipes are told.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Master => "MASTER",
            Self::Backup => "BACKUP",
            Self::Fault => "FAULT",
            Self::Stop => "STOP",
            Self::Deleted => "DELETED",
            Self::MasterRxLowerPri => "MASTER_RX_LOWER_PRI",
            Self::MasterPriority => "MASTER_PRIORITY",
            Self::BackupPriority => "BACKUP_PRIORITY",
        }
    }
}

impl fmt::Display for Transition {
    /// The line that a pipe gets, without its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, state, priority, .. } = self;
        write!(f, "{} \"{name}\" {} {priority}", kind.word(), state.word())
    }
}

/// Where an instance or a group can stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Master,
    Backup,
    Fault,
}

impl Standing {
    fn state(self) -> State {
        match self {
            Self::Master => State::Master,
            Self::Backup => State::Backup,
            Self::Fault => State::Fault,
        }
    }
}

/// What was told last of one instance or group.
#[derive(Clone, Debug)]
struct Told {
    standing: Option<Standing>,
    epoch: Epoch,
    priority: u8,
    tells_deletion: bool,
}

/// What one unit should be told to be, and why.
struct Target {
    standing: Standing,
    epoch: Epoch,
    cause: String,
}

/// Remembers what was told.
#[derive(Debug, Default)]
pub struct Notifier {
    told: BTreeMap<(Kind, String), Told>,
    /// Those that were told STOP: nothing comes after it.
    stopped: BTreeSet<(Kind, String)>,
    queue: VecDeque<Transition>,
}

impl Notifier {
    /// Takes in how things are now. Call it as often as you like.
    pub fn handle_facts(&mut self, facts: &Facts) {
        self.tell_deletions(facts);
        for unit in &facts.units {
            self.tell_unit(unit, facts.stopping);
        }
    }

    /// An advert of lower priority than ours came from outside the cluster.
    pub fn handle_lower_advert(&mut self, instance: &str) {
        let key = (Kind::Instance, instance.to_owned());
        let Some(told) = self.told.get(&key) else { return };
        match told.standing {
            Some(Standing::Master) => {
                let cause = "an advert of lower priority came from outside the cluster";
                let told = told.clone();
                self.push(&key, State::MasterRxLowerPri, &told, cause);
            }
            // It lost the lease before the news came.
            Some(Standing::Backup | Standing::Fault) | None => {}
        }
    }

    /// The next thing to tell.
    pub fn poll_transition(&mut self) -> Option<Transition> {
        self.queue.pop_front()
    }

    /// Whether everything that was ever told of was told STOP, or is gone.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.told.is_empty() && self.queue.is_empty()
    }

    fn tell_deletions(&mut self, facts: &Facts) {
        let present: BTreeSet<(Kind, &str)> =
            facts.units.iter().flat_map(UnitFacts::keys).collect();
        let is_gone = |key: &(Kind, String)| !present.contains(&(key.0, key.1.as_str()));
        self.stopped.retain(|key| !is_gone(key));
        let gone: Vec<_> = self.told.extract_if(.., |key, _| is_gone(key)).collect();
        for (key, told) in gone {
            if !told.tells_deletion && told.standing == Some(Standing::Fault) {
                // That has been said.
                continue;
            }
            let state = if told.tells_deletion { State::Deleted } else { State::Fault };
            self.push(&key, state, &told, "it left the configuration");
        }
    }

    fn tell_unit(&mut self, unit: &UnitFacts, stopping: bool) {
        let keys = unit.described();
        if stopping && unit.held.is_none() {
            for (key, member) in keys {
                if let Some(mut told) = self.told.remove(&key) {
                    told.priority = member.priority;
                    self.push(&key, State::Stop, &told, "the daemon was told to stop");
                }
                self.stopped.insert(key);
            }
            return;
        }
        let target = target(unit);
        self.tell_priorities(&keys, &target);
        // Whoever is to be MASTER is BACKUP first; else the target is one step away.
        let steps: &[Standing] = match target.standing {
            Standing::Master => &[Standing::Backup, Standing::Master],
            Standing::Backup => &[Standing::Backup],
            Standing::Fault => &[Standing::Fault],
        };
        for step in steps {
            for (key, _) in &keys {
                self.step(key, *step, &target);
            }
        }
    }

    /// Notes what the configuration and tracking say, and tells of priorities where no state will.
    fn tell_priorities(&mut self, keys: &[((Kind, String), MemberFacts)], target: &Target) {
        for (key, member) in keys {
            if self.stopped.contains(key) {
                continue;
            }
            let told = self.told.entry(key.clone()).or_insert(Told {
                standing: None,
                epoch: Epoch(0),
                priority: member.priority,
                tells_deletion: false,
            });
            told.tells_deletion = member.tells_deletion;
            let changed = std::mem::replace(&mut told.priority, member.priority) != member.priority;
            let stays = told.standing == Some(target.standing)
                && (target.standing != Standing::Master || told.epoch == target.epoch);
            if !(changed && stays && member.tells_priority) {
                continue;
            }
            let state = match target.standing {
                Standing::Master => State::MasterPriority,
                Standing::Backup => State::BackupPriority,
                Standing::Fault => continue,
            };
            let told = told.clone();
            self.push(key, state, &told, "the priority changed");
        }
    }

    fn step(&mut self, key: &(Kind, String), step: Standing, target: &Target) {
        let Some(told) = self.told.get_mut(key) else { return };
        let is_there = told.standing == Some(target.standing)
            && (target.standing != Standing::Master || told.epoch == target.epoch);
        if is_there || told.standing == Some(step) && step != Standing::Master {
            return;
        }
        let first = told.standing.is_none();
        told.standing = Some(step);
        if step == Standing::Master {
            told.epoch = target.epoch;
        }
        let cause = match step {
            Standing::Backup if first => "this director began",
            Standing::Backup => "the lease is not held here",
            Standing::Master | Standing::Fault => &target.cause,
        };
        let told = told.clone();
        self.push(key, step.state(), &told, cause);
    }

    fn push(&mut self, key: &(Kind, String), state: State, told: &Told, cause: &str) {
        self.queue.push_back(Transition {
            kind: key.0,
            name: key.1.clone(),
            state,
            priority: told.priority,
            epoch: told.epoch,
            cause: cause.to_owned(),
        });
    }
}

/// An open lease is MASTER, whatever else is wrong: the fault releases it, and then it is FAULT.
fn target(unit: &UnitFacts) -> Target {
    if let Some(held) = &unit.held {
        return Target { standing: Standing::Master, epoch: held.epoch, cause: held.cause.clone() };
    }
    let fault = unit.members.iter().find_map(|member| member.fault.clone());
    let standing = if fault.is_some() { Standing::Fault } else { Standing::Backup };
    Target { standing, epoch: Epoch(0), cause: fault.unwrap_or_default() }
}
