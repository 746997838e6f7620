//! What is configured, in the words that would make it.

use leasehold_model::{Config, VirtualServer};

use super::render::inline;
use super::schema::{self, Kind, Plain, Short, Table};
use super::tree::{self, Node, Value};
use super::{Noun, value};
use crate::document;

/// A virtual server, a real server or an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    /// `KEY=VALUE`, as `add` takes them.
    pub words: Vec<String>,
    /// A virtual server's real servers.
    pub below: Vec<Listed>,
}

/// Each in the order of the document.
#[must_use]
pub fn list(config: &Config, noun: Noun) -> Vec<Listed> {
    match noun {
        Noun::VirtualServer | Noun::RealServer => {
            config.virtual_servers.iter().map(server).collect()
        }
        Noun::Instance => {
            let alone = Config { instances: config.instances.clone(), ..Config::default() };
            let all = part(&alone, "instance");
            let Some(Value::Table(all)) = all.map(|node| node.value) else { return Vec::new() };
            let listed = all.into_iter().map(|(name, node)| Listed {
                name,
                words: words(&schema::INSTANCE, &node, &[]),
                below: Vec::new(),
            });
            listed.collect()
        }
        Noun::Global => {
            let alone = Config { global: config.global.clone(), ..Config::default() };
            let node = part(&alone, "global").unwrap_or_else(Node::empty);
            let words = words(&schema::GLOBAL, &node, &[]);
            vec![Listed { name: "global".to_owned(), words, below: Vec::new() }]
        }
    }
}

fn server(one: &VirtualServer) -> Listed {
    let alone = Config { virtual_servers: vec![one.clone()], ..Config::default() };
    let mut all = part(&alone, "virtual_server");
    let node = all.as_mut().and_then(Node::items_mut).and_then(Vec::pop);
    let mut node = node.unwrap_or_else(Node::empty);
    let real = node.get_mut("real_server").and_then(Node::items_mut).map(std::mem::take);
    let below = real.into_iter().flatten().map(|real| Listed {
        name: real.get("address").and_then(Node::as_text).unwrap_or_default().to_owned(),
        words: words(&schema::REAL, &real, &["address"]),
        below: Vec::new(),
    });
    let said = ["address", "fwmark", "family", "group", "protocol", "real_server"];
    Listed { name: one.name(), below: below.collect(), words: words(&schema::SERVER, &node, &said) }
}

fn part(alone: &Config, name: &str) -> Option<Node> {
    tree::document(&document::to_toml(alone)).ok()?.get(name).cloned()
}

fn words(table: &'static Table, node: &Node, said: &[&str]) -> Vec<String> {
    parts("", table, node, said)
}

/// Each part of it in a word where that can be, and otherwise all of it in TOML.
fn setting(name: &str, kind: &'static Kind, node: &Node) -> Vec<String> {
    let short = short(kind, node).filter(|short| {
        !short.is_empty() && value::of(kind, short).is_ok_and(|read| read == *node)
    });
    if let Some(short) = short {
        return vec![format!("{name}={short}")];
    }
    match (&node.value, kind) {
        (Value::Table(map), Kind::Table(table)) if !map.is_empty() => {
            parts(&format!("{name}."), table, node, &[])
        }
        (Value::List(items), Kind::Tables(table)) => match (items.as_slice(), &table.short) {
            ([one], Short::Own(own)) if one.get(own).is_some() => {
                let mut all = vec![format!("{name}={}", in_a_word(table, one).unwrap_or_default())];
                all.extend(parts(&format!("{name}."), table, one, &[own]));
                all
            }
            ([..], _) => vec![format!("{name}={}", inline(node))],
        },
        (Value::Table(map), Kind::Map(inner)) if map.keys().all(|own| is_word(own)) => {
            let own = |(own, node): (&String, &Node)| setting(&below(name, own), inner, node);
            map.iter().flat_map(own).collect()
        }
        (_, _) => vec![format!("{name}={}", inline(node))],
    }
}

/// `prefix` is empty, or ends in a dot.
fn parts(prefix: &str, table: &'static Table, node: &Node, said: &[&str]) -> Vec<String> {
    let keys = table.keys.iter().filter(|key| !said.contains(&key.name));
    let given = keys.filter_map(|key| Some((key, node.get(key.name)?)));
    let each = given.map(|(key, node)| setting(&format!("{prefix}{}", key.name), &key.kind, node));
    each.flatten().collect()
}

fn below(name: &str, own: &str) -> String {
    if own.contains('.') { format!("{name}.\"{own}\"") } else { format!("{name}.{own}") }
}

/// Whether a name can stand in a key.
fn is_word(name: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || "=\"".contains(c);
    !name.is_empty() && !name.contains(odd) && !name.ends_with(['+', '-'])
}

fn short(kind: &Kind, node: &Node) -> Option<String> {
    match (&node.value, kind) {
        (Value::Text(text), _) if text.is_empty() => Some("\"\"".to_owned()),
        (Value::Text(text) | Value::Other(text), _) => Some(text.clone()),
        (Value::Number(number), _) => Some(number.to_string()),
        (Value::Truth(truth), _) => Some(truth.to_string()),
        (Value::List(items), Kind::List(inner)) => {
            let items: Option<Vec<String>> = items.iter().map(|item| short(inner, item)).collect();
            Some(items?.join(","))
        }
        (Value::List(items), Kind::Tables(table)) => {
            let items: Option<Vec<String>> =
                items.iter().map(|item| in_a_word(table, item)).collect();
            Some(items?.join(","))
        }
        (Value::List(_) | Value::Table(_), _) => None,
    }
}

/// A virtual address, or what says one thing only.
fn in_a_word(table: &Table, node: &Node) -> Option<String> {
    let of = |name: &str| node.get(name).and_then(|one| short(&Kind::Plain(Plain::Text), one));
    match table.short {
        Short::Own(name) => of(name),
        Short::Vip => {
            let mut word = of("address")?;
            word.extend(of("prefix").map(|prefix| format!("/{prefix}")));
            word.extend(of("dev").map(|dev| format!("@{dev}")));
            Some(word)
        }
        Short::Never
        | Short::Value(_)
        | Short::ValueOrEmpty(_)
        | Short::Truth
        | Short::Forward
        | Short::Weight => None,
    }
}

impl Listed {
    /// On a line, and each real server on a line below; a shell takes the words as they are.
    #[must_use]
    pub fn to_text(&self) -> String {
        let words: Vec<String> = self.words.iter().map(|word| quoted(word)).collect();
        let mut text = format!("{} {}", self.name, words.join(" ")).trim_end().to_owned();
        for one in &self.below {
            text.push_str("\n  -> ");
            text.push_str(&one.to_text());
        }
        text
    }
}

/// As a shell needs it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,=+@%".contains(c);
    if word.chars().all(plain) {
        return word.to_owned();
    }
    let (key, value) = word.split_once('=').unwrap_or(("", word));
    format!("{key}='{}'", value.replace('\'', "'\\''"))
}
