//! Many virtual routers on one director: how evenly it advertises them, and what that costs.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use leasehold_lab::cluster::{Cluster, Plan};
use leasehold_lab::peers::keepalived::Keepalived;
use leasehold_lab::{
    Advert, AdvertWatch, Host, LabError, Lan, Mac, Process, Result, now_ns, until,
};

use super::jitter::{Jitter, Router, Span};
use super::pass;
use super::renewals::{Counted, Renewals, shown};
use super::usage::{Meter, tree_rss_mib};

const ADVERT_INT: Duration = Duration::from_secs(1);

/// An interface has room for so many virtual routers of one family.
const PER_INTERFACE: usize = 255;

/// More would need more networks than the plan of addresses has.
const INSTANCES_MAX: usize = 10 * PER_INTERFACE;

/// Until a holder has all of them. A busy machine takes its time to bind so many.
const ALL_HELD: Duration = Duration::from_secs(120);

/// Announcements after a takeover, five seconds later by default, are over after this.
const SETTLED: Duration = Duration::from_secs(10);

/// The host that is to hold everything is the first of each network, as is its peer the second.
const CLIENT: u16 = 50;

/// What was measured of one system.
#[derive(Clone, Debug)]
pub struct Row {
    pub system: &'static str,
    /// Whether every instance tracked a script.
    pub script: bool,
    measured: Measured,
    frames_lost: u64,
    renewals: Option<Renewals>,
}

/// What the holder cost, and how even its adverts were.
#[derive(Clone, Debug)]
struct Measured {
    cpu_percent: f64,
    rss_mib: f64,
    seconds: f64,
    jitter: Jitter,
}

impl Row {
    pub const HEAD: &'static str = "| system | script | CPU % | RSS MiB | adverts/s | \
        off by, p50 / p99 / max ms | longest gap ms | lost | by others | lease thread late, p99 / max ms |\n\
        | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |";

    /// Whether the witness missed nothing, and one director alone spoke.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.frames_lost == 0 && self.measured.jitter.strange == 0
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Row { system, measured: Measured { cpu_percent, rss_mib, seconds, jitter }, .. } = self;
        let script = if self.script { "/bin/true, 1 s" } else { "none" };
        let rate = jitter.adverts as f64 / seconds;
        let Jitter { p50_ms, p99_ms, max_ms, longest_gap_ms, lost, strange, .. } = jitter;
        let late = shown(self.renewals);
        write!(
            f,
            "| {system} | {script} | {cpu_percent:.1} | {rss_mib:.0} | {rate:.1} | \
             {p50_ms:.2} / {p99_ms:.2} / {max_ms:.2} | {longest_gap_ms:.1} | {lost} | {strange} | \
             {late} |"
        )?;
        match self.frames_lost {
            0 => Ok(()),
            lost => write!(f, " the witness itself missed {lost} frames"),
        }
    }
}

/// Measures keepalived, then Leasehold, each without and with a script that all instances track.
///
/// # Errors
/// Where either does not come up, or does not come to hold all.
pub fn run(
    binary: PathBuf,
    instances: usize,
    span: Duration,
    mut row: impl FnMut(&Row),
) -> Result<()> {
    if !(1..=INSTANCES_MAX).contains(&instances) {
        return Err(LabError::Argument(format!(
            "--instances {instances}: 1 to {INSTANCES_MAX} are possible"
        )));
    }
    for script in [false, true] {
        row(&keepalived(instances, script, span)?);
    }
    let site = Leasehold::start(binary, instances)?;
    for script in [false, true] {
        row(&site.measure(script, span)?);
    }
    Ok(())
}

/// The `nth` virtual router.
fn router(nth: usize) -> Router {
    (nth / PER_INTERFACE, (nth % PER_INTERFACE + 1) as u8)
}

fn interfaces(instances: usize) -> usize {
    instances.div_ceil(PER_INTERFACE)
}

/// Each interface has a network of its own.
fn subnet(interface: usize) -> String {
    format!("10.{}.0.0/16", 90 + interface)
}

fn vip((interface, vrid): Router) -> Ipv4Addr {
    Ipv4Addr::new(10, 90 + interface as u8, 100, vrid)
}

