//! Who made a thing: the test process, named so that a later run can tell whether it still lives.
//!
//! A pid alone is reused; with the start time beside it, it names one process for good. The tag is
//! part of every namespace's name, and of an environment variable that every program started by
//! the lab hands down to its children, so that also a grandchild whose parent is gone is known.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The variable that marks a process as the lab's.
pub(crate) const COOKIE: &str = "LEASEHOLD_LAB";

/// Where an owner notes what is neither a process nor a namespace.
pub(crate) const NOTES: &str = "/run/leasehold-lab";

/// A test process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    pid: u32,
    started: u64,
}

impl Owner {
    /// This process.
    pub(crate) fn this() -> Owner {
        static THIS: OnceLock<Owner> = OnceLock::new();
        *THIS.get_or_init(|| {
            let pid = std::process::id();
            let started = start_time(pid).expect("/proc/self/stat is readable on any Linux");
            Owner { pid, started }
        })
    }

    pub(crate) fn tag(self) -> String {
        format!("{}-{}", self.pid, self.started)
    }

    /// Reads the tag at the start of `text`, and what follows it.
    pub(crate) fn parse(text: &str) -> Option<(Owner, &str)> {
        let (pid, rest) = text.split_once('-')?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (started, rest) = rest.split_at(end);
        Some((Owner { pid: pid.parse().ok()?, started: started.parse().ok()? }, rest))
    }

    pub(crate) fn is_alive(self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    pub(crate) fn note_path(self) -> PathBuf {
        PathBuf::from(NOTES).join(format!("{}.pins", self.tag()))
    }
}

/// A number that no other thing of this process has.
pub(crate) fn next_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A process as the kernel describes it.
#[derive(Clone, Debug)]
pub(crate) struct Alive {
    pub(crate) pid: i32,
    /// The kernel's one-letter state: `T` is stopped, `Z` is dead but not yet collected.
    pub(crate) state: char,
}

/// Every live process whose cookie starts with `prefix`.
pub(crate) fn marked(prefix: &str) -> Vec<Alive> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| cookie(*pid).is_some_and(|cookie| cookie.starts_with(prefix)))
        .filter_map(alive)
        .filter(|process| process.state != 'Z')
        .collect()
}

/// The cookie that a process carries.
pub(crate) fn cookie(pid: i32) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment.split(|byte| *byte == 0).find_map(|entry| {
        let value = std::str::from_utf8(entry).ok()?.strip_prefix(COOKIE)?;
        value.strip_prefix('=').map(str::to_owned)
    })
}

pub(crate) fn alive(pid: i32) -> Option<Alive> {
    let fields = stat_fields(pid.try_into().ok()?)?;
    let state = fields.trim_start().chars().next()?;
    Some(Alive { pid, state })
}

fn start_time(pid: u32) -> Option<u64> {
    stat_fields(pid)?.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The fields after the program's name, which may itself hold spaces and brackets.
fn stat_fields(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_back() {
        let owner = Owner::this();
        let name = format!("{}-3-ds1", owner.tag());
        assert_eq!(Owner::parse(&name), Some((owner, "-3-ds1")));
        assert!(owner.is_alive());
    }

    #[test]
    fn a_pid_that_was_reused_is_not_its_former_owner() {
        let owner = Owner { started: Owner::this().started + 1, ..Owner::this() };
        assert!(!owner.is_alive());
    }
}
