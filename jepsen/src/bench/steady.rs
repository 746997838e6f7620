//! What holding VIPs costs, and how long taking many over takes.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use leasehold_lab::cluster::{Cluster, Plan, SOON, instance};
use leasehold_lab::{Host, LabError, Result, now_ns};

use super::pass;
use super::usage::{rss_mib, ticks};

/// How long the cost is measured.
const SPAN: Duration = Duration::from_secs(10);

/// How long netlink requests are counted.
const TRACED: Duration = Duration::from_secs(5);

/// VRRP can name no more in one advert.
const PER_INSTANCE: usize = 250;

/// One director's cost with so many VIPs held.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub vips: u16,
    pub cpu_percent: f64,
    pub rss_mib: f64,
    /// Packets in and out, a second: renewals, heartbeats and their acknowledgements by TCP.
    pub packets: f64,
    pub kilobytes: f64,
    /// Requests to the kernel by netlink, a second. Absent without strace.
    pub netlink: Option<f64>,
    /// From kill -9 of the daemon to the last VIP's answer by the next holder.
    pub takeover_ms: f64,
    pub duplicates: usize,
}

/// Measures with so many VIPs, held by one director.
///
/// # Errors
/// Where the cluster does not come up or the VIPs do not move.
pub fn cost(binary: PathBuf, vips: u16) -> Result<Cost> {
    let plan = Plan { subnet: "10.99.0.0/16", ..Plan::new(binary) };
    let cluster = Cluster::start(&plan)?;
    let addresses: Vec<IpAddr> =
        (0..vips).map(|nth| IpAddr::from([10, 99, 100 + (nth >> 8) as u8, nth as u8])).collect();
    let mut text = String::new();
    for (nth, some) in (1_u8..).zip(addresses.chunks(PER_INSTANCE)) {
        // ds1 holds them all: the cost is one director's.
        text += &instance(&format!("many{nth}"), nth, some).replace("/24", "/16");
        text += &format!("[instance.many{nth}.director.ds1]\npriority = 200\n");
    }
    cluster.apply("toml", &text)?;
    let holder = 0;
    let mac = cluster.nodes()[holder].port.mac;
    // Some of many stand for all: asking for each every 2 ms would measure the asking.
    let step = addresses.len().div_ceil(16);
    let mut asked: Vec<IpAddr> = addresses.iter().copied().step_by(step).collect();
    asked.extend(addresses.last().filter(|last| !asked.contains(last)));
    let observer = cluster.lan.observe(&cluster.client, &asked)?;
    for vip in &asked {
        observer.wait_for(*vip, Some(mac), SOON)?;
    }
    observer.stop()?;
    let pid = cluster.daemon(holder)?.pid();
    let wire = Wire::of(&cluster.nodes()[holder].host)?;
    let (start, from) = (ticks(pid)?, now_ns());
    pass(SPAN)?;
    let used = (ticks(pid)? - start) as f64 / 100.0;
    let elapsed = (now_ns() - from) as f64 / 1e9;
    let passed = Wire::of(&cluster.nodes()[holder].host)?;
    let netlink = netlink_rate(&cluster, holder)?;
    let observer = cluster.lan.observe(&cluster.client, &asked)?;
    observer.wait_for_all(SOON)?;
    let rss = rss_mib(pid)?;
    let fault = now_ns();
    cluster.daemon(holder)?.kill(leasehold_lab::Signal::SIGKILL)?;
    for vip in &asked {
        observer.wait_for_other(*vip, mac, SOON)?;
    }
    let seen = observer.stop()?;
    let worst = seen.worst_outage(fault).map_or(0.0, |outage| outage.length_ns as f64 / 1e6);
    let duplicates = seen.duplicates_total(leasehold_lab::Returns::AtMost(0));
    Ok(Cost {
        vips,
        cpu_percent: 100.0 * used / elapsed,
        rss_mib: rss,
        packets: (passed.packets - wire.packets) as f64 / elapsed,
        kilobytes: (passed.bytes - wire.bytes) as f64 / 1e3 / elapsed,
        netlink,
        takeover_ms: worst,
        duplicates,
    })
}

/// What has passed a host's interface, both ways.
struct Wire {
    packets: u64,
    bytes: u64,
}

impl Wire {
    fn of(host: &Host) -> Result<Wire> {
        let text = host.ip("-s -j link show dev eth0")?;
        let all: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| LabError::Argument(error.to_string()))?;
        let counters = &all[0]["stats64"];
        let sum = |what: &str| {
            let of = |side: &str| counters[side][what].as_u64().unwrap_or(0);
            of("rx") + of("tx")
        };
        Ok(Wire { packets: sum("packets"), bytes: sum("bytes") })
    }
}

/// Counts what the daemon sends on netlink sockets, by a tracer that slows it: not while its cost
/// is measured.
fn netlink_rate(cluster: &Cluster, holder: usize) -> Result<Option<f64>> {
    let pid = cluster.daemon(holder)?.pid().to_string();
    let seconds = TRACED.as_secs().to_string();
    let script = format!(
        "timeout {seconds} strace -f -qq -yy -e trace=sendto,sendmsg -p {pid} 2>&1 | \
         grep -c 'NETLINK' || true"
    );
    if cluster.client.run("sh", &["-c", "command -v strace"]).is_err() {
        return Ok(None);
    }
    let counted = cluster.client.run("sh", &["-c", &script])?;
    Ok(counted.trim().parse::<f64>().ok().map(|count| count / TRACED.as_secs_f64()))
}