/// Another network for each interface but the first.
fn more_networks(instances: usize) -> Result<Vec<Lan>> {
    let one = |nth| Lan::new(&format!("more{nth}"), &subnet(nth), None);
    (1..interfaces(instances)).map(one).collect()
}

/// Plugs a host into all of those.
fn plug(more: &[Lan], host: &Host, nth: u16) -> Result<()> {
    for (lan, interface) in more.iter().zip(1..) {
        lan.attach(host, &format!("eth{interface}"), nth)?;
    }
    Ok(())
}

/// Where nothing but the witness runs.
fn witness(client: &Host, instances: usize) -> Result<AdvertWatch> {
    let names: Vec<String> = (0..interfaces(instances)).map(|nth| format!("eth{nth}")).collect();
    AdvertWatch::start(client, &names)
}

fn keepalived(instances: usize, script: bool, span: Duration) -> Result<Row> {
    let lan = Lan::new("service", &subnet(0), None)?;
    let more = more_networks(instances)?;
    let (master, backup, client) = (Host::new("ka1")?, Host::new("ka2")?, Host::new("client")?);
    for (host, nth) in [(&master, 1), (&backup, 2), (&client, CLIENT)] {
        lan.attach(host, "eth0", nth)?;
        plug(&more, host, nth)?;
    }
    let watch = witness(&client, instances)?;
    let first = Keepalived::start(&master, &keepalived_config(instances, 200, script))?;
    // Every network knows hosts by addresses of its own.
    let macs = macs(lan.port(&master)?.mac, &more, &master)?;
    // On a busy machine the pair would else begin with each master of some.
    all_heard(&watch, instances, &macs)?;
    let _second = Keepalived::start(&backup, &keepalived_config(instances, 100, script))?;
    settle(&watch, instances, &macs)?;
    let measured = measure(&watch, instances, &macs, first.process(), span)?;
    let frames_lost = watch.stop()?.frames_lost;
    Ok(Row { system: "keepalived", script, measured, frames_lost, renewals: None })
}

fn macs(first: Mac, more: &[Lan], host: &Host) -> Result<Vec<Mac>> {
    let mut macs = vec![first];
    for lan in more {
        macs.push(lan.port(host)?.mac);
    }
    Ok(macs)
}

fn keepalived_config(instances: usize, priority: u8, script: bool) -> String {
    let mut text = "global_defs {\n    vrrp_version 2\n    script_user root\n    \
                    enable_script_security\n}\n"
        .to_owned();
    if script {
        text += "vrrp_script chk {\n    script /bin/true\n    interval 1\n}\n";
    }
    let track = if script { "    track_script {\n        chk\n    }\n" } else { "" };
    for (interface, vrid) in (0..instances).map(router) {
        let vip = vip((interface, vrid));
        writeln!(
            text,
            "vrrp_instance if{interface}_{vrid} {{\n    state BACKUP\n    interface \
             eth{interface}\n    virtual_router_id {vrid}\n    priority {priority}\n    \
             advert_int 1\n    virtual_ipaddress {{\n        {vip}/16\n    }}\n{track}}}"
        )
        .expect("writing to a string can't fail");
    }
    text
}

fn leasehold_config(instances: usize, script: bool) -> String {
    let mut text = String::new();
    if script {
        text += "[script.chk]\nscript = \"/bin/true\"\ninterval_ms = 1000\nuser = \"root\"\n";
    }
    let track = if script { "track_script = { chk = {} }\n" } else { "" };
    for (interface, vrid) in (0..instances).map(router) {
        let (name, vip) = (format!("if{interface}_{vrid}"), vip((interface, vrid)));
        writeln!(
            text,
            "[instance.{name}]\nvirtual_router_id = {vrid}\ninterface = \"eth{interface}\"\n\
             priority = 100\nadvert_int_ms = 1000\nvirtual_ipaddress = [\"{vip}/16\"]\n{track}\
             [instance.{name}.director.ds1]\npriority = 200"
        )
        .expect("writing to a string can't fail");
    }
    text
}

/// Three directors, of which the first is to hold everything.
struct Leasehold {
    cluster: Cluster,
    more: Vec<Lan>,
    instances: usize,
}

