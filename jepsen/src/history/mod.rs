//! What happened in a run, as its clients, its nemesis and its witness wrote it down.
//!
//! A history is a list of [`Op`]s in the order of one clock: every host of a run is a namespace of
//! one kernel, so CLOCK_BOOTTIME is one clock for all. An operation is an `invoke` and at most one
//! completion by the same process. `ok` happened, `fail` certainly did not, `info` may have, then
//! or at any later instant: a process whose operation ends so is given up, and its client goes on
//! under [a fresh number](Recorder::fresh_process). When in doubt, `info` is always true.
//!
//! Beside it lie what the witness saw on the wire and what members told of leases
//! ([`Observations`]), what was under test ([`Setup`]), and what was found at the end ([`Final`]).

mod edn;
mod fault;
mod folder;
mod lines;
mod observations;
mod recorder;
mod setup;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use edn::to_edn;
pub use fault::{Effect, Fault, Outcome, Way};
pub use folder::{Folder, FolderError};
pub use lines::{LineError, from_lines, to_lines};
pub use observations::{Observations, Source, Told, Word};
pub use recorder::{Recorder, Refused};
pub use setup::{Config, Director, Final, Gate, Kernel, Limits, Member, Planned, Setup};

/// Nanoseconds of CLOCK_BOOTTIME, as `leasehold_lab::now_ns` tells them.
pub type Nanos = u64;

/// The index of the log entry that put a configuration in force.
pub type Revision = u64;

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Op {
    /// From 0, without gaps.
    pub index: u64,
    pub time_ns: Nanos,
    pub process: Process,
    pub kind: Kind,
    #[serde(flatten)]
    pub f: F,
    /// Why it failed, or is in doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Who does one thing after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "ProcessText", try_from = "ProcessText")]
pub enum Process {
    /// A client, by a number that is never used again after an operation in doubt.
    Client(u64),
    /// Whoever breaks and heals. Its faults overlap; each is known by its number.
    Nemesis,
}

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It was begun.
    Invoke,
    /// It happened, between its invocation and now.
    Ok,
    /// It certainly did not happen and never will.
    Fail,
    /// It may have happened, or may yet. Of the nemesis: it is done, with what outcome it says.
    Info,
}

/// What is done, and with what: the invocation says what is asked, the completion repeats it with
/// what was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "f", content = "value", rename_all = "kebab-case")]
pub enum F {
    /// `export --json`.
    Read(Read),
    /// `apply`, whoever else applied meanwhile.
    Write(Write),
    /// `apply --if-revision`.
    Cas(Cas),
    /// One request through a VIP.
    Get(Get),
    /// An operator's word that is neither: `move`, `drain`, `member promote`.
    Command(Command),
    /// A fault begins.
    Start(Fault),
    /// A fault is healed; the same number as its start.
    Stop(Fault),
    /// Who votes: at the start of a run, and around every change of it.
    Voters(Voters),
}

/// The configuration in force. What it says is told by one number, which the workload writes into
/// the document; 0 is the document before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    pub revision: Revision,
    pub value: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// The member whose own applied state was asked for (`--local`), which may be behind. `None`:
    /// whatever is in force in the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Version>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    pub value: u64,
    /// The answer: the revision in force with this document. The same document again makes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cas {
    pub if_revision: Revision,
    pub value: u64,
    /// The answer: of `ok` the revision made, of `fail` the one that was in force instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get {
    pub vip: IpAddr,
    /// What was answered: the name of who served, or a digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    pub words: Vec<String>,
    /// Whom it was said to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// Of the nemesis: `invoke` before the change is asked for, `ok` when it is known to be in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voters {
    pub voters: Vec<String>,
}

impl F {
    /// What Jepsen calls it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            F::Read(_) => "read",
            F::Write(_) => "write",
            F::Cas(_) => "cas",
            F::Get(_) => "get",
            F::Command(_) => "command",
            F::Start(_) => "start",
            F::Stop(_) => "stop",
            F::Voters(_) => "voters",
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Process::Client(number) => write!(f, "{number}"),
            Process::Nemesis => f.write_str("nemesis"),
        }
    }
}

impl Kind {
    /// What Jepsen calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Invoke => "invoke",
            Kind::Ok => "ok",
            Kind::Fail => "fail",
            Kind::Info => "info",
        }
    }
}

/// A process as JSON has it: a number or a word, as Jepsen writes it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum ProcessText {
    Number(u64),
    Word(String),
}

impl From<Process> for ProcessText {
    fn from(process: Process) -> ProcessText {
        match process {
            Process::Client(number) => ProcessText::Number(number),
            Process::Nemesis => ProcessText::Word(process.to_string()),
        }
    }
}

impl TryFrom<ProcessText> for Process {
    type Error = String;

    fn try_from(text: ProcessText) -> Result<Process, String> {
        match text {
            ProcessText::Number(number) => Ok(Process::Client(number)),
            ProcessText::Word(word) if word == "nemesis" => Ok(Process::Nemesis),
            ProcessText::Word(word) => {
                Err(format!("`{word}` is no process: a number, or `nemesis`"))
            }
        }
    }
}
