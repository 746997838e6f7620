//! Load balancing by address translation, where the kernel has no IPVS: the `nft` program, and
//! one table that is replaced as a whole.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use leasehold_dataplane_core::service::{Table, ruleset, unservable};

use crate::balancer::{Done, Failures, Wishes};

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

/// The table of this network namespace.
#[derive(Debug, Default)]
pub struct Nftables {
    /// What was put into the table, and how the kernel lists it, once it was asked.
    applied: Option<(Table, Option<String>)>,
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
        self.replace(both)?;
        let mut failures = Failures::new();
        for (key, service) in wishes.table {
            if let Some(why) = unservable(key, service) {
                failures.insert(*key, why.to_string());
            }
        }
        // It tracks connections by address, not by real server: there is nothing to count.
        let unsynced = wishes.sync.map(|_| "nftables copies no connections".to_owned());
        Ok(Done { failures, unsynced, before: BTreeMap::new() })
    }

    /// Leaves these services, and no others.
    pub(crate) fn retire(&mut self, table: &Table) -> Result<(), NftError> {
        self.replace(table.clone())
    }

    /// Removes the table, whoever made it.
    ///
    /// # Errors
    /// Where `nft` refuses.
    pub fn clear(&mut self) -> Result<(), NftError> {
        self.applied = None;
        nft(&["-f", "-"], &ruleset(TABLE, &Table::new())).map(drop)
    }

    /// Makes the kernel's table this one, unless it is it already.
    fn replace(&mut self, table: Table) -> Result<(), NftError> {
        match &mut self.applied {
            Some((is, listed)) if *is == table => {
                let now = list()?;
                // A takeover does not wait for this: the first look after it asks.
                if *listed.get_or_insert_with(|| now.clone()) == now {
                    return Ok(());
                }
            }
            // Never made, and not there.
            None if table.is_empty() && list()?.is_empty() => return Ok(()),
            Some(_) | None => {}
        }
        nft(&["-f", "-"], &ruleset(TABLE, &table))?;
        self.applied = Some((table, None));
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
    let child = Command::new(PROGRAM)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|error| {
        let missing = error.kind() == io::ErrorKind::NotFound;
        if missing { NftError::Missing } else { NftError::Run(error) }
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that refuses early breaks the pipe; its own words say why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(NftError::Run)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let first = stderr.lines().find(|line| !line.trim().is_empty()).unwrap_or("it did not say why");
    Err(NftError::Refused(first.trim().to_owned()))
}
