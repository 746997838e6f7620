//! A plan as people read it: `+` comes, `-` goes, `~` changes.

use std::fmt;

use super::moves::ROUNDS;
use super::{Change, Move, Plan, Setting, Subject, What};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            part(f, change)?;
        }
        if self.changes.is_empty() {
            return writeln!(f, "nothing would change");
        }
        if self.moves.is_empty() && !self.more_moves {
            return writeln!(f, "nothing would move, as directors report themselves now");
        }
        writeln!(f, "would move, as directors report themselves now:")?;
        self.moves.iter().try_for_each(|one| writeln!(f, "  {one}"))?;
        if self.more_moves {
            writeln!(f, "  ... and more: {ROUNDS} rounds of placement are looked ahead")?;
        }
        Ok(())
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nobody = |name: &Option<String>| name.clone().unwrap_or_else(|| "nobody".to_owned());
        let Self { subject, name, from, to, why } = self;
        let subject = match subject {
            Subject::Instance => "",
            Subject::Vip => "VIP ",
        };
        write!(f, "{subject}{name}: {} -> {} ({why})", nobody(from), nobody(to))
    }
}

fn sign(what: What) -> char {
    match what {
        What::Added => '+',
        What::Removed => '-',
        What::Changed => '~',
    }
}

fn part(f: &mut fmt::Formatter<'_>, change: &Change) -> fmt::Result {
    let Change { kind, name, what, settings, real_servers } = change;
    write!(f, "{} {}", sign(*what), kind.replace('_', " "))?;
    if !name.is_empty() {
        write!(f, " {name}")?;
    }
    match what {
        // All of it is the document's to tell; what it serves is what matters here.
        What::Added | What::Removed => {
            let vips = settings.iter().filter(|one| one.name.starts_with("virtual_ipaddress"));
            let vips: Vec<_> = vips
                .filter_map(|one| one.after.as_ref().or(one.before.as_ref()))
                .cloned()
                .collect();
            if !vips.is_empty() {
                write!(f, ": {}", vips.join(", "))?;
            }
            if kind == "virtual_server" {
                let many = if real_servers.len() == 1 { "" } else { "s" };
                write!(f, ": {} real server{many}", real_servers.len())?;
            }
            writeln!(f)
        }
        What::Changed => {
            writeln!(f)?;
            settings.iter().try_for_each(|one| setting(f, "    ", one))?;
            real_servers.iter().try_for_each(|one| real_server(f, one))
        }
    }
}

fn real_server(f: &mut fmt::Formatter<'_>, change: &Change) -> fmt::Result {
    writeln!(f, "    {} real server {}", sign(change.what), change.name)?;
    match change.what {
        What::Added | What::Removed => Ok(()),
        What::Changed => change.settings.iter().try_for_each(|one| setting(f, "        ", one)),
    }
}

fn setting(f: &mut fmt::Formatter<'_>, indent: &str, one: &Setting) -> fmt::Result {
    let Setting { name, before, after } = one;
    match (before, after) {
        (Some(before), Some(after)) => writeln!(f, "{indent}{name}: {before} -> {after}"),
        (None, Some(after)) => writeln!(f, "{indent}{name}: + {after}"),
        (Some(before), None) => writeln!(f, "{indent}{name}: - {before}"),
        (None, None) => Ok(()),
    }
}
