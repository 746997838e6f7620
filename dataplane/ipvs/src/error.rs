//! What can go wrong, in words that say what to do.

use std::fmt;
use std::io;

use crate::Request;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "this kernel has no IPVS: load the module ip_vs, or boot a kernel that has it \
         (CONFIG_IP_VS)"
    )]
    NoIpvs,
    #[error("no netlink socket: {0}")]
    Socket(#[source] io::Error),
    #[error("the kernel does not answer within {0} seconds")]
    Silent(u64),
    #[error("the kernel's answer makes no sense: {0}")]
    Malformed(&'static str),
    #[error("{0:?} is no service: write it as ipvsadm does, -t 192.0.2.1:80 or -f 1")]
    NoService(String),
    #[error("{0}")]
    Refused(#[source] io::Error),
}

/// A request that the kernel refused, while it carried out the others.
#[derive(Debug)]
pub struct Refusal {
    /// Its place among the requests.
    pub index: usize,
    pub why: io::Error,
    request: String,
    hint: &'static str,
}

impl Refusal {
    pub(crate) fn new(index: usize, request: &Request, why: io::Error) -> Self {
        let hint = hint(request, &why);
        Self { index, why, request: request.to_string(), hint }
    }

    /// The error's number, where it came from the kernel.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.why.raw_os_error()
    }
}

/// Numbers of `asm-generic/errno-base.h`, and what they mean here (`net/netfilter/ipvs/ip_vs_ctl.c`).
mod errno {
    pub(super) const EPERM: i32 = 1;
    pub(super) const ENOENT: i32 = 2;
    pub(super) const ESRCH: i32 = 3;
    pub(super) const EEXIST: i32 = 17;
    pub(super) const ENODEV: i32 = 19;
    pub(super) const EINVAL: i32 = 22;
    pub(super) const ERANGE: i32 = 34;
}

fn hint(request: &Request, why: &io::Error) -> &'static str {
    use Request::{
        AddDestination, AddService, DeleteDestination, DeleteService, Flush, SetDestination,
        SetService, SetTimeouts, StartSync, StopSync, Zero,
    };
    let Some(number) = why.raw_os_error() else { return "" };
    match (request, number) {
        (_, errno::EPERM) => "it needs CAP_NET_ADMIN",
        (AddService(_) | SetService(_), errno::ENOENT) => {
            "this kernel has no such scheduler or persistence engine: load its module, ip_vs_NAME"
        }
        (AddService(_), errno::EEXIST) => "there is one already",
        (AddService(_) | SetService(_), errno::EINVAL) => {
            "the kernel does not take this combination; a scheduler may know one family only"
        }
        (AddDestination(..), errno::EEXIST) => "the service has it already",
        (AddDestination(..) | SetDestination(..), errno::EINVAL) => {
            "its address must be a unicast one; of another family than its service's, it takes a \
             tunnel, and no synchronised connections"
        }
        (AddDestination(..) | SetDestination(..), errno::ERANGE) => {
            "the lower limit must not be above the upper one"
        }
        (SetDestination(..) | DeleteDestination(..), errno::ENOENT) => {
            "the service has no such destination"
        }
        (StartSync(_), errno::ENODEV) => "there is no such interface",
        (StartSync(_), errno::EEXIST) => "one runs already",
        (StopSync(_), errno::ESRCH) => "none runs",
        (
            SetService(_)
            | DeleteService(_)
            | AddDestination(..)
            | SetDestination(..)
            | DeleteDestination(..)
            | Zero(_),
            errno::ESRCH | errno::ENOENT,
        ) => "there is no such service",
        (
            AddService(_)
            | SetService(_)
            | DeleteService(_)
            | AddDestination(..)
            | SetDestination(..)
            | DeleteDestination(..)
            | Flush
            | Zero(_)
            | SetTimeouts(_)
            | StartSync(_)
            | StopSync(_),
            _,
        ) => "",
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ipvsadm {}: {}", self.request, self.why)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, ": {}", self.hint) }
    }
}

impl std::error::Error for Refusal {}
