//! A machine that has too little of something, or whose clock is set.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use leasehold_lab::{LabError, Process};

use super::{Broken, Package, Site, Skipped, Target, World};
use crate::history::{Effect, Outcome};
use crate::random::Random;

pub(super) fn cpu_starved(random: &mut Random, site: &Site) -> Box<dyn Package> {
    let percent = 3 + random.below(22);
    Box::new(Scarce { what: What::Cpu { percent }, target: Target::draw(random, site), cage: None })
}

pub(super) fn memory_pressure(random: &mut Random, site: &Site) -> Box<dyn Package> {
    let mib = 1 + random.below(16);
    let target = Target::draw(random, site);
    Box::new(Scarce { what: What::Memory { mib }, target, cage: None })
}

pub(super) fn clock_jump(random: &mut Random, site: &Site) -> Box<dyn Package> {
    // A step of NTP's, a wrong time zone, a battery that was empty.
    let longest = random.pick(&[10, 12 * 3600, 400 * 24 * 3600]);
    let by = random.between(Duration::from_millis(100), Duration::from_secs(longest));
    let backwards = random.chance(50);
    let target = random.chance(75).then(|| Target::draw(random, site));
    Box::new(ClockJump { by, backwards, target, shifted: Vec::new() })
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// So much of one processor, of each tenth of a second.
    Cpu { percent: usize },
    /// Beyond what it has already; more ends it.
    Memory { mib: usize },
}

impl What {
    fn controller(self) -> &'static str {
        match self {
            What::Cpu { .. } => "cpu",
            What::Memory { .. } => "memory",
        }
    }

    /// What to write where: of the first version of cgroups, then of the second.
    fn limits(self) -> [(&'static str, String); 2] {
        match self {
            What::Cpu { percent } => [
                ("cpu.cfs_quota_us", format!("{}", percent * 1000)),
                ("cpu.max", format!("{} 100000", percent * 1000)),
            ],
            What::Memory { mib } => [
                ("memory.limit_in_bytes", format!("{}", mib << 20)),
                ("memory.max", format!("{}", mib << 20)),
            ],
        }
    }
}

/// All processes of a member under a limit.
#[derive(Debug)]
struct Scarce {
    what: What,
    target: Target,
    cage: Option<(usize, Cage)>,
}

impl Package for Scarce {
    fn legend(&self) -> String {
        match self.what {
            What::Cpu { percent } => format!("{percent} % of a processor, {:?}", self.target),
            What::Memory { mib } => format!("{mib} MiB more at most, {:?}", self.target),
        }
        .to_lowercase()
    }

    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped> {
        let member = world.resolve(self.target)?;
        let Ok(daemon) = world.cluster.daemon(member) else {
            return Err(Skipped::because("nothing of it runs"));
        };
        let name = format!("leasehold-jepsen-{}-{}", std::process::id(), daemon.pid());
        let cage = Cage::make(self.what, &name)?;
        let caught = daemon.tree().iter().filter(|pid| cage.take(**pid)).count();
        self.cage = Some((member, cage));
        let names = vec![world.name(member)];
        if caught == 0 {
            return Ok(Broken::in_doubt(names, &"no process could be put under the limit"));
        }
        Ok(Broken::installed(names, Effect::default()))
    }

    fn heal(&mut self, world: &mut World) -> Result<Outcome, LabError> {
        if let Some((member, cage)) = self.cage.take() {
            drop(cage);
            // The kernel may have ended it.
            world.revive(member)?;
        }
        Ok(Outcome::Installed)
    }
}

/// A group of processes with a limit. Dropping it lets them out.
#[derive(Debug)]
struct Cage {
    outside: PathBuf,
    inside: PathBuf,
}

impl Cage {
    fn make(what: What, name: &str) -> Result<Cage, String> {
        let [first, second] = what.limits();
        let mut why = "no cgroup of this controller can be written".to_owned();
        for (root, (file, limit)) in [
            (Path::new("/sys/fs/cgroup").join(what.controller()), first),
            (PathBuf::from("/sys/fs/cgroup"), second),
        ] {
            if !root.join("cgroup.procs").exists() {
                continue;
            }
            let inside = root.join(name);
            if let Err(error) = fs::create_dir(&inside) {
                why = format!("{}: {error}", inside.display());
                continue;
            }
            let cage = Cage { outside: root, inside };
            match fs::write(cage.inside.join(file), limit) {
                Ok(()) => return Ok(cage),
                Err(error) => why = format!("{}: {error}", cage.inside.join(file).display()),
            }
        }
        Err(why)
    }

    fn take(&self, pid: i32) -> bool {
        fs::write(self.inside.join("cgroup.procs"), pid.to_string()).is_ok()
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        let inside = fs::read_to_string(self.inside.join("cgroup.procs")).unwrap_or_default();
        for pid in inside.lines() {
            // It may have ended meanwhile.
            let _ = fs::write(self.outside.join("cgroup.procs"), pid);
        }
        // One that is dying keeps the group for a moment; an empty one costs nothing.
        let _ = fs::remove_dir(&self.inside);
    }
}

/// The time of day, as some members see it, and back.
#[derive(Debug)]
struct ClockJump {
    by: Duration,
    backwards: bool,
    /// One member, or all alike.
    target: Option<Target>,
    /// Whose clock was put forward, by how much.
    shifted: Vec<(usize, i64)>,
}

impl Package for ClockJump {
    fn legend(&self) -> String {
        let sign = if self.backwards { "-" } else { "+" };
        let whose = self.target.map_or_else(|| "all".to_owned(), |one| format!("{one:?}"));
        let by = self.by.as_millis();
        format!("time of day of {whose} by {sign}{by} ms and back").to_lowercase()
    }

    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped> {
        let members = match self.target {
            Some(target) => vec![world.resolve(target)?],
            None => (0..world.site.members).collect(),
        };
        let by = i64::try_from(self.by.as_nanos()).unwrap_or(i64::MAX);
        let by = if self.backwards { -by } else { by };
        for member in &members {
            let Some(clock) = world.cluster.nodes()[*member].wall_clock() else {
                return Err(Skipped::because("nobody has a time of day of its own"));
            };
            let daemon = world.cluster.daemon(*member).ok().map(Process::pid);
            // One that is down comes up to it.
            if daemon.is_some_and(|pid| world.cluster.is_up(*member) && !clock.is_of(pid)) {
                return Err(Skipped::because("a daemon does not load the library of its clock"));
            }
        }
        let mut done = Ok(());
        for member in members {
            if let Some(clock) = world.cluster.nodes()[member].wall_clock() {
                done = done.and(clock.shift(by));
                self.shifted.push((member, by));
            }
        }
        let members: Vec<usize> = self.shifted.iter().map(|(member, _)| *member).collect();
        Ok(Broken::by(done, world.names(&members)))
    }

    fn heal(&mut self, world: &mut World) -> Result<Outcome, LabError> {
        for (member, by) in self.shifted.drain(..) {
            if let Some(clock) = world.cluster.nodes()[member].wall_clock() {
                clock.shift(-by)?;
            }
        }
        Ok(Outcome::Installed)
    }
}
