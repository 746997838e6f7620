//! `leasehold-jepsen`: runs the court's cases by name.
#![expect(clippy::print_stdout, reason = "a case's report is its output")]

mod chaos;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use leasehold_jepsen::bench::balancing::{Change, Kind as Forwarding, Site};
use leasehold_jepsen::bench::{
    adverts, checks, convergence, durability, failover, migration, quorum, removal, spread, steady,
    writes,
};
use leasehold_jepsen::check::{self, Run, Sum};
use leasehold_jepsen::history::{Folder, FolderError};
use leasehold_jepsen::model::{self, Scope};
use leasehold_jepsen::report;
use leasehold_jepsen::run::Row;
use leasehold_lab::vm::Job;
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
        /// Only this scope: silence, election, elections, crashes, restarts, handover, moves or
        /// returns
        #[arg(long)]
        scope: Option<Scope>,
        /// Instants of true time; more is slower, steeply
        #[arg(long)]
        horizon: Option<u64>,
        /// Take one rule away after the other instead, and print how short a counterexample is
        #[arg(long, conflicts_with_all = ["scope", "horizon"])]
        planted: bool,
    },
    /// Break a cluster of real processes in every way at random, and judge what its clients saw.
    /// Needs root
    Run(chaos::Chaos),
    /// Run a program of this machine inside one with Debian's kernel, which has IPVS
    Vm {
        #[arg(long, default_value_t = 3072, value_name = "MIB")]
        memory: u32,
        /// End it after so many seconds
        #[arg(long, default_value_t = 900, value_name = "SECONDS")]
        limit: u64,
        #[arg(required = true, last = true, value_name = "PROGRAM")]
        argv: Vec<String>,
    },
    /// Judge a kept run again; prints every judge's verdict. Exits with 0, 1 broken or 2 unclear
    Check {
        /// Where its history.jsonl lies
        folder: PathBuf,
        /// Leave report.html and timeline.svg there
        #[arg(long)]
        report: bool,
    },
    /// Figures of kept runs, a row each: of ours, and of keepalived's
    Beside {
        #[arg(required = true)]
        folders: Vec<PathBuf>,
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
    /// Configurations written to three members, how long each takes; beside etcd
    Writes {
        /// At the same time; one row each
        #[arg(long, value_delimiter = ',', default_values_t = [1, 64])]
        writers: Vec<usize>,
        /// How long each is measured
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
        /// About how large a configuration is
        #[arg(long, default_value_t = 1024)]
        bytes: usize,
    },
    /// What it takes to apply a large configuration
    Documents {
        /// Virtual servers of three real servers each; one row each
        #[arg(long, value_delimiter = ',', default_values_t = [1000, 10_000])]
        services: Vec<usize>,
    },
    /// CPU, memory and takeover time with 1, 100 and 1,000 VIPs held
    Steady,
    /// How evenly many instances on one director advertise, and the cost; beside keepalived
    Adverts {
        #[arg(long, default_value_t = 250)]
        instances: usize,
        /// How long each is measured
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
    },
    /// How late thousands of checks a second come, and what they cost; beside keepalived
    Checks {
        /// Real servers, each asked once a second; one row each
        #[arg(long, value_delimiter = ',', default_values_t = [1000, 5000, 10_000])]
        checks: Vec<usize>,
        #[arg(long, value_enum, default_value = "tcp")]
        kind: checks::Kind,
        /// How long each is measured
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
        /// Keep who is measured to the first processor, and the real servers off it
        #[arg(long)]
        one_core: bool,
        /// The director is to forward to the real servers as well. In a machine with IPVS
        #[arg(long)]
        held: bool,
    },
    /// How soon failed real servers are removed, and back; beside keepalived
    Removal {
        /// Only these, comma-separated
        #[arg(long, value_enum, value_delimiter = ',',
            default_values_t = removal::Checker::ALL)]
        checkers: Vec<removal::Checker>,
        #[arg(long, default_value_t = 10)]
        rounds: usize,
    },
    /// A live keepalived pair replaced by a cluster, and put back; as a client sees it
    Migration {
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// One to three; alone, a director yields to the pair and to nobody else
        #[arg(long, default_value_t = migration::DIRECTORS_MAX)]
        directors: usize,
    },
    /// What clients see of a failover under load, by NAT, DR and TUN. In a machine with IPVS
    Balancing {
        /// New connections a second
        #[arg(long, default_value_t = 200)]
        rate: usize,
        /// Only this one
        #[arg(long, value_enum)]
        forwarding: Option<Forwarding>,
        /// Only with connection sync, or only without
        #[arg(long)]
        sync: Option<bool>,
    },
    /// Daemon and guard killed while they change a thousand services. In a machine with IPVS
    Convergence {
        #[arg(long, default_value_t = 50)]
        rounds: usize,
    },
}

