//! Thousands of checks a second by one director: how late they come, and what they cost.
//!
//! Beside Debian's keepalived with the same real servers in the same run. The questions are dated
//! by the kernel where they arrive.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::Duration;

use leasehold_lab::cluster::{self, Cluster, instance};
use leasehold_lab::peers::keepalived::Keepalived;
use leasehold_lab::peers::many::{Many, Service};
use leasehold_lab::{Host, LabError, Lan, Process, QuestionWatch, Result, now_ns, until};

use super::lateness::{Lateness, Span};
use super::pass;
use super::renewals::{Counted, Renewals, shown};
use super::usage::{Meter, tree_descriptors, tree_rss_mib};

const INTERVAL: Duration = Duration::from_secs(1);

const PER_VIRTUAL_SERVER: usize = 100;

/// As many as the network of real servers has addresses, with room to spare.
const CHECKS_MAX: usize = 50_000;

/// Where real servers are, behind the host that is all of them.
const REAL_SERVERS: &str = "10.200.0.0/16";

/// The network between that host and the director.
const SUBNET: &str = "10.90.0.0/24";
const TARGET: u16 = 60;
const VIP: [u8; 4] = [10, 90, 0, 100];
const OTHER_VIP: [u8; 4] = [10, 90, 0, 101];
const PORT: u16 = 80;

/// Until every real server is asked once an interval.
const ALL_ASKED: Duration = Duration::from_secs(180);

/// What follows a start is over after this.
const SETTLED: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    Tcp,
    Http,
}

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Plan {
    pub kind: Kind,
    /// Of real servers; each number is measured by itself.
    pub numbers: Vec<usize>,
    pub span: Duration,
    /// Who is measured gets one processor, and all others get the rest.
    pub one_core: bool,
    /// The director also forwards to the real servers; keepalived always does, if it can.
    pub held: bool,
}

/// What was measured of one system.
#[derive(Clone, Debug)]
pub struct Row {
    pub system: &'static str,
    pub kind: Kind,
    pub checks: usize,
    lateness: Lateness,
    seconds: f64,
    cpu_percent: f64,
    /// Before there was any check.
    idle_percent: Option<f64>,
    rss_mib: f64,
    descriptors: usize,
    /// Real servers that counted as down at the end: all are well.
    down: usize,
    frames_lost: u64,
    renewals: Option<Renewals>,
}

impl Row {
    pub const HEAD: &'static str = "| system | checks | asked/s | late by, p50 / p99 / max ms | \
        missed | repeated | never asked | down | CPU % | of it idle | us of CPU a check | RSS MiB | \
        descriptors | lease thread late, p99 / max ms |\n\
        | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |";

    /// Whether the witness missed nothing, and every real server was asked and is up.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.frames_lost == 0 && self.lateness.silent == 0 && self.down == 0
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Lateness { p50_ms, p99_ms, max_ms, missed, repeated, silent, questions } =
            &self.lateness;
        let kind = match self.kind {
            Kind::Tcp => "TCP",
            Kind::Http => "HTTP",
        };
        let rate = *questions as f64 / self.seconds;
        let each_us = self.cpu_percent / 100.0 * 1e6 / rate.max(1.0);
        let idle = self.idle_percent.map_or_else(|| "-".to_owned(), |idle| format!("{idle:.1}"));
        let lease = shown(self.renewals);
        write!(
            f,
            "| {} | {} {kind} | {rate:.0} | {p50_ms:.2} / {p99_ms:.2} / {max_ms:.2} | {missed} | \
             {repeated} | {silent} | {} | {:.1} | {idle} | {each_us:.1} | {:.0} | {} | {lease} |",
            self.system, self.checks, self.down, self.cpu_percent, self.rss_mib, self.descriptors
        )?;
        match self.frames_lost {
            0 => Ok(()),
            lost => write!(f, " the witness itself missed {lost} frames"),
        }
    }
}

/// Measures keepalived and then Leasehold with each number of checks.
///
/// # Errors
/// Where either does not come up, or does not come to ask all.
pub fn run(binary: PathBuf, plan: &Plan, mut row: impl FnMut(&Row)) -> Result<()> {
    let &Plan { kind, ref numbers, span, one_core, held } = plan;
    if let Some(wrong) = numbers.iter().find(|number| !(1..=CHECKS_MAX).contains(*number)) {
        return Err(LabError::Argument(format!(
            "--checks {wrong}: 1 to {CHECKS_MAX} are possible"
        )));
    }
    for checks in numbers {
        let load = Load { kind, checks: *checks, span, one_core, held };
        row(&load.keepalived()?);
        row(&load.leasehold(binary.clone())?);
    }
    Ok(())
}

