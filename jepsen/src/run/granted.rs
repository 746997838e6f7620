//! Every grant, out of the logs of the daemons: a member's status shows the last one of a while.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use crate::history::{Source, Told, Word};

/// How a daemon begins to tell of one that it applied (`raft/src/store/machine.rs`).
const MARK: &str = "leasehold::grants: granted ";

/// Of all daemons that logged to `folder`, each of whose files is `NODE.START.log`. Some member
/// applies each grant before it ends, or after its next start, and says so.
pub(super) fn all(folder: &Path) -> io::Result<Vec<Told>> {
    let mut told = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        let Some((node, start)) = name.as_deref().and_then(|name| name.rsplit_once('.')) else {
            continue;
        };
        let Ok(run) = start.parse() else { continue };
        let source = Source { node: node.to_owned(), run, channel: "log".to_owned() };
        // One that was killed may have been cut short in the midst of a letter.
        let text = fs::read(&path)?;
        let text = String::from_utf8_lossy(&text);
        told.extend(first(text.lines().filter_map(|line| grant(line, &source))));
    }
    told.sort_by_key(|told| told.seen_ns);
    Ok(told)
}

/// Each when it is told first.
fn first(all: impl Iterator<Item = Told>) -> impl Iterator<Item = Told> {
    let mut known = BTreeSet::new();
    all.filter(move |told| known.insert(name(told)))
}

fn name(told: &Told) -> (String, u64, String) {
    (told.group.clone(), told.epoch, told.holder.clone())
}

/// Whether the logs lack nothing that a status told of. None at all would be a daemon that tells of
/// no grants.
pub(super) fn has_all(grants: &[Told], told: &[Told]) -> bool {
    let known: BTreeSet<_> = grants.iter().map(name).collect();
    !known.is_empty() && told.iter().all(|told| known.contains(&name(told)))
}

fn grant(line: &str, source: &Source) -> Option<Told> {
    let (_, fields) = line.split_once(MARK)?;
    let field = |name: &str| {
        let of = |word: &str| Some(word.strip_prefix(name)?.strip_prefix('=')?.to_owned());
        fields.split(' ').find_map(of)
    };
    let text = |name: &str| Some(field(name)?.trim_matches('"').to_owned());
    Some(Told {
        seen_ns: field("boot_ns")?.parse().ok()?,
        source: source.clone(),
        word: Word::Holds,
        group: text("group")?,
        epoch: field("epoch")?.parse().ok()?,
        holder: text("holder")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_read_as_a_daemon_writes_it() {
        let source = Source { node: "ds2".to_owned(), run: 3, channel: "log".to_owned() };
        let line = "2026-11-21T22:08:20.400422Z DEBUG leasehold::grants: granted boot_ns=87 \
                    epoch=30 holder=\"ds1\" group=\"VI_1\"";
        let told = Told {
            seen_ns: 87,
            source: source.clone(),
            word: Word::Holds,
            group: "VI_1".to_owned(),
            epoch: 30,
            holder: "ds1".to_owned(),
        };
        assert_eq!(grant(line, &source), Some(told));
        let read = grant(line, &source).into_iter().collect::<Vec<_>>();
        let twice = [read.clone(), read.clone()].concat();
        assert_eq!(first(twice.into_iter()).collect::<Vec<_>>(), read);
        assert!(has_all(&read, &read) && has_all(&read, &[]));
        assert!(!has_all(&[], &[]) && !has_all(&read, &[Told { epoch: 31, ..read[0].clone() }]));
        assert_eq!(grant(&line[..line.len() - 20], &source), None, "cut short");
        assert_eq!(grant(&line.replace("leasehold::grants", "leasehold::api"), &source), None);
    }
}
