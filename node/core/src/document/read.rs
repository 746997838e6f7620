//! TOML to configuration. Goes on after an error, so that one run reports them all.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::str::FromStr;

use leasehold_model::{Auth, AuthType, Candidate, Config, Global, Instance, Scope, Vip};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Place, Places};

pub(super) struct Reading {
    pub(super) config: Config,
    pub(super) places: Places,
    pub(super) diagnostics: Vec<Diagnostic>,
}

pub(super) fn read(file: &str, text: &str) -> Reading {
    let mut reader = Reader {
        lines: Lines::new(file, text),
        places: Places::default(),
        diagnostics: Vec::new(),
    };
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let place = reader.lines.place(&error.span().unwrap_or(0..0));
        reader.diagnostics.push(Diagnostic::error(Some(place), error.message().trim()));
    }
    // What a broken line was meant to say is unknown: checking the rest of the meaning would
    // blame lines that are right.
    let config = if errors.is_empty() {
        reader.config(&root)
    } else {
        reader.places.put_unread(&[]);
        Config::default()
    };
    Reading { config, places: reader.places, diagnostics: reader.diagnostics }
}

struct Reader<'a> {
    lines: Lines<'a>,
    places: Places,
    diagnostics: Vec<Diagnostic>,
}

/// A table, the way to it, and how to call it in a message.
struct At<'a, 't> {
    table: &'t DeTable<'t>,
    span: Range<usize>,
    path: Vec<&'a str>,
}

impl<'t> At<'_, 't> {
    fn get(&self, name: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value)
    }

    fn path_to<'p>(&'p self, name: &'p str) -> Vec<&'p str> {
        let mut path = self.path.clone();
        path.push(name);
        path
    }
}

