//! `leasehold-jepsen`: runs the court's cases by name.
#![expect(clippy::print_stdout, reason = "a case's report is its output")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use leasehold_jepsen::bench::balancing::{Change, Kind, Site};
use leasehold_jepsen::bench::{convergence, durability, failover, quorum, spread, steady};
use leasehold_jepsen::model::{self, Scope};
use leasehold_lab::vm::{Ended, Job};
use leasehold_lab::{LabError, find_binary, sweep};

#[derive(Parser)]
#[command(name = "leasehold-jepsen", about = "Put Leasehold's promises to the proof")]
struct Cli {
    #[command(subcommand)]
    case: Case,
}

#[derive(Subcommand)]
enum Case {
    /// Check the lease protocol's real machines in every order of events, within bounds
    Model {
        /// Only this scope: silence, election, elections, crashes, restarts, handover or moves
        #[arg(long)]
        scope: Option<Scope>,
        /// Instants of true time; more is slower, steeply
        #[arg(long)]
        horizon: Option<u64>,
    },
    /// Run a program of this machine inside one with Debian's kernel, which has IPVS
    Vm {
        #[arg(long, default_value_t = 3072, value_name = "MIB")]
        memory: u32,
        #[arg(long, default_value_t = 2)]
        cpus: u32,
        /// End it after so many seconds
        #[arg(long, default_value_t = 900, value_name = "SECONDS")]
        limit: u64,
        #[arg(required = true, last = true, value_name = "PROGRAM")]
        argv: Vec<String>,
    },
    /// Measure on real processes and packets; prints Markdown. Needs root
    Bench {
        #[command(subcommand)]
        bench: Bench,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Profile {
    Default,
    Fast,
    Wan,
}

#[derive(Subcommand)]
enum Bench {
    /// Outages and duplicate answers of every fault, as a client sees them
    Failover {
        #[arg(long, default_value_t = 10)]
        runs: usize,
        #[arg(long, default_value = "default")]
        profile: Profile,
        /// Put a pair of Debian's keepalived through the same faults first
        #[arg(long)]
        keepalived: bool,
    },
    /// Two of three directors lost, and one of them back
    Quorum {
        #[arg(long, default_value_t = 3)]
        runs: usize,
    },
    /// Changes acknowledged before every process is killed, and found after
    Durability {
        #[arg(long, default_value_t = 50)]
        rounds: usize,
        /// At most so many changes a round; the kill comes at a random one
        #[arg(long, default_value_t = 40)]
        changes: usize,
    },
    /// CPU, memory and takeover time with 1, 100 and 1,000 VIPs held
    Steady,
    /// What clients see of a failover under load, by NAT, DR and TUN. In a machine with IPVS
    Balancing {
        /// New connections a second
        #[arg(long, default_value_t = 200)]
        rate: usize,
        /// Only this one
        #[arg(long, value_enum)]
        forwarding: Option<Kind>,
    },
    /// Daemon and guard killed while they change a thousand services. In a machine with IPVS
    Convergence {
        #[arg(long, default_value_t = 50)]
        rounds: usize,
    },
}

fn main() -> ExitCode {
    let kept = match Cli::parse().case {
        Case::Vm { memory, cpus, limit, argv } => {
            let limit = Duration::from_secs(limit);
            let job = Job { memory_mib: memory, cpus, limit, ..Job::new(argv) };
            match job.run() {
                Ok(Ended(status)) => return ExitCode::from(u8::try_from(status).unwrap_or(255)),
                Err(error) => Err(error),
            }
        }
        Case::Model { scope, horizon } => Ok(check(scope, horizon)),
        Case::Bench { bench } => {
            sweep();
            run(bench)
        }
    };
    match kept {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("stopped: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check(scope: Option<Scope>, horizon: Option<u64>) -> bool {
    let mut good = true;
    for scope in scope.map_or_else(|| Scope::ALL.to_vec(), |one| vec![one]) {
        let report = model::check(scope, horizon.unwrap_or(scope.horizon()));
        print!("{report}");
        good &= report.is_good();
    }
    good
}

/// True where no promise was broken.
fn run(bench: Bench) -> Result<bool, LabError> {
    let binary = find_binary()?;
    match bench {
        Bench::Failover { runs, profile, keepalived } => {
            let profile = match profile {
                Profile::Default => "default",
                Profile::Fast => "fast",
                Profile::Wan => "wan",
            };
            table(binary, profile, runs, keepalived)
        }
        Bench::Quorum { runs } => {
            let (mut silent, mut back, mut twice) = (Vec::new(), Vec::new(), 0);
            for _ in 0..runs {
                let (silence, answer, duplicates) = quorum::lose_and_regain(binary.clone())?;
                silent.push(silence);
                back.push(answer);
                twice += duplicates;
            }
            println!(
                "| two of three killed: the VIP goes silent after (ms) | {} |",
                spread(&silent)
            );
            println!("| one of them started: the VIP answers after (ms) | {} |", spread(&back));
            println!("| duplicate answers | {twice} |");
            Ok(twice == 0)
        }
        Bench::Durability { rounds, changes } => {
            let tally = durability::run(binary, rounds, changes, |round, so_far| {
                println!("round {round}: {so_far:?}");
            })?;
            println!("{tally:?}");
            Ok(tally.lost == 0 && tally.reordered == 0)
        }
        Bench::Balancing { rate, forwarding } => under_load(rate, forwarding),
        Bench::Convergence { rounds } => {
            convergence::run(binary, rounds, |nth, round| println!("round {nth}: {round:?}"))?;
            println!("{rounds} rounds: every table exactly as configured, the foreign one there");
            Ok(true)
        }
        Bench::Steady => {
            println!(
                "| VIPs | CPU % | RSS MiB | packets/s | kB/s | netlink requests/s | takeover ms | \
                 duplicates |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
            );
            let mut good = true;
            for vips in [1, 100, 1000] {
                let cost = steady::cost(binary.clone(), vips)?;
                let netlink =
                    cost.netlink.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"));
                println!(
                    "| {vips} | {:.1} | {:.0} | {:.0} | {:.1} | {netlink} | {:.0} | {} |",
                    cost.cpu_percent,
                    cost.rss_mib,
                    cost.packets,
                    cost.kilobytes,
                    cost.takeover_ms,
                    cost.duplicates
                );
                good &= cost.duplicates == 0;
            }
            Ok(good)
        }
    }
}

fn under_load(rate: usize, only: Option<Kind>) -> Result<bool, LabError> {
    println!(
        "| forwarding | sync | change | requests | silent | refused | cut | longest gap ms | \
         downloads that survived |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    let all = vec![Kind::Nat, Kind::Direct, Kind::Tunnel];
    for kind in only.map_or(all, |kind| vec![kind]) {
        for sync in [false, true] {
            let mut site = Site::start(kind, sync)?;
            for change in [Change::Move, Change::Drain, Change::Kill] {
                let seen = site.suffer(change, rate)?;
                println!(
                    "| {kind:?} | {sync} | {change:?} | {} | {} | {} | {} | {:.0} | {} of {} |",
                    seen.requests,
                    seen.silent,
                    seen.refused,
                    seen.cut,
                    seen.longest_gap_ms,
                    seen.survived,
                    seen.downloads
                );
            }
        }
    }
    Ok(true)
}

fn table(
    binary: PathBuf,
    profile: &'static str,
    runs: usize,
    keepalived: bool,
) -> Result<bool, LabError> {
    println!("| what | fault | outage ms, min / median / max of {runs} | duplicate answers |");
    println!("| --- | --- | --- | --- |");
    if keepalived {
        failover::keepalived(2, 1.0, runs, |row| println!("{row}"))?;
        failover::keepalived(3, 0.1, runs, |row| println!("{row}"))?;
    }
    let mut good = true;
    failover::leasehold(binary, profile, runs, |row| {
        good &= row.ends_with("| 0 |");
        println!("{row}");
    })?;
    Ok(good)
}
