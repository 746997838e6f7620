//! What can be wrong with a node's identity, in words for the operator.

use std::io;
use std::path::{Path, PathBuf};

use leasehold_raft_core::model::NodeId;

/// Each message says what is wrong and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no node in {}; run `leasehold init` or `leasehold join` first", .dir.display())]
    NoNode { dir: PathBuf },
    #[error(
        "{} already holds node {name} of cluster {cluster}; choose another --data-dir, or remove \
         it to start anew under a new id", .dir.display()
    )]
    Occupied { dir: PathBuf, name: String, cluster: String },
    #[error(
        "{} is not empty and is no node's (it holds {entry}); choose another --data-dir",
        .dir.display()
    )]
    Foreign { dir: PathBuf, entry: String },
    #[error("data directory {} is in use by pid {pid}", .dir.display())]
    InUse { dir: PathBuf, pid: String },
    #[error(
        "{} is damaged: {why}; remove this node from the cluster, and join again in an empty \
         directory", .path.display()
    )]
    Damaged { path: PathBuf, why: String },
    #[error(
        "{} has format {found}, and this leasehold knows format {known}: install the version that \
         wrote it, or a newer one", .path.display()
    )]
    FutureFormat { path: PathBuf, found: u64, known: u64 },
    #[error(
        "{} can be read by other users (mode {mode:04o}): chmod 600 it, and start anew if it may \
         have been read", .path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error("cannot {action} {}: {source}{}", .path.display(), hint(.source))]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("`{name}` cannot name a {what}: {rule}")]
    Name { what: &'static str, name: String, rule: &'static str },
    #[error(
        "`{address}` is no address that other nodes can reach: {why}; give IP:PORT or HOST:PORT"
    )]
    Address { address: String, why: &'static str },
    #[error(
        "the path {} is longer than a unix socket's may be ({limit} bytes): choose a shorter \
         --data-dir", .path.display()
    )]
    SocketPath { path: PathBuf, limit: usize },
    #[error("this node holds no CA key, so it cannot sign certificates: ask a director")]
    NoAuthority,
    #[error("the certificate signing request is refused: {0}")]
    SigningRequest(&'static str),
    #[error("the join was answered with something unusable: {0}")]
    JoinAnswer(String),
    #[error(
        "the cluster has admitted this machine as node {node}, but it could not be written down: \
         {source}; then `leasehold member remove {name}` on a member, and join with a new token"
    )]
    Unrecorded { node: NodeId, name: String, source: Box<Error> },
    #[error("the client certificate file is unusable: {0}")]
    ClientBundle(&'static str),
    #[error("cannot make a key or certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] tonic::transport::Error),
}

impl Error {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(super) fn damaged(path: &Path, why: impl ToString) -> Self {
        Self::Damaged { path: path.to_owned(), why: why.to_string() }
    }
}

/// What to do about the failures that an operator can mend.
fn hint(error: &io::Error) -> &'static str {
    let kind = error.kind();
    if kind == io::ErrorKind::PermissionDenied {
        "; run as its owner or as root, or choose another --data-dir"
    } else if kind == io::ErrorKind::ReadOnlyFilesystem {
        "; choose a --data-dir on a writable file system"
    } else if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        "; free some space, or choose another --data-dir"
    } else {
        ""
    }
}
