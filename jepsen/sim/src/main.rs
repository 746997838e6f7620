//! `leasehold-simulate`: the simulation by itself.

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: leasehold_sim::Args,
}

fn main() -> ExitCode {
    leasehold_sim::main(&Cli::parse().args)
}
