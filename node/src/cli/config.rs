//! `apply`, `import` and `export`.

use std::path::Path;

use anyhow::{Context, bail};
use leasehold_model::Config;
use leasehold_node_core::keepalived::{self, Includes};
use leasehold_node_core::{Diagnostic, document};
use leasehold_proto::control::{ApplyRequest, ExportRequest};

use super::args::{Apply, Import};
use super::client::Target;
use super::out;

pub(super) fn apply(target: &Target, args: &Apply) -> anyhow::Result<()> {
    let text = read(&args.file)?;
    let name = args.file.display().to_string();
    let (config, diagnostics) = match args.file.extension().and_then(|one| one.to_str()) {
        Some("conf") => keepalived::to_config(
            &[keepalived::Source { node: None, file: &name, text: &text }],
            &Disk,
        ),
        Some("toml") => document::parse_toml(&name, &text),
        Some(_) | None => {
            bail!("{name}: a file to apply ends in .toml, or in .conf if it is keepalived's")
        }
    };
    let config = accept(config, &diagnostics)?;
    if config.instances.is_empty() && !args.allow_empty {
        bail!(
            "{name} configures no instance, and would take every VIP away: if that is meant, say \
             --allow-empty"
        );
    }
    let request = ApplyRequest {
        config: serde_json::to_vec(&config)?,
        if_revision: args.if_revision,
        dry_run: args.dry_run,
    };
    let answer = target.call(async |mut client| client.apply(request).await)?.into_inner();
    for warning in &answer.warnings {
        out::note(warning);
    }
    out::data(&match (args.dry_run, answer.changed) {
        (true, true) => format!("{name} would replace revision {}", answer.revision),
        (true, false) => format!("{name} equals revision {}", answer.revision),
        (false, true) => format!("revision {} is in force", answer.revision),
        (false, false) => format!("nothing changed: {name} equals revision {}", answer.revision),
    })
}

pub(super) fn import(args: &Import) -> anyhow::Result<()> {
    let mut sources = Vec::new();
    for (node, file) in &args.files {
        sources.push((node, file.display().to_string(), read(file)?));
    }
    let sources: Vec<_> = sources
        .iter()
        .map(|(node, file, text)| keepalived::Source { node: Some(node.as_str()), file, text })
        .collect();
    let (config, diagnostics) = keepalived::to_config(&sources, &Disk);
    out::data(&document::to_toml(&accept(config, &diagnostics)?))
}

pub(super) fn export(target: &Target, local: bool) -> anyhow::Result<()> {
    let answer = target.call(async |mut client| client.export(ExportRequest { local }).await)?;
    out::data(&answer.into_inner().toml)
}

/// Prints what there is to say; refuses where any of it is an error.
fn accept(config: Option<Config>, diagnostics: &[Diagnostic]) -> anyhow::Result<Config> {
    let (mut errors, warnings): (Vec<_>, Vec<_>) =
        diagnostics.iter().partition(|one| one.is_error());
    for warning in warnings {
        out::note(&warning.to_string());
    }
    // The last error becomes the command's own line.
    let last = errors.pop();
    for error in errors {
        out::note(&error.to_string());
    }
    match (last, config) {
        (Some(error), _) => bail!("{error}"),
        (None, Some(config)) => Ok(config),
        (None, None) => bail!("there is no configuration in it"),
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

/// Files that a keepalived.conf includes, on this machine's disk.
struct Disk;

impl Includes for Disk {
    fn include(&self, from: &str, pattern: &str) -> Result<Vec<(String, String)>, String> {
        let beside = Path::new(from).parent().unwrap_or(Path::new(""));
        let pattern = beside.join(pattern).display().to_string();
        let paths = glob::glob(&pattern).map_err(|error| error.to_string())?;
        let files: Result<Vec<_>, String> = paths
            .map(|path| {
                let path = path.map_err(|error| error.to_string())?;
                let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
                Ok((path.display().to_string(), text))
            })
            .collect();
        match files {
            Ok(files) if files.is_empty() => Err(format!("no file matches {pattern}")),
            other => other,
        }
    }
}
