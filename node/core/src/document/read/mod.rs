//! TOML to configuration. Goes on after an error, so that one run reports them all.

mod global;
mod group;
mod instance;
mod real_server;
mod value;
mod virtual_server;

use std::ops::Range;

use leasehold_model::Config;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Places};
use value::Lines;

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
        let known = ["global", "instance", "virtual_server_group", "virtual_server"];
        self.known(&at, "the document", &known);
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
        if let Some(table) = self.table(&at, "virtual_server_group") {
            for (name, value) in table.table {
                let name: &str = name.get_ref();
                if let Some(table) = self.as_table(table.path_to(name), value) {
                    let group = self.group(&table);
                    config.groups.insert(name.to_owned(), group);
                }
            }
        }
        config.virtual_servers = self.virtual_servers(&at);
        config
    }
}
