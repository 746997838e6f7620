//! What can go wrong in the testbed, said with what to do about it.

use std::io;
use std::time::Duration;

/// A failure of the testbed itself, never of what is tested.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A program that the lab ran refused.
    #[error("`{command}` failed: {stderr}")]
    Command {
        /// The command line.
        command: String,
        /// What it said.
        stderr: String,
    },
    /// A program that the lab needs is not installed.
    #[error("`{program}` is not installed; {install}")]
    Missing {
        /// Its name.
        program: String,
        /// How to get it.
        install: String,
    },
    /// A system call failed.
    #[error("{what}: {source}; the lab needs root (CAP_NET_ADMIN and CAP_SYS_ADMIN)")]
    System {
        /// What was attempted.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// Something did not happen within its limit.
    #[error("waited {limit:?} in vain for {what}")]
    Timeout {
        /// What was awaited.
        what: String,
        /// How long.
        limit: Duration,
    },
    /// An argument makes no sense.
    #[error("{0}")]
    Argument(String),
}

impl LabError {
    /// Wraps a failed system call with what was attempted.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> LabError {
        let what = what.into();
        move |source| LabError::System { what, source }
    }

    /// The same for the errors of `nix`.
    pub(crate) fn errno(what: impl Into<String>) -> impl FnOnce(nix::errno::Errno) -> LabError {
        let what = what.into();
        move |errno| LabError::System { what, source: errno.into() }
    }
}
