//! What may happen in one check, how often, and which mistake is planted.

use std::fmt;
use std::str::FromStr;

/// Kinds of events, each with a small budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nothing but loss, delay, reordering and silence.
    Silence,
    /// One election, and the whole of the wait after it.
    Election,
    /// Two elections, also of a leader that led before, and what the voters' answers save.
    Elections,
    /// The holder's process is killed, its guard speaks, it starts again.
    Crashes,
    /// A leader or a voter is killed and starts again, and there is an election.
    Restarts,
    /// The holder is asked to give the lease to another.
    Handover,
    /// An address moves from a group to another, which another node holds.
    Moves,
    /// A node whose kernel knows the log of old is granted what it held then.
    Returns,
}

/// How many of each there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) elections: u8,
    pub(super) crashes: u8,
    pub(super) handovers: u8,
    pub(super) moves: u8,
    pub(super) copies: u8,
    /// Those that ask for a lease; beyond them, they are lost.
    pub(super) renewals: u8,
}

/// A mistake in the shell around the machines. The machines themselves are never altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The deadline counts from the answer's arrival.
    DeadlineFromReceipt,
    /// A new leader believes that nobody was approved before it.
    NoElectedWait,
    /// Nothing is blocked while a grant is on its way.
    NoBlock,
    /// Renewals are confirmed without asking a quorum.
    NoQuorum,
    /// The leader takes all clocks for equal.
    NoDrift,
    /// The guard speaks before it closes the fence.
    GuardSpeaksFirst,
    /// The guard closes and speaks, and the daemon that it took for hung goes on.
    GuardLetsLive,
    /// The kernel knows no deadline: what was opened stays open until somebody closes it.
    NoFence,
    /// A holder says that it released before it closed.
    ReleaseBeforeClose,
    /// A voter that restarted says that it never acknowledged anybody.
    ForgetfulVoter,
    /// A node that led does not count itself among those who acknowledged it.
    NoSelfAcknowledgement,
    /// An address retires when its holder has been silent for long enough.
    RetireBySilence,
    /// Retired addresses are not waited for.
    NoRetiring,
    /// A lease opens before the kernel follows the log to its grant.
    OpenUnprogrammed,
}

impl Scope {
    pub const ALL: [Self; 8] = [
        Self::Silence,
        Self::Election,
        Self::Elections,
        Self::Crashes,
        Self::Restarts,
        Self::Handover,
        Self::Moves,
        Self::Returns,
    ];

    /// As far as a check takes minutes, not hours.
    #[must_use]
    pub fn horizon(self) -> u64 {
        match self {
            Self::Elections | Self::Restarts => 2,
            Self::Crashes | Self::Handover | Self::Returns => 3,
            Self::Election | Self::Moves => 4,
            Self::Silence => 5,
        }
    }

    pub(super) fn budget(self) -> Budget {
        let none =
            Budget { elections: 0, crashes: 0, handovers: 0, moves: 0, copies: 0, renewals: 3 };
        match self {
            Self::Silence => Budget { copies: 1, ..none },
            Self::Election => Budget { elections: 1, renewals: 2, ..none },
            Self::Elections => Budget { elections: 2, copies: 0, renewals: 2, ..none },
            Self::Crashes => Budget { crashes: 1, renewals: 2, ..none },
            Self::Restarts => Budget { elections: 1, crashes: 1, renewals: 2, ..none },
            Self::Handover => Budget { handovers: 1, copies: 1, ..none },
            Self::Moves => Budget { moves: 1, ..none },
            Self::Returns => none,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silence => "silence",
            Self::Election => "election",
            Self::Elections => "elections",
            Self::Crashes => "crashes",
            Self::Restarts => "restarts",
            Self::Handover => "handover",
            Self::Moves => "moves",
            Self::Returns => "returns",
        })
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|one| one.to_string() == name);
        known.ok_or_else(|| {
            "use silence, election, elections, crashes, restarts, handover, moves or returns"
                .to_owned()
        })
    }
}
