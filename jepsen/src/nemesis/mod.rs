//! Who breaks things: faults as packages, each with what it does, how it is undone, how long it
//! lasts and what it is called.
//!
//! A [`Kind`] draws a [`Package`] from a seed: with all its choices made, but for what only the
//! running cluster knows, such as who holds an address. The end of a run undoes all of them.

mod active;
mod disk;
mod kernel;
mod late;
mod machine;
mod membership;
mod moved;
mod network;
mod operator;
mod process;
mod schedule;
mod world;

use std::fmt::Debug;
use std::time::Duration;

use clap::ValueEnum;
use leasehold_lab::LabError;

use crate::history::{Effect, Outcome};
use crate::random::Random;

use self::process::Part;
pub use active::{Active, Noted};
pub use schedule::{Generator, Planned, Step};
pub use world::{Subject, Target, World};

/// What can be done to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    KillDaemon,
    KillGuard,
    KillBoth,
    KillAll,
    StopDaemon,
    StopGuard,
    StopBoth,
    StopAll,
    Restart,
    RollingRestart,
    PartitionHalves,
    PartitionOut,
    PartitionIn,
    PartitionBridge,
    IsolateHolder,
    IsolateLeader,
    Flapping,
    Loss,
    Delay,
    Duplication,
    LateAnswers,
    RateLimit,
    LossBursts,
    LinkFlap,
    AddressRemoved,
    FenceDetached,
    DiskFull,
    DiskStall,
    FsyncSlow,
    FsyncFailing,
    ReadFailing,
    TornWrite,
    Reboot,
    ClockJump,
    CpuStarved,
    MemoryPressure,
    Rejoin,
    Demote,
    Move,
    Drain,
    Churn,
    AddressMoved,
}

impl Kind {
    pub const ALL: [Kind; 42] = [
        Kind::KillDaemon,
        Kind::KillGuard,
        Kind::KillBoth,
        Kind::KillAll,
        Kind::StopDaemon,
        Kind::StopGuard,
        Kind::StopBoth,
        Kind::StopAll,
        Kind::Restart,
        Kind::RollingRestart,
        Kind::PartitionHalves,
        Kind::PartitionOut,
        Kind::PartitionIn,
        Kind::PartitionBridge,
        Kind::IsolateHolder,
        Kind::IsolateLeader,
        Kind::Flapping,
        Kind::Loss,
        Kind::Delay,
        Kind::Duplication,
        Kind::LateAnswers,
        Kind::RateLimit,
        Kind::LossBursts,
        Kind::LinkFlap,
        Kind::AddressRemoved,
        Kind::FenceDetached,
        Kind::DiskFull,
        Kind::DiskStall,
        Kind::FsyncSlow,
        Kind::FsyncFailing,
        Kind::ReadFailing,
        Kind::TornWrite,
        Kind::Reboot,
        Kind::ClockJump,
        Kind::CpuStarved,
        Kind::MemoryPressure,
        Kind::Rejoin,
        Kind::Demote,
        Kind::Move,
        Kind::Drain,
        Kind::Churn,
        Kind::AddressMoved,
    ];

    /// As the command line has it.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether nothing else may be broken meanwhile. Members come and go only in a cluster that is
    /// whole, as an operator would see to; and who takes the fence away *and* stops those who
    /// would put it back has taken away the only thing that was promised. And a relay carries its
    /// frames past whatever else is cut. And an address moves in time only where little else does.
    #[must_use]
    pub fn stands_alone(self) -> bool {
        match self {
            Kind::Rejoin
            | Kind::Demote
            | Kind::FenceDetached
            | Kind::RollingRestart
            | Kind::Delay
            | Kind::Duplication
            | Kind::LateAnswers
            | Kind::AddressMoved
            | Kind::RateLimit
            | Kind::LossBursts => true,
            Kind::KillDaemon
            | Kind::KillGuard
            | Kind::KillBoth
            | Kind::KillAll
            | Kind::StopDaemon
            | Kind::StopGuard
            | Kind::StopBoth
            | Kind::StopAll
            | Kind::Restart
            | Kind::PartitionHalves
            | Kind::PartitionOut
            | Kind::PartitionIn
            | Kind::PartitionBridge
            | Kind::IsolateHolder
            | Kind::IsolateLeader
            | Kind::Flapping
            | Kind::Loss
            | Kind::LinkFlap
            | Kind::AddressRemoved
            | Kind::DiskFull
            | Kind::DiskStall
            | Kind::FsyncSlow
            | Kind::FsyncFailing
            | Kind::ReadFailing
            | Kind::TornWrite
            | Kind::Reboot
            | Kind::ClockJump
            | Kind::CpuStarved
            | Kind::MemoryPressure
            | Kind::Move
            | Kind::Drain
            | Kind::Churn => false,
        }
    }

