//! Writes to three members on one machine: how long one takes, and how many there are a second.
//!
//! A write is a whole configuration of some size here, and a value of the same size in Debian's
//! etcd, in the same run, on the same disk: without TLS between its members, and with it, as it is
//! here always. Each is asked of the leader, over one HTTP/2 connection that all writers share.

mod documents;
mod etcd;
mod leasehold;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use leasehold_lab::cluster::{Cluster, Plan as ClusterPlan};
use leasehold_lab::peers::etcd::{Between, Etcd};
use leasehold_lab::{LabError, Lan, Process, Result};
use tokio::task::JoinSet;

use super::usage::Meter;

pub use documents::{Document, documents};

/// Before anything is measured.
const WARM_UP: Duration = Duration::from_secs(2);

const SUBNET: &str = "10.92.0.0/24";

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Each number is measured by itself.
    pub writers: Vec<usize>,
    pub span: Duration,
    /// About how large a value is.
    pub bytes: usize,
}

/// What so many writers saw of one system.
#[derive(Clone, Debug)]
pub struct Row {
    system: &'static str,
    writers: usize,
    bytes: usize,
    span: Duration,
    /// Sorted.
    times: Vec<Duration>,
    failed: usize,
    /// CPU time of all members for one write.
    cpu: Duration,
}

impl Row {
    pub const HEAD: &'static str = "| system | writers | bytes | writes/s | p50 / p99 / max ms | \
        CPU us a write | failed |\n| --- | --- | --- | --- | --- | --- | --- |";

    fn of(system: &'static str, writers: usize, bytes: usize, span: Duration) -> Row {
        Row { system, writers, bytes, span, times: Vec::new(), failed: 0, cpu: Duration::ZERO }
    }

    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failed == 0 && !self.times.is_empty()
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Row { system, writers, bytes, span, times, failed, cpu } = self;
        let at = |share: f64| {
            let place = (times.len() as f64 * share) as usize;
            let time = times.get(place.min(times.len().saturating_sub(1)));
            time.copied().unwrap_or_default().as_secs_f64() * 1e3
        };
        write!(
            f,
            "| {system} | {writers} | {bytes} | {:.0} | {:.2} / {:.2} / {:.2} | {:.0} | {failed} |",
            times.len() as f64 / span.as_secs_f64(),
            at(0.5),
            at(0.99),
            at(1.0),
            cpu.as_secs_f64() * 1e6
        )
    }
}

/// Whoever takes values, each in place of the one before.
trait Store: Clone + Send + 'static {
    /// Writes the value with this number; true when it is acknowledged.
    fn write(&mut self, number: u64) -> impl Future<Output = bool> + Send;
}

/// Measures etcd and then Leasehold with each number of writers.
///
/// # Errors
/// Where either does not come up.
pub fn run(binary: PathBuf, plan: &Plan, mut row: impl FnMut(&Row)) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| LabError::Argument(format!("starting tokio: {error}")))?;
    let document = leasehold::Document::new(plan.bytes)?;
    let bytes = document.size();
    for (name, between) in [("etcd", Between::Plain), ("etcd, TLS", Between::Tls)] {
        let lan = Lan::new("etcd", SUBNET, None)?;
        let etcd = Etcd::start(&lan, between)?;
        let store = runtime.block_on(etcd::Client::connect(etcd.members(), bytes))?;
        let members: Vec<&Process> = etcd.members().iter().map(|one| &one.process).collect();
        for writers in &plan.writers {
            let what = Row::of(name, *writers, bytes, plan.span);
            row(&runtime.block_on(measure(what, store.clone(), &members)));
        }
    }
    let cluster = Cluster::start(&ClusterPlan::new(binary))?;
    let leader = cluster.wait_for("a leader", Cluster::leader)?;
    let data_dir = &cluster.nodes()[leader].data_dir;
    let store = runtime.block_on(leasehold::Client::connect(data_dir, document))?;
    let members: Vec<&Process> =
        (0..cluster.nodes().len()).map(|index| cluster.daemon(index)).collect::<Result<_>>()?;
    for writers in &plan.writers {
        let what = Row::of("leasehold", *writers, bytes, plan.span);
        row(&runtime.block_on(measure(what, store.clone(), &members)));
    }
    Ok(())
}

/// Writers that each begin the next write when one is acknowledged.
async fn measure<S: Store>(mut row: Row, store: S, members: &[&Process]) -> Row {
    let meters: Vec<Meter> = members.iter().map(|one| Meter::start(one)).collect();
    let begin = Instant::now() + WARM_UP;
    let end = begin + row.span;
    let writers = row.writers;
    let mut all = JoinSet::new();
    for writer in 0..writers {
        let mut store = store.clone();
        all.spawn(async move {
            let (mut times, mut warm_up, mut failed) = (Vec::new(), 0, 0);
            // Numbers that no other writer has.
            for number in (writer as u64..).step_by(writers) {
                let asked = Instant::now();
                if asked >= end {
                    break;
                }
                let kept = store.write(number).await;
                match kept {
                    true if asked >= begin => times.push(asked.elapsed()),
                    true => warm_up += 1,
                    false => failed += 1,
                }
            }
            (times, warm_up, failed)
        });
    }
    let mut written = 0;
    while let Some(ended) = all.join_next().await {
        // A writer that died has written nothing that counts.
        let (times, warm_up, failed) = ended.unwrap_or((Vec::new(), 0, 1));
        written += times.len() + warm_up;
        row.times.extend(times);
        row.failed += failed;
    }
    row.times.sort_unstable();
    let used: f64 = meters.iter().zip(members).map(|(meter, one)| meter.cpu_seconds(one)).sum();
    row.cpu = Duration::from_secs_f64(used / written.max(1) as f64);
    row
}
