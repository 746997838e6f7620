//! One line of `virtual_ipaddress`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, Ipv4Addr};

use leasehold_model::Scope;

use super::keywords::{self, Block, Status};
use super::lex::Word;
use super::lower::{At, Lower};
use super::parse::Statement;

/// A VIP as one node has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
    pub(super) dev: Option<String>,
    pub(super) label: Option<String>,
    pub(super) broadcast: Option<Ipv4Addr>,
    pub(super) scope: Scope,
}

/// Options that are followed by a value of their own.
const WITH_VALUE: [&str; 4] = ["peer", "preferred_lft", "track_group", "metric"];

/// The lines of a block. Of an address that is written again the first line counts, as in the
/// kernel, which keepalived asks for both.
pub(super) fn addresses(lower: &mut Lower<'_>, block: &Statement) -> Vec<At<Address>> {
    let (mut all, mut lines) = (Vec::new(), BTreeMap::new());
    for line in lower.block(block).unwrap_or_default() {
        let Some(new) = address(lower, line) else { continue };
        let address = new.value.address;
        match lines.entry(address) {
            Entry::Occupied(first) => {
                let message = format!(
                    "{address} is written again, and counts once, as in line {}",
                    first.get()
                );
                lower.report.warn(new.at, message, "remove this line");
            }
            Entry::Vacant(first) => {
                first.insert(new.at.line);
                all.push(new);
            }
        }
    }
    all
}

fn address(lower: &mut Lower<'_>, line: &Statement) -> Option<At<Address>> {
    if line.block.is_some() {
        lower.report.error(line.keyword.at, "an address takes no { }", "remove the braces");
        return None;
    }
    let mut vip = read_address(lower, &line.keyword)?;
    let mut words = line.arguments.iter();
    while let Some(word) = words.next() {
        match word.text.as_str() {
            "dev" => vip.dev = argument(lower, word, words.next()),
            "label" => vip.label = argument(lower, word, words.next()),
            "brd" | "broadcast" => vip.broadcast = broadcast(lower, word, words.next(), &vip),
            "scope" => vip.scope = scope(lower, word, words.next()),
            option if looks_like_address(option) => {
                let message = format!("{option} is a second address in one line");
                lower.report.error(word.at, message, "one address per line");
            }
            option => {
                if WITH_VALUE.contains(&option) {
                    words.next();
                }
                unserved(lower, word);
            }
        }
    }
    Some(At { value: vip, at: line.keyword.at })
}

fn looks_like_address(text: &str) -> bool {
    text.split('/').next().is_some_and(|address| address.parse::<IpAddr>().is_ok())
}

fn read_address(lower: &mut Lower<'_>, word: &Word) -> Option<Address> {
    let (text, prefix) = match word.text.split_once('/') {
        Some((text, prefix)) => (text, Some(prefix)),
        None => (word.text.as_str(), None),
    };
    let Ok(address) = text.parse::<IpAddr>() else {
        let message = format!("{:?} is no address", word.text);
        lower.report.error(word.at, message, "for example 10.0.0.1/24 or fd00::1/64");
        return None;
    };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => longest,
        Some(text) => match text.parse().ok().filter(|prefix| (1..=longest).contains(prefix)) {
            Some(prefix) => prefix,
            None => {
                let message = format!("/{text} is no prefix length of {address}");
                lower.report.error(word.at, message, &format!("/1 to /{longest}"));
                return None;
            }
        },
    };
    let scope = Scope::Global;
    Some(Address { address, prefix, dev: None, label: None, broadcast: None, scope })
}

fn argument(lower: &mut Lower<'_>, option: &Word, value: Option<&Word>) -> Option<String> {
    if value.is_none() {
        lower.report.error(option.at, format!("{} has no value", option.text), "");
    }
    value.map(|word| word.text.clone())
}

fn broadcast(
    lower: &mut Lower<'_>,
    option: &Word,
    value: Option<&Word>,
    vip: &Address,
) -> Option<Ipv4Addr> {
    let text = argument(lower, option, value)?;
    let hosts = u32::MAX.checked_shr(u32::from(vip.prefix)).unwrap_or(0);
    match (text.as_str(), vip.address) {
        ("+" | "-", IpAddr::V4(_)) if vip.prefix > 30 => {
            let message = format!("brd {text} has no effect: /{} has no broadcast", vip.prefix);
            lower.report.warn(option.at, message, "give a prefix, or the address");
            None
        }
        // All host bits set, and all clear.
        ("+", IpAddr::V4(v4)) => Some(Ipv4Addr::from_bits(v4.to_bits() | hosts)),
        ("-", IpAddr::V4(v4)) => Some(Ipv4Addr::from_bits(v4.to_bits() & !hosts)),
        (text, IpAddr::V4(_) | IpAddr::V6(_)) => {
            let address = text.parse().ok();
            if address.is_none() {
                let message = format!("brd {text} is no IPv4 address");
                lower.report.error(option.at, message, "");
            }
            address
        }
    }
}

fn scope(lower: &mut Lower<'_>, option: &Word, value: Option<&Word>) -> Scope {
    let Some(text) = argument(lower, option, value) else { return Scope::Global };
    match text.as_str() {
        "global" | "0" => Scope::Global,
        "site" | "200" => Scope::Site,
        "link" | "253" => Scope::Link,
        "host" | "254" => Scope::Host,
        other => {
            let message = format!("scope {other} is unknown");
            lower.report.error(option.at, message, "global, site, link or host");
            Scope::Global
        }
    }
}

fn unserved(lower: &mut Lower<'_>, word: &Word) {
    let name = &word.text;
    match keywords::find(Block::VirtualAddress, name) {
        Some(known) => {
            let what = match known.status {
                Status::Served | Status::NotYet => "is not served yet",
                Status::NoMeaning => "has no meaning here",
            };
            lower.report.warn(word.at, format!("`{name}` {what}: {}", known.note), "");
        }
        None => {
            let hint = keywords::suggest(Block::VirtualAddress, name).unwrap_or_default();
            lower.report.warn(word.at, format!("unknown option `{name}` is ignored"), &hint);
        }
    }
}
