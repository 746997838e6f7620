//! Disks that are full, that stand still, are slow, fail, and lose their power.

use std::time::Duration;

use leasehold_lab::LabError;
use leasehold_lab::disk::{Disk, Syncs, Unsynced};

use super::{Broken, Package, Site, Skipped, Target, World};
use crate::history::{Effect, Outcome};
use crate::random::Random;

pub(super) fn full(random: &mut Random, site: &Site) -> Box<dyn Package> {
    ill(Ill::Full, random, site)
}

pub(super) fn stall(random: &mut Random, site: &Site) -> Box<dyn Package> {
    ill(Ill::Stalled, random, site)
}

pub(super) fn slow(random: &mut Random, site: &Site) -> Box<dyn Package> {
    let take = random.between(site.ttl / 50, site.ttl);
    ill(Ill::SlowSyncs(take), random, site)
}

pub(super) fn failing(random: &mut Random, site: &Site) -> Box<dyn Package> {
    let syncs = if random.chance(50) { Syncs::Fail } else { Syncs::FailForGood };
    ill(Ill::FailingSyncs(syncs), random, site)
}

pub(super) fn unreadable(random: &mut Random, site: &Site) -> Box<dyn Package> {
    ill(Ill::FailingReads, random, site)
}

pub(super) fn torn(random: &mut Random, site: &Site) -> Box<dyn Package> {
    let unsynced = Unsynced::Torn(random.word());
    Box::new(Cut { unsynced, machine: false, target: Target::draw(random, site), member: None })
}

pub(super) fn reboot(random: &mut Random, site: &Site) -> Box<dyn Package> {
    let torn = random.chance(50).then(|| random.word());
    let unsynced = torn.map_or(Unsynced::Lost, Unsynced::Torn);
    Box::new(Cut { unsynced, machine: true, target: Target::draw(random, site), member: None })
}

fn ill(ill: Ill, random: &mut Random, site: &Site) -> Box<dyn Package> {
    Box::new(IllDisk { ill, target: Target::draw(random, site), member: None, failed: 0 })
}

#[derive(Clone, Copy, Debug)]
enum Ill {
    Full,
    /// Writes and syncs wait.
    Stalled,
    SlowSyncs(Duration),
    FailingSyncs(Syncs),
    FailingReads,
}

impl Ill {
    /// Falls ill; of failing syncs, how many had failed before.
    fn befall(self, disk: &Disk) -> Result<u64, LabError> {
        match self {
            Ill::Full => disk.fill()?,
            Ill::Stalled => disk.stall()?,
            Ill::SlowSyncs(take) => disk.slow_syncs(take)?,
            Ill::FailingSyncs(syncs) => return disk.fail_syncs(syncs),
            Ill::FailingReads => disk.fail_reads(true)?,
        }
        Ok(0)
    }

    /// Is well again; of failing syncs, how many had failed by then.
    fn leave(self, disk: &Disk) -> Result<u64, LabError> {
        match self {
            Ill::Full => disk.free()?,
            Ill::Stalled => disk.thaw()?,
            Ill::SlowSyncs(_) => disk.slow_syncs(Duration::ZERO)?,
            Ill::FailingSyncs(_) => return disk.fail_syncs(Syncs::Work),
            Ill::FailingReads => disk.fail_reads(false)?,
        }
        Ok(0)
    }

    fn needs_a_layer(self) -> bool {
        match self {
            Ill::Full | Ill::Stalled => false,
            Ill::SlowSyncs(_) | Ill::FailingSyncs(_) | Ill::FailingReads => true,
        }
    }
}

/// The disk of a member's data does not do as it should.
#[derive(Debug)]
struct IllDisk {
    ill: Ill,
    target: Target,
    member: Option<usize>,
    /// Syncs, before.
    failed: u64,
}

impl Package for IllDisk {
    fn legend(&self) -> String {
        format!("{:?}, {:?}", self.ill, self.target).to_lowercase()
    }

    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped> {
        let member = world.resolve(self.target)?;
        let disk = disk(world, member, self.ill.needs_a_layer())?;
        self.member = Some(member);
        let done = self.ill.befall(disk).map(|failed| self.failed = failed);
        Ok(Broken::by(done, vec![world.name(member)]))
    }

    fn heal(&mut self, world: &mut World) -> Result<Outcome, LabError> {
        let Some(member) = self.member.take() else { return Ok(Outcome::Installed) };
        let mut failed = 0;
        if let Some(disk) = world.cluster.nodes()[member].disk() {
            failed = self.ill.leave(disk)?;
        }
        // A daemon that can't keep its log ends.
        world.revive(member)?;
        Ok(match self.ill {
            Ill::FailingSyncs(_) if failed == self.failed => {
                Outcome::Indeterminate { reason: "nothing was synced meanwhile".to_owned() }
            }
            Ill::FailingSyncs(_)
            | Ill::Full
            | Ill::Stalled
            | Ill::SlowSyncs(_)
            | Ill::FailingReads => Outcome::Installed,
        })
    }
}

/// kill -9 of all processes of a member amid a sync, and what was not synced is lost or torn. Of a
/// machine that loses its power also what its kernel knew: addresses, and the fence.
#[derive(Debug)]
struct Cut {
    unsynced: Unsynced,
    machine: bool,
    target: Target,
    member: Option<usize>,
}

impl Package for Cut {
    fn legend(&self) -> String {
        let what = match self.unsynced {
            Unsynced::Lost => "lost",
            Unsynced::Torn(_) => "torn",
        };
        format!("what was not synced is {what}, {:?}", self.target).to_lowercase()
    }

    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped> {
        let member = world.resolve(self.target)?;
        disk(world, member, true)?;
        if !world.cluster.is_up(member) {
            return Err(Skipped::because("nothing of it runs"));
        }
        world.hold(member);
        self.member = Some(member);
        let cut = if self.machine {
            world.cluster.power_off(member, self.unsynced)
        } else {
            world.cluster.crash_disk(member, self.unsynced)
        };
        let names = vec![world.name(member)];
        let mut broken = Broken::by(cut.map(drop), names.clone());
        if broken.outcome == Outcome::Installed {
            broken.effect = Effect { down: names, ..Effect::default() };
        }
        Ok(broken)
    }

    fn heal(&mut self, world: &mut World) -> Result<Outcome, LabError> {
        let Some(member) = self.member.take() else { return Ok(Outcome::Installed) };
        if self.machine {
            world.cluster.power_on(member)?;
        }
        world.let_go(member)?;
        Ok(Outcome::Installed)
    }
}

fn disk(world: &World, member: usize, layer: bool) -> Result<&Disk, Skipped> {
    let disk = world.cluster.nodes()[member].disk();
    let disk =
        disk.ok_or_else(|| Skipped::because("data directories have no disk of their own"))?;
    if layer && !disk.is_layer() {
        return Err(Skipped::because("ext4 does not fail on demand: --disk layer"));
    }
    if disk.is_stalled() {
        return Err(Skipped::because("it stands still already"));
    }
    Ok(disk)
}
