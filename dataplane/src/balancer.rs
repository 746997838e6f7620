//! Whatever of the kernel forwards packets to real servers, behind one set of questions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use leasehold_dataplane_core::service::{Drains, Existing, Key, Sync, Table};
use leasehold_ipvs as kernel;
use leasehold_model::{BootNanos, Dataplane, LvsTimeouts};

use crate::Journal;
use crate::ipvs::Ipvs;
use crate::nftables::{NftError, Nftables};

/// Why services can't be programmed.
#[derive(Debug, thiserror::Error)]
pub enum BalancerError {
    #[error(transparent)]
    Ipvs(#[from] kernel::Error),
    #[error("{0} is still served by IPVS, and can't be removed: {1}")]
    Left(Key, String),
    #[error("the journal of services: {0}")]
    Journal(#[source] std::io::Error),
    #[error(transparent)]
    Nftables(#[from] NftError),
}

/// The balancer of this network namespace.
#[derive(Debug)]
pub enum Balancer {
    Ipvs(Ipvs),
    Nftables(Nftables),
}

/// What a pass is to bring about.
#[derive(Debug)]
pub struct Wishes<'a> {
    pub table: &'a Table,
    /// Services that are ours to remove where the table lacks them.
    pub owned: &'a BTreeSet<Key>,
    pub sync: Option<&'a Sync>,
    /// The configuration no longer has a sync daemon that it had.
    pub end_sync: bool,
    pub timeouts: Option<LvsTimeouts>,
    /// How long a real server that left may keep its connections.
    pub drain_for: Duration,
}

/// What could not be done, by service.
pub type Failures = BTreeMap<Key, String>;

/// What a pass found and did.
#[derive(Debug, Default)]
pub struct Done {
    pub failures: Failures,
    /// Why connections are not copied as they should be, if they are not.
    pub unsynced: Option<String>,
    /// The services of the table as they were before it.
    pub before: BTreeMap<Key, Existing>,
}

/// Removes the services that a daemon, which is gone, noted in its journal, and its sync daemon.
///
/// # Errors
/// Where the kernel can't be talked to. What it refuses stays in the journal.
pub fn clear(journal: &Path) -> Result<(), BalancerError> {
    let mut journal = Journal::open(journal).map_err(BalancerError::Journal)?;
    if journal.keys().is_empty() && !journal.has_sync() {
        return Ok(());
    }
    let (left, unstopped) = match Ipvs::open() {
        Ok(mut ipvs) => {
            let left = ipvs.retire(&Table::new(), journal.keys())?;
            let stopped = if journal.has_sync() { ipvs.stop_sync() } else { Ok(()) };
            (left, stopped.err())
        }
        Err(kernel::Error::NoIpvs) => (Failures::new(), None),
        Err(error) => return Err(error.into()),
    };
    clear_nftables();
    for (key, why) in &left {
        tracing::warn!("{key} can't be removed: {why}");
    }
    if let Some(error) = &unstopped {
        tracing::warn!(%error, "connections are still copied");
    }
    let noted = journal.write(left.into_keys().collect());
    let noted = noted.and_then(|()| journal.note_sync(unstopped.is_some()));
    if let Err(error) = noted {
        tracing::warn!(%error, "the journal of services keeps what is gone");
    }
    Ok(())
}

/// Removes what nftables has of ours. Nothing waits for it: IPVS serves without.
fn clear_nftables() {
    let cleared = match Nftables::open() {
        Ok(mut nftables) => nftables.clear(),
        // Without its program, or the kernel's part, it was never used.
        Err(NftError::Missing | NftError::Refused(_)) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = cleared {
        tracing::warn!(%error, "the nftables table inet leasehold may be left: delete it by hand");
    }
}

impl Balancer {
    /// Opens the balancer that the configuration asks for, and removes from the other one what is
    /// ours.
    ///
    /// # Errors
    /// Where this kernel has none such.
    pub fn open_alone(choice: Dataplane, owned: &BTreeSet<Key>) -> Result<Self, BalancerError> {
        let opened = Self::open(choice)?;
        match &opened {
            Self::Ipvs(_) => clear_nftables(),
            // Looked for, and not loaded for this.
            Self::Nftables(_) if Path::new("/proc/net/ip_vs").exists() => {
                let left = Ipvs::open()?.retire(&Table::new(), owned)?;
                if let Some((key, why)) = left.into_iter().next() {
                    return Err(BalancerError::Left(key, why));
                }
            }
            Self::Nftables(_) => {}
        }
        Ok(opened)
    }

    /// Opens the balancer that the configuration asks for.
    ///
    /// # Errors
    /// Where this kernel has none such.
    pub fn open(choice: Dataplane) -> Result<Self, BalancerError> {
        match choice {
            Dataplane::Ipvs => Ok(Self::Ipvs(Ipvs::open()?)),
            Dataplane::Nftables => Ok(Self::Nftables(Nftables::open()?)),
            Dataplane::Auto => match Ipvs::open() {
                Ok(ipvs) => Ok(Self::Ipvs(ipvs)),
                Err(kernel::Error::NoIpvs) => Ok(Self::Nftables(Nftables::open()?)),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Adds what is missing and mends what differs; removes no service.
    ///
    /// # Errors
    /// Where the kernel can't be talked to. What it refuses is among the failures.
    pub fn put(
        &mut self,
        wishes: &Wishes<'_>,
        drains: &mut Drains,
        now: BootNanos,
    ) -> Result<Done, BalancerError> {
        match self {
            Self::Ipvs(ipvs) => Ok(ipvs.put(wishes, drains, now)?),
            Self::Nftables(nftables) => Ok(nftables.put(wishes)?),
        }
    }

    /// Removes the services that are ours and not wanted.
    ///
    /// # Errors
    /// Where the kernel can't be talked to. What it refuses is among the failures.
    pub fn retire(
        &mut self,
        table: &Table,
        owned: &BTreeSet<Key>,
    ) -> Result<Failures, BalancerError> {
        match self {
            Self::Ipvs(ipvs) => Ok(ipvs.retire(table, owned)?),
            Self::Nftables(nftables) => {
                nftables.retire(table)?;
                Ok(Failures::new())
            }
        }
    }
}
