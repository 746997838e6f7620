//! Members that go and come back, and votes taken and given. In a cluster that is whole.

use leasehold_lab::LabError;

use super::{Broken, Package, Site, Skipped, Target, World};
use crate::history::{Effect, F, Outcome, Process, Voters};
use crate::random::Random;

/// How often a member tries to come back.
const TRIES_MAX: usize = 5;

pub(super) fn rejoin(random: &mut Random, site: &Site) -> Box<dyn Package> {
    Box::new(Member { removed: true, target: Target::draw(random, site), gone: None })
}

pub(super) fn demote(random: &mut Random, site: &Site) -> Box<dyn Package> {
    Box::new(Member { removed: false, target: Target::draw(random, site), gone: None })
}

/// Removed for good, its data wiped, and joined anew under the same name; or its vote taken and
/// given back.
#[derive(Debug)]
struct Member {
    removed: bool,
    target: Target,
    gone: Option<usize>,
}

impl Package for Member {
    fn legend(&self) -> String {
        let what = if self.removed { "removed, joins anew" } else { "vote taken, given back" };
        format!("{what}, {:?}", self.target).to_lowercase()
    }

    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped> {
        if let Err(error) = world.cluster.wait_for_voters() {
            let why = error.to_string();
            return Err(Skipped::because(format!("not all are well: {}", first_line(&why))));
        }
        let member = world.resolve(self.target)?;
        let others = world.others(member);
        let name = world.name(member);
        // What a removed one does before it ends is its own affair; nobody starts it again.
        self.gone = Some(member);
        if self.removed {
            world.hold(member);
        }
        voters(world, &others, false);
        let word = if self.removed { "remove" } else { "demote" };
        match world.cluster.cli(others[0], &["member", word, &name]) {
            Ok(_) => {
                voters(world, &others, true);
                Ok(Broken::installed(vec![name], Effect::default()))
            }
            Err(error) => Ok(Broken::in_doubt(vec![name], &first_line(&error.to_string()))),
        }
    }

    fn heal(&mut self, world: &mut World) -> Result<Outcome, LabError> {
        let Some(member) = self.gone.take() else { return Ok(Outcome::Installed) };
        let all: Vec<usize> = (0..world.site.members).collect();
        let others = world.others(member);
        voters(world, &all, false);
        let name = world.name(member);
        let mut last = None;
        for nth in 0..TRIES_MAX {
            let through = others[nth % others.len()];
            let back = if self.removed {
                // Where it is not known whether it was removed: that must be settled first.
                let _ = world.cluster.cli(through, &["member", "remove", &name]);
                let role = if member < world.site.directors { "director" } else { "witness" };
                // What the old daemon says must not pass for the new one's.
                if let Ok(daemon) = world.cluster.daemon(member) {
                    daemon.kill_tree()?;
                }
                world.note_start(member);
                world.cluster.rejoin(member, through, role)
            } else {
                world.cluster.cli(through, &["member", "promote", &name]).map(drop)
            };
            match back {
                Ok(()) => {
                    last = None;
                    break;
                }
                Err(error) => last = Some(error),
            }
        }
        if self.removed {
            world.let_go(member)?;
        }
        if let Some(error) = last {
            return Err(error);
        }
        world.cluster.wait_for_voters()?;
        voters(world, &all, true);
        Ok(Outcome::Installed)
    }
}

/// Who votes; the run ends by itself where the history is full.
fn voters(world: &World, members: &[usize], in_force: bool) {
    let voters = F::Voters(Voters { voters: world.names(members) });
    let _ = if in_force {
        world.recorder.ok(Process::Nemesis, voters)
    } else {
        world.recorder.invoke(Process::Nemesis, voters)
    };
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
