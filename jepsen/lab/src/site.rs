//! A site with real servers: directors, a client, nginx behind a virtual server, and `ipvsadm`.

use std::time::Duration;

use crate::cluster::{Cluster, Plan};
use crate::peers::nginx::Nginx;
use crate::vm::inside;
use crate::{Host, LabError, Lan, Result, find_binary, until};

/// Enough for every retry of every check, on a machine ten times slower than this one.
pub const LATER: Duration = Duration::from_secs(120);

/// How a real server takes packets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Direct,
    Tunnel,
    /// As its own, by way of the director that has this address.
    Nat(&'static str),
}

/// A host with nginx that serves a VIP.
#[derive(Debug)]
pub struct RealServer {
    pub host: Host,
    pub nginx: Option<Nginx>,
}

impl RealServer {
    /// Joins `lan` as its `nth` host, and takes packets to the VIP in.
    pub fn start(lan: &Lan, name: &str, nth: u16, vip: &str, mode: Mode) -> Result<RealServer> {
        let host = Host::new(name)?;
        lan.attach(&host, "eth1", nth)?;
        prepare(&host, vip, mode)?;
        let nginx = Some(Nginx::start(&host)?);
        Ok(RealServer { host, nginx })
    }

    pub fn stop(&mut self) {
        self.nginx = None;
    }

    pub fn start_again(&mut self) -> Result<()> {
        self.nginx = Some(Nginx::start(&self.host)?);
        Ok(())
    }
}

/// By the product itself.
fn prepare(host: &Host, vip: &str, mode: Mode) -> Result<()> {
    let name = format!("leasehold-lab-{}", host.namespace());
    let state = std::env::temp_dir().join(name).display().to_string();
    let mut words = vec!["realserver", "up", "--state-dir", &state, "--vip", vip, "--mode"];
    match mode {
        Mode::Direct => words.push("dr"),
        Mode::Tunnel => words.push("tun"),
        Mode::Nat(gateway) => words.extend(["nat", "--gateway", gateway]),
    }
    let made = host.run(&find_binary()?.display().to_string(), &words);
    // The host is thrown away as it is.
    let _ = std::fs::remove_dir_all(&state);
    made.map(drop)
}

/// The plan of three directors in this network. An emulated machine is too slow for leases of a
/// second: it is given longer ones, or the VIP would move in the midst of what is tested.
pub fn plan(subnet: &'static str, interface: &'static str) -> Result<Plan> {
    let profile = if inside() { "wan" } else { "default" };
    Ok(Plan { subnet, interface, profile, ..Plan::new(find_binary()?) })
}

/// What the client gets from the VIP: the name of a real server, if anybody answers.
pub fn ask(client: &Host, vip: &str) -> Option<String> {
    let url = format!("http://{vip}/");
    client.run("curl", &["-s", "--max-time", "5", &url]).ok().filter(|name| !name.is_empty())
}

/// So many questions in a row, each of which must be answered.
pub fn ask_often(client: &Host, vip: &str, times: usize) -> Result<Vec<String>> {
    let one = |nth| {
        ask(client, vip).ok_or_else(|| LabError::Argument(format!("no answer to question {nth}")))
    };
    (1..=times).map(one).collect()
}

/// A line of `ipvsadm -Ln` without the counts: what a document would show.
pub type Row = (String, String, String);

/// The services of a director as `ipvsadm` shows them: each line's first three words.
pub fn table(cluster: &Cluster, director: usize) -> Result<Vec<Row>> {
    let text = cluster.nodes()[director].host.run("ipvsadm", &["-Ln"])?;
    let mut rows = Vec::new();
    for line in text.lines().skip(3) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let row = match words.as_slice() {
            ["->", address, forward, weight, ..] => (*address, *forward, (*weight).to_owned()),
            [protocol, address, rest @ ..] => (*protocol, *address, rest.join(" ")),
            _ => continue,
        };
        rows.push((row.0.to_owned(), row.1.to_owned(), row.2));
    }
    rows.sort();
    Ok(rows)
}