/// What is to be checked, and how long it is watched.
#[derive(Clone, Copy, Debug)]
struct Load {
    kind: Kind,
    checks: usize,
    span: Duration,
    one_core: bool,
    held: bool,
}

/// The real servers, and who hears what they are asked.
struct Target {
    watch: QuestionWatch,
    _many: Many,
    _host: Host,
}

impl Target {
    /// Joins `lan`, and tells `askers` the way.
    fn start(lan: &Lan, kind: Kind, askers: &[&Host]) -> Result<Target> {
        let host = Host::new("target")?;
        let port = lan.attach(&host, "eth0", TARGET)?;
        let address = port.v4.ok_or_else(|| LabError::Argument("no IPv4 address".to_owned()))?;
        for asker in askers {
            asker.ip(&format!("route replace {REAL_SERVERS} via {address}"))?;
        }
        let service = match kind {
            Kind::Tcp => Service::Tcp,
            Kind::Http => Service::Http,
        };
        let many = Many::start(&host, REAL_SERVERS, PORT, service)?;
        let watch = QuestionWatch::start(&host, "eth0")?;
        Ok(Target { watch, _many: many, _host: host })
    }
}

impl Load {
    fn keepalived(self) -> Result<Row> {
        let lan = Lan::new("service", SUBNET, None)?;
        let host = Host::new("ka")?;
        lan.attach(&host, "eth0", 1)?;
        let target = Target::start(&lan, self.kind, &[&host])?;
        let daemon = Keepalived::check(&host, &self.keepalived_config())?;
        let told = |error| {
            let lines = daemon.process().output();
            let last = lines[lines.len().saturating_sub(5)..].join("\n  ");
            LabError::Argument(format!("{error}; keepalived said last:\n  {last}"))
        };
        self.settle(&target, daemon.process()).map_err(told)?;
        let mut row = self.measure("keepalived", target, daemon.process())?;
        let lines = daemon.process().output();
        row.down = lines.iter().filter(|line| line.contains("Removing service")).count();
        Ok(row)
    }

    /// One director: it leads, it holds a lease, and it checks.
    fn leasehold(self, binary: PathBuf) -> Result<Row> {
        let plan = cluster::Plan { subnet: SUBNET, directors: 1, ..cluster::Plan::new(binary) };
        let cluster = Cluster::start(&plan)?;
        let target = Target::start(&cluster.lan, self.kind, &[&cluster.nodes()[0].host])?;
        let lease = instance("lease", 1, &[VIP.into()]);
        cluster.apply("toml", &lease)?;
        cluster.wait_for_holder("lease")?;
        // The announcements of a takeover are no part of it.
        pass(2 * SETTLED)?;
        let meter = Meter::start(cluster.daemon(0)?);
        pass(self.span)?;
        let idle = meter.cpu_percent(cluster.daemon(0)?);
        // Whoever has this interface would hold it: nobody has.
        let others = instance("web", 2, &[OTHER_VIP.into()]).replace("eth0", "absent0");
        let servers = self.leasehold_config(if self.held { "lease" } else { "web" });
        cluster.apply("toml", &(lease + &others + &servers))?;
        self.settle(&target, cluster.daemon(0)?)?;
        let before = Counted::read(&status(&cluster)?)?;
        let mut row = self.measure("leasehold", target, cluster.daemon(0)?)?;
        row.renewals = Counted::read(&status(&cluster)?)?.since(&before);
        row.idle_percent = Some(idle);
        row.down = down(&cluster)?;
        Ok(row)
    }

    /// Waits until all are asked, and what follows a start is over.
    fn settle(self, target: &Target, process: &Process) -> Result<()> {
        let mut asked = 0;
        until("every real server to be asked", ALL_ASKED, || {
            let lately = now_ns().saturating_sub(2 * INTERVAL.as_nanos() as u64);
            let all: BTreeSet<SocketAddrV4> =
                target.watch.since(lately).iter().map(|one| one.to).collect();
            asked = all.len();
            (asked == self.checks).then_some(())
        })
        .map_err(|error| LabError::Argument(format!("{error}: {asked} of {} are", self.checks)))?;
        self.confine(process)?;
        pass(SETTLED)
    }

    /// What starts later starts where its parent is.
    fn confine(self, process: &Process) -> Result<()> {
        if !self.one_core {
            return Ok(());
        }
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        let keep = |pid: i32, processors: &str| {
            let pid = pid.to_string();
            process.host().run("taskset", &["-acp", processors, &pid]).map(drop)
        };
        if all > 1 {
            keep(std::process::id() as i32, &format!("1-{}", all - 1))?;
        }
        process.tree().into_iter().try_for_each(|pid| keep(pid, "0"))
    }

