//! TOML to configuration. Goes on after an error, so that one run reports them all.

mod check;
mod global;
mod group;
mod http;
mod instance;
mod notify;
mod real_server;
mod route;
mod track;
mod value;
mod virtual_server;
mod vrrp;

use std::collections::BTreeMap;
use std::ops::Range;

use leasehold_model::Config;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::schema::Trace;
use crate::diagnostic::{Diagnostic, Found, Places};
use value::Lines;

pub(crate) struct Reading {
    pub(crate) config: Config,
    pub(crate) places: Places,
    pub(crate) diagnostics: Found,
}

pub(crate) fn read(file: &str, text: &str) -> Reading {
    let mut reader = Reader::new(file, text, None);
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

/// Reads `text` only to note in `trace` what is asked for.
pub(super) fn traced(file: &str, text: &str, trace: Trace) -> Trace {
    let mut reader = Reader::new(file, text, Some(trace.in_another_text()));
    let (root, _) = DeTable::parse_recoverable(text);
    reader.config(&root);
    reader.trace.unwrap_or_default()
}

struct Reader<'a> {
    lines: Lines<'a>,
    places: Places,
    diagnostics: Found,
    /// For the schema.
    trace: Option<Trace>,
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

impl<'a> Reader<'a> {
    fn new(file: &'a str, text: &'a str, trace: Option<Trace>) -> Self {
        let lines = Lines::new(file, text);
        Self { lines, places: Places::default(), diagnostics: Found::default(), trace }
    }
}

impl Reader<'_> {
    fn config(&mut self, root: &Spanned<DeTable<'_>>) -> Config {
        let at = At { table: root.get_ref(), span: root.span(), path: vec![] };
        let known = [
            "global",
            "instance",
            "sync_group",
            "script",
            "process",
            "file",
            "virtual_server_group",
            "virtual_server",
        ];
        self.known(&at, "the document", &known);
        let global = self.table(&at, "global");
        Config {
            global: global.map(|table| self.global(&table)).unwrap_or_default(),
            instances: self.named(&at, "instance", Self::instance),
            sync_groups: self.named(&at, "sync_group", Self::sync_group),
            scripts: self.named(&at, "script", Self::track_script),
            processes: self.named(&at, "process", Self::track_process),
            files: self.named(&at, "file", Self::track_file),
            groups: self.named(&at, "virtual_server_group", Self::group),
            virtual_servers: self.virtual_servers(&at),
        }
    }

    /// The tables of a section, by their names.
    fn named<'p, 't, T>(
        &mut self,
        at: &At<'p, 't>,
        section: &'p str,
        read: impl Fn(&mut Self, &At<'_, '_>) -> T,
    ) -> BTreeMap<String, T> {
        let mut all = BTreeMap::new();
        let Some(section) = self.table(at, section) else { return all };
        for (name, value) in section.table {
            let name: &str = name.get_ref();
            if let Some(table) = self.as_table(section.path_to(name), value) {
                let one = read(self, &table);
                all.insert(name.to_owned(), one);
            }
        }
        all
    }
}
