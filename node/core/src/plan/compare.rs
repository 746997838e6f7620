//! Two documents, setting by setting, in the words that they are written in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use leasehold_model::{Config, Global, RealServer, VirtualServer};
use toml::{Table, Value};

use super::{Change, Setting, What};
use crate::document;

/// Every part that differs: the global settings, then section by section, each by name.
#[must_use]
pub fn changes(before: &Config, after: &Config) -> Vec<Change> {
    let (less, more) = differing(before, after);
    let mut all = Vec::new();
    let (old, new) = (written(&less), written(&more));
    let none = Table::new();
    let global = settings(table(&old, "global", &none), table(&new, "global", &none));
    if !global.is_empty() {
        all.push(Change {
            kind: "global".to_owned(),
            name: String::new(),
            what: What::Changed,
            settings: global,
            real_servers: Vec::new(),
        });
    }
    for kind in ["instance", "sync_group", "script", "process", "file", "virtual_server_group"] {
        sections(&mut all, kind, table(&old, kind, &none), table(&new, kind, &none));
    }
    virtual_servers(&mut all, (&less, &old), (&more, &new));
    all
}

/// What the two do not have alike: to write the rest out would cost as much as all of it.
fn differing(before: &Config, after: &Config) -> (Config, Config) {
    let of = |one: &Config, other: &Config| Config {
        global: if one.global == other.global { Global::default() } else { one.global.clone() },
        instances: unlike(&one.instances, &other.instances),
        sync_groups: unlike(&one.sync_groups, &other.sync_groups),
        scripts: unlike(&one.scripts, &other.scripts),
        processes: unlike(&one.processes, &other.processes),
        files: unlike(&one.files, &other.files),
        groups: unlike(&one.groups, &other.groups),
        virtual_servers: {
            let others: BTreeMap<_, _> =
                other.virtual_servers.iter().map(|server| (server.key(), server)).collect();
            let differs = |server: &&VirtualServer| others.get(&server.key()) != Some(server);
            one.virtual_servers.iter().filter(differs).cloned().collect()
        },
    };
    (of(before, after), of(after, before))
}

fn unlike<T: Clone + PartialEq>(
    one: &BTreeMap<String, T>,
    other: &BTreeMap<String, T>,
) -> BTreeMap<String, T> {
    let differs = |(name, value): &(&String, &T)| other.get(*name) != Some(*value);
    one.iter().filter(differs).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn written(config: &Config) -> Table {
    document::to_toml(config).parse().expect("what is written is TOML: a property test reads it")
}

fn table<'a>(of: &'a Table, key: &str, none: &'a Table) -> &'a Table {
    of.get(key).and_then(Value::as_table).unwrap_or(none)
}

fn sections(all: &mut Vec<Change>, kind: &str, old: &Table, new: &Table) {
    let none = Table::new();
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let what = what(old.contains_key(name), new.contains_key(name));
        all.push(Change {
            kind: kind.to_owned(),
            name: name.clone(),
            what,
            settings: settings(table(old, name, &none), table(new, name, &none)),
            real_servers: Vec::new(),
        });
    }
}

fn what(was: bool, is: bool) -> What {
    match (was, is) {
        (false, _) => What::Added,
        (true, false) => What::Removed,
        (true, true) => What::Changed,
    }
}

/// A virtual server, with the table that it is written as. They are written in their order.
fn servers<'a>(
    config: &'a Config,
    written: &'a Table,
) -> BTreeMap<String, (&'a VirtualServer, &'a Table)> {
    let tables = written.get("virtual_server").and_then(Value::as_array).into_iter().flatten();
    let tables = tables.filter_map(Value::as_table);
    let named = config.virtual_servers.iter().zip(tables);
    named.map(|(server, table)| (server.name(), (server, table))).collect()
}

