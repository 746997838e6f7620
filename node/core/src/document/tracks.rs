//! The kinds of things that are tracked, and the limits of what may be said of them. As
//! keepalived's.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use leasehold_model::{Tracking, Weight};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tracked {
    Interface,
    Script,
    Process,
    File,
}

/// A day at most: what is looked at less often is not watched.
pub(crate) const INTERVAL_MS: RangeInclusive<u32> = 1..=86_400_000;
pub(crate) const DELAY_MS: RangeInclusive<u32> = 0..=86_400_000;
/// 0 processes are enough where more would be too many.
pub(crate) const QUORUM: RangeInclusive<u32> = 0..=65_535;
pub(crate) const COUNT: RangeInclusive<u32> = 1..=1_000_000;

impl Tracked {
    pub(crate) const ALL: [Self; 4] = [Self::Interface, Self::Script, Self::Process, Self::File];

    /// The setting that lists them, keepalived's word too.
    pub(crate) fn setting(self) -> &'static str {
        match self {
            Self::Interface => "track_interface",
            Self::Script => "track_script",
            Self::Process => "track_process",
            Self::File => "track_file",
        }
    }

    /// What one is called in a message.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Interface => "interface",
            Self::Script => "script",
            Self::Process => "process",
            Self::File => "file",
        }
    }

    /// The largest weight, and negated, the smallest.
    pub(crate) fn most(self) -> i16 {
        match self {
            Self::Interface | Self::Script => 253,
            Self::Process | Self::File => 254,
        }
    }

    pub(crate) fn of(self, tracking: &Tracking) -> &BTreeMap<String, Weight> {
        match self {
            Self::Interface => &tracking.interfaces,
            Self::Script => &tracking.scripts,
            Self::Process => &tracking.processes,
            Self::File => &tracking.files,
        }
    }
}
