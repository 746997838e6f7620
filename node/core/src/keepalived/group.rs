//! `virtual_server_group`: addresses, ranges and firewall marks.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use leasehold_model::{Family, Fwmark, GroupEntry};

use super::lex::{Pos, Word};
use super::lower::{At, File, Lower};
use super::parse::Statement;
use super::statement::number;

#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) at: Pos,
    pub(super) entries: Vec<At<GroupEntry>>,
    pub(super) broken: bool,
}

const RANGES: &str = "for example 10.0.0.1, 10.0.0.1-9, 10.0.0.1-10.0.0.9 or 10.0.0.0/29";

impl Lower<'_> {
    pub(super) fn groups(&mut self, statements: &[Statement], file: &mut File) {
        let name = "virtual_server_group";
        let mut firsts: BTreeMap<String, Pos> = BTreeMap::new();
        for one in statements.iter().filter(|one| one.keyword.text == name) {
            let Some(group) = self.group(one) else { continue };
            match firsts.get(&group.name) {
                Some(first) => {
                    let first = self.report.place(*first);
                    let message = format!("{name} {} is defined at {first} already", group.name);
                    self.report.error(group.at, message, "names are unique: rename one");
                }
                None => {
                    firsts.insert(group.name.clone(), group.at);
                    file.groups.push(group);
                }
            }
        }
    }

    fn group(&mut self, one: &Statement) -> Option<Group> {
        let name = self.title(one)?;
        let lines = self.block(one)?;
        let errors = self.report.errors;
        let entries = lines.iter().filter_map(|line| self.entry(line)).collect();
        let broken = self.report.errors > errors;
        Some(Group { name: name.text.clone(), at: name.at, entries, broken })
    }

    /// The name in front of a block.
    pub(super) fn title<'s>(&mut self, one: &'s Statement) -> Option<&'s Word> {
        if let Some(extra) = one.arguments.get(1) {
            let message = format!("{:?} after the name is ignored", extra.text);
            self.report.warn(extra.at, message, "one word");
        }
        let word = one.arguments.first();
        if word.is_none() {
            let message = format!("{} has no name", one.keyword.text);
            self.report.error(one.keyword.at, message, "");
        }
        word
    }

    fn entry(&mut self, line: &Statement) -> Option<At<GroupEntry>> {
        let at = line.keyword.at;
        if line.block.is_some() {
            self.report.error(at, "an entry of a group takes no { }", "remove the braces");
            return None;
        }
        let value = if line.keyword.text == "fwmark" {
            let family = match line.arguments.get(1).map(|word| word.text.as_str()) {
                None | Some("inet") => Family::Inet,
                Some("inet6") => Family::Inet6,
                Some(other) => {
                    let message = format!("{other:?} is no address family");
                    self.report.error(line.arguments[1].at, message, "inet or inet6");
                    return None;
                }
            };
            let read = number(1, u32::MAX);
            let mark = self.after(&line.keyword, line.arguments.first(), "1 or more", read)?;
            GroupEntry::Fwmark(Fwmark { mark, family })
        } else {
            let Some((first, last)) = range(&line.keyword.text) else {
                let message = format!("{:?} is no address and no range", line.keyword.text);
                self.report.error(at, message, RANGES);
                return None;
            };
            let port = match line.arguments.first() {
                Some(word) => self.after(&line.keyword, Some(word), "a port", number(0, 65535))?,
                None => 0,
            };
            GroupEntry::Range { first, last, port }
        };
        Some(At { value, at })
    }
}

/// An address, `10.0.0.1-9` (`fd00::1-f`: the last group), two whole addresses, or a network.
fn range(text: &str) -> Option<(IpAddr, IpAddr)> {
    if let Some((address, prefix)) = text.split_once('/') {
        return network(address.parse().ok()?, prefix.parse().ok()?);
    }
    let Some((first, last)) = text.split_once('-') else {
        let only = text.parse().ok()?;
        return Some((only, only));
    };
    let first: IpAddr = first.parse().ok()?;
    if let Ok(last) = last.parse::<IpAddr>() {
        return Some((first, last));
    }
    let last = match first {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            IpAddr::from([a, b, c, last.parse().ok()?])
        }
        IpAddr::V6(v6) => {
            let mut groups = v6.segments();
            groups[7] = u16::from_str_radix(last, 16).ok()?;
            IpAddr::from(groups)
        }
    };
    Some((first, last))
}

fn network(address: IpAddr, prefix: u32) -> Option<(IpAddr, IpAddr)> {
    match address {
        IpAddr::V4(v4) if prefix <= 32 => {
            let hosts = u32::MAX.checked_shr(prefix).unwrap_or(0);
            let bits = v4.to_bits();
            let [first, last] = [bits & !hosts, bits | hosts].map(Ipv4Addr::from_bits);
            Some((first.into(), last.into()))
        }
        IpAddr::V6(v6) if prefix <= 128 => {
            let hosts = u128::MAX.checked_shr(prefix).unwrap_or(0);
            let bits = v6.to_bits();
            let [first, last] = [bits & !hosts, bits | hosts].map(Ipv6Addr::from_bits);
            Some((first.into(), last.into()))
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}
