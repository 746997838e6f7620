//! The command: one seed in this process, or many, each in a process of its own.
//!
//! tokio and the standard library count some things by the process. A seed that has a process to
//! itself meets those counts as they are at its replay.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use leasehold_raft::lease::Profile;

use crate::panics;
use crate::plant::Plant;
use crate::simulation::{Outcome, Settings, run};

/// What it takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Everything that happens follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// So many seeds, from that one on.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// How long each runs, in hours of the simulation.
    #[arg(long, default_value_t = 0.1)]
    hours: f64,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=5))]
    directors: u8,
    #[arg(long, default_value = "default")]
    profile: Profile,
    /// A fault to put in, which must be found.
    #[arg(long)]
    plant: Option<Plant>,
    /// Where the trace of a seed that fails goes.
    #[arg(long, default_value = "simulation")]
    keep: PathBuf,
    /// Keep the trace also where nothing is found.
    #[arg(long)]
    trace: bool,
}

const HOUR: f64 = 3.6e12;

/// Runs the command.
///
/// # Panics
/// Where the operating system gives no thread.
#[must_use]
pub fn main(args: &Args) -> ExitCode {
    if args.seeds != 1 {
        return many(args);
    }
    let settings = Settings {
        seed: args.seed,
        directors: args.directors.into(),
        profile: args.profile,
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "hours")]
        span: (args.hours * HOUR) as u64,
        plant: args.plant,
    };
    let begun = Instant::now();
    panics::watch();
    // A thread that has hashed nothing and drawn no randomness yet.
    let outcome = std::thread::spawn(move || run(settings)).join();
    let Ok(outcome) = outcome else {
        say(&format!("seed {}: the simulation panicked", args.seed));
        return ExitCode::FAILURE;
    };
    report(args, &outcome, begun.elapsed().as_secs_f64());
    if outcome.violation.is_some() || args.trace {
        let path = args.keep.join(format!("seed-{}.jsonl", args.seed));
        match outcome.write_trace(&path) {
            Ok(()) => say(&format!("trace: {}", path.display())),
            Err(error) => say(&format!("{}: {error}", path.display())),
        }
    }
    if outcome.violation.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn report(args: &Args, outcome: &Outcome, wall: f64) {
    let seconds = outcome.simulated as f64 / 1e9;
    say(&format!(
        "seed {}: {:.3} h simulated in {wall:.1} s ({:.0} simulated hours an hour), {} faults, \
         {} messages, {} kernel changes judged, {} changes acknowledged, {} heals, longest {:.2} s, \
         hash {}",
        args.seed,
        seconds / 3600.0,
        seconds / wall,
        outcome.faults,
        outcome.messages,
        outcome.judged,
        outcome.acknowledged,
        outcome.heals,
        outcome.longest_heal as f64 / 1e9,
        outcome.hash,
    ));
    if args.trace {
        say(&format!("{:?}", outcome.tally()));
    }
    if let Some(violation) = &outcome.violation {
        say(&format!("FAILED at {:.3} s: {}", violation.at as f64 / 1e9, violation.what));
    }
}

fn many(args: &Args) -> ExitCode {
    let Ok(program) = std::env::current_exe() else {
        say("this program's path is not known");
        return ExitCode::FAILURE;
    };
    let begun = Instant::now();
    let mut failed = Vec::new();
    for seed in args.seed..args.seed + args.seeds {
        let mut command = Command::new(&program);
        command.arg("--seed").arg(seed.to_string());
        command.arg("--hours").arg(args.hours.to_string());
        command.arg("--directors").arg(args.directors.to_string());
        command.arg("--profile").arg(args.profile.to_string());
        command.arg("--keep").arg(&args.keep);
        if let Some(plant) = args.plant.and_then(|one| clap::ValueEnum::to_possible_value(&one)) {
            command.arg("--plant").arg(plant.get_name());
        }
        if !command.status().is_ok_and(|status| status.success()) {
            failed.push(seed);
        }
    }
    let wall = begun.elapsed().as_secs_f64();
    say(&format!("{} seeds in {wall:.0} s; failed: {failed:?}", args.seeds));
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn say(line: &str) {
    // Where nobody reads, there is nobody to tell.
    drop(writeln!(std::io::stdout(), "{line}"));
}
