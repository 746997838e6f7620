//! `leasehold-jepsen`: runs the court's cases by name.
#![expect(clippy::print_stdout, reason = "a case's report is its output")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use leasehold_jepsen::model::{self, Scope};

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
        /// Only this scope: silence, elections, crashes, restarts, handover or moves
        #[arg(long)]
        scope: Option<Scope>,
        /// Instants of true time; more is slower, steeply
        #[arg(long)]
        horizon: Option<u64>,
    },
}

fn main() -> ExitCode {
    let Case::Model { scope, horizon } = Cli::parse().case;
    let mut good = true;
    for scope in scope.map_or_else(|| Scope::ALL.to_vec(), |one| vec![one]) {
        let report = model::check(scope, horizon.unwrap_or(scope.horizon()));
        print!("{report}");
        good &= report.is_good();
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
