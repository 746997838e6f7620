//! One setting of the command line, put where it belongs in the tree.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;

use leasehold_model::{Instance, Route, Rule};

use super::schema::{Kind, Plain, Short, Table};
use super::tree::{Node, Value};
use super::value;
use crate::{Diagnostic, document};

/// What a word does with a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// `KEY=VALUE`
    Set,
    /// `KEY=`
    Unset,
    /// `KEY+=VALUE`
    Add,
    /// `KEY-=VALUE`
    Remove,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) path: Vec<String>,
    pub(super) op: Op,
    pub(super) value: String,
    /// The number of the word that says it.
    pub(super) word: usize,
}

/// # Errors
/// Why it can't be put there.
pub(super) fn put(
    node: &mut Node,
    table: &'static Table,
    path: &[String],
    setting: &Setting,
) -> Result<(), String> {
    let map = table_of(node, table, setting)?;
    let (name, rest) = path.split_first().ok_or("it names no setting")?;
    let key = table.key(name).ok_or_else(|| format!("{name} is no setting of {}", table.noun))?;
    enter(map, name, &key.kind, rest, setting)
}

fn enter(
    map: &mut BTreeMap<String, Node>,
    name: &str,
    kind: &'static Kind,
    rest: &[String],
    setting: &Setting,
) -> Result<(), String> {
    if rest.is_empty() {
        return finish(map, name, kind, setting);
    }
    if setting.op == Op::Unset && !map.contains_key(name) {
        return Ok(());
    }
    if let Kind::Table(Table { short: Short::Forward, .. }) = kind
        && let Some(kind) = direct(map.get(name))
        && rest.first().is_none_or(|setting| setting != "tunnel")
    {
        return match setting.op {
            Op::Unset => Ok(()),
            Op::Set | Op::Add | Op::Remove => {
                Err(format!("{kind} has no tunnel: {name}.tunnel=... comes before it"))
            }
        };
    }
    let child = map.entry(name.to_owned()).or_insert_with(|| {
        let empty = match kind {
            Kind::Tables(_) | Kind::List(_) => Node::old(Value::List(Vec::new())),
            Kind::Table(Table { short: Short::Forward, .. }) => tunnel(),
            Kind::Plain(_) | Kind::Table(_) | Kind::Map(_) => Node::empty(),
        };
        empty.said_by(setting.word)
    });
    match kind {
        Kind::Table(table) => put(child, table, rest, setting)?,
        Kind::Tables(table) => {
            let (item, rest) = item(child, name, table, rest, setting)?;
            put(item, table, rest, setting)?;
        }
        Kind::Map(inner) => {
            let (own, rest) = rest.split_first().ok_or("it names nothing")?;
            let Value::Table(map) = &mut child.value else {
                return Err(format!("{name} is no table"));
            };
            enter(map, own, inner, rest, setting)?;
        }
        Kind::Plain(_) | Kind::List(_) => return Err(format!("{name} has no settings of its own")),
    }
    if setting.op == Op::Unset {
        settle(map, name, kind);
    }
    Ok(())
}

/// How a service is forwarded that has no tunnel.
fn direct(forward: Option<&Node>) -> Option<String> {
    match forward.map(|node| &node.value) {
        None => Some("NAT".to_owned()),
        Some(Value::Text(kind)) => (kind != "TUN").then(|| kind.clone()),
        Some(
            Value::Number(_) | Value::Truth(_) | Value::Other(_) | Value::List(_) | Value::Table(_),
        ) => None,
    }
}

/// What is left where a setting was taken away: a table without one goes, unless it says
/// something by being there.
fn settle(map: &mut BTreeMap<String, Node>, name: &str, kind: &Kind) {
    let Some(child) = map.get_mut(name) else { return };
    match kind {
        Kind::Table(Table { short: Short::Forward, .. }) => {
            if let Value::Table(table) = &mut child.value {
                table.entry("tunnel".to_owned()).or_insert_with(|| Node::text("ipip"));
            }
        }
        Kind::Table(Table {
            short: Short::Truth | Short::Weight | Short::ValueOrEmpty(_), ..
        }) => {}
        Kind::Table(_) | Kind::Tables(_) | Kind::Map(_) | Kind::List(_) | Kind::Plain(_) => {
            if is_empty(child) {
                map.remove(name);
            }
        }
    }
}

fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Table(table) => table.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Text(_) | Value::Number(_) | Value::Truth(_) | Value::Other(_) => false,
    }
}

