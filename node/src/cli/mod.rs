//! The command line. Words and exit codes are a contract: 0 done, 1 refused or failed with one
//! line on stderr, 2 usage.

mod args;
mod client;
mod close;
mod config;
mod doctor;
mod edit;
mod found;
mod include;
mod ipvs;
mod members;
pub(crate) mod out;
mod realserver;
mod recover;
mod revisions;
mod rs;
mod run;
mod show;
mod words;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};
pub(crate) use client::cause;

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => out::fail(&error),
    }
}

fn dispatch(arguments: Arguments) -> anyhow::Result<()> {
    let target = client::Target::from(&arguments);
    match arguments.command {
        Command::Init(args) => found::init(&arguments.data_dir, &args),
        Command::Join(args) => found::join(&arguments.data_dir, &args),
        Command::Run(args) => run::run(arguments.data_dir, &args),
        Command::Guard(args) => run::guard(arguments.data_dir, &args),
        Command::Token { command } => members::token(&target, &command),
        Command::Member { command } => members::member(&target, &command),
        Command::Apply(args) => config::apply(&target, &args),
        Command::Import(args) => config::import(&args),
        Command::Doctor(args) => doctor::doctor(&target, &args),
        Command::Close => close::close(&arguments.data_dir),
        Command::Realserver { command } => realserver::realserver(&command),
        Command::Rs { command } => rs::rs(&target, &command),
        Command::Vs { command } => edit::vs(&target, &command),
        Command::Instance { command } => edit::instance(&target, &command),
        Command::Global { command } => edit::global(&target, &command),
        Command::Recover => recover::recover(&arguments.data_dir),
        Command::Demo => crate::demo::run(),
        Command::Export(args) => config::export(&target, &args),
        Command::History(args) => revisions::history(&target, &args),
        Command::Diff(args) => revisions::diff(&target, &args),
        Command::Rollback(args) => revisions::rollback(&target, &args),
        Command::Status(args) => show::status(&target, &args),
        Command::Ipvs(args) => ipvs::ipvs(&target, &args),
        Command::Explain(args) => show::explain(&target, &args),
        Command::Move { instance, to } => members::r#move(&target, instance, to),
        Command::Drain { node } => members::drain(&target, node, true),
        Command::Undrain { node } => members::drain(&target, node, false),
    }
}