impl Leasehold {
    fn start(binary: PathBuf, instances: usize) -> Result<Leasehold> {
        let plan = Plan { subnet: "10.90.0.0/16", ..Plan::new(binary) };
        let cluster = Cluster::start(&plan)?;
        let more = more_networks(instances)?;
        for (node, nth) in cluster.nodes().iter().zip(1..) {
            plug(&more, &node.host, nth)?;
        }
        plug(&more, &cluster.client, CLIENT)?;
        Ok(Leasehold { cluster, more, instances })
    }

    fn measure(&self, script: bool, span: Duration) -> Result<Row> {
        let watch = witness(&self.cluster.client, self.instances)?;
        self.cluster.apply("toml", &leasehold_config(self.instances, script))?;
        let node = &self.cluster.nodes()[0];
        let macs = macs(node.port.mac, &self.more, &node.host)?;
        let daemon = self.cluster.daemon(0)?;
        settle(&watch, self.instances, &macs)?;
        let before = self.counted()?;
        let measured = measure(&watch, self.instances, &macs, daemon, span)?;
        let renewals = self.counted()?.since(&before);
        let frames_lost = watch.stop()?.frames_lost;
        // A leader has the others' renewals to confirm as well.
        let system = match self.cluster.leader() {
            Some(0) => "leasehold, holder leads",
            Some(_) => "leasehold, another leads",
            None => "leasehold",
        };
        Ok(Row { system, script, measured, frames_lost, renewals })
    }

    fn counted(&self) -> Result<Counted> {
        Counted::read(&self.cluster.status(0).unwrap_or_default())
    }
}

fn measure(
    watch: &AdvertWatch,
    instances: usize,
    macs: &[Mac],
    process: &Process,
    span: Duration,
) -> Result<Measured> {
    let (meter, from_ns) = (Meter::start(process), now_ns());
    pass(span)?;
    let until_ns = now_ns();
    // What arrived just before the end is collected meanwhile.
    let (cpu_percent, rss_mib) = (meter.cpu_percent(process), tree_rss_mib(process));
    pass(Duration::from_millis(100))?;
    let routers: BTreeSet<Router> = (0..instances).map(router).collect();
    let advert_int_ns = ADVERT_INT.as_nanos() as u64;
    let span = Span { from_ns, until_ns, advert_int_ns };
    let jitter = Jitter::of(&watch.since(from_ns), &routers, macs, span);
    Ok(Measured { cpu_percent, rss_mib, seconds: (until_ns - from_ns) as f64 / 1e9, jitter })
}

/// Waits until the holder has all, and what follows a takeover is over.
fn settle(watch: &AdvertWatch, instances: usize, macs: &[Mac]) -> Result<()> {
    all_heard(watch, instances, macs)?;
    pass(SETTLED)
}

/// Waits until the holder has sent an advert of every router, and nobody else any, lately.
fn all_heard(watch: &AdvertWatch, instances: usize, macs: &[Mac]) -> Result<()> {
    let mut told = String::new();
    let lately = 2 * ADVERT_INT.as_nanos() as u64;
    until("the first director to advertise every instance", ALL_HELD, || {
        let heard = watch.since(now_ns() - lately);
        let (own, others): (Vec<&Advert>, Vec<&Advert>) =
            heard.iter().partition(|one| macs.get(one.interface) == Some(&one.mac));
        let own: BTreeSet<Router> = own.iter().map(|one| (one.interface, one.vrid)).collect();
        told = format!("{} by it, {} adverts by others", own.len(), others.len());
        (own.len() == instances && others.is_empty()).then_some(())
    })
    .map_err(|error| LabError::Argument(format!("{error}: {told}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_router_has_a_number_on_its_interface_and_an_address_of_its_own() {
        let all: BTreeSet<Router> = (0..600).map(router).collect();
        assert_eq!(all.len(), 600);
        assert_eq!((router(0), router(254), router(255)), ((0, 1), (0, 255), (1, 1)));
        let vips: BTreeSet<Ipv4Addr> = all.iter().map(|one| vip(*one)).collect();
        assert_eq!((vips.len(), interfaces(600), interfaces(255)), (600, 3, 1));
    }
}
