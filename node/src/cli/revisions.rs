//! `history`, `diff` and `rollback`: the documents before the one in force.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use leasehold_proto::control::watch_response::What;
use leasehold_proto::control::{
    self, ApplyResponse, Changed, ExportRequest, ExportResponse, HistoryRequest, RollbackRequest,
    WatchRequest, changed,
};
use serde_json::{Value, json};
use similar::TextDiff;

use super::client::Target;
use super::out;
use super::show::align;
use crate::utc::utc;

/// Documents that have next to nothing in common are compared more coarsely after this.
const DIFF_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct History {
    #[arg(long)]
    json: bool,
    /// The latest N only.
    #[arg(long, value_name = "N", conflicts_with = "follow",
          value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// What this node has, which may be old: for when there is no quorum.
    #[arg(long, conflicts_with = "follow")]
    local: bool,
    /// Print what is kept, the oldest first, and then every revision as this node hears of it.
    #[arg(long)]
    follow: bool,
    /// With --follow: begin after this revision.
    #[arg(long, value_name = "N", default_value = "0", requires = "follow")]
    from: u64,
}

#[derive(Debug, Args)]
pub(super) struct Diff {
    a: u64,
    /// Where it is left out: the revision in force.
    b: Option<u64>,
    /// What this node has, which may be old: for when there is no quorum.
    #[arg(long)]
    local: bool,
}

#[derive(Debug, Args)]
pub(super) struct Rollback {
    revision: u64,
    /// What it is for, at most 1024 bytes; where it is left out, one that names the revision.
    #[arg(short, long, value_name = "TEXT", default_value = "")]
    message: String,
    /// Say what would happen, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Refuse unless the configuration in force has this revision.
    #[arg(long, value_name = "N")]
    if_revision: Option<u64>,
    /// Take every VIP away, where that revision configures none.
    #[arg(long)]
    allow_empty: bool,
    #[arg(long)]
    json: bool,
}

pub(super) fn history(target: &Target, args: &History) -> anyhow::Result<()> {
    if args.follow {
        return follow(target, args);
    }
    let request = HistoryRequest { local: args.local, limit: args.limit.unwrap_or(0) };
    let answer = target.call(async |mut client| client.history(request).await)?.into_inner();
    if args.json {
        let mut revisions: Vec<Value> = answer.revisions.iter().map(described).collect();
        for (nth, one) in revisions.iter_mut().enumerate() {
            one["in_force"] = json!(nth == 0);
        }
        return out::data(&json!({"revisions": revisions, "dropped": answer.dropped}).to_string());
    }
    let mut rows = vec![["REVISION", "TIME", "AUTHOR", "MESSAGE"].map(str::to_owned)];
    rows.extend(answer.revisions.iter().map(row));
    out::data(&align(&rows))?;
    if args.limit.is_none() && answer.dropped > 0 {
        out::note(&format!("revisions up to {} are not kept", answer.dropped));
    }
    Ok(())
}

