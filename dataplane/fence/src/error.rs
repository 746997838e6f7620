//! What can go wrong with the fence, and what to do about it.

use std::io;
use std::path::PathBuf;

use aya::maps::MapError;
use aya::pin::PinError;
use aya::programs::ProgramError;
use aya::programs::links::LinkError;

/// The end of every message about a kernel that will not have the fence.
const WITHOUT_BPF: &str = "run as root with CAP_BPF and CAP_NET_ADMIN on Linux 5.11 or later";

/// Why the fence could not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    #[error(
        "there is no BPF file system on {}; mount one in the host's own mount namespace, so that \
         it outlives this process: `mount -t bpf bpf /sys/fs/bpf` (systemd does at boot; \
         `ip netns exec` hides it, `nsenter --net` does not)", path.display()
    )]
    NotMounted { path: PathBuf },

    #[error(
        "this process is in a time namespace of its own, whose CLOCK_BOOTTIME is not the kernel's: \
         deadlines would mean another instant; start it without the offset"
    )]
    TimeNamespace,

    #[error(
        "{interface} has an `ingress` qdisc, which leaves no place for what goes out; replace it: \
         `tc qdisc del dev {interface} ingress && tc qdisc add dev {interface} clsact`, then add \
         its filters again"
    )]
    IngressQdisc { interface: String },

    #[error(
        "{} is not on a BPF file system; choose a directory below /sys/fs/bpf", path.display()
    )]
    NotBpffs { path: PathBuf },

    #[error("the name of {} has a dot, which the BPF file system refuses; rename it", path.display())]
    DottedName { path: PathBuf },

    #[error("the kernel refused the fence: {0}; {WITHOUT_BPF}")]
    Load(#[source] Box<dyn std::error::Error + Send + Sync>),

    #[error(
        "{} is no map of the fence ({reason}); end whatever uses it, remove its directory and \
         start again", path.display()
    )]
    Foreign { path: PathBuf, reason: String },

    #[error("there is no fence at {}: {source}", path.display())]
    Absent { path: PathBuf, source: MapError },

    #[error("cannot attach the fence to {interface}: {source}; {WITHOUT_BPF}")]
    Attach { interface: String, source: Box<dyn std::error::Error + Send + Sync> },

    #[error(
        "the fence has room for {} VIPs and {wanted} were asked for; configure fewer",
        crate::layout::MAX_VIPS
    )]
    TooManyVips { wanted: usize },

    #[error("cannot {action} the fence's {map} map: {source}")]
    Map { action: &'static str, map: &'static str, source: MapError },

    #[error("cannot {action} {}: {source}", path.display())]
    Pin { action: &'static str, path: PathBuf, source: io::Error },

    #[error("cannot list the interfaces of this network namespace: {0}")]
    Interfaces(#[source] nix::Error),

    #[error("cannot ask the kernel for the filters of {interface}: {source}")]
    Filters { interface: String, source: io::Error },
}

impl FenceError {
    pub(crate) fn attach(
        interface: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Attach { interface: interface.to_owned(), source: source.into() }
    }

    pub(crate) fn load(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Load(source.into())
    }
}

/// The system call's own error, below whatever aya wrapped around it.
pub(crate) fn os_error(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>()
            && let Some(code) = io.raw_os_error()
        {
            return Some(code);
        }
        next = error.source();
    }
    None
}

/// aya's pin errors, as the plain I/O errors that they are.
pub(crate) fn pin_error(error: PinError) -> io::Error {
    match error {
        PinError::SyscallError(call) => call.io_error,
        other @ (PinError::NoFd { .. } | PinError::InvalidPinPath { .. }) => {
            io::Error::other(other)
        }
    }
}

pub(crate) type AnyError = Box<dyn std::error::Error + Send + Sync>;

// Named here so that a change of aya's error types is noticed in one place.
const _: fn(ProgramError) -> AnyError = |error| error.into();
const _: fn(LinkError) -> AnyError = |error| error.into();
