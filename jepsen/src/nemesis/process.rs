//! Processes that die, hang, and are stopped and started in good order.

use std::time::Duration;

use leasehold_lab::{LabError, Process, Signal};

use super::{Broken, Package, Site, Skipped, Target, World};
use crate::history::{Effect, Outcome};
use crate::random::Random;

/// How long a daemon may take to end in good order before the next is stopped all the same.
const HANDOVER_WITHIN: Duration = Duration::from_secs(5);

const DEAD_WITHIN: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Daemon,
    Guard,
    Both,
}

impl Part {
    fn pids(self, daemon: &Process) -> Vec<i32> {
        // keepalived's own second process is its VRRP, under the same command line.
        let guards = ["guard", "--vrrp"].map(|word| daemon.children_running(word)).concat();
        match self {
            Part::Daemon => vec![daemon.pid()],
            Part::Guard => guards,
            Part::Both => [guards, vec![daemon.pid()]].concat(),
        }
    }

    fn has_daemon(self) -> bool {
        match self {
            Part::Daemon | Part::Both => true,
            Part::Guard => false,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Whom {
    One(Target),
    Everyone,
}

impl Whom {
    fn resolve(self, world: &World) -> Result<Vec<usize>, String> {
        match self {
            Whom::One(target) => world.resolve(target).map(|one| vec![one]),
            Whom::Everyone => Ok((0..world.site.members).collect()),
        }
    }
}

pub(super) fn kill(part: Part, random: &mut Random, site: &Site) -> Box<dyn Package> {
    let whom = Whom::One(Target::draw(random, site));
    Box::new(Kill { part, whom, down: Vec::new() })
}

pub(super) fn kill_all() -> Box<dyn Package> {
    Box::new(Kill { part: Part::Both, whom: Whom::Everyone, down: Vec::new() })
}

pub(super) fn stop(part: Part, random: &mut Random, site: &Site) -> Box<dyn Package> {
    let whom = Whom::One(Target::draw(random, site));
    Box::new(Stop { part, whom, stopped: Vec::new() })
}

/// Machines that share a host, which stands still.
pub(super) fn stop_all() -> Box<dyn Package> {
    Box::new(Stop { part: Part::Both, whom: Whom::Everyone, stopped: Vec::new() })
}

pub(super) fn restart(random: &mut Random, site: &Site) -> Box<dyn Package> {
    let whom = Whom::One(Target::draw(random, site));
    Box::new(Restart { whom, down: Vec::new() })
}

pub(super) fn rolling() -> Box<dyn Package> {
    Box::new(Rolling { next: 0, waiting: 0, down: None })
}

/// kill -9.
#[derive(Debug)]
struct Kill {
    part: Part,
    whom: Whom,
    /// Who is kept down.
    down: Vec<usize>,
}

impl Package for Kill {
    fn legend(&self) -> String {
        format!("kill -9 of {:?}, {:?}", self.part, self.whom).to_lowercase()
    }

    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped> {
        let members = self.whom.resolve(world)?;
        let (mut killed, mut doubt) = (Vec::new(), None);
        for member in &members {
            let Ok(daemon) = world.cluster.daemon(*member) else { continue };
            let pids = self.part.pids(daemon);
            if !daemon.signal_some(&pids, Signal::SIGKILL).is_empty() {
                killed.push(*member);
            }
        }
        if killed.is_empty() {
            return Err(Skipped::because("nothing of it runs"));
        }
        if self.part.has_daemon() {
            for member in &killed {
                world.hold(*member);
                self.down.push(*member);
                let gone = world.cluster.daemon(*member).and_then(|it| it.wait(DEAD_WITHIN));
                doubt = gone.err().or(doubt);
            }
        }
        let names = world.names(&killed);
        Ok(match doubt {
            Some(error) => Broken::in_doubt(names, &error),
            None => Broken::installed(names, down(&world.names(&self.down))),
        })
    }

    fn heal(&mut self, world: &mut World) -> Result<Outcome, LabError> {
        start_again(std::mem::take(&mut self.down), world)
    }
}

/// SIGSTOP, and SIGCONT later.
#[derive(Debug)]
struct Stop {
    part: Part,
    whom: Whom,
    stopped: Vec<(usize, Vec<i32>)>,
}

impl Package for Stop {
    fn legend(&self) -> String {
        format!("SIGSTOP of {:?}, {:?}", self.part, self.whom).to_lowercase()
    }

    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped> {
        let members = self.whom.resolve(world)?;
        let (mut names, mut doubt) = (Vec::new(), None);
        for member in members {
            let Ok(daemon) = world.cluster.daemon(member) else { continue };
            let pids = self.part.pids(daemon);
            match daemon.freeze_some(&pids) {
                Ok(pids) if pids.is_empty() => continue,
                Ok(pids) => self.stopped.push((member, pids)),
                Err(error) => {
                    self.stopped.push((member, pids));
                    doubt = Some(error);
                }
            }
            names.push(world.name(member));
            if self.part.has_daemon() {
                world.hold(member);
            }
        }
        match doubt {
            Some(error) => Ok(Broken::in_doubt(names, &error)),
            None if names.is_empty() => Err(Skipped::because("nothing of it runs")),
            None if self.part.has_daemon() => Ok(Broken::installed(names.clone(), down(&names))),
            None => Ok(Broken::installed(names, Effect::default())),
        }
    }

    fn heal(&mut self, world: &mut World) -> Result<Outcome, LabError> {
        let mut members = Vec::new();
        for (member, pids) in std::mem::take(&mut self.stopped) {
            if let Ok(daemon) = world.cluster.daemon(member) {
                daemon.signal_some(&pids, Signal::SIGCONT);
            }
            if self.part.has_daemon() {
                members.push(member);
            }
        }
        // A guard may have killed it meanwhile.
        start_again(members, world)
    }
}

/// SIGTERM: everything is handed over, the leadership too.
#[derive(Debug)]
struct Restart {
    whom: Whom,
    down: Vec<usize>,
}

impl Package for Restart {
    fn legend(&self) -> String {
        format!("SIGTERM, {:?}", self.whom).to_lowercase()
    }

    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped> {
        let members = self.whom.resolve(world)?;
        for member in members {
            let told = world.cluster.daemon(member).and_then(|it| it.kill(Signal::SIGTERM));
            if told.is_ok() {
                world.hold(member);
                self.down.push(member);
            }
        }
        if self.down.is_empty() {
            return Err(Skipped::because("nothing of it runs"));
        }
        // How long it takes is its own affair, so nothing is certain while it lasts.
        Ok(Broken::installed(world.names(&self.down), Effect::default()))
    }

    fn heal(&mut self, world: &mut World) -> Result<Outcome, LabError> {
        for member in &self.down {
            let ended = world.cluster.daemon(*member).and_then(|it| it.wait(HANDOVER_WITHIN));
            if ended.is_err() {
                // As a service manager would.
                if let Ok(daemon) = world.cluster.daemon(*member) {
                    daemon.signal_some(&[daemon.pid()], Signal::SIGKILL);
                }
            }
        }
        start_again(std::mem::take(&mut self.down), world)
    }
}

/// Every member in turn, each when the one before answers again.
#[derive(Debug)]
struct Rolling {
    next: usize,
    /// Looks at one that has not come back.
    waiting: usize,
    down: Option<usize>,
}

impl Rolling {
    const LOOK_EVERY: Duration = Duration::from_millis(100);
    /// An operator would stop; a nemesis goes on.
    const LOOKS_MAX: usize = 80;
}

impl Package for Rolling {
    fn legend(&self) -> String {
        "SIGTERM and start, one member after the other".to_owned()
    }

    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped> {
        let all: Vec<usize> = (0..world.site.members).collect();
        Ok(Broken::installed(world.names(&all), Effect::default()))
    }

    fn every(&self) -> Option<Duration> {
        Some(Self::LOOK_EVERY)
    }

    fn tick(&mut self, world: &mut World) {
        match self.down {
            Some(member) if world.cluster.is_up(member) => {
                self.waiting += 1;
                let voting = world.status().is_some_and(|status| {
                    let name = world.name(member);
                    let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
                    nodes.iter().any(|node| node["name"] == *name && node["state"] == "up")
                });
                if voting || self.waiting > Self::LOOKS_MAX {
                    self.down = None;
                }
            }
            Some(member) => {
                // A failure shows as a member that stays down.
                let _ = world.revive(member);
            }
            None if self.next < world.site.members => {
                let member = self.next;
                (self.next, self.waiting) = (member + 1, 0);
                if let Ok(daemon) = world.cluster.daemon(member)
                    && daemon.kill(Signal::SIGTERM).is_ok()
                {
                    let _ = daemon.wait(HANDOVER_WITHIN);
                    self.down = Some(member);
                }
            }
            None => {}
        }
    }

    fn heal(&mut self, world: &mut World) -> Result<Outcome, LabError> {
        (0..world.site.members).try_for_each(|member| world.revive(member))?;
        let left = world.site.members - self.next;
        Ok(if left == 0 {
            Outcome::Installed
        } else {
            Outcome::Indeterminate { reason: format!("{left} members were not restarted in time") }
        })
    }
}

fn start_again(members: Vec<usize>, world: &mut World) -> Result<Outcome, LabError> {
    for member in members {
        world.let_go(member)?;
    }
    Ok(Outcome::Installed)
}

fn down(names: &[String]) -> Effect {
    Effect { down: names.to_vec(), ..Effect::default() }
}
