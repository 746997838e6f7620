//! Load balancing by address translation, where the kernel has no IPVS: the `nft` program, and
//! one table that is replaced as a whole.

use std::collections::BTreeMap;
use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

use leasehold_dataplane_core::service::{Key, Service, Table, refused, ruleset, unservable};

use crate::balancer::{Done, Failures, Wishes};
use crate::run::{LIMIT, run};

const PROGRAM: &str = "nft";

/// The table is ours, whatever is in it.
const TABLE: &str = "leasehold";

/// Why nftables can't be used.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    #[error("this kernel has no IPVS, and the program nft is missing: apt-get install nftables")]
    Missing,
    #[error("running nft: {0}")]
    Run(#[source] io::Error),
    #[error("nft refused: {0}")]
    Refused(String),
}

/// How long what was refused is not tried again.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// How often `nft` may be asked which service it refuses: some three of a thousand are found.
const TRIES: usize = 40;

/// The table of this network namespace.
#[derive(Debug, Default)]
pub struct Nftables {
    /// What was put into the table, and how the kernel listed it then.
    applied: Option<(Table, String)>,
    /// Services for which the kernel refused the whole table.
    refused: BTreeMap<Key, Refused>,
}

#[derive(Debug)]
struct Refused {
    service: Service,
    why: String,
    at: Instant,
}

impl Nftables {
    /// # Errors
    /// Where there is no `nft`, or it finds no nftables in the kernel.
    pub fn open() -> Result<Self, NftError> {
        nft(&["list", "tables"], "")?;
        Ok(Self::default())
    }

    /// Adds and mends; what is to go stays until [`Nftables::retire`].
    pub(crate) fn put(&mut self, wishes: &Wishes<'_>) -> Result<Done, NftError> {
        let mut both = self.applied.as_ref().map(|(table, _)| table.clone()).unwrap_or_default();
        both.extend(wishes.table.iter().map(|(key, service)| (*key, service.clone())));
        self.serve(both)?;
        let mut failures = Failures::new();
        for (key, service) in wishes.table {
            if let Some(why) = unservable(key, service) {
                failures.insert(*key, why.to_string());
            } else if let Some(refused) = self.refused.get(key) {
                failures.insert(*key, refused.why.clone());
            }
        }
        // It tracks connections by address, not by real server: there is nothing to count.
        let unsynced = wishes.sync.map(|_| "nftables copies no connections".to_owned());
        Ok(Done { failures, unsynced, before: BTreeMap::new() })
    }

    /// Leaves these services, and no others.
    pub(crate) fn retire(&mut self, table: &Table) -> Result<(), NftError> {
        self.serve(table.clone())
    }

    /// Removes the table, whoever made it.
    ///
    /// # Errors
    /// Where `nft` refuses.
    pub fn clear(&mut self) -> Result<(), NftError> {
        self.applied = None;
        if list()?.is_empty() {
            return Ok(());
        }
        nft(&["-f", "-"], &ruleset(TABLE, &Table::new())).map(drop)
    }

    /// Makes the kernel's table this one, without the services that it refuses.
    fn serve(&mut self, mut table: Table) -> Result<(), NftError> {
        self.refused.retain(|key, one| {
            table.get(key) == Some(&one.service) && one.at.elapsed() < REFUSED_FOR
        });
        table.retain(|key, _| !self.refused.contains_key(key));
        match self.replace(&table) {
            Err(NftError::Refused(why)) => {
                let found = refused(&table, TRIES, |some| {
                    match nft(&["--check", "-f", "-"], &ruleset(TABLE, some)) {
                        Ok(_) => Ok(None),
                        Err(NftError::Refused(why)) => Ok(Some(why)),
                        Err(error) => Err(error),
                    }
                })?;
                if found.is_empty() {
                    return Err(NftError::Refused(why));
                }
                let at = Instant::now();
                for (key, why) in found {
                    if let Some(service) = table.remove(&key) {
                        let why = format!("nft refuses it: {why}");
                        self.refused.insert(key, Refused { service, why, at });
                    }
                }
                self.replace(&table)
            }
            other => other,
        }
    }

    /// Makes the kernel's table this one, unless it is it already.
    fn replace(&mut self, table: &Table) -> Result<(), NftError> {
        match &self.applied {
            Some((is, listed)) if is == table => {
                if *listed == list()? {
                    return Ok(());
                }
            }
            // Never made, and not there.
            None if table.is_empty() && list()?.is_empty() => return Ok(()),
            Some(_) | None => {}
        }
        nft(&["-f", "-"], &ruleset(TABLE, table))?;
        // Asked now: later, another's hand may have been in it.
        self.applied = Some((table.clone(), list()?));
        Ok(())
    }
}

/// The table as the kernel has it, without its counters; empty where there is none.
fn list() -> Result<String, NftError> {
    match nft(&["--stateless", "list", "table", "inet", TABLE], "") {
        Ok(text) => Ok(text),
        Err(NftError::Refused(why)) if why.contains("No such file") => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// Runs the program to its end.
fn nft(arguments: &[&str], input: &str) -> Result<String, NftError> {
    let output = run(Command::new(PROGRAM).args(arguments), input, LIMIT).map_err(|error| {
        let missing = error.kind() == io::ErrorKind::NotFound;
        if missing { NftError::Missing } else { NftError::Run(error) }
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let first = stderr.lines().find(|line| !line.trim().is_empty()).unwrap_or("it did not say why");
    Err(NftError::Refused(first.trim().to_owned()))
}
