//! keepalived's keywords, all of them, and what becomes of each. The one table that the parser,
//! the warnings and `docs/keepalived.md` are made from.

mod global;
mod lvs;
mod vrrp;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::LazyLock;

use crate::document::spelling::distance;

/// What becomes of a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It means here what it means there.
    Served,
    /// It will; until then it is reported and has no effect.
    NotYet,
    /// There is nothing here that it could set.
    NoMeaning,
}

/// Where a keyword may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Block {
    Root,
    GlobalDefs,
    GarpGroup,
    TrackGroup,
    Ssl,
    SyncGroup,
    Script,
    TrackProcess,
    TrackFile,
    Instance,
    VirtualAddress,
    VirtualRoute,
    VirtualRule,
    Authentication,
    AuthHmac,
    VirtualServerGroup,
    VirtualServer,
    RealServer,
    Checker,
    Http,
    Url,
    Smtp,
    Dns,
    Misc,
    Udp,
    BfdCheck,
    FileCheck,
    Bfd,
}

/// One keyword in one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyword {
    pub name: &'static str,
    pub block: Block,
    pub status: Status,
    /// What it does here, what is done instead, or why nothing is.
    pub note: &'static str,
}

/// Names that share a status and a note, separated by spaces.
type Row = (&'static str, Status, &'static str);
type Table = &'static [(Block, &'static [Row])];

const TABLES: &[Table] = &[global::TABLE, vrrp::TABLE, lvs::TABLE];

/// The whole table, in the order of the documentation.
pub fn all() -> impl Iterator<Item = Keyword> {
    let blocks = TABLES.iter().flat_map(|table| table.iter());
    let rows = blocks.flat_map(|(block, rows)| rows.iter().map(move |row| (*block, row)));
    rows.flat_map(|(block, (names, status, note))| {
        names.split(' ').map(move |name| Keyword { name, block, status: *status, note })
    })
}

/// What `name` is in `block`.
#[must_use]
pub(super) fn find(block: Block, name: &str) -> Option<Keyword> {
    KNOWN.get(&(block, name)).copied()
}

/// Whether a keyword of this name is served in any block.
pub(super) fn is_served(name: &str) -> bool {
    SERVED.contains(name)
}

static KNOWN: LazyLock<BTreeMap<(Block, &str), Keyword>> = LazyLock::new(|| {
    let mut known = BTreeMap::new();
    for keyword in all() {
        known.entry((keyword.block, keyword.name)).or_insert(keyword);
    }
    known
});

static SERVED: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
    let served = all().filter(|keyword| keyword.status == Status::Served);
    served.map(|keyword| keyword.name).collect()
});

/// What someone who wrote `name` in `block` may have meant.
pub(super) fn suggest(block: Block, name: &str) -> Option<String> {
    let here = || all().filter(move |keyword| keyword.block == block);
    let near = here().map(|keyword| (distance(keyword.name, name), keyword.name)).min();
    // A long name may differ in more.
    let far = if name.len() > 12 { 3 } else { 2 };
    if let Some((distance, near)) = near
        && distance <= far
        && name.len() > 3
    {
        return Some(format!("did you mean `{near}`?"));
    }
    let elsewhere = all().find(|keyword| keyword.name == name)?;
    Some(format!("it belongs in {}", elsewhere.block))
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Served => "served",
            Self::NotYet => "not yet",
            Self::NoMeaning => "no meaning here",
        })
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "the root of the file",
            Self::GlobalDefs => "global_defs",
            Self::GarpGroup => "garp_group",
            Self::TrackGroup => "track_group",
            Self::Ssl => "SSL",
            Self::SyncGroup => "vrrp_sync_group",
            Self::Script => "vrrp_script",
            Self::TrackProcess => "vrrp_track_process",
            Self::TrackFile => "track_file",
            Self::Instance => "vrrp_instance",
            Self::VirtualAddress => "virtual_ipaddress",
            Self::VirtualRoute => "virtual_routes",
            Self::VirtualRule => "virtual_rules",
            Self::Authentication => "authentication",
            Self::AuthHmac => "auth_hmac",
            Self::VirtualServerGroup => "virtual_server_group",
            Self::VirtualServer => "virtual_server",
            Self::RealServer => "real_server",
            Self::Checker => "every checker",
            Self::Http => "HTTP_GET and SSL_GET",
            Self::Url => "url",
            Self::Smtp => "SMTP_CHECK",
            Self::Dns => "DNS_CHECK",
            Self::Misc => "MISC_CHECK",
            Self::Udp => "UDP_CHECK",
            Self::BfdCheck => "BFD_CHECK",
            Self::FileCheck => "FILE_CHECK",
            Self::Bfd => "bfd_instance",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_keyword_stands_twice_in_a_block() {
        let mut seen = BTreeSet::new();
        for keyword in all() {
            assert!(seen.insert((keyword.block, keyword.name)), "{keyword:?}");
        }
    }

    #[test]
    fn every_keyword_has_a_name_and_a_note() {
        for keyword in all() {
            assert!(!keyword.name.is_empty() && !keyword.note.is_empty(), "{keyword:?}");
        }
    }

    #[test]
    fn a_swapped_letter_finds_its_keyword() {
        let hint = suggest(Block::Instance, "preemtp_delay");
        assert_eq!(hint.as_deref(), Some("did you mean `preempt_delay`?"));
    }

    #[test]
    fn a_keyword_of_another_block_is_sent_there() {
        let hint = suggest(Block::Instance, "vrrp_strict");
        assert_eq!(hint.as_deref(), Some("it belongs in global_defs"));
    }
}
