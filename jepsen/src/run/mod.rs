//! One run of chaos: a cluster of real processes, clients that write down what they do, faults
//! drawn from a seed, and a verdict.

mod beside;
mod end;
mod fence;
mod granted;
mod pair;
mod report;
mod setting;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use leasehold_lab::{LabError, now_ns};

use crate::history::Recorder;
use crate::nemesis::{Active, Generator, Kind, Planned, World};

pub use beside::Row;
pub use pair::{OF_A_PAIR, Peer, run_pair};
pub use report::Report;
pub use setting::{DiskKind, Profile};

use setting::Stage;

/// Lines of a history: hours of it.
const HISTORY_MAX: usize = 4_000_000;

/// How often faults that are due are looked for.
const TURN_EVERY: Duration = Duration::from_millis(5);

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub binary: PathBuf,
    pub seed: u64,
    pub seconds: u64,
    pub directors: usize,
    pub witness: bool,
    pub profile: Profile,
    pub kinds: Vec<Kind>,
    pub disk: DiskKind,
    /// Where everything is kept, whatever the verdict.
    pub keep: Option<PathBuf>,
}

impl Settings {
    /// The command that repeats it.
    #[must_use]
    pub fn command(&self) -> String {
        let mut words = format!(
            "cargo run -p leasehold-jepsen -- run --seed {} --seconds {} --directors {} \
             --profile {}",
            self.seed,
            self.seconds,
            self.directors,
            self.profile.name()
        );
        if self.witness {
            words += " --witness";
        }
        if self.disk == DiskKind::Ext4 {
            words += " --disk ext4";
        }
        if self.kinds != Kind::ALL {
            let kinds: Vec<String> = self.kinds.iter().map(|kind| kind.name()).collect();
            words += &format!(" --nemesis {}", kinds.join(","));
        }
        words
    }
}

/// Runs it, tells each step by `tell`, and ends early once `stop` is set.
///
/// # Errors
/// Where the testbed fails. What the cluster does wrong is in the report.
pub fn run(
    settings: &Settings,
    stop: &AtomicBool,
    mut tell: impl FnMut(&str),
) -> Result<Report, LabError> {
    let recorder = Arc::new(Recorder::new(HISTORY_MAX, now_ns));
    let mut stage = Stage::build(settings, &recorder)?;
    let mut world = stage.world(settings, &recorder)?;
    stage.open(settings, &mut world)?;
    tell(&format!("the cluster is up; faults for {} s", settings.seconds));
    let mut active = Active::default();
    let mut unhealed = break_things(settings, &mut world, &mut active, stop, &mut tell);
    // Whatever happened, nothing stays broken.
    unhealed.extend(active.heal_all(&mut world));
    tell("all faults are healed; the cluster is to come to rest");
    stage.close(settings, world, active, unhealed)
}

/// Breaks and heals until the time is over, or nothing more can be written down; what failed.
fn break_things(
    settings: &Settings,
    world: &mut World,
    active: &mut Active,
    stop: &AtomicBool,
    tell: &mut impl FnMut(&str),
) -> Vec<LabError> {
    let mut generator = Generator::new(settings.seed, &settings.kinds, world.site);
    let end_ns = now_ns() + settings.seconds * 1_000_000_000;
    let over = || stop.load(Ordering::Relaxed) || now_ns() >= end_ns;
    let mut failed = Vec::new();
    while !over() {
        let step = generator.step();
        pass(step.quiet, &over);
        let begun_ns = now_ns();
        let mut planned: Vec<Planned> = step.faults;
        planned.sort_by_key(|fault| std::cmp::Reverse(fault.after));
        while !(over() || planned.is_empty() && active.is_empty()) {
            while planned.last().is_some_and(|next| begun_ns + nanos(next.after) <= now_ns()) {
                let Some(next) = planned.pop() else { break };
                if let Err(full) = active.inject(next, world) {
                    failed.push(full);
                    return failed;
                }
                if let Some(noted) = active.noted.last() {
                    tell(&report::line(noted));
                }
            }
            // What can't be undone now is tried again at rest, which is judged.
            failed.extend(active.turn(world).err());
            let asleep_ns = now_ns();
            std::thread::sleep(TURN_EVERY);
            let late_ns = (now_ns() - asleep_ns).saturating_sub(nanos(TURN_EVERY));
            active.late_ns = active.late_ns.max(late_ns);
        }
        if planned.is_empty() && active.is_empty() {
            // What died of a fault that was not meant to kill it is started again as well.
            failed.extend((0..world.site.members).filter_map(|member| world.revive(member).err()));
        }
    }
    failed
}

fn pass(span: Duration, over: &impl Fn() -> bool) {
    let end_ns = now_ns() + nanos(span);
    while now_ns() < end_ns && !over() {
        std::thread::sleep(TURN_EVERY);
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
