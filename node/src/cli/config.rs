//! `apply`, `import` and `export`.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use leasehold_model::Config;
use leasehold_node_core::{Diagnostic, document, keepalived};
use leasehold_proto::control::{ApplyRequest, ApplyResponse, ExportRequest, ExportResponse};

use super::args::{Apply, Export, Import};
use super::client::Target;
use super::include::Disk;
use super::{out, revisions};

pub(super) fn apply(target: &Target, args: &Apply) -> anyhow::Result<()> {
    let text = read(&args.file)?;
    let name = args.file.display().to_string();
    let (config, diagnostics) = match args.file.extension().and_then(|one| one.to_str()) {
        Some("conf") => keepalived::to_config(
            &[keepalived::Source { node: None, file: &name, text: &text }],
            &Disk,
        ),
        Some("toml") if text.contains(char::REPLACEMENT_CHARACTER) => {
            bail!("{name}: this is no UTF-8 text, as TOML is")
        }
        Some("toml") => document::parse_toml(&name, &text),
        Some(_) | None => {
            bail!("{name}: a file to apply ends in .toml, or in .conf if it is keepalived's")
        }
    };
    let config = accept(config, &diagnostics, &[(&name, &text)])?;
    if config.instances.is_empty() && !args.allow_empty {
        bail!(
            "{name} configures no instance, and would take every VIP away: if that is meant, say \
             --allow-empty"
        );
    }
    let request = ApplyRequest {
        if_revision: args.if_revision,
        dry_run: args.dry_run,
        message: args.message.clone(),
        allow_empty: args.allow_empty,
        ..ApplyRequest::default()
    };
    let answer = submit(target, &config, request)?;
    revisions::applied(&answer, &name, args.dry_run, args.json)
}

/// Has the cluster take `config`, as `request` says beside it.
pub(super) fn submit(
    target: &Target,
    config: &Config,
    request: ApplyRequest,
) -> anyhow::Result<ApplyResponse> {
    let request = ApplyRequest { config: serde_json::to_vec(config)?, ..request };
    Ok(target.call(async |mut client| client.apply(request).await)?.into_inner())
}

/// The configuration in force, and its revision.
pub(super) fn in_force(target: &Target) -> anyhow::Result<(Config, u64)> {
    let request = ExportRequest::default();
    let answer = target.call(async |mut client| client.export(request).await)?.into_inner();
    let (config, faults) = document::parse_toml("the configuration in force", &answer.toml);
    match (config, faults.iter().find(|one| one.is_error())) {
        (Some(config), None) => Ok((config, answer.revision)),
        (_, Some(fault)) => bail!("{fault}"),
        (None, None) => bail!("there is no configuration in force"),
    }
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
    let texts: Vec<_> = sources.iter().map(|source| (source.file, source.text)).collect();
    out::data(&document::to_toml(&accept(config, &diagnostics, &texts)?))
}

pub(super) fn export(target: &Target, args: &Export) -> anyhow::Result<()> {
    if let Some(node) = &args.keepalived {
        return export_keepalived(target, args, node);
    }
    let answer = fetch(target, args)?;
    if args.json {
        let said = serde_json::json!({"revision": answer.revision, "toml": answer.toml});
        return out::data(&said.to_string());
    }
    out::data(&answer.toml)
}

fn fetch(target: &Target, args: &Export) -> anyhow::Result<ExportResponse> {
    let request = ExportRequest { local: args.local, revision: args.revision };
    Ok(target.call(async |mut client| client.export(request).await)?.into_inner())
}

/// One director's keepalived.conf, and on the side what that can't say.
fn export_keepalived(target: &Target, args: &Export, node: &str) -> anyhow::Result<()> {
    let (name, toml) = match &args.from {
        Some(file) => (file.display().to_string(), read(file)?),
        None => ("the configuration".to_owned(), fetch(target, args)?.toml),
    };
    let (config, diagnostics) = document::parse_toml(&name, &toml);
    // Warnings were told when it was applied.
    let errors: Vec<_> = diagnostics.into_iter().filter(Diagnostic::is_error).collect();
    let config = accept(config, &errors, &[(&name, &toml)])?;
    let named = directors(&config);
    if !named.is_empty() && !named.contains(node) {
        let named: Vec<&str> = named.into_iter().collect();
        out::note(&format!(
            "{name} names no director {node} (it names {}): this is what any other gets",
            named.join(", ")
        ));
    }
    let written = keepalived::to_keepalived(&config, node)?;
    for one in &written.left_out {
        out::note(&format!("not in this keepalived.conf: {one}"));
    }
    out::data(&written.text)
}

/// Every director that a configuration names.
fn directors(config: &Config) -> BTreeSet<&str> {
    let of_instances = config.instances.values().flat_map(|one| one.directors.keys());
    of_instances.chain(config.global.router_id.keys()).map(String::as_str).collect()
}

/// Prints what there is to say, with the lines that it is about; refuses where any of it is an
/// error. `texts` are the files by their names.
fn accept(
    config: Option<Config>,
    diagnostics: &[Diagnostic],
    texts: &[(&str, &str)],
) -> anyhow::Result<Config> {
    let marked = |one: &Diagnostic| {
        let Some(place) = &one.place else { return one.to_string() };
        match texts.iter().find(|(name, _)| *name == place.file) {
            Some((_, text)) => one.marked(text),
            // One that was included.
            None => one.marked(&read(Path::new(&place.file)).unwrap_or_default()),
        }
    };
    let (mut errors, warnings): (Vec<_>, Vec<_>) =
        diagnostics.iter().partition(|one| one.is_error());
    for warning in warnings {
        out::note(&marked(warning));
    }
    // The last error becomes the command's own line.
    let last = errors.pop();
    for error in errors {
        out::note(&marked(error));
    }
    match (last, config) {
        (Some(error), _) => bail!("{}", marked(error)),
        (None, Some(config)) => Ok(config),
        (None, None) => bail!("there is no configuration in it"),
    }
}

/// The most bytes of a file of configuration: one of 10,000 virtual servers has a few MB. What has
/// no end, as a device may, is not read for ever.
pub(super) const MAX_FILE: u64 = 16 << 20;

/// A file of text. What is not UTF-8 in it is reported where it stands, unless in a comment.
pub(super) fn read(path: &Path) -> anyhow::Result<String> {
    let reading = || format!("reading {}", path.display());
    let file = std::fs::File::open(path).with_context(reading)?;
    read_open(&file).with_context(reading)
}

/// The same of one that is open. It may be a pipe: a shell hands over the output of a command so.
pub(super) fn read_open(file: &std::fs::File) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE {
        bail!("it has more than {MAX_FILE} bytes, which is the limit of a configuration");
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
