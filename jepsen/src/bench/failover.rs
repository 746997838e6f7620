//! What a client sees of each fault: the longest time without an answer, and answers by two.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use leasehold_lab::cluster::{Cluster, Fault, Plan, instance, try_fault};
use leasehold_lab::peers::keepalived::{Keepalived, Vrrp};
use leasehold_lab::{End, Host, LabError, Lan, Port, Result, Returns, Signal, now_ns};

use super::{pass, spread};

const INSTANCE: &str = "VI_1";
const VIP: &str = "192.168.1.100";
const SOON: Duration = Duration::from_secs(20);

/// Runs every fault `runs` times on one cluster; rows of a table, each as soon as it is known.
///
/// # Errors
/// Where the cluster does not come up, or does not recover from a fault.
pub fn leasehold(
    binary: PathBuf,
    profile: &'static str,
    runs: usize,
    mut row: impl FnMut(String),
) -> Result<()> {
    let vip = vip()?;
    let mut cluster = Cluster::start(&Plan { profile, ..Plan::new(binary) })?;
    cluster.apply("toml", &instance(INSTANCE, 88, &[vip]))?;
    cluster.wait_for_holder(INSTANCE)?;
    for fault in Fault::ALL {
        let (mut outages, mut duplicates) = (Vec::new(), 0);
        for _ in 0..runs {
            let trial = try_fault(&mut cluster, fault, INSTANCE, vip)?;
            outages.push(trial.outage_ms());
            duplicates += trial.duplicates;
        }
        row(format!(
            "| leasehold, {profile} | {} | {} | {duplicates} |",
            fault.name(),
            spread(&outages)
        ));
    }
    Ok(())
}

/// The faults that a keepalived pair is put through.
#[derive(Clone, Copy, Debug)]
enum PeerFault {
    KillAll,
    Freeze,
    CutLink,
    Partition,
    Terminate,
}

/// The same faults for a pair of keepalived directors.
///
/// # Errors
/// Where keepalived is not installed or does not come up.
pub fn keepalived(
    version: u8,
    advert_int: f64,
    runs: usize,
    mut row: impl FnMut(String),
) -> Result<()> {
    use PeerFault::{CutLink, Freeze, KillAll, Partition, Terminate};
    for fault in [KillAll, Freeze, CutLink, Partition, Terminate] {
        let (mut outages, mut duplicates) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            let (outage, twice) = keepalived_once(version, advert_int, fault)?;
            outages.push(outage);
            duplicates.push(twice);
        }
        let what = match fault {
            KillAll => "kill -9 of all processes",
            Freeze => "SIGSTOP of all, 4 s, SIGCONT",
            CutLink => "link cut",
            Partition => "partition from its peer",
            Terminate => "SIGTERM",
        };
        row(format!(
            "| keepalived, VRRPv{version}, {advert_int} s | {what} | {} | {} in 4 s |",
            spread(&outages),
            spread(&duplicates)
        ));
    }
    Ok(())
}

struct Pair {
    lan: Lan,
    master: Host,
    backup: Host,
    client: Host,
    port: Port,
}

fn pair() -> Result<Pair> {
    let lan = Lan::new("peer", "192.168.1.0/24", None)?;
    let (master, backup) = (Host::new("ka1")?, Host::new("ka2")?);
    let client = Host::new("client")?;
    let port = lan.attach(&master, "eth0", 1)?;
    lan.attach(&backup, "eth0", 2)?;
    lan.attach(&client, "eth0", 50)?;
    Ok(Pair { lan, master, backup, client, port })
}

/// The outage in ms, and how many answers came from two at a time within four seconds.
fn keepalived_once(version: u8, advert_int: f64, fault: PeerFault) -> Result<(f64, f64)> {
    let vip = vip()?;
    let Pair { lan, master, backup, client, port } = pair()?;
    let vips = [vip];
    let config =
        |priority| Vrrp { interface: "eth0", version, advert_int, priority, vips: &vips }.config();
    let first = Keepalived::start(&master, &config(100))?;
    let observer = lan.observe(&client, &vips)?;
    observer.wait_for(vip, Some(port.mac), SOON)?;
    let _second = Keepalived::start(&backup, &config(90))?;
    pass(Duration::from_secs(2))?;
    let fault_at = now_ns();
    match fault {
        PeerFault::KillAll => first.process().kill_tree()?,
        PeerFault::Freeze => first.process().freeze_tree()?,
        PeerFault::CutLink => lan.link_down(&master, End::Bridge)?,
        PeerFault::Partition => lan.partition(&[&master], &[&backup])?,
        PeerFault::Terminate => first.process().kill(Signal::SIGTERM)?,
    }
    pass(Duration::from_secs(4))?;
    first.process().thaw_tree();
    let seen = observer.stop()?;
    let outage = seen.outage(vip, fault_at).map_or(0.0, |one| one.length_ns as f64 / 1e6);
    Ok((outage, seen.duplicates(vip, Returns::AtMost(0)).len() as f64))
}

fn vip() -> Result<IpAddr> {
    VIP.parse().map_err(|error| LabError::Argument(format!("{VIP}: {error}")))
}