    /// How long it lasts.
    fn length(self, random: &mut Random, site: &Site) -> Duration {
        let ttl = site.ttl;
        let seconds = Duration::from_secs;
        let (least, most) = match self {
            // Around the instants at which a lease ends, is given on, and a guard loses patience.
            Kind::StopDaemon | Kind::StopGuard | Kind::StopBoth | Kind::StopAll => {
                (ttl / 5, ttl * 3)
            }
            Kind::KillDaemon
            | Kind::KillGuard
            | Kind::KillBoth
            | Kind::KillAll
            | Kind::Restart
            | Kind::TornWrite
            | Kind::Reboot => (ttl / 10, ttl * 4),
            Kind::PartitionHalves
            | Kind::PartitionOut
            | Kind::PartitionIn
            | Kind::PartitionBridge
            | Kind::IsolateHolder
            | Kind::IsolateLeader => (ttl / 5, ttl * 5),
            // A lease is to run out, and another to be opened, after its holder fell silent.
            Kind::LateAnswers => (ttl * 3, ttl * 5),
            // Two changes of the configuration on top.
            Kind::AddressMoved => (ttl * 3 + seconds(1), ttl * 4 + seconds(2)),
            Kind::Flapping | Kind::LinkFlap => (ttl, ttl * 6),
            Kind::Loss
            | Kind::Delay
            | Kind::Duplication
            | Kind::RateLimit
            | Kind::LossBursts
            | Kind::FsyncSlow
            | Kind::CpuStarved => (seconds(1), seconds(6)),
            Kind::DiskFull
            | Kind::DiskStall
            | Kind::FsyncFailing
            | Kind::ReadFailing
            | Kind::MemoryPressure => (ttl / 5, ttl * 4),
            Kind::AddressRemoved | Kind::FenceDetached | Kind::Churn | Kind::Move => {
                (seconds(1), seconds(3))
            }
            Kind::Drain | Kind::Demote | Kind::Rejoin => (seconds(1), seconds(4)),
            Kind::RollingRestart => (seconds(8), seconds(15)),
            Kind::ClockJump => (ttl / 2, ttl * 3),
        };
        random.between(least, most)
    }

