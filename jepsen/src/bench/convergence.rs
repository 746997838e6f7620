//! Daemon and guard killed while they change a thousand services, again and again.

use std::collections::BTreeSet;
use std::time::Duration;

use leasehold_lab::cluster::{Cluster, Plan, instance};
use leasehold_lab::site::LATER;
use leasehold_lab::{LabError, Result, now_ns, until};

use std::path::PathBuf;

const SERVICES: u16 = 1000;
const VIP: &str = "192.168.1.100";
const FOREIGN: &str = "-A -t 192.168.1.200:80 -s sh";

/// The kill comes within so long after the change was asked for.
const WITHIN: Duration = Duration::from_millis(2000);

/// What one round found.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// From the change to the kill.
    pub killed_after: Duration,
    /// Lines of the table at the restart that were neither of the old configuration nor new.
    pub left: usize,
    /// From the start of the next daemon to the right table.
    pub converged_after: Duration,
}

/// So many rounds; each must end with exactly what is configured, and what is not ours.
pub fn run(binary: PathBuf, rounds: usize, told: impl Fn(usize, Round)) -> Result<()> {
    let plan = Plan { directors: 1, ..Plan::new(binary) };
    let mut cluster = Cluster::start(&plan)?;
    let host = cluster.nodes()[0].host.clone();
    host.feed("ipvsadm", &["-R"], FOREIGN)?;
    let mut random = now_ns() | 1;
    cluster.apply("toml", &config(0))?;
    wait(&cluster, 0)?;
    for round in 1..=rounds {
        let killed_after = Duration::from_nanos(below(&mut random, WITHIN));
        let text = config(round);
        let begun = now_ns();
        std::thread::scope(|scope| {
            let change = scope.spawn(|| cluster.apply("toml", &text));
            let due = begun + u64::try_from(killed_after.as_nanos()).unwrap_or(u64::MAX);
            until("the instant of the kill", WITHIN * 2, || (now_ns() >= due).then_some(()))?;
            cluster.daemon(0)?.kill_tree()?;
            // Whether it was acknowledged does not matter: it is applied again.
            let _ = change.join();
            Ok::<(), LabError>(())
        })?;
        let both: BTreeSet<String> = lines(round - 1).union(&lines(round)).cloned().collect();
        let left = saved(&cluster)?.difference(&both).count();
        cluster.mark_down(0);
        let started = now_ns();
        cluster.run(0)?;
        cluster.apply("toml", &text)?;
        wait(&cluster, round)?;
        let converged_after = Duration::from_nanos(now_ns() - started);
        told(round, Round { killed_after, left, converged_after });
    }
    Ok(())
}

/// Xorshift: a bench needs no better chance.
fn below(state: &mut u64, limit: Duration) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)
}

/// Another half of the ports, and other weights, each time.
fn services(round: usize) -> impl Iterator<Item = (u16, usize)> {
    let shift = if round.is_multiple_of(2) { 0 } else { SERVICES / 2 };
    (0..SERVICES).map(move |nth| (1000 + shift + nth, 1 + round % 7))
}

fn config(round: usize) -> String {
    let vip = VIP.parse().expect("an address");
    let mut text = instance("VI_1", 51, &[vip]);
    for (port, weight) in services(round) {
        text.push_str(&format!(
            "[[virtual_server]]\naddress = \"{VIP}:{port}\"\nlb_algo = \"rr\"\nlb_kind = \"DR\"\n\
             real_server = [{{ address = \"192.168.1.7:{port}\", weight = {weight} }}]\n"
        ));
    }
    text
}

fn lines(round: usize) -> BTreeSet<String> {
    let service = |(port, weight)| {
        [
            format!("-A -t {VIP}:{port} -s rr"),
            format!("-a -t {VIP}:{port} -r 192.168.1.7:{port} -g -w {weight}"),
        ]
    };
    services(round).flat_map(service).chain([FOREIGN.to_owned()]).collect()
}

fn saved(cluster: &Cluster) -> Result<BTreeSet<String>> {
    let text = cluster.nodes()[0].host.run("ipvsadm", &["-Sn"])?;
    Ok(text.lines().map(|line| line.trim().to_owned()).collect())
}

fn wait(cluster: &Cluster, round: usize) -> Result<()> {
    let wanted = lines(round);
    let mut differs = 0;
    until("exactly the configured services", LATER, || {
        differs = saved(cluster).ok()?.symmetric_difference(&wanted).count();
        (differs == 0).then_some(())
    })
    .map_err(|error| LabError::Argument(format!("{error}: {differs} lines differ")))
}
