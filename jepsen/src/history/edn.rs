//! A history in Jepsen's own format, for its tools: one EDN map a line.
//!
//! Differences to the JSON lines follow Jepsen's habits: time counts from the first operation, and
//! all that its nemesis does is of type `:info`, at the beginning as at the end.

use std::fmt::Write as _;

use super::{F, Fault, Kind, Op, Outcome, Process, Version};

/// One map a line.
#[must_use]
pub fn to_edn(history: &[Op]) -> String {
    let began_ns = history.first().map_or(0, |op| op.time_ns);
    let mut out = String::new();
    for op in history {
        line(&mut out, op, began_ns).expect("a string takes all that is written to it");
    }
    out
}

fn line(out: &mut String, op: &Op, began_ns: u64) -> std::fmt::Result {
    let process = match op.process {
        Process::Client(number) => number.to_string(),
        Process::Nemesis => ":nemesis".to_owned(),
    };
    let kind = match op.process {
        Process::Client(_) => op.kind,
        Process::Nemesis => Kind::Info,
    };
    write!(
        out,
        "{{:index {} :time {} :process {process} :type :{} :f :{} :value {}",
        op.index,
        op.time_ns.saturating_sub(began_ns),
        kind.name(),
        op.f.name(),
        value(&op.f),
    )?;
    for (key, extra) in extras(&op.f) {
        write!(out, " :{key} {extra}")?;
    }
    if let Some(error) = &op.error {
        write!(out, " :error {}", text(error))?;
    }
    out.push_str("}\n");
    Ok(())
}

fn value(f: &F) -> String {
    match f {
        F::Read(read) => read.found.map_or_else(|| "nil".to_owned(), version),
        F::Write(write) => write.value.to_string(),
        F::Cas(cas) => format!("[{} {}]", cas.if_revision, cas.value),
        F::Get(get) => text(&get.vip.to_string()),
        F::Command(command) => list(&command.words),
        F::Start(fault) | F::Stop(fault) => self::fault(fault),
        F::Voters(voters) => list(&voters.voters),
    }
}

/// What Jepsen has no place for in a value.
fn extras(f: &F) -> Vec<(&'static str, String)> {
    match f {
        F::Read(read) => read.local.iter().map(|node| ("local", text(node))).collect(),
        F::Write(write) => write.revision.iter().map(|it| ("revision", it.to_string())).collect(),
        F::Cas(cas) => cas.revision.iter().map(|it| ("revision", it.to_string())).collect(),
        F::Get(get) => get.by.iter().map(|by| ("by", text(by))).collect(),
        F::Command(command) => command.node.iter().map(|node| ("node", text(node))).collect(),
        F::Start(_) | F::Stop(_) | F::Voters(_) => Vec::new(),
    }
}

fn version(version: Version) -> String {
    format!("[{} {}]", version.revision, version.value)
}

fn fault(fault: &Fault) -> String {
    let mut out =
        format!("{{:id {} :kind {} :nodes {}", fault.id, text(&fault.kind), list(&fault.nodes));
    match &fault.outcome {
        None => {}
        Some(Outcome::Installed) => out.push_str(" :outcome :installed"),
        Some(Outcome::Skipped { reason }) => {
            out.push_str(" :outcome :skipped :reason ");
            out.push_str(&text(reason));
        }
        Some(Outcome::Indeterminate { reason }) => {
            out.push_str(" :outcome :indeterminate :reason ");
            out.push_str(&text(reason));
        }
    }
    if !fault.detail.is_empty() {
        out.push_str(" :detail ");
        out.push_str(&text(&fault.detail));
    }
    out.push('}');
    out
}

fn list(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| text(word)).collect();
    format!("[{}]", words.join(" "))
}

/// A string of EDN (github.com/edn-format/edn, "Strings"), without control characters.
fn text(plain: &str) -> String {
    let mut out = String::from("\"");
    for one in plain.chars() {
        match one {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control.is_control() => out.push('\u{fffd}'),
            plain => out.push(plain),
        }
    }
    out.push('"');
    out
}