    /// Makes all choices that a seed can make.
    fn draw(self, random: &mut Random, site: &Site) -> Box<dyn Package> {
        match self {
            Kind::KillDaemon => process::kill(Part::Daemon, random, site),
            Kind::KillGuard => process::kill(Part::Guard, random, site),
            Kind::KillBoth => process::kill(Part::Both, random, site),
            Kind::KillAll => process::kill_all(),
            Kind::StopDaemon => process::stop(Part::Daemon, random, site),
            Kind::StopGuard => process::stop(Part::Guard, random, site),
            Kind::StopBoth => process::stop(Part::Both, random, site),
            Kind::StopAll => process::stop_all(),
            Kind::Restart => process::restart(random, site),
            Kind::RollingRestart => process::rolling(),
            Kind::PartitionHalves => network::halves(random, site),
            Kind::PartitionOut => network::one_way_out(random, site),
            Kind::PartitionIn => network::one_way_in(random, site),
            Kind::PartitionBridge => network::bridge(random, site),
            Kind::IsolateHolder => network::isolate(Target::Holder(random.below(site.instances))),
            Kind::IsolateLeader => network::isolate(Target::Leader),
            Kind::Flapping => network::flapping(random, site),
            Kind::Loss => network::loss(random, site),
            Kind::Delay => network::slow(0, random, site),
            Kind::Duplication => network::slow(20, random, site),
            Kind::LateAnswers => late::answers(random, site),
            Kind::RateLimit => network::narrow(random, site),
            Kind::LossBursts => network::bursts(random, site),
            Kind::LinkFlap => network::link_flap(random, site),
            Kind::AddressRemoved => kernel::address_removed(random, site),
            Kind::FenceDetached => kernel::fence_detached(random, site),
            Kind::DiskFull => disk::full(random, site),
            Kind::DiskStall => disk::stall(random, site),
            Kind::FsyncSlow => disk::slow(random, site),
            Kind::FsyncFailing => disk::failing(random, site),
            Kind::ReadFailing => disk::unreadable(random, site),
            Kind::TornWrite => disk::torn(random, site),
            Kind::Reboot => disk::reboot(random, site),
            Kind::ClockJump => machine::clock_jump(random, site),
            Kind::CpuStarved => machine::cpu_starved(random, site),
            Kind::MemoryPressure => machine::memory_pressure(random, site),
            Kind::Rejoin => membership::rejoin(random, site),
            Kind::Demote => membership::demote(random, site),
            Kind::Move => operator::r#move(random, site),
            Kind::Drain => operator::drain(random, site),
            Kind::Churn => operator::churn(random, site),
            Kind::AddressMoved => moved::address(random, site),
        }
    }
}

/// What a schedule has to know of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// The first of its members.
    pub directors: usize,
    /// Directors and witness.
    pub members: usize,
    pub instances: usize,
    pub ttl: Duration,
}

/// What an attempt to break came to.
#[derive(Clone, Debug)]
pub struct Broken {
    pub outcome: Outcome,
    /// Whom it befell.
    pub nodes: Vec<String>,
    /// What is certainly gone until it is healed.
    pub effect: Effect,
}

impl Broken {
    fn installed(nodes: Vec<String>, effect: Effect) -> Broken {
        Broken { outcome: Outcome::Installed, nodes, effect }
    }

    /// By what did it: where that failed on the way, nobody knows.
    fn by(done: Result<(), impl ToString>, nodes: Vec<String>) -> Broken {
        match done {
            Ok(()) => Broken::installed(nodes, Effect::default()),
            Err(why) => Broken::in_doubt(nodes, &why),
        }
    }

    fn in_doubt(nodes: Vec<String>, why: &impl ToString) -> Broken {
        let outcome = Outcome::Indeterminate { reason: why.to_string() };
        Broken { outcome, nodes, effect: Effect::default() }
    }
}

/// Why nothing was done.
#[derive(Clone, Debug)]
pub struct Skipped(String);

impl Skipped {
    fn because(why: impl Into<String>) -> Skipped {
        Skipped(why.into())
    }
}

impl From<String> for Skipped {
    fn from(why: String) -> Skipped {
        Skipped(why)
    }
}

impl From<Skipped> for Broken {
    fn from(Skipped(reason): Skipped) -> Broken {
        let outcome = Outcome::Skipped { reason };
        Broken { outcome, nodes: Vec::new(), effect: Effect::default() }
    }
}

/// A fault with its choices made.
pub trait Package: Debug {
    /// What a reader of the timeline should know beside the kind.
    fn legend(&self) -> String;

    /// Breaks it.
    ///
    /// # Errors
    /// Where there is nothing to break, or nothing to break it with; nothing was done then.
    fn inject(&mut self, world: &mut World) -> Result<Broken, Skipped>;

    /// How often something is to be done while it lasts.
    fn every(&self) -> Option<Duration> {
        None
    }

    /// Does that.
    fn tick(&mut self, _world: &mut World) {}

    /// Undoes it. Called once, also where it is not known whether it was done.
    ///
    /// # Errors
    /// Where it can't be undone.
    fn heal(&mut self, world: &mut World) -> Result<Outcome, LabError>;
}
