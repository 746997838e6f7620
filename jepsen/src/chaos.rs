//! `leasehold-jepsen run`: its words, its interruption, and what it prints.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use leasehold_jepsen::check::Sum;
use leasehold_jepsen::nemesis::Kind;
use leasehold_jepsen::run::{DiskKind, OF_A_PAIR, Peer, Profile, Report, Settings, run_pair};
use leasehold_lab::{LabError, find_binary, now_ns};

#[derive(clap::Args)]
pub(super) struct Chaos {
    /// Of the faults; without one, a new one, which is told
    #[arg(long)]
    seed: Option<u64>,
    /// How long things break
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=5))]
    directors: u8,
    /// And a witness
    #[arg(long)]
    witness: bool,
    #[arg(long, value_enum, default_value = "default")]
    profile: Profile,
    /// Only these, comma-separated
    #[arg(long, value_enum, value_delimiter = ',')]
    nemesis: Vec<Kind>,
    /// Put a pair of Debian's keepalived through it instead
    #[arg(long, value_enum, conflicts_with_all = ["directors", "witness", "profile"])]
    keepalived: Option<Peer>,
    /// Only the kinds that a pair of keepalived is put through, for a row beside it
    #[arg(long, conflicts_with = "nemesis")]
    as_a_pair: bool,
    /// What directors keep their data on
    #[arg(long, value_enum, default_value = "layer")]
    disk: DiskKind,
    /// Keep everything here, also where all is well
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// What was found.
pub(super) fn run(asked: Chaos) -> Result<Sum, LabError> {
    let few = asked.as_a_pair || asked.keepalived.is_some();
    let all: &[Kind] = if few { &OF_A_PAIR } else { &Kind::ALL };
    let kinds = if asked.nemesis.is_empty() { all.to_vec() } else { asked.nemesis };
    let settings = Settings {
        binary: if asked.keepalived.is_some() { PathBuf::new() } else { find_binary()? },
        // A seed of its own for each run: the clock's last digits differ.
        seed: asked.seed.unwrap_or_else(|| now_ns() % 1_000_000_007),
        seconds: asked.seconds,
        directors: asked.directors.into(),
        witness: asked.witness,
        profile: asked.profile,
        kinds,
        disk: asked.disk,
        keep: asked.keep.clone(),
    };
    if asked.keepalived.is_none() {
        println!("{}", settings.command());
    }
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signals(&stop)?;
    let begun = Instant::now();
    let tell = |line: &str| println!("{:8.3} {line}", begun.elapsed().as_secs_f64());
    let report: Report = match asked.keepalived {
        Some(peer) => run_pair(peer, &settings, &stop, tell)?,
        None => leasehold_jepsen::run::run(&settings, &stop, tell)?,
    };
    print!("{report}");
    let sum = report.sum();
    if sum == Sum::Good && asked.keep.is_none() {
        // What can't be removed is small, and lies among temporary files.
        let _ = std::fs::remove_dir_all(&report.folder);
    }
    Ok(sum)
}

/// The first interruption ends the breaking: what is broken is healed and judged.
fn stop_on_signals(stop: &Arc<AtomicBool>) -> Result<(), LabError> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error: std::io::Error| LabError::Argument(format!("signals: {error}"));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        (interrupt, signal(SignalKind::terminate()).map_err(failed)?)
    };
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
    Ok(())
}