/// A table in the words of `ipvsadm`.
pub fn rows(lines: &[(&str, &str, &str)]) -> Vec<Row> {
    let mut rows: Vec<Row> =
        lines.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect();
    rows.sort();
    rows
}

/// Waits until whoever holds the instance has this table and no other director has any service, and
/// tells who. The first that is given it may be slow, and another takes its place.
pub fn wait_for_holders_table(cluster: &Cluster, instance: &str, wanted: &[Row]) -> Result<usize> {
    let up: Vec<usize> = (0..cluster.nodes().len()).filter(|one| cluster.is_up(*one)).collect();
    let mut last = Vec::new();
    let seen =
        cluster.wait_longer_for("only the holder to have services, and these", LATER, || {
            let holder = cluster.holder(instance)?;
            last = up.iter().filter_map(|one| Some((*one, table(cluster, *one).ok()?))).collect();
            let right = |(one, rows): &(usize, Vec<Row>)| {
                if *one == holder { rows == wanted } else { rows.is_empty() }
            };
            (last.len() == up.len() && last.iter().all(right)).then_some(holder)
        });
    seen.map_err(|error| {
        let text = format!("{error}\n  wanted {wanted:?}\n  are, by director, {last:?}");
        LabError::Argument(text)
    })
}

/// Directors with a second network behind them, and three real servers there that are reached by
/// NAT. The gateway of that network moves with the VIP.
#[derive(Debug)]
pub struct NatSite {
    pub cluster: Cluster,
    pub real: Vec<RealServer>,
    pub back: Lan,
}

impl NatSite {
    pub const VIP: &'static str = "192.168.1.100";
    pub const INSTANCE: &'static str = "VI_1";
    pub const SUBNET: &'static str = "192.168.1.0/24";
    const GATEWAY: &'static str = "10.9.0.254";

    /// Nothing is configured yet.
    pub fn start() -> Result<NatSite> {
        NatSite::of(&plan(Self::SUBNET, "eth0")?)
    }

    /// With these directors, whose network must be [`SUBNET`](Self::SUBNET).
    pub fn of(plan: &Plan) -> Result<NatSite> {
        let cluster = Cluster::start(plan)?;
        let back = Lan::new("back", "10.9.0.0/24", None)?;
        for (nth, node) in (11..).zip(cluster.nodes()) {
            back.attach(&node.host, "eth1", nth)?;
            node.host.sysctl("net.ipv4.ip_forward", "1")?;
        }
        let one = |nth: u16| {
            let mode = Mode::Nat(Self::GATEWAY);
            RealServer::start(&back, &format!("rs{nth}"), nth, Self::VIP, mode)
        };
        let real = (1..=3).map(one).collect::<Result<_>>()?;
        Ok(NatSite { cluster, real, back })
    }

    /// The configuration with this scheduler and these weights.
    pub fn config(scheduler: &str, weights: [u16; 3], more: &str) -> String {
        let real: Vec<String> = (1..)
            .zip(weights)
            .map(|(nth, weight)| format!("{{ address = \"10.9.0.{nth}:80\", weight = {weight} }}"))
            .collect();
        format!(
            "[instance.{}]\nvirtual_router_id = 51\ninterface = \"eth0\"\n\
             virtual_ipaddress = [\"{}/24\", {{ address = \"{}/24\", dev = \"eth1\" }}]\n\
             [[virtual_server]]\naddress = \"{}:80\"\nlb_algo = \"{scheduler}\"\n{more}\n\
             real_server = [{}]\n",
            Self::INSTANCE,
            Self::VIP,
            Self::GATEWAY,
            Self::VIP,
            real.join(", ")
        )
    }

    pub fn apply(&self, scheduler: &str, weights: [u16; 3], more: &str) -> Result<usize> {
        self.cluster.apply("toml", &Self::config(scheduler, weights, more))?;
        let holder = self.cluster.wait_for_holder(Self::INSTANCE)?;
        until("an answer", LATER, || ask(&self.cluster.client, Self::VIP))?;
        Ok(holder)
    }
}
