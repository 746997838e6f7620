//! From the text of a setting to the value that the document has for it.
//!
//! What the document would refuse is passed on as it is: it says best why.

use std::collections::BTreeMap;

use super::alias;
use super::schema::{Kind, Plain, Short, Table};
use super::tree::{self, Node, Value};

/// # Errors
/// Why no value can be made of it.
pub(super) fn of(kind: &Kind, text: &str) -> Result<Node, String> {
    match kind {
        Kind::Plain(kind) => Ok(of_plain(*kind, text)),
        Kind::List(item) => list(text, |text| of(item, text)),
        Kind::Tables(table) => list(text, |text| one(table, text)),
        Kind::Table(table) => one(table, text),
        Kind::Map(inner) => map(inner, text),
    }
}

fn of_plain(kind: Plain, text: &str) -> Node {
    match kind {
        Plain::Truth => truth(text),
        Plain::Number | Plain::NumberOrText => number(text),
        Plain::Text | Plain::Line => plain(text),
        Plain::Upper => Node::text(&text.to_uppercase()),
        Plain::Lower => Node::text(&text.to_lowercase()),
        Plain::TruthOrText => match truth(text).value {
            Value::Truth(truth) => Node::old(Value::Truth(truth)),
            Value::Text(_)
            | Value::Number(_)
            | Value::Other(_)
            | Value::List(_)
            | Value::Table(_) => plain(text),
        },
    }
}

fn truth(text: &str) -> Node {
    match text {
        "true" | "yes" | "on" => Node::old(Value::Truth(true)),
        "false" | "no" | "off" => Node::old(Value::Truth(false)),
        other => Node::text(other),
    }
}

fn number(text: &str) -> Node {
    match text.parse() {
        Ok(number) => Node::old(Value::Number(number)),
        Err(_) => Node::text(text),
    }
}

/// `""` is the text of no letters: without the quotes a setting is taken away.
fn plain(text: &str) -> Node {
    Node::text(if text == "\"\"" { "" } else { text })
}

/// In TOML where it can be read as that, and otherwise items between commas.
fn list(text: &str, item: impl Fn(&str) -> Result<Node, String>) -> Result<Node, String> {
    if text.starts_with('[')
        && let Ok(node) = tree::value(text)
    {
        return Ok(node);
    }
    if text.starts_with('{') {
        return tree::value(&format!("[{text}]")).map_err(|why| not_toml(&why));
    }
    let items: Result<Vec<Node>, String> = text.split(',').map(|one| item(one.trim())).collect();
    Ok(Node::old(Value::List(items?)))
}

fn not_toml(why: &str) -> String {
    format!("that is not TOML: {why}")
}

fn one(table: &'static Table, text: &str) -> Result<Node, String> {
    if text.starts_with('{') {
        return tree::value(text).map_err(|why| not_toml(&why));
    }
    match table.short {
        Short::Never => {
            let first = table.keys.first().map_or("", |key| key.name);
            Err(format!(
                "{} has several settings: give each, as in NAME.{first}=VALUE, or TOML in braces",
                table.noun
            ))
        }
        Short::Value(_) | Short::ValueOrEmpty(_) => Ok(plain(text)),
        Short::Truth => Ok(truth(text)),
        Short::Forward => Ok(Node::text(&text.to_uppercase())),
        Short::Own("type") => Ok(check(text)),
        Short::Own(name) => Ok(Node::of(name, plain(text).value)),
        Short::Vip => vip(text),
        Short::Weight => weight(text),
    }
}

/// A type, in our words or keepalived's.
fn check(text: &str) -> Node {
    let word = text.to_lowercase();
    if word == "ssl_get" {
        let mut node = Node::of("type", Value::Text("http".to_owned()));
        put(&mut node, "tls", Value::Truth(true));
        return node;
    }
    let known = alias::CHECKS.iter().find(|(theirs, _)| *theirs == word);
    Node::of("type", Value::Text(known.map_or(word, |(_, ours)| (*ours).to_owned())))
}

fn put(node: &mut Node, name: &str, value: Value) {
    if let Value::Table(table) = &mut node.value {
        table.insert(name.to_owned(), Node::old(value));
    }
}

/// `10.0.0.1/24@eth0`, or keepalived's `10.0.0.1/24 dev eth0 label eth0:1`.
fn vip(text: &str) -> Result<Node, String> {
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or_default();
    let (address, dev) = match first.split_once('@') {
        Some((address, dev)) => (address, Some(dev)),
        None => (first, None),
    };
    let (address, prefix) = match address.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (address, None),
    };
    let mut node = Node::of("address", Value::Text(address.to_owned()));
    if let Some(prefix) = prefix {
        put(&mut node, "prefix", number(prefix).value);
    }
    if let Some(dev) = dev {
        put(&mut node, "dev", Value::Text(dev.to_owned()));
    }
    while let Some(word) = words.next() {
        let name = match word {
            "dev" | "label" | "scope" | "broadcast" => word,
            "brd" => "broadcast",
            other => {
                return Err(format!(
                    "`{other}` is no word of a virtual address: ADDRESS[/PREFIX][@INTERFACE], and \
                     behind it dev, label, brd or scope"
                ));
            }
        };
        let value = words.next().ok_or_else(|| format!("`{word}` takes a value"))?;
        put(&mut node, name, Value::Text(value.to_owned()));
    }
    Ok(node)
}

/// `-20`, or keepalived's `weight -20 reverse`.
fn weight(text: &str) -> Result<Node, String> {
    if let Value::Number(weight) = number(text).value {
        return Ok(Node::of("weight", Value::Number(weight)));
    }
    let mut node = Node::empty();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        match word {
            "weight" => {
                let value = words.next().ok_or("`weight` takes a number")?;
                put(&mut node, "weight", number(value).value);
            }
            "reverse" => put(&mut node, "reverse", Value::Truth(true)),
            "noreverse" => put(&mut node, "reverse", Value::Truth(false)),
            other => {
                return Err(format!("`{other}` is no word of a weight: weight -20 reverse"));
            }
        }
    }
    Ok(node)
}

/// `eth1,eth2 weight -20` of what is tracked, and `ds1=NAME,ds2=NAME` of others.
fn map(inner: &Kind, text: &str) -> Result<Node, String> {
    if text.starts_with('{') {
        return tree::value(text).map_err(|why| not_toml(&why));
    }
    let tracked = matches!(inner, Kind::Table(Table { short: Short::Weight, .. }));
    let mut all = BTreeMap::new();
    for entry in text.split(',').map(str::trim) {
        let apart = if tracked {
            Some(entry.split_once(' ').unwrap_or((entry, "")))
        } else {
            entry.split_once('=')
        };
        let (name, value) = apart.ok_or("write NAME=VALUE, with commas between several")?;
        all.insert(name.to_owned(), of(inner, value)?);
    }
    Ok(Node::old(Value::Table(all)))
}
