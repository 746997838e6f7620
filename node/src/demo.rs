//! `leasehold demo`: a cluster of this very program in network namespaces, and what a client sees
//! of its failovers.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use leasehold_lab::cluster::{Cluster, Fault, Plan, SOON, Trial, try_fault};
use leasehold_lab::peers::web::{self, Web};
use leasehold_lab::{Host, Lan, until};

use crate::cli::out;

const INSTANCE: &str = "VI_1";
const VIP: &str = "192.168.1.100";

/// Of the real servers' network; it moves with the VIP.
const GATEWAY: &str = "10.9.0.254";

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
    out::note(
        "three directors and a client on one bridge, three web servers on another, each in a \
         network namespace ...",
    );
    let vip: IpAddr = VIP.parse().context("the VIP")?;
    let mut cluster = Cluster::start(&Plan::new(binary))?;
    let _back = real_servers(&cluster)?;
    cluster.apply("toml", &configuration())?;
    let holder = cluster.wait_for_holder(INSTANCE)?;
    until("the first answer", SOON, || web::ask(&cluster.client, vip))?;
    out::note(&format!(
        "{} holds {vip} and balances http://{vip}/ over rs1, rs2 and rs3: {}\n\
         the client asks for {vip} by ARP every 2 ms and counts who answers\n",
        cluster.nodes()[holder].name,
        answers(&cluster, vip, 6)
    ));
    out::data(&row([
        "what happened to the holder",
        "from",
        "to",
        "outage",
        "duplicate answers",
        "three requests after it",
    ]))?;
    let mut duplicates = 0;
    for fault in FAULTS {
        let trial = try_fault(&mut cluster, fault, INSTANCE, vip)?;
        duplicates += trial.duplicates;
        out::data(&shown(&trial, &answers(&cluster, vip, 3)))?;
    }
    if duplicates > 0 {
        bail!("{duplicates} answers came from two directors at a time: this must never happen");
    }
    out::note("\nat no time did two directors answer");
    Ok(())
}

/// The second network, with a web server on each of three hosts.
fn real_servers(cluster: &Cluster) -> anyhow::Result<(Lan, Vec<Web>)> {
    let back = Lan::new("back", "10.9.0.0/24", None)?;
    for (nth, node) in (11..).zip(cluster.nodes()) {
        back.attach(&node.host, "eth1", nth)?;
        node.host.sysctl("net.ipv4.ip_forward", "1")?;
    }
    let mut servers = Vec::new();
    for nth in 1..=3 {
        let host = Host::new(&format!("rs{nth}"))?;
        back.attach(&host, "eth0", nth)?;
        host.ip(&format!("route add default via {GATEWAY}"))?;
        servers.push(Web::start(&host)?);
    }
    Ok((back, servers))
}

fn configuration() -> String {
    let real = |nth| format!("    {{ address = \"10.9.0.{nth}:80\" }},\n");
    let real: String = (1..=3).map(real).collect();
    format!(
        "[instance.{INSTANCE}]\nvirtual_router_id = 88\ninterface = \"eth0\"\npriority = 100\n\
         virtual_ipaddress = [\"{VIP}/24\", {{ address = \"{GATEWAY}/24\", dev = \"eth1\" }}]\n\
         [[virtual_server]]\naddress = \"{VIP}:80\"\nlb_algo = \"rr\"\n\
         real_server = [\n{real}]\n"
    )
}

/// Who answered so many requests, in their order.
fn answers(cluster: &Cluster, vip: IpAddr, times: usize) -> String {
    let one = |_| web::ask(&cluster.client, vip).unwrap_or_else(|| "nobody".to_owned());
    (0..times).map(one).collect::<Vec<_>>().join(" ")
}

fn shown(trial: &Trial, answers: &str) -> String {
    row([
        &trial.fault.name(),
        &trial.before,
        &trial.after,
        &format!("{:.0} ms", trial.outage_ms()),
        &trial.duplicates.to_string(),
        answers,
    ])
}

fn row(cells: [&str; 6]) -> String {
    let [what, from, to, outage, duplicates, answers] = cells;
    format!("{what:<30} {from:<6} {to:<6} {outage:>8}  {duplicates:<17}  {answers}")
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
