//! Acknowledged is durable: all daemons killed at a random instant while changes pour in.

use std::path::PathBuf;
use std::time::Duration;

use leasehold_lab::cluster::{Cluster, Plan};
use leasehold_lab::{LabError, Result};

/// What was tried and what was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub rounds: usize,
    pub acknowledged: usize,
    /// Rounds after which the configuration was older than the last one acknowledged.
    pub lost: usize,
    /// Revisions that did not grow from one acknowledgement to the next.
    pub reordered: usize,
}

/// Each round applies up to `per_round` configurations, each telling its own number, and kills
/// every process of every member while some are under way.
///
/// # Errors
/// Where the cluster does not come up again.
pub fn run(
    binary: PathBuf,
    rounds: usize,
    per_round: usize,
    mut each: impl FnMut(usize, Tally),
) -> Result<Tally> {
    let mut cluster = Cluster::start(&Plan::new(binary))?;
    let mut tally = Tally::default();
    let (mut number, mut revision) = (0_usize, 0_u64);
    // A small generator suffices: what matters is that the instants differ.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..rounds {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let stop_at = 1 + usize::try_from(random).unwrap_or(0) % per_round;
        let mut acknowledged = number;
        std::thread::scope(|scope| -> Result<()> {
            let cluster = &cluster;
            let (told, killed) = std::sync::mpsc::channel::<()>();
            let killer = scope.spawn(move || -> Result<()> {
                // The kill comes between two acknowledgements, wherever the next one stands.
                let _ = killed.recv_timeout(Duration::from_secs(120));
                (0..3).try_for_each(|index| cluster.daemon(index)?.kill_tree())
            });
            for step in 0..per_round {
                if step == stop_at {
                    // The killer may be done already.
                    let _ = told.send(());
                }
                number += 1;
                match cluster.apply("toml", &configuration(number)) {
                    Ok(answer) => {
                        acknowledged = number;
                        tally.acknowledged += 1;
                        let now = revision_of(&answer)?;
                        if now <= revision {
                            tally.reordered += 1;
                        }
                        revision = now;
                    }
                    Err(_) => break,
                }
            }
            drop(told);
            killer.join().map_err(|_| LabError::Argument("the killer died".to_owned()))?
        })?;
        for index in 0..3 {
            cluster.mark_down(index);
        }
        for index in 0..3 {
            cluster.run(index)?;
        }
        cluster.wait_for_voters()?;
        let found = numbered(&cluster.cli(0, &["export"])?)?;
        cluster.wait_for("every member to catch up", |this| {
            (0..3).try_for_each(|index| {
                let local = numbered(&this.cli(index, &["export", "--local"]).ok()?).ok()?;
                (local == found).then_some(())
            })
        })?;
        if found < acknowledged {
            tally.lost += 1;
        }
        tally.rounds += 1;
        each(round, tally);
    }
    Ok(tally)
}

/// A configuration that tells its number: the interface is nobody's, so that nothing is bound.
fn configuration(number: usize) -> String {
    format!(
        "[instance.n{number}]\nvirtual_router_id = 1\ninterface = \"none\"\n\
         virtual_ipaddress = [\"10.{}.{}.{}\"]\n",
        number >> 16 & 255,
        number >> 8 & 255,
        number & 255
    )
}

fn numbered(export: &str) -> Result<usize> {
    let found = export.split("[instance.n").nth(1).and_then(|rest| rest.split(']').next());
    match found {
        None => Ok(0),
        Some(text) => text.parse().map_err(|_| LabError::Argument(format!("no number: {text}"))),
    }
}

/// From "revision 17 is in force".
fn revision_of(answer: &str) -> Result<u64> {
    let word = answer.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    word.ok_or_else(|| LabError::Argument(format!("no revision in {answer:?}")))
}
