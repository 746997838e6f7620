//! `leasehold`: the daemon, its guard and every command, in one binary.

mod api;
mod cli;
mod daemon;
mod demo;
mod doctor;
mod guard;
mod guard_message;
mod health;
mod notify;
mod paced;
mod script;
mod spoken;
mod tracking;
mod utc;
mod wake;

use std::process::ExitCode;

/// Consensus on this build's store.
type Group = leasehold_raft::group::Group<leasehold_raft::store::StateMachine>;

fn main() -> ExitCode {
    cli::main()
}