impl Reader<'_> {
    fn config(&mut self, root: &Spanned<DeTable<'_>>) -> Config {
        let at = At { table: root.get_ref(), span: root.span(), path: vec![] };
        self.known(&at, "the document", &["global", "instance"]);
        let mut config = Config::default();
        if let Some(table) = self.table(&at, "global") {
            config.global = self.global(&table);
        }
        if let Some(table) = self.table(&at, "instance") {
            for (name, value) in table.table {
                let name: &str = name.get_ref();
                if let Some(table) = self.as_table(table.path_to(name), value) {
                    let instance = self.instance(&table);
                    config.instances.insert(name.to_owned(), instance);
                }
            }
        }
        config
    }

    fn global(&mut self, at: &At<'_, '_>) -> Global {
        self.known(at, "[global]", &["router_id", "vrrp_mcast_group4"]);
        let mut global = Global {
            vrrp_mcast_group4: self.parsed::<Ipv4Addr>(at, "vrrp_mcast_group4", "an IPv4 address"),
            ..Global::default()
        };
        if let Some(ids) = self.table(at, "router_id") {
            for key in ids.table.keys() {
                let director: &str = key.get_ref();
                if let Some(id) = self.string(&ids, director) {
                    global.router_id.insert(director.to_owned(), id.to_owned());
                }
            }
        }
        global
    }

    /// What can't be read has a stand-in, and is known to the places as unread.
    fn instance(&mut self, at: &At<'_, '_>) -> Instance {
        let known = [
            "virtual_router_id",
            "interface",
            "priority",
            "advert_int_ms",
            "authentication",
            "preempt",
            "preempt_delay_ms",
            "virtual_ipaddress",
            "director",
        ];
        self.known(at, "an instance", &known);
        self.required(at, &["virtual_router_id", "interface", "virtual_ipaddress"]);
        let mut instance = Instance {
            virtual_router_id: self.integer(at, "virtual_router_id", 1..=255).unwrap_or(1),
            interface: self.string(at, "interface").unwrap_or("unread").to_owned(),
            priority: self.integer(at, "priority", 1..=254),
            advert_int_ms: self.integer(at, "advert_int_ms", 10..=255_000).unwrap_or(1000),
            authentication: None,
            preempt: self.boolean(at, "preempt").unwrap_or(true),
            preempt_delay_ms: self.integer(at, "preempt_delay_ms", 0..=1_000_000).unwrap_or(0),
            virtual_ipaddress: Vec::new(),
            directors: std::collections::BTreeMap::new(),
        };
        if let Some(table) = self.table(at, "authentication") {
            instance.authentication = self.authentication(&table);
        }
        if let Some(array) = self.array(at, "virtual_ipaddress") {
            let path = at.path_to("virtual_ipaddress");
            instance.virtual_ipaddress = self.vips(&path, array);
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
        instance
    }

    fn candidate(&mut self, at: &At<'_, '_>) -> Candidate {
        self.known(at, "a director", &["priority", "interface"]);
        Candidate {
            priority: self.integer(at, "priority", 1..=255),
            interface: self.string(at, "interface").map(str::to_owned),
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

    fn vips(&mut self, path: &[&str], array: &DeArray<'_>) -> Vec<Vip> {
        let mut vips = Vec::new();
        for (index, value) in array.iter().enumerate() {
            let index = index.to_string();
            let mut path = path.to_vec();
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

/// One value each: its place is noted, and a wrong type or range is reported.
impl Reader<'_> {
    fn value<'t>(&mut self, at: &At<'_, 't>, name: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        let value = at.get(name)?;
        self.places.put(&at.path_to(name), self.lines.place(&value.span()));
        Some(value)
    }

    fn table<'p, 't>(&mut self, at: &At<'p, 't>, name: &'p str) -> Option<At<'p, 't>> {
        let value = at.get(name)?;
        let mut path = at.path.clone();
        path.push(name);
        self.as_table(path, value)
    }

    fn as_table<'p, 't>(
        &mut self,
        path: Vec<&'p str>,
        value: &'t Spanned<DeValue<'t>>,
    ) -> Option<At<'p, 't>> {
        self.places.put(&path, self.lines.place(&value.span()));
        match value.get_ref().as_table() {
            Some(table) => Some(At { table, span: value.span(), path }),
            None => {
                self.mistyped(&path, value, "a table");
                None
            }
        }
    }

    fn array<'t>(&mut self, at: &At<'_, 't>, name: &str) -> Option<&'t DeArray<'t>> {
        let value = self.value(at, name)?;
        let array = value.get_ref().as_array();
        if array.is_none() {
            self.mistyped(&at.path_to(name), value, "a list");
        }
        array
    }

    fn string<'t>(&mut self, at: &At<'_, 't>, name: &str) -> Option<&'t str> {
        let value = self.value(at, name)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.mistyped(&at.path_to(name), value, "a string");
        }
        text
    }

    fn boolean(&mut self, at: &At<'_, '_>, name: &str) -> Option<bool> {
        let value = self.value(at, name)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.mistyped(&at.path_to(name), value, "true or false");
        }
        flag
    }

    fn integer<T: TryFrom<i64>>(
        &mut self,
        at: &At<'_, '_>,
        name: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Option<T> {
        let value = self.value(at, name)?;
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let Some(number) = value.get_ref().as_integer() else {
            self.mistyped(&at.path_to(name), value, &wanted);
            return None;
        };
        let parsed = i64::from_str_radix(number.as_str(), number.radix()).ok();
        let fitting = parsed.filter(|number| range.contains(number));
        let fitting = fitting.and_then(|number| T::try_from(number).ok());
        if fitting.is_none() {
            let message = format!("{name} {number} is out of range");
            self.unread(&at.path_to(name), &value.span(), message, &wanted);
        }
        fitting
    }

    fn parsed<T: FromStr>(&mut self, at: &At<'_, '_>, name: &str, what: &str) -> Option<T> {
        let text = self.string(at, name)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            let span = at.get(name).map_or(0..0, Spanned::span);
            self.unread(&at.path_to(name), &span, format!("{text:?} is not {what}"), "");
        }
        parsed
    }

    fn choice<T: Copy>(&mut self, at: &At<'_, '_>, name: &str, all: &[(&str, T)]) -> Option<T> {
        let text = self.string(at, name)?;
        let found = all.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let words: Vec<&str> = all.iter().map(|(word, _)| *word).collect();
            let span = at.get(name).map_or(0..0, Spanned::span);
            let message = format!("{text:?} is no {name}");
            self.unread(&at.path_to(name), &span, message, &format!("one of {}", words.join(", ")));
        }
        found
    }

    fn known(&mut self, at: &At<'_, '_>, whose: &str, known: &[&str]) {
        for key in at.table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let place = self.lines.place(&key.span());
                let message = format!("{name} is no setting of {whose}");
                let hint = format!("settings are {}", known.join(", "));
                self.diagnostics.push(Diagnostic::error(Some(place), message).hint(hint));
            }
        }
    }

    fn required(&mut self, at: &At<'_, '_>, names: &[&str]) {
        for name in names.iter().filter(|name| at.get(name).is_none()) {
            self.unread(&at.path_to(name), &at.span, format!("{name} is missing"), "");
        }
    }

    fn mistyped(&mut self, path: &[&str], value: &Spanned<DeValue<'_>>, wanted: &str) {
        let name = match path {
            [.., list, index] if index.parse::<usize>().is_ok() => format!("an item of {list}"),
            [.., name] => (*name).to_owned(),
            [] => "the document".to_owned(),
        };
        let is = value.get_ref().type_str();
        self.unread(path, &value.span(), format!("{name} is {wanted}, not a TOML {is}"), "");
    }

    fn unread(&mut self, path: &[&str], span: &Range<usize>, message: String, hint: &str) {
        let error = Diagnostic::error(Some(self.lines.place(span)), message);
        self.diagnostics.push(if hint.is_empty() { error } else { error.hint(hint) });
        self.places.put_unread(path);
    }
}

/// Offsets to lines and columns.
struct Lines<'a> {
    file: &'a str,
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(file: &'a str, text: &'a str) -> Self {
        let after = text.match_indices('\n').map(|(index, _)| index + 1);
        Self { file, text, starts: std::iter::once(0).chain(after).collect() }
    }

    fn place(&self, span: &Range<usize>) -> Place {
        let line = self.starts.partition_point(|start| *start <= span.start).max(1);
        let start = self.starts[line - 1];
        let before = self.text.get(start..span.start).unwrap_or_default();
        Place {
            file: self.file.to_owned(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(before.chars().count() + 1).unwrap_or(u32::MAX),
        }
    }
}
