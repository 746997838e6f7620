//! The same chaos against a pair of Debian's keepalived: the same observer, the same faults drawn
//! from the same seed where they have a meaning for it, the same judges of what was on the wire.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use leasehold_lab::cluster::{Cluster, Pair, Router, SOON};
use leasehold_lab::{LabError, Observation, Observer, now_ns};

use super::setting::{ERROR_BOUND_NS, INSTANCES, LOGS, Profile, address, folder};
use super::{HISTORY_MAX, Report, Settings, break_things, end};
use crate::check::{self, Run};
use crate::history::{Director, Limits, Observations, Recorder, Setup};
use crate::nemesis::{Active, Kind, Site, Subject, World};

/// What it can be put through: it has no leader, no members that come and go, no fence and no log.
pub const OF_A_PAIR: [Kind; 21] = [
    Kind::KillDaemon,
    Kind::KillGuard,
    Kind::KillBoth,
    Kind::KillAll,
    Kind::StopDaemon,
    Kind::StopGuard,
    Kind::StopBoth,
    Kind::Restart,
    Kind::RollingRestart,
    Kind::PartitionHalves,
    Kind::PartitionOut,
    Kind::PartitionIn,
    Kind::IsolateHolder,
    Kind::Flapping,
    Kind::Loss,
    Kind::Delay,
    Kind::Duplication,
    Kind::LinkFlap,
    Kind::AddressRemoved,
    Kind::CpuStarved,
    Kind::MemoryPressure,
];

/// Who is put through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Peer {
    /// VRRP version 2, an advert a second: keepalived's defaults
    Vrrp2,
    /// VRRP version 3, ten adverts a second
    Vrrp3,
}

impl Peer {
    /// Whose lengths of faults fit: about how long it takes to notice a death.
    #[must_use]
    pub fn profile(self) -> Profile {
        match self {
            Peer::Vrrp2 => Profile::Default,
            Peer::Vrrp3 => Profile::Fast,
        }
    }

    fn adverts(self) -> (u8, f64) {
        match self {
            Peer::Vrrp2 => (2, 1.0),
            Peer::Vrrp3 => (3, 0.1),
        }
    }

    fn name(self) -> String {
        let (version, every) = self.adverts();
        format!("keepalived, VRRPv{version}, {every} s")
    }
}

/// Runs it as [`run`](super::run) does; the settings' binary, directors and profile are not used.
///
/// # Errors
/// Where the testbed fails.
pub fn run_pair(
    peer: Peer,
    settings: &Settings,
    stop: &AtomicBool,
    mut tell: impl FnMut(&str),
) -> Result<Report, LabError> {
    let recorder = Arc::new(Recorder::new(HISTORY_MAX, now_ns));
    let folder = folder(settings)?;
    let mut world = world(peer, folder.join(LOGS), &recorder)?;
    let vips: Vec<IpAddr> = world.subjects.iter().map(|subject| subject.vip).collect();
    let observer = world.cluster.lan.observe(&world.cluster.client, &vips)?;
    settle(&world, &observer)?;
    tell(&format!("the pair is up; faults for {} s", settings.seconds));
    let mut active = Active::default();
    let mut failures = break_things(settings, &mut world, &mut active, stop, &mut tell);
    failures.extend(active.heal_all(&mut world));
    tell("all faults are healed; the pair is to come to rest");
    let begun = Instant::now();
    let rest = come_to_rest(&mut world, &observer).map(|()| begun.elapsed());
    let seen = observer.stop()?;
    let history = recorder.history();
    let rest = rest.map_err(|error| error.to_string());
    let mut report = Report::new(settings, &folder, &active, &history, rest);
    report.failures.extend(failures.iter().map(ToString::to_string));
    report.command = command(peer, settings);
    report.weigh(&seen);
    let setup = setup(peer, settings, &world, &vips, report.command.clone());
    let run = judged(setup, history, seen, &mut report);
    end::write(&folder, &run, &report).map_err(|error| LabError::Argument(error.to_string()))?;
    Ok(report)
}

fn command(peer: Peer, settings: &Settings) -> String {
    let peer = match peer {
        Peer::Vrrp2 => "vrrp2",
        Peer::Vrrp3 => "vrrp3",
    };
    let mut words = format!(
        "cargo run -p leasehold-jepsen -- run --keepalived {peer} --seed {} --seconds {}",
        settings.seed, settings.seconds
    );
    if settings.kinds != OF_A_PAIR {
        let kinds: Vec<String> = settings.kinds.iter().map(|kind| kind.name()).collect();
        words += &format!(" --nemesis {}", kinds.join(","));
    }
    words
}

fn world(peer: Peer, logs: PathBuf, recorder: &Arc<Recorder>) -> Result<World, LabError> {
    let (version, advert_int) = peer.adverts();
    let mut routers = Vec::new();
    for (name, vip, vrid) in INSTANCES {
        routers.push(Router { name: name.to_owned(), vrid, vip: address(vip)? });
    }
    let subject = |one: &Router| Subject { name: one.name.clone(), vip: one.vip };
    let subjects: Vec<Subject> = routers.iter().map(subject).collect();
    let cluster = Cluster::pair(Pair { version, advert_int, routers, logs: Some(logs) })?;
    let members = cluster.nodes().len();
    let ttl = peer.profile().ttl();
    let site = Site { directors: members, members, instances: INSTANCES.len(), ttl };
    Ok(World::new(cluster, subjects, site, Arc::clone(recorder)))
}

/// Both routers run, each has what it prefers, and every VIP is answered for.
fn settle(world: &World, observer: &Observer) -> Result<(), LabError> {
    world.cluster.wait_for("each router to have what it prefers", |cluster| {
        let status = cluster.pair_status()?;
        let nodes = status["nodes"].as_array()?;
        nodes.iter().all(|node| node["state"] == "up").then_some(())
    })?;
    observer.wait_for_all(SOON)
}

fn come_to_rest(world: &mut World, observer: &Observer) -> Result<(), LabError> {
    world.cluster.lan.heal_all()?;
    (0..world.site.members).try_for_each(|member| world.revive(member))?;
    settle(world, observer)
}

fn setup(
    peer: Peer,
    settings: &Settings,
    world: &World,
    vips: &[IpAddr],
    command: String,
) -> Setup {
    let nodes = world.cluster.nodes().iter();
    let ttl = peer.profile().ttl();
    Setup {
        command,
        seed: settings.seed,
        profile: peer.name(),
        ttl_ns: super::nanos(ttl),
        error_bound_ns: ERROR_BOUND_NS,
        directors: nodes
            .map(|node| Director { name: node.name.clone(), macs: vec![node.port.mac] })
            .collect(),
        vips: vips.iter().copied().zip(INSTANCES.map(|(name, ..)| name.to_owned())).collect(),
        // As for ours.
        quickest_return_ns: super::nanos(Duration::from_millis(10)),
        limits: Limits::default(),
        ..Setup::default()
    }
}

/// By those judges alone that look at the wire.
fn judged(
    setup: Setup,
    history: Vec<crate::history::Op>,
    seen: Observation,
    report: &mut Report,
) -> Run {
    let neighbours = BTreeMap::from([("client".to_owned(), seen)]);
    let observations = Observations { neighbours, ..Observations::default() };
    let run = Run { setup, history, observations, end: None };
    let of_the_wire = ["one-answerer", "availability"];
    let all = check::all(&run).into_iter();
    report.judged = all.filter(|(judge, _)| of_the_wire.contains(&judge.name)).collect();
    run
}
