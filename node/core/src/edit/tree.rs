//! A part of the document as values, each with the word of the command line that it came from.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    /// The number of the word; absent: it was there before.
    pub(super) word: Option<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Number(i64),
    Truth(bool),
    /// Of a type that no setting has.
    Other(String),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

impl Node {
    pub(super) fn old(value: Value) -> Self {
        Self { value, word: None }
    }

    pub(super) fn text(text: &str) -> Self {
        Self::old(Value::Text(text.to_owned()))
    }

    pub(super) fn empty() -> Self {
        Self::old(Value::Table(BTreeMap::new()))
    }

    /// A table that says one thing.
    pub(super) fn of(name: &str, value: Value) -> Self {
        Self::old(Value::Table(BTreeMap::from([(name.to_owned(), Self::old(value))])))
    }

    /// All of it came from this word.
    pub(super) fn said_by(mut self, word: usize) -> Self {
        self.mark(word);
        self
    }

    pub(super) fn mark(&mut self, word: usize) {
        self.word = Some(word);
        match &mut self.value {
            Value::Text(_) | Value::Number(_) | Value::Truth(_) | Value::Other(_) => {}
            Value::List(items) => items.iter_mut().for_each(|item| item.mark(word)),
            Value::Table(table) => table.values_mut().for_each(|item| item.mark(word)),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match &self.value {
            Value::Table(table) => table.get(name),
            Value::Text(_)
            | Value::Number(_)
            | Value::Truth(_)
            | Value::Other(_)
            | Value::List(_) => None,
        }
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        match &mut self.value {
            Value::Table(table) => table.get_mut(name),
            Value::Text(_)
            | Value::Number(_)
            | Value::Truth(_)
            | Value::Other(_)
            | Value::List(_) => None,
        }
    }

    pub(super) fn items_mut(&mut self) -> Option<&mut Vec<Self>> {
        match &mut self.value {
            Value::List(items) => Some(items),
            Value::Text(_)
            | Value::Number(_)
            | Value::Truth(_)
            | Value::Other(_)
            | Value::Table(_) => None,
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Number(_)
            | Value::Truth(_)
            | Value::Other(_)
            | Value::List(_)
            | Value::Table(_) => None,
        }
    }
}

/// The document that a text is.
///
/// # Errors
/// The first thing that is not TOML in it.
pub(super) fn document(text: &str) -> Result<Node, String> {
    let (root, errors) = DeTable::parse_recoverable(text);
    match errors.first() {
        Some(error) => Err(error.message().trim().to_owned()),
        None => Ok(Node::old(Value::Table(table(root.get_ref())))),
    }
}

/// A value that is written in TOML on the command line.
///
/// # Errors
/// What is wrong with it.
pub(super) fn value(text: &str) -> Result<Node, String> {
    let mut node = document(&format!("value = {text}\n"))?;
    let alone = matches!(&node.value, Value::Table(table) if table.len() == 1);
    let value = node.get_mut("value").filter(|_| alone);
    value.map(|value| value.clone()).ok_or_else(|| "it is more than one value".to_owned())
}

fn table(table: &DeTable<'_>) -> BTreeMap<String, Node> {
    let entries = table.iter().map(|(name, value)| {
        let name: &str = name.get_ref();
        (name.to_owned(), node(value.get_ref()))
    });
    entries.collect()
}

fn node(value: &DeValue<'_>) -> Node {
    Node::old(match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Number(number),
            Err(_) => Value::Other(number.as_str().to_owned()),
        },
        DeValue::Float(number) => Value::Other(number.as_str().to_owned()),
        DeValue::Boolean(truth) => Value::Truth(*truth),
        DeValue::Datetime(instant) => Value::Other(instant.to_string()),
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| node(item.get_ref())).collect())
        }
        DeValue::Table(inner) => Value::Table(table(inner)),
    })
}
