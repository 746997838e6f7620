//! `leasehold`: the daemon, its guard and every command, in one binary.

mod api;
mod cli;
mod daemon;
mod demo;
mod doctor;
mod guard;
mod guard_message;

use std::process::ExitCode;

/// Consensus on this build's store.
type Group = leasehold_raft::group::Group<leasehold_raft::store::StateMachine>;

fn main() -> ExitCode {
    cli::main()
}