fn finish(
    map: &mut BTreeMap<String, Node>,
    name: &str,
    kind: &Kind,
    setting: &Setting,
) -> Result<(), String> {
    if setting.op == Op::Unset {
        map.remove(name);
        return Ok(());
    }
    let new = value::of(kind, &setting.value)?.said_by(setting.word);
    match setting.op {
        Op::Set | Op::Unset => {
            map.insert(name.to_owned(), new);
            Ok(())
        }
        Op::Add => add(map, name, new),
        Op::Remove => remove(map, name, kind, new),
    }
}

fn add(map: &mut BTreeMap<String, Node>, name: &str, new: Node) -> Result<(), String> {
    let mut before = match map.entry(name.to_owned()) {
        Entry::Vacant(vacant) => {
            let listed = matches!(new.value, Value::List(_) | Value::Table(_));
            return if listed {
                vacant.insert(new);
                Ok(())
            } else {
                Err(no_list(name))
            };
        }
        Entry::Occupied(before) => before,
    };
    match (&mut before.get_mut().value, new.value) {
        (Value::List(items), Value::List(more)) => items.extend(more),
        (Value::Table(entries), Value::Table(more)) => entries.extend(more),
        (
            Value::Text(_)
            | Value::Number(_)
            | Value::Truth(_)
            | Value::Other(_)
            | Value::List(_)
            | Value::Table(_),
            _,
        ) => return Err(no_list(name)),
    }
    Ok(())
}

fn no_list(name: &str) -> String {
    format!("{name} is no list: {name}=VALUE sets it")
}

fn remove(
    map: &mut BTreeMap<String, Node>,
    name: &str,
    kind: &Kind,
    gone: Node,
) -> Result<(), String> {
    let nothing = || Node::old(Value::List(Vec::new()));
    let mut before = map.remove(name).unwrap_or_else(nothing);
    match (&mut before.value, gone.value) {
        (Value::List(items), Value::List(gone)) => {
            for one in gone {
                let at = items.iter().position(|item| is_same(name, kind, item, &one));
                let at = at.ok_or_else(|| format!("{} is not in {name}", called(kind, &one)))?;
                items.remove(at);
            }
        }
        (Value::Table(entries), Value::Table(gone)) => {
            for one in gone.keys() {
                entries.remove(one).ok_or_else(|| format!("{one} is not in {name}"))?;
            }
        }
        (Value::List(_), Value::Table(gone)) => {
            let first = gone.keys().next().map_or("", String::as_str);
            return Err(format!("{first} is not in {name}"));
        }
        (
            Value::Text(_)
            | Value::Number(_)
            | Value::Truth(_)
            | Value::Other(_)
            | Value::List(_)
            | Value::Table(_),
            _,
        ) => return Err(format!("{name} is no list: {name}= takes it away")),
    }
    if !is_empty(&before) {
        map.insert(name.to_owned(), before);
    }
    Ok(())
}

/// The setting that tells the tables of a list apart.
fn identity(kind: &Kind) -> Option<&'static str> {
    match kind {
        Kind::Tables(Table { short: Short::Own(name), .. }) => Some(name),
        Kind::Tables(Table { short: Short::Vip, .. }) => Some("address"),
        Kind::Plain(_) | Kind::List(_) | Kind::Table(_) | Kind::Tables(_) | Kind::Map(_) => None,
    }
}

fn is_same(name: &str, kind: &Kind, a: &Node, b: &Node) -> bool {
    if matches!(kind, Kind::List(Kind::Plain(Plain::Line))) {
        return a.value == b.value
            || understood(name, a).is_some_and(|a| Some(a) == understood(name, b));
    }
    let of = |node: &Node| match identity(kind) {
        Some(name) => node.get(name).and_then(Node::as_text).map(str::to_owned),
        None => node.as_text().map(str::to_owned),
    };
    match (of(a), of(b)) {
        (Some(a), Some(b)) => {
            let address = |text: &str| text.parse::<IpAddr>().ok();
            a == b || address(&a).is_some_and(|a| Some(a) == address(&b))
        }
        (Some(_) | None, _) => a.value == b.value,
    }
}

/// A route or a rule, whichever way it is written. None where the document would refuse it.
fn understood(name: &str, line: &Node) -> Option<(Vec<Route>, Vec<Rule>)> {
    let text = format!(
        "[instance.alone]\nvirtual_router_id = 1\ninterface = \"eth0\"\nvirtual_ipaddress = []\n\
         {name} = [{}]\n",
        super::render::inline(line)
    );
    let mut reading = document::read("", &text);
    if reading.diagnostics.iter().any(Diagnostic::is_error) {
        return None;
    }
    let Instance { virtual_routes, virtual_rules, .. } =
        reading.config.instances.remove("alone")?;
    let one = virtual_routes.len() + virtual_rules.len() == 1;
    one.then_some((virtual_routes, virtual_rules))
}

