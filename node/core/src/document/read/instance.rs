//! `[instance]`: VRIDs, VIPs and each director's part.

use std::net::IpAddr;
use std::ops::Range;

use leasehold_model::{Auth, AuthType, Candidate, Instance, Scope, Vip};

use super::{At, Reader, notify, track, vrrp};
use crate::document::canonical;

/// The settings that are this file's own to read.
const OWN: [&str; 14] = [
    "virtual_router_id",
    "interface",
    "priority",
    "advert_int_ms",
    "authentication",
    "preempt",
    "preempt_delay_ms",
    "virtual_ipaddress",
    "virtual_ipaddress_excluded",
    "virtual_routes",
    "virtual_rules",
    "garp",
    "use_vmac",
    "dont_track_primary",
];

impl Reader<'_> {
    /// What can't be read has a stand-in, and is known to the places as unread.
    pub(super) fn instance(&mut self, at: &At<'_, '_>) -> Instance {
        let mut known = OWN.to_vec();
        known.extend(vrrp::ADVERTS);
        known.extend(track::TRACKING);
        known.extend(notify::NOTIFY);
        known.push("director");
        self.known(at, "an instance", &known);
        self.required(at, &["virtual_router_id", "interface", "virtual_ipaddress"]);
        let vrid = self.integer(at, "virtual_router_id", 1..=255).unwrap_or(1);
        let interface = self.string(at, "interface").unwrap_or("unread");
        let mut instance = Instance {
            priority: self.integer(at, "priority", 1..=254),
            advert_int_ms: self.integer(at, "advert_int_ms", 10..=255_000).unwrap_or(1000),
            preempt: self.boolean(at, "preempt").unwrap_or(true),
            preempt_delay_ms: self.integer(at, "preempt_delay_ms", 0..=1_000_000).unwrap_or(0),
            virtual_ipaddress: self.vips(at, "virtual_ipaddress"),
            virtual_ipaddress_excluded: self.vips(at, "virtual_ipaddress_excluded"),
            virtual_routes: self.routes(at),
            virtual_rules: self.rules(at),
            adverts: self.adverts(at),
            garp: self.garp(at),
            use_vmac: self.vmac(at),
            tracking: self.tracking(at),
            dont_track_primary: self.boolean(at, "dont_track_primary").unwrap_or(false),
            notify: self.notify(at),
            ..Instance::new(vrid, interface)
        };
        if let Some(table) = self.table(at, "authentication") {
            instance.authentication = self.authentication(&table);
        }
        if let Some(directors) = self.table(at, "director") {
            for (name, value) in directors.table {
                let name: &str = name.get_ref();
                if let Some(table) = self.as_table(directors.path_to(name), value) {
                    let one = self.candidate(&table);
                    instance.directors.insert(name.to_owned(), one);
                }
            }
        }
        canonical::instance(&mut instance);
        instance
    }

    fn candidate(&mut self, at: &At<'_, '_>) -> Candidate {
        let mut known = vec!["priority", "interface", "src_ip"];
        known.extend(notify::NOTIFY);
        self.known(at, "a director", &known);
        Candidate {
            priority: self.integer(at, "priority", 1..=255),
            interface: self.string(at, "interface").map(str::to_owned),
            src_ip: self.parsed(at, "src_ip", "an IP address"),
            notify: self.notify(at),
        }
    }

    fn authentication(&mut self, at: &At<'_, '_>) -> Option<Auth> {
        self.known(at, "authentication", &["auth_type", "auth_pass"]);
        self.required(at, &["auth_type", "auth_pass"]);
        let kinds = [("PASS", AuthType::Pass), ("AH", AuthType::Ah)];
        let auth_type = self.choice(at, "auth_type", &kinds)?;
        let auth_pass = self.string(at, "auth_pass")?.to_owned();
        Some(Auth { auth_type, auth_pass })
    }

    fn vips(&mut self, at: &At<'_, '_>, name: &str) -> Vec<Vip> {
        let mut vips = Vec::new();
        for (index, value) in self.array(at, name).into_iter().flatten().enumerate() {
            let index = index.to_string();
            let mut path = at.path_to(name);
            path.push(&index);
            self.places.put(&path, self.lines.place(&value.span()));
            let vip = if let Some(text) = value.get_ref().as_str() {
                self.short_vip(&path, text, &value.span())
            } else if let Some(table) = value.get_ref().as_table() {
                self.vip(&At { table, span: value.span(), path: path.clone() })
            } else {
                self.mistyped(&path, value, "a table or a string such as \"10.0.0.1/24\"");
                None
            };
            match vip {
                Some(vip) => vips.push(vip),
                // Indices after this one would be off by one.
                None => self.places.put_unread(&path[..path.len() - 1]),
            }
        }
        vips
    }

    fn short_vip(&mut self, path: &[&str], text: &str, span: &Range<usize>) -> Option<Vip> {
        let parsed = address_and_prefix(text);
        if parsed.is_none() {
            let message = format!("{text:?} is no address");
            self.unread(path, span, message, "for example \"10.0.0.1/24\" or \"fd00::1/64\"");
        }
        let (address, prefix) = parsed?;
        Some(Vip { address, prefix, dev: None, label: None, broadcast: None, scope: Scope::Global })
    }

    fn vip(&mut self, at: &At<'_, '_>) -> Option<Vip> {
        self.known(
            at,
            "a virtual address",
            &["address", "prefix", "dev", "label", "broadcast", "scope"],
        );
        self.required(at, &["address"]);
        let scopes = [
            ("global", Scope::Global),
            ("site", Scope::Site),
            ("link", Scope::Link),
            ("host", Scope::Host),
        ];
        let dev = self.string(at, "dev").map(str::to_owned);
        let label = self.string(at, "label").map(str::to_owned);
        let broadcast = self.parsed(at, "broadcast", "an IPv4 address");
        let scope = self.choice(at, "scope", &scopes).unwrap_or_default();
        let prefix = self.integer(at, "prefix", 1..=128);
        let text = self.string(at, "address")?;
        let Some((address, in_address)) = address_and_prefix(text) else {
            self.parsed::<IpAddr>(at, "address", "an address such as 10.0.0.1 or fd00::1");
            return None;
        };
        let prefix = prefix.unwrap_or(in_address);
        Some(Vip { address, prefix, dev, label, broadcast, scope })
    }
}

/// `10.0.0.1/24`; the longest prefix where there is none.
fn address_and_prefix(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    Some((address, prefix.unwrap_or(if address.is_ipv4() { 32 } else { 128 })))
}
