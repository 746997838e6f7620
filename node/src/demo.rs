//! `leasehold demo`: a cluster of this very program in network namespaces, and what a client sees
//! of its failovers.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use leasehold_lab::cluster::{Cluster, Fault, Plan, Trial, instance, try_fault};

use crate::cli::out;

const INSTANCE: &str = "VI_1";

const FAULTS: [Fault; 6] = [
    Fault::KillDaemon,
    Fault::KillAll,
    Fault::Freeze(Duration::from_secs(5)),
    Fault::Partition,
    Fault::Move,
    Fault::Terminate,
];

pub(crate) fn run() -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("demo needs root: it makes network namespaces and loads the fence");
    }
    for (program, package) in [("ip", "iproute2"), ("nft", "nftables"), ("nsenter", "util-linux")] {
        if !on_path(program) {
            bail!("demo needs {program}: apt-get install {package}");
        }
    }
    // What a demo that was interrupted left behind.
    leasehold_lab::sweep();
    let binary = std::env::current_exe().context("this program's path")?;
    out::note("three directors and a client on one bridge, each in a network namespace ...");
    let vip: IpAddr = "192.168.1.100".parse().context("the VIP")?;
    let mut cluster = Cluster::start(&Plan::new(binary))?;
    cluster.apply("toml", &instance(INSTANCE, 88, &[vip]))?;
    let holder = cluster.wait_for_holder(INSTANCE)?;
    out::note(&format!(
        "{} holds {vip}; the client asks for it by ARP every 2 ms and counts who answers\n",
        cluster.nodes()[holder].name
    ));
    out::data(&row(["what happened to the holder", "from", "to", "outage", "duplicate answers"]))?;
    let mut duplicates = 0;
    for fault in FAULTS {
        let trial = try_fault(&mut cluster, fault, INSTANCE, vip)?;
        duplicates += trial.duplicates;
        out::data(&shown(&trial))?;
    }
    if duplicates > 0 {
        bail!("{duplicates} answers came from two directors at a time: this must never happen");
    }
    out::note("\nat no time did two directors answer");
    Ok(())
}

fn shown(trial: &Trial) -> String {
    row([
        &trial.fault.name(),
        &trial.before,
        &trial.after,
        &format!("{:.0} ms", trial.outage_ms()),
        &trial.duplicates.to_string(),
    ])
}

fn row(cells: [&str; 5]) -> String {
    let [what, from, to, outage, duplicates] = cells;
    format!("{what:<30} {from:<6} {to:<6} {outage:>8}  {duplicates}")
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
