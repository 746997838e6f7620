//! From single observations to a condition that holds: results in a row, and numbers that last.

use std::time::Duration;

use leasehold_model::{BootNanos, TrackProcess};

/// A script's results, of which `rise` successes in a row make it well, and `fall` failures in a
/// row not well. The first result of all counts at once, either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Unknown,
    Well {
        failures: u32,
    },
    NotWell {
        successes: u32,
    },
}

impl Streak {
    /// One that has failed before it has run: `init_fail`.
    #[must_use]
    pub fn failed() -> Self {
        Self { state: State::NotWell { successes: 0 } }
    }

    /// Says whether it turned well or not well by it.
    pub fn handle_result(&mut self, good: bool, rise: u32, fall: u32) -> bool {
        let before = self.well();
        self.state = match (self.state, good) {
            (State::Unknown | State::Well { .. }, true) => State::Well { failures: 0 },
            (State::Unknown | State::NotWell { .. }, false) => State::NotWell { successes: 0 },
            (State::Well { failures }, false) if failures + 1 >= fall => {
                State::NotWell { successes: 0 }
            }
            (State::Well { failures }, false) => State::Well { failures: failures + 1 },
            (State::NotWell { successes }, true) if successes + 1 >= rise => {
                State::Well { failures: 0 }
            }
            (State::NotWell { successes }, true) => State::NotWell { successes: successes + 1 },
        };
        self.well() != before
    }

    /// Absent: there was no result yet.
    #[must_use]
    pub fn well(&self) -> Option<bool> {
        match self.state {
            State::Unknown => None,
            State::Well { .. } => Some(true),
            State::NotWell { .. } => Some(false),
        }
    }
}

/// How many processes run, against how many should. A change counts once it has lasted: after
/// the number rose, `fork_delay`; after it fell, `terminate_delay`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quorum {
    /// Absent: never counted. The first number counts at once.
    known: Option<Known>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    well: bool,
    level: Level,
    /// When the other condition counts.
    due: Option<BootNanos>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Few,
    Enough,
    Many,
}

impl Quorum {
    pub fn handle_count(&mut self, count: u32, process: &TrackProcess, now: BootNanos) {
        let level = level(count, process);
        let enough = level == Level::Enough;
        let Some(known) = &mut self.known else {
            self.known = Some(Known { well: enough, level, due: None });
            return;
        };
        if level != known.level {
            let rose = level > known.level;
            let delay = if rose { process.fork_delay_ms } else { process.terminate_delay_ms };
            known.level = level;
            known.due = Some(now.after(Duration::from_millis(u64::from(delay))));
        }
        if enough == known.well {
            known.due = None;
        }
        self.handle_timeout(now);
    }

    pub fn handle_timeout(&mut self, now: BootNanos) {
        if let Some(known) = &mut self.known
            && known.due.is_some_and(|due| due <= now)
        {
            known.well = known.level == Level::Enough;
            known.due = None;
        }
    }

    #[must_use]
    pub fn poll_timeout(&self) -> Option<BootNanos> {
        self.known.and_then(|known| known.due)
    }

    #[must_use]
    pub fn well(&self) -> Option<bool> {
        self.known.map(|known| known.well)
    }
}

fn level(count: u32, process: &TrackProcess) -> Level {
    let most = process.quorum_max.unwrap_or(u32::MAX);
    // A maximum of 0 means that it must not run, whatever the quorum's default is.
    let least = process.quorum.min(most);
    match count {
        count if count < least => Level::Few,
        count if count > most => Level::Many,
        _ => Level::Enough,
    }
}
