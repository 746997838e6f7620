//! `leasehold vs`, `rs add|set|rm`, `instance` and `global`: one change, one revision.

use std::time::Duration;

use anyhow::bail;
use leasehold_model::Config;
use leasehold_node_core::edit::{Edit, Edited, Noun, Refused, list};
use leasehold_node_core::real_servers;
use leasehold_proto::control::{ApplyRequest, ApplyResponse};
use tonic::Code;

use super::args::{Global, Instance, Vs};
use super::client::{Answer, Target};
use super::words::{Kind, Said, misused};
use super::{config, out};

/// Each time another change came first. One of several that try at once always succeeds.
const TRIES: usize = 32;

/// Reading changes nothing, so it may be repeated.
const READS: usize = 3;
const PAUSE: Duration = Duration::from_millis(250);

pub(super) fn vs(target: &Target, command: &Vs) -> anyhow::Result<()> {
    match command {
        Vs::Add(said) => edit(target, said),
        Vs::Set(said) => edit(target, said),
        Vs::Rm(said) => edit(target, said),
        Vs::List { name, json } => {
            let (mut config, _) = config::in_force(target)?;
            if !name.is_empty() {
                let asked = name.join(" ");
                let one = real_servers::virtual_server_named(&config, &asked)?.clone();
                config.virtual_servers = vec![one];
            }
            if *json {
                return out::data(&serde_json::to_string(&config.virtual_servers)?);
            }
            listed(&config, Noun::VirtualServer)
        }
    }
}

pub(super) fn instance(target: &Target, command: &Instance) -> anyhow::Result<()> {
    match command {
        Instance::Add(said) => edit(target, said),
        Instance::Set(said) => edit(target, said),
        Instance::Rm(said) => edit(target, said),
        Instance::List { name, json } => {
            let (mut config, _) = config::in_force(target)?;
            if let Some(name) = name {
                let known: Vec<&str> = config.instances.keys().map(String::as_str).collect();
                let known = known.join(", ");
                config.instances.retain(|one, _| one == name);
                if config.instances.is_empty() {
                    bail!("no instance is called {name}; configured: {known}");
                }
            }
            if *json {
                return out::data(&serde_json::to_string(&config.instances)?);
            }
            listed(&config, Noun::Instance)
        }
    }
}

pub(super) fn global(target: &Target, command: &Global) -> anyhow::Result<()> {
    match command {
        Global::Set(said) => edit(target, said),
        Global::List { json } => {
            let (config, _) = config::in_force(target)?;
            if *json {
                return out::data(&serde_json::to_string(&config.global)?);
            }
            listed(&config, Noun::Global)
        }
    }
}

fn listed(config: &Config, noun: Noun) -> anyhow::Result<()> {
    let lines: Vec<String> = list(config, noun).iter().map(|one| one.to_text()).collect();
    if lines.is_empty() {
        out::note("none is configured");
        return Ok(());
    }
    out::data(&lines.join("\n"))
}

/// Makes one change of the configuration in force, whoever else changes it meanwhile.
pub(super) fn edit<K: Kind>(target: &Target, said: &Said<K>) -> anyhow::Result<()> {
    let edit = Edit::of(K::NOUN, K::VERB, &said.words)
        .unwrap_or_else(|why| misused(&K::NAME, &why.to_string()));
    for _ in 0..TRIES {
        let (before, revision) = in_force(target)?;
        let edited = edit.of_config(&before).map_err(one_by_one)?;
        if edited.config.instances.is_empty() && !before.instances.is_empty() && !said.allow_empty {
            bail!(
                "it is the last instance, and every VIP would go: if that is meant, say \
                 --allow-empty"
            );
        }
        let request = ApplyRequest {
            if_revision: Some(revision),
            dry_run: said.dry_run,
            message: said.message.clone().unwrap_or_else(|| edited.done.clone()),
            // Nothing goes where nothing was: services may come before their first instance.
            allow_empty: said.allow_empty || before.instances.is_empty(),
            ..ApplyRequest::default()
        };
        match config::submit(target, &edited.config, request) {
            Ok(answer) => {
                for warning in &answer.warnings {
                    out::note(warning);
                }
                for warning in &edited.warnings {
                    out::note(&format!("warning: {warning}"));
                }
                return out::data(&told(&edited, said.dry_run, &answer));
            }
            Err(error) if is_refused(&error) => {
                if in_force(target)?.1 == revision {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    bail!("others changed the configuration each of {TRIES} times: nothing was changed; try again")
}

/// Reads it, also where leadership changes just then.
fn in_force(target: &Target) -> anyhow::Result<(Config, u64)> {
    for _ in 0..READS {
        match config::in_force(target) {
            Err(error) if code(&error) == Some(Code::Unavailable) => std::thread::sleep(PAUSE),
            other => return other,
        }
    }
    config::in_force(target)
}

fn told(edited: &Edited, dry_run: bool, answer: &ApplyResponse) -> String {
    let done = &edited.done;
    let ApplyResponse { revision, changed, plan_text, .. } = answer;
    match (dry_run, changed) {
        (true, true) => format!("{done}: it would replace revision {revision}\n{plan_text}"),
        (_, false) => format!("nothing changed: it is so at revision {revision}"),
        (false, true) => format!("{done}: revision {revision} is in force"),
    }
}

/// The last fault becomes the command's own line.
fn one_by_one(refused: Refused) -> anyhow::Error {
    let Refused(mut lines) = refused;
    let last = lines.pop().unwrap_or_default();
    for line in lines {
        out::note(&line);
    }
    anyhow::anyhow!(last)
}

/// The cluster did not do it, and knows that it did not.
fn is_refused(error: &anyhow::Error) -> bool {
    matches!(code(error), Some(Code::FailedPrecondition | Code::Aborted))
}

fn code(error: &anyhow::Error) -> Option<Code> {
    error.downcast_ref::<Answer>().map(|answer| answer.0.code())
}