    fn measure(self, system: &'static str, target: Target, process: &Process) -> Result<Row> {
        let (meter, from_ns) = (Meter::start(process), now_ns());
        let mut descriptors = 0;
        let until_ns = from_ns + self.span.as_nanos() as u64;
        while now_ns() < until_ns {
            pass(Duration::from_millis(250))?;
            descriptors = descriptors.max(tree_descriptors(process));
        }
        let until_ns = now_ns();
        let (cpu_percent, rss_mib) = (meter.cpu_percent(process), tree_rss_mib(process));
        // What arrived just before the end is collected meanwhile.
        pass(Duration::from_millis(100))?;
        let heard = target.watch.stop()?;
        let span = Span { from_ns, until_ns, interval_ns: INTERVAL.as_nanos() as u64 };
        Ok(Row {
            system,
            kind: self.kind,
            checks: self.checks,
            lateness: Lateness::of(&heard.all, self.checks, span),
            seconds: (until_ns - from_ns) as f64 / 1e9,
            cpu_percent,
            idle_percent: None,
            rss_mib,
            descriptors,
            down: 0,
            frames_lost: heard.frames_lost,
            renewals: None,
        })
    }

    fn virtual_servers(self) -> impl Iterator<Item = (String, Vec<String>)> {
        let servers: Vec<String> = (0..self.checks).map(|nth| spot(200, nth)).collect();
        let chunks: Vec<Vec<String>> =
            servers.chunks(PER_VIRTUAL_SERVER).map(<[String]>::to_vec).collect();
        chunks.into_iter().enumerate().map(|(nth, real)| (spot(199, nth), real))
    }

    fn keepalived_config(self) -> String {
        let check = match self.kind {
            Kind::Tcp => "TCP_CHECK {\n connect_timeout 1\n }\n".to_owned(),
            Kind::Http => {
                "HTTP_GET {\n url {\n path /\n status_code 200\n }\n connect_timeout 1\n }\n"
                    .to_owned()
            }
        };
        let mut text = String::new();
        for (virtual_server, real) in self.virtual_servers() {
            write!(
                text,
                "virtual_server {virtual_server} {PORT} {{\n delay_loop 1\n lb_algo rr\n \
                 lb_kind NAT\n protocol TCP\n"
            )
            .expect("writing to a string can't fail");
            for one in real {
                write!(text, " real_server {one} {PORT} {{\n {check} }}\n")
                    .expect("writing to a string can't fail");
            }
            text += "}\n";
        }
        text
    }

    fn leasehold_config(self, instance: &str) -> String {
        let check = match self.kind {
            Kind::Tcp => "type = \"tcp\"",
            Kind::Http => "type = \"http\", url = [{ path = \"/\", status_code = [\"200\"] }]",
        };
        let check = format!("{{ {check}, delay_loop_ms = 1000, connect_timeout_ms = 1000 }}");
        let mut text = String::new();
        for (virtual_server, real) in self.virtual_servers() {
            writeln!(
                text,
                "[[virtual_server]]\naddress = \"{virtual_server}:{PORT}\"\nlb_algo = \"rr\"\n\
                 instance = \"{instance}\""
            )
            .expect("writing to a string can't fail");
            for one in real {
                writeln!(
                    text,
                    "[[virtual_server.real_server]]\naddress = \"{one}:{PORT}\"\ncheck = [{check}]"
                )
                .expect("writing to a string can't fail");
            }
        }
        text
    }
}

/// The `nth` address of a network of 16 bits.
fn spot(network: u8, nth: usize) -> String {
    format!("10.{network}.{}.{}", nth / 250, nth % 250 + 1)
}

fn status(cluster: &Cluster) -> Result<serde_json::Value> {
    let text = cluster.cli(0, &["status", "--json"])?;
    serde_json::from_str(&text).map_err(|error| LabError::Argument(error.to_string()))
}

fn down(cluster: &Cluster) -> Result<usize> {
    let status = status(cluster)?;
    let servers = status["virtual_servers"].as_array().into_iter().flatten();
    let real = servers.filter_map(|one| one["real_servers"].as_array()).flatten();
    Ok(real.filter(|one| one["state"] != "up").count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_real_server_has_an_address_of_its_own_behind_few_virtual_ones() {
        let load =
            Load { kind: Kind::Tcp, checks: 10_000, span: INTERVAL, one_core: false, held: false };
        let servers: Vec<(String, Vec<String>)> = load.virtual_servers().collect();
        assert_eq!(servers.len(), 100);
        let all: BTreeSet<&String> = servers.iter().flat_map(|one| &one.1).collect();
        assert_eq!(all.len(), 10_000);
        assert!(servers.iter().all(|one| !all.contains(&one.0)));
    }
}