fn main() -> ExitCode {
    let kept = match Cli::parse().case {
        Case::Vm { memory, limit, argv } => {
            let limit = Duration::from_secs(limit);
            let job = Job { memory_mib: memory, limit, ..Job::new(argv) };
            match job.run() {
                Ok(ended) => return ExitCode::from(u8::try_from(ended.status).unwrap_or(255)),
                Err(error) => Err(error),
            }
        }
        Case::Check { folder, report } => match judge(folder, report) {
            Ok(sum) => return ExitCode::from(sum.exit_code()),
            Err(error) => {
                println!("stopped: {error}");
                return ExitCode::from(Sum::Unclear.exit_code());
            }
        },
        Case::Beside { folders } => match beside(folders) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => {
                println!("stopped: {error}");
                return ExitCode::FAILURE;
            }
        },
        Case::Model { planted: true, .. } => Ok(take_rules_away()),
        Case::Model { scope, horizon, planted: false } => Ok(explore(scope, horizon)),
        Case::Run(asked) => {
            sweep();
            match chaos::run(asked) {
                Ok(sum) => return ExitCode::from(sum.exit_code()),
                Err(error) => Err(error),
            }
        }
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

fn judge(folder: PathBuf, report: bool) -> Result<Sum, FolderError> {
    let folder = Folder::new(folder);
    let run = Run::read(&folder)?;
    let judged = check::all(&run);
    print!("{}", check::tell(&judged));
    if report {
        report::write(&folder, &run, &judged)?;
        println!("see {}", folder.path().join("report.html").display());
    }
    Ok(check::sum(&judged))
}

fn beside(folders: Vec<PathBuf>) -> Result<(), FolderError> {
    println!("{}", Row::HEAD);
    for folder in folders {
        println!("{}", Row::new(&Run::read(&Folder::new(folder))?));
    }
    Ok(())
}

fn take_rules_away() -> bool {
    println!("{}", model::Found::HEAD);
    let mut good = true;
    for removed in model::REMOVED {
        let found = model::look(removed);
        println!("{found}");
        good &= found.steps().is_some();
    }
    good
}

fn explore(scope: Option<Scope>, horizon: Option<u64>) -> bool {
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
        Bench::Writes { writers, seconds, bytes } => {
            let span = Duration::from_secs(seconds);
            write_often(binary, &writes::Plan { writers, span, bytes })
        }
        Bench::Documents { services } => {
            println!("{}", writes::Document::HEAD);
            writes::documents(binary, &services, |row| println!("{row}"))?;
            Ok(true)
        }
        Bench::Adverts { instances, seconds } => {
            evenness(binary, instances, Duration::from_secs(seconds))
        }
        Bench::Checks { checks, kind, seconds, one_core, held } => {
            let span = Duration::from_secs(seconds);
            ask_often(binary, checks::Plan { kind, numbers: checks, span, one_core, held })
        }
        Bench::Removal { checkers, rounds } => remove(binary, &checkers, rounds),
        Bench::Migration { rounds, directors } => migrate(binary, directors, rounds),
        Bench::Balancing { rate, forwarding, sync } => under_load(rate, forwarding, sync),
        Bench::Convergence { rounds } => {
            convergence::run(binary, rounds, |nth, round| println!("round {nth}: {round:?}"))?;
            println!("{rounds} rounds: every table exactly as configured, the foreign one there");
            Ok(true)
        }
        Bench::Steady => steadiness(&binary),
    }
}

fn steadiness(binary: &Path) -> Result<bool, LabError> {
    println!(
        "| VIPs | CPU % | RSS MiB | packets/s | kB/s | netlink requests/s | takeover ms | \
         duplicates |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    let mut good = true;
    for vips in [1, 100, 1000] {
        let cost = steady::cost(binary.to_owned(), vips)?;
        let netlink = cost.netlink.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"));
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

fn evenness(binary: PathBuf, instances: usize, span: Duration) -> Result<bool, LabError> {
    println!("{}", adverts::Row::HEAD);
    let mut good = true;
    adverts::run(binary, instances, span, |row| {
        good &= row.is_good();
        println!("{row}");
    })?;
    Ok(good)
}

fn ask_often(binary: PathBuf, plan: checks::Plan) -> Result<bool, LabError> {
    println!("{}", checks::Row::HEAD);
    let mut good = true;
    checks::run(binary, &plan, |row| {
        good &= row.is_good();
        println!("{row}");
    })?;
    Ok(good)
}

fn write_often(binary: PathBuf, plan: &writes::Plan) -> Result<bool, LabError> {
    println!("{}", writes::Row::HEAD);
    let mut good = true;
    writes::run(binary, plan, |row| {
        good &= row.is_good();
        println!("{row}");
    })?;
    Ok(good)
}

fn remove(binary: PathBuf, checkers: &[removal::Checker], rounds: usize) -> Result<bool, LabError> {
    let report = removal::run(binary, checkers, rounds)?;
    println!("{}", removal::Row::HEAD);
    for row in &report.rows {
        println!("{row}");
    }
    let [theirs, ours] = report.blind_ms;
    println!(
        "between two looks at a table, at most: keepalived {theirs:.0} ms, leasehold {ours:.0}"
    );
    Ok(report.rows.iter().all(removal::Row::is_good))
}

fn migrate(binary: PathBuf, directors: usize, rounds: usize) -> Result<bool, LabError> {
    let all = migration::run(binary, directors, rounds, |round, step, seen| {
        println!("round {round}, {}: {seen:?}", step.name());
    })?;
    println!("{}", migration::HEAD);
    for row in migration::rows(&all) {
        println!("{row}");
    }
    Ok(all.iter().all(|(_, seen)| seen.is_good()))
}

fn under_load(rate: usize, only: Option<Forwarding>, sync: Option<bool>) -> Result<bool, LabError> {
    println!(
        "| forwarding | sync | change | requests | silent | refused | cut | longest gap ms | \
         downloads that survived |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    let all = vec![Forwarding::Nat, Forwarding::Direct, Forwarding::Tunnel];
    for kind in only.map_or(all, |kind| vec![kind]) {
        for sync in sync.map_or(vec![false, true], |sync| vec![sync]) {
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
