//! What a director watches to know how fit it is to hold an instance.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::virtual_server::Script;

/// What an instance or a sync group follows, by name. Each has a weight: without one (0), a
/// failure is a fault, and the instance goes elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tracking {
    #[serde(rename = "track_interface", skip_serializing_if = "BTreeMap::is_empty")]
    pub interfaces: BTreeMap<String, Weight>,
    #[serde(rename = "track_script", skip_serializing_if = "BTreeMap::is_empty")]
    pub scripts: BTreeMap<String, Weight>,
    #[serde(rename = "track_process", skip_serializing_if = "BTreeMap::is_empty")]
    pub processes: BTreeMap<String, Weight>,
    #[serde(rename = "track_file", skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Weight>,
}

impl Tracking {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.interfaces.is_empty()
            && self.scripts.is_empty()
            && self.processes.is_empty()
            && self.files.is_empty()
    }
}

/// What one tracked thing does to the priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Weight {
    /// Above 0: added while it is well. Below: taken while it is not. 0: not well is a fault.
    /// Absent: what the script, process or file itself is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i16>,
    /// The sign of what it adds or takes is turned. Without a weight: to be well is the fault.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reverse: bool,
}

/// `vrrp_script`: well while it exits with 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrackScript {
    pub script: Script,
    /// Between one start and the next, in milliseconds.
    #[serde(default = "second")]
    pub interval_ms: u32,
    /// When it is killed, which counts as a failure. Absent: the interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub weight: Weight,
    /// Successes in a row that make it well.
    #[serde(default = "one")]
    pub rise: u32,
    /// Failures in a row that make it not well.
    #[serde(default = "one")]
    pub fall: u32,
    /// Before its first result it is not well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub init_fail: bool,
}

impl TrackScript {
    /// As it is where nothing more is said.
    #[must_use]
    pub fn new(script: Script) -> Self {
        Self {
            script,
            interval_ms: second(),
            timeout_ms: None,
            weight: Weight::default(),
            rise: one(),
            fall: one(),
            init_fail: false,
        }
    }
}

/// `vrrp_track_process`: well while enough processes of a name run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrackProcess {
    /// The name of the program, or its path, and with `param_match` its parameters.
    pub process: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub param_match: ParamMatch,
    /// The whole command line is compared, not the name that the kernel has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub full_command: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub weight: Weight,
    /// How many are enough.
    #[serde(default = "one")]
    pub quorum: u32,
    /// How many are too many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum_max: Option<u32>,
    /// How long there have to be enough before it is well, in milliseconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fork_delay_ms: u32,
    /// How long there have to be too few before it is not.
    #[serde(default, skip_serializing_if = "is_default")]
    pub terminate_delay_ms: u32,
}

impl TrackProcess {
    /// As it is where nothing more is said.
    #[must_use]
    pub fn new(process: &str) -> Self {
        Self {
            process: process.to_owned(),
            param_match: ParamMatch::default(),
            full_command: false,
            weight: Weight::default(),
            quorum: one(),
            quorum_max: None,
            fork_delay_ms: 0,
            terminate_delay_ms: 0,
        }
    }
}

/// How a process's parameters are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParamMatch {
    /// Not at all, or where some are given, each.
    #[default]
    Exact,
    /// Those given are the first, and the last of them begins the process's.
    Initial,
    /// Those given are the first.
    Partial,
}

/// `track_file`: a number in a file, which times the weight is added to the priority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrackFile {
    pub file: String,
    /// Absent: 1. A sum of -254 or less is a fault, and so is a number other than 0 with weight 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub weight: Weight,
    /// Written where the file does not exist at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<i32>,
    /// Written at the start also where it exists.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overwrite: bool,
}

/// Instances that one lease covers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyncGroup {
    /// Names of instances, each in one group at most.
    pub members: Vec<String>,
    #[serde(skip_serializing_if = "Tracking::is_empty")]
    pub tracking: Tracking,
    #[serde(skip_serializing_if = "is_default")]
    pub notify: crate::notify::Notify,
}

fn second() -> u32 {
    1000
}
fn one() -> u32 {
    1
}
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
