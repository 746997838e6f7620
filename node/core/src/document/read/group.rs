//! `[virtual_server_group]`, and addresses with ports.

use std::net::{IpAddr, SocketAddr};

use leasehold_model::{Family, Fwmark, GroupEntry, VirtualServerGroup};

use super::{At, Reader};

const ENTRIES: &str =
    "for example \"10.0.0.1:80\", \"10.0.0.1-10.0.0.9:80\", \"[fd00::1]:80\" or \"fwmark 7\"";

impl Reader<'_> {
    pub(super) fn group(&mut self, at: &At<'_, '_>) -> VirtualServerGroup {
        self.known(at, "a virtual server group", &["entries"]);
        self.required(at, &["entries"]);
        let mut group = VirtualServerGroup::default();
        for (index, value) in self.array(at, "entries").into_iter().flatten().enumerate() {
            let index = index.to_string();
            let mut path = at.path_to("entries");
            path.push(&index);
            self.places.put(&path, self.lines.place(&value.span()));
            let entry = match value.get_ref().as_str() {
                Some(text) => {
                    let entry = entry(text);
                    if entry.is_none() {
                        let message = format!("{text:?} is no entry of a group");
                        self.unread(&path, &value.span(), message, ENTRIES);
                    }
                    entry
                }
                None => {
                    self.mistyped(&path, value, "a string such as \"10.0.0.1:80\"");
                    None
                }
            };
            match entry {
                Some(entry) => group.entries.push(entry),
                // Indices after this one would be off by one.
                None => self.places.put_unread(&at.path_to("entries")),
            }
        }
        group
    }
}

/// `10.0.0.1-10.0.0.9:80`, `[fd00::1-fd00::9]:80`, `fwmark 7` or `fwmark 7 inet6`.
fn entry(text: &str) -> Option<GroupEntry> {
    if let Some(rest) = text.strip_prefix("fwmark ") {
        let (mark, family) = match rest.split_once(' ') {
            Some((mark, "inet6")) => (mark, Family::Inet6),
            Some((mark, "inet")) => (mark, Family::Inet),
            Some(_) => return None,
            None => (rest, Family::Inet),
        };
        return Some(GroupEntry::Fwmark(Fwmark { mark: mark.parse().ok()?, family }));
    }
    let (addresses, port) = text.rsplit_once(':')?;
    let inner = addresses.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let (first, last) = match inner.unwrap_or(addresses).split_once('-') {
        Some((first, last)) => (first.parse::<IpAddr>().ok()?, last.parse::<IpAddr>().ok()?),
        None => {
            let only = inner.unwrap_or(addresses).parse::<IpAddr>().ok()?;
            (only, only)
        }
    };
    // Without the brackets the end of an IPv6 address and a port can't be told apart.
    let bracketed = first.is_ipv4() || inner.is_some();
    bracketed.then_some(GroupEntry::Range { first, last, port: port.parse().ok()? })
}

/// `10.0.0.1:80` or `[fd00::1]:80`. A zone would name an interface, which is another's here.
pub(super) fn socket(text: &str) -> Option<SocketAddr> {
    let address: SocketAddr = text.parse().ok()?;
    let zoned = matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0);
    (!zoned).then_some(address)
}