fn called(kind: &Kind, node: &Node) -> String {
    let own = identity(kind).and_then(|name| node.get(name)).unwrap_or(node);
    own.as_text().map_or_else(|| super::render::inline(own), str::to_owned)
}

/// The table of a list that is meant, and the rest of the way.
fn item<'n, 'p>(
    node: &'n mut Node,
    name: &str,
    table: &Table,
    path: &'p [String],
    setting: &Setting,
) -> Result<(&'n mut Node, &'p [String]), String> {
    let items = node.items_mut().ok_or_else(|| format!("{name} is no list"))?;
    let (first, rest) = path.split_first().ok_or("it names no setting")?;
    let own = match table.short {
        Short::Own(own) => Some(own),
        Short::Never
        | Short::Value(_)
        | Short::ValueOrEmpty(_)
        | Short::Truth
        | Short::Forward
        | Short::Vip
        | Short::Weight => None,
    };
    let count = items.len();
    let (at, rest) = if let Ok(at) = first.parse::<usize>() {
        (at, rest)
    } else if table.key(first).is_some() {
        if count == 0 && setting.op == Op::Set && own == Some(first.as_str()) {
            items.push(Node::empty().said_by(setting.word));
        }
        match (count, own) {
            (0 | 1, _) => (0, path),
            (_, Some(own)) => {
                let known = items.iter().filter_map(|item| item.get(own)?.as_text());
                let known: Vec<String> =
                    known.map(|own| format!("{name}.{own}.{}", path.join("."))).collect();
                return Err(format!("there are {count} of it: say {}", known.join(" or ")));
            }
            (_, None) => {
                return Err(format!("there are {count} of it: say {name}.0.{}", path.join(".")));
            }
        }
    } else {
        let is = |item: &Node| own.and_then(|own| item.get(own)?.as_text()) == Some(first);
        let all: Vec<usize> =
            items.iter().enumerate().filter(|(_, item)| is(item)).map(|(at, _)| at).collect();
        match all.as_slice() {
            [] => return Err(format!("there is no {first} in {name}")),
            [at] => (*at, rest),
            _ => {
                let each = all.iter().map(|at| format!("{name}.{at}.{}", rest.join(".")));
                let each: Vec<String> = each.collect();
                return Err(format!(
                    "{first} is there {} times: say {}",
                    all.len(),
                    each.join(" or ")
                ));
            }
        }
    };
    let missing = match (count, own) {
        (0, Some(own)) => {
            format!("there is no {name} yet: {name}.{own}=... or {name}=... adds one")
        }
        (0, None) => format!("there is no {name} yet: {name}=... adds one"),
        (_, _) => format!("{name} has no number {at}: the last is {}", count.saturating_sub(1)),
    };
    Ok((items.get_mut(at).ok_or(missing)?, rest))
}

/// A table to put settings in, whatever stands there.
fn table_of<'n>(
    node: &'n mut Node,
    table: &Table,
    setting: &Setting,
) -> Result<&'n mut BTreeMap<String, Node>, String> {
    if !matches!(node.value, Value::Table(_)) {
        let word = node.word;
        let before = std::mem::replace(&mut node.value, Value::Truth(true));
        let mut now = match (&table.short, before) {
            (Short::Value(own) | Short::ValueOrEmpty(own), before @ Value::Text(_)) => {
                Node::of(own, before)
            }
            (Short::Weight, before @ Value::Number(_)) => Node::of("weight", before),
            (Short::Forward, Value::Text(kind)) if kind != "TUN" && word.is_some() => {
                return Err(format!("{kind} has no tunnel: only TUN has one"));
            }
            (Short::Forward, _) => tunnel(),
            (
                Short::Never
                | Short::Value(_)
                | Short::ValueOrEmpty(_)
                | Short::Truth
                | Short::Own(_)
                | Short::Vip
                | Short::Weight,
                _,
            ) => Node::empty(),
        };
        now.mark(word.unwrap_or(setting.word));
        *node = now;
    }
    match &mut node.value {
        Value::Table(map) => Ok(map),
        Value::Text(_) | Value::Number(_) | Value::Truth(_) | Value::Other(_) | Value::List(_) => {
            Err("it is no table".to_owned())
        }
    }
}

/// What `TUN` says.
fn tunnel() -> Node {
    Node::of("tunnel", Value::Text("ipip".to_owned()))
}