fn virtual_servers(
    all: &mut Vec<Change>,
    (before, old): (&Config, &Table),
    (after, new): (&Config, &Table),
) {
    let (old, new) = (servers(before, old), servers(after, new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let none = Table::new();
    for name in names {
        let (was, is) = (old.get(name), new.get(name));
        let bare = |of: Option<&(&VirtualServer, &Table)>| {
            let mut table = of.map_or_else(Table::new, |(_, table)| (*table).clone());
            table.remove("real_server");
            table
        };
        all.push(Change {
            kind: "virtual_server".to_owned(),
            name: name.clone(),
            what: what(was.is_some(), is.is_some()),
            settings: settings(&bare(was), &bare(is)),
            real_servers: real_servers(real(was, &none), real(is, &none)),
        });
    }
}

type RealServers<'a> = BTreeMap<SocketAddr, (&'a RealServer, &'a Table)>;

fn real<'a>(of: Option<&(&'a VirtualServer, &'a Table)>, none: &'a Table) -> RealServers<'a> {
    let Some((server, table)) = of else { return BTreeMap::new() };
    let tables = table.get("real_server").and_then(Value::as_array);
    let mut tables = tables.into_iter().flatten().filter_map(Value::as_table);
    let each = server.real_servers.iter();
    each.map(|one| (one.address, (one, tables.next().unwrap_or(none)))).collect()
}

fn real_servers(old: RealServers<'_>, new: RealServers<'_>) -> Vec<Change> {
    let addresses: BTreeSet<&SocketAddr> = old.keys().chain(new.keys()).collect();
    let none = Table::new();
    let change = |address: &SocketAddr| {
        let (was, is) = (old.get(address), new.get(address));
        if was.map(|(server, _)| server) == is.map(|(server, _)| server) {
            return None;
        }
        let written = |of: Option<&(&RealServer, &Table)>| {
            let mut table = of.map_or(&none, |(_, table)| table).clone();
            table.remove("address");
            table
        };
        Some(Change {
            kind: "real_server".to_owned(),
            name: address.to_string(),
            what: what(was.is_some(), is.is_some()),
            settings: settings(&written(was), &written(is)),
            real_servers: Vec::new(),
        })
    };
    addresses.into_iter().filter_map(change).collect()
}

fn settings(old: &Table, new: &Table) -> Vec<Setting> {
    let mut all = Vec::new();
    collect(&mut all, "", old, new);
    all
}

/// By name.
fn collect(all: &mut Vec<Setting>, within: &str, old: &Table, new: &Table) {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for key in names {
        let name = if within.is_empty() { key.clone() } else { format!("{within}.{key}") };
        let (was, is) = (old.get(key), new.get(key));
        if was == is {
            continue;
        }
        let none = Table::new();
        match (was, is) {
            (Some(Value::Array(was)), Some(Value::Array(is))) => list(all, &name, was, is),
            (Some(Value::Array(was)), None) => list(all, &name, was, &[]),
            (None, Some(Value::Array(is))) => list(all, &name, &[], is),
            (Some(Value::Table(was)), Some(Value::Table(is))) => collect(all, &name, was, is),
            (Some(Value::Table(was)), None) if !was.is_empty() => collect(all, &name, was, &none),
            (None, Some(Value::Table(is))) if !is.is_empty() => collect(all, &name, &none, is),
            (was, is) => all.push(Setting { name, before: was.map(show), after: is.map(show) }),
        }
    }
}

/// Item by item where items came and went, and as a whole where their order changed.
fn list(all: &mut Vec<Setting>, name: &str, was: &[Value], is: &[Value]) {
    let gone = was.iter().filter(|one| !is.contains(one));
    let came = is.iter().filter(|one| !was.contains(one));
    let stayed = was.iter().filter(|one| is.contains(one));
    let name = || name.to_owned();
    if !stayed.eq(is.iter().filter(|one| was.contains(one))) {
        let whole = |of: &[Value]| Some(show(&Value::Array(of.to_vec())));
        all.push(Setting { name: name(), before: whole(was), after: whole(is) });
        return;
    }
    all.extend(gone.map(|one| Setting { name: name(), before: Some(show(one)), after: None }));
    all.extend(came.map(|one| Setting { name: name(), before: None, after: Some(show(one)) }));
}

/// On one line, a string without its quotes.
fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.escape_debug().to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Datetime(time) => time.to_string(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", "))
        }
        Value::Table(table) if table.contains_key("address") && table.contains_key("prefix") => {
            address(table)
        }
        Value::Table(table) => {
            let items = table.iter().map(|(key, value)| format!("{key} = {}", show(value)));
            format!("{{ {} }}", items.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A VIP in few words: `192.0.2.1/24 dev eth1`.
fn address(table: &Table) -> String {
    let of = |key: &str| table.get(key).map(show).unwrap_or_default();
    let more = table.iter().filter(|(key, _)| !["address", "prefix"].contains(&key.as_str()));
    let more: String = more.map(|(key, value)| format!(" {key} {}", show(value))).collect();
    format!("{}/{}{more}", of("address"), of("prefix"))
}