fn follow(target: &Target, args: &History) -> anyhow::Result<()> {
    let request = WatchRequest { from_revision: args.from };
    let printed = target.call(async |mut client| {
        let mut events = client.watch(request).await?.into_inner();
        while let Some(event) = events.message().await? {
            let line = match event.what {
                Some(What::Dropped(to)) if args.json => json!({"dropped": to}).to_string(),
                Some(What::Dropped(to)) => format!("revisions up to {to} are not kept"),
                Some(What::Revision(one)) if args.json => {
                    let mut one = described(&one);
                    one["changed"] = event.changed.as_ref().map_or(Value::Null, items);
                    one.to_string()
                }
                Some(What::Revision(one)) => {
                    let changed = event.changed.as_ref().map(summary);
                    let [number, time, author, message] = row(&one);
                    let changed = changed.map_or_else(String::new, |text| format!("  [{text}]"));
                    format!("{number}  {time}  {author}{changed}  {message}").trim_end().to_owned()
                }
                // Of a later version.
                None => continue,
            };
            if let Err(error) = out::data(&line) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    })?;
    printed?;
    bail!("the node ended the watch: ask another, with --from and the last revision printed")
}

pub(super) fn diff(target: &Target, args: &Diff) -> anyhow::Result<()> {
    let fetch = |revision| {
        let request = ExportRequest { local: args.local, revision };
        target.call(async |mut client| client.export(request).await)
    };
    let a = fetch(Some(args.a))?.into_inner();
    let b = fetch(args.b)?.into_inner();
    out::text(&unified(&a, &b))
}

fn unified(a: &ExportResponse, b: &ExportResponse) -> String {
    let heading = |one: &ExportResponse| {
        let Some(origin) = &one.origin else { return format!("revision {}", one.revision) };
        let [number, time, author, message] = row(origin);
        format!("revision {number}\t{time}\t{author}\t{message}").trim_end().to_owned()
    };
    let diff = TextDiff::configure().timeout(DIFF_WITHIN).diff_lines(&a.toml, &b.toml);
    diff.unified_diff().context_radius(3).header(&heading(a), &heading(b)).to_string()
}

pub(super) fn rollback(target: &Target, args: &Rollback) -> anyhow::Result<()> {
    let Rollback { revision, dry_run, if_revision, allow_empty, .. } = *args;
    let (message, author) = (args.message.clone(), String::new());
    let request = RollbackRequest { revision, if_revision, dry_run, message, author, allow_empty };
    let answer = target.call(async |mut client| client.rollback(request).await)?.into_inner();
    applied(&answer, &format!("revision {revision}"), args.dry_run, args.json)
}

/// What came of putting a document in force, or what would.
pub(super) fn applied(
    answer: &ApplyResponse,
    document: &str,
    dry_run: bool,
    json: bool,
) -> anyhow::Result<()> {
    let ApplyResponse { revision, changed, warnings, plan_json, plan_text } = answer;
    if json {
        let mut said = json!({"revision": revision, "changed": changed, "warnings": warnings});
        if dry_run {
            said["plan"] = serde_json::from_str(plan_json)?;
        }
        return out::data(&said.to_string());
    }
    for warning in warnings {
        out::note(warning);
    }
    out::data(&match (dry_run, changed) {
        (true, true) => format!("{document} would replace revision {revision}\n{plan_text}"),
        (true, false) => format!("{document} equals revision {revision}"),
        (false, true) => format!("revision {revision} is in force"),
        (false, false) => format!("nothing changed: {document} equals revision {revision}"),
    })
}

fn described(one: &control::Revision) -> Value {
    json!({
        "revision": one.number, "author": one.author, "at_unix_ms": one.at_unix_ms,
        "at": utc(one.at_unix_ms), "message": one.message, "bytes": one.bytes,
    })
}

/// On one line: of a message its first.
fn row(one: &control::Revision) -> [String; 4] {
    let author = if one.author.is_empty() { "-" } else { &one.author };
    let message = one.message.lines().next().unwrap_or_default();
    [one.number.to_string(), utc(one.at_unix_ms), author.to_owned(), message.to_owned()]
}

fn items(changed: &Changed) -> Value {
    let what = |one: &changed::Item| match one.what() {
        changed::What::Added => "added",
        changed::What::Removed => "removed",
        changed::What::Changed => "changed",
        changed::What::Unspecified => "unknown",
    };
    let all = changed.items.iter();
    all.map(|one| json!({"kind": one.kind, "name": one.name, "what": what(one)})).collect()
}

/// Names of a few, or how many there are.
fn summary(changed: &Changed) -> String {
    const NAMED: usize = 4;
    let sign = |one: &changed::Item| match one.what() {
        changed::What::Added => "+",
        changed::What::Removed => "-",
        changed::What::Changed => "~",
        changed::What::Unspecified => "?",
    };
    let named = changed.items.iter().take(NAMED).map(|one| {
        let named = format!("{}{} {}", sign(one), one.kind.replace('_', " "), one.name);
        named.trim_end().to_owned()
    });
    let mut named: Vec<String> = named.collect();
    if changed.items.len() > NAMED {
        named.push(format!("and {} more", changed.items.len() - NAMED));
    }
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(number: u64, message: &str) -> control::Revision {
        let (author, message) = ("uid 0 (root)".to_owned(), message.to_owned());
        control::Revision { number, author, at_unix_ms: 1_795_271_101_000, message, bytes: 9 }
    }

    #[test]
    fn a_diff_is_unified_and_names_both_revisions() {
        let export = |number, toml: &str| ExportResponse {
            toml: toml.to_owned(),
            revision: number,
            origin: Some(revision(number, "first\nsecond")),
        };
        let (a, b) = (export(4, "a = 1\nb = 2\n"), export(7, "a = 1\nb = 3\n"));
        assert_eq!(
            unified(&a, &b),
            "--- revision 4\t2026-11-21 14:25:01 UTC\tuid 0 (root)\tfirst\n\
             +++ revision 7\t2026-11-21 14:25:01 UTC\tuid 0 (root)\tfirst\n\
             @@ -1,2 +1,2 @@\n a = 1\n-b = 2\n+b = 3\n"
        );
        assert_eq!(unified(&a, &a), "");
    }

    #[test]
    fn of_many_changes_a_few_are_named() {
        let item = |nth: usize| changed::Item {
            kind: "virtual_server".to_owned(),
            name: nth.to_string(),
            what: changed::What::Changed.into(),
        };
        let of = |count| summary(&Changed { items: (0..count).map(item).collect() });
        assert_eq!(of(1), "~virtual server 0");
        assert!(of(9).ends_with("~virtual server 3, and 5 more"), "{}", of(9));
        let global = changed::Item { kind: "global".to_owned(), ..item(0) };
        let global = changed::Item { name: String::new(), ..global };
        assert_eq!(summary(&Changed { items: vec![global] }), "~global");
    }
}
