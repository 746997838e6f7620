//! Large documents by the command line: what applying one takes, and what it leaves in the log.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use leasehold_lab::cluster::{Cluster, Plan};
use leasehold_lab::{LabError, Result};

use super::leasehold::{config, encoded, toml};

const REAL_SERVERS: usize = 3;

/// Ports of one address.
const VIRTUAL_SERVERS_MAX: usize = 65_000;

/// A document of so many virtual servers with three real servers each.
#[derive(Clone, Copy, Debug)]
pub struct Document {
    pub virtual_servers: usize,
    toml_bytes: usize,
    entry_bytes: usize,
    /// From the command's start to its end.
    dry_run: Duration,
    apply: Duration,
    /// Until the last of the three members has it.
    everywhere: Duration,
    export: Duration,
}

impl Document {
    pub const HEAD: &'static str = "| virtual servers | TOML kB | log entry kB | dry run ms | \
        apply ms | on all members ms | export ms |\n| --- | --- | --- | --- | --- | --- | --- |";
}

impl std::fmt::Display for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kb = |bytes: usize| bytes as f64 / 1e3;
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "| {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} |",
            self.virtual_servers,
            kb(self.toml_bytes),
            kb(self.entry_bytes),
            ms(self.dry_run),
            ms(self.apply),
            ms(self.everywhere),
            ms(self.export)
        )
    }
}

/// Applies documents of these numbers of virtual servers to a cluster of three.
///
/// # Errors
/// Where the cluster does not come up, or does not take one.
pub fn documents(
    binary: PathBuf,
    numbers: &[usize],
    mut each: impl FnMut(&Document),
) -> Result<()> {
    if let Some(wrong) = numbers.iter().find(|number| !(1..=VIRTUAL_SERVERS_MAX).contains(*number))
    {
        return Err(LabError::Argument(format!(
            "--services {wrong}: 1 to {VIRTUAL_SERVERS_MAX} are possible"
        )));
    }
    let cluster = Cluster::start(&Plan::new(binary))?;
    for number in numbers {
        each(&measure(&cluster, *number)?);
    }
    Ok(())
}

fn measure(cluster: &Cluster, virtual_servers: usize) -> Result<Document> {
    let toml = toml(virtual_servers, REAL_SERVERS);
    let entry_bytes = encoded(&config(&toml)?)?.len();
    let (dry_run, _) = timed(|| cluster.apply_with("toml", &toml, &["--dry-run"]))?;
    let begun = Instant::now();
    let (apply, _) = timed(|| cluster.apply("toml", &toml))?;
    let revision = |index: usize| cluster.status(index)?["cluster"]["revision"].as_u64();
    let first = revision(0).ok_or_else(|| LabError::Argument("no revision is told".to_owned()))?;
    cluster.wait_for("all members to have it", |_| {
        (0..3).all(|index| revision(index) == Some(first)).then_some(())
    })?;
    let everywhere = begun.elapsed();
    let (export, text) = timed(|| cluster.cli(0, &["export"]))?;
    if text.matches("[[virtual_server]]").count() != virtual_servers {
        return Err(LabError::Argument("what was exported is not what was applied".to_owned()));
    }
    Ok(Document {
        virtual_servers,
        toml_bytes: toml.len(),
        entry_bytes,
        dry_run,
        apply,
        everywhere,
        export,
    })
}

fn timed(work: impl FnOnce() -> Result<String>) -> Result<(Duration, String)> {
    let begun = Instant::now();
    let text = work()?;
    Ok((begun.elapsed(), text))
}
