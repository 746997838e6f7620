//! The JSON Schema of the document. Nothing is said twice: the reader reads two examples that
//! have every setting, and notes on the way which names, types, ranges and words it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};
use toml::Spanned;
use toml::de::DeValue;

const EXAMPLES: [(&str, &str); 2] = [
    ("short.toml", include_str!("schema/short.toml")),
    ("long.toml", include_str!("schema/long.toml")),
];

/// Stands for any name, in the examples and in what was noted.
const ANY: &str = "*";
/// Stands for every item of a list.
const ITEM: &str = "#";

/// The schema, as text.
#[must_use]
pub fn json_schema() -> String {
    let trace = trace();
    let mut defs = BTreeMap::new();
    let root = trace.schema(&[], &mut Some(&mut defs));
    let mut root = root.as_object().cloned().unwrap_or_default();
    let draft = "https://json-schema.org/draft/2020-12/schema";
    root.insert("$schema".to_owned(), json!(draft));
    root.insert("title".to_owned(), json!("A configuration of Leasehold"));
    let defs = defs.into_iter().map(|(name, (_, schema))| (name, schema)).collect();
    root.insert("$defs".to_owned(), Value::Object(defs));
    format!("{:#}\n", sorted(Value::Object(root)))
}

fn trace() -> Trace {
    let mut trace = Trace::default();
    for (file, text) in EXAMPLES {
        trace = super::read::traced(file, text, trace);
    }
    trace
}

/// What the reader asked for, by the way to it.
#[derive(Debug, Default)]
pub(super) struct Trace {
    nodes: BTreeMap<Vec<String>, Node>,
    /// Items whose settings depend on what kind they are, in the text that is being read.
    kinds: BTreeMap<Vec<String>, String>,
    all_kinds: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Node {
    types: BTreeSet<&'static str>,
    range: Option<(i64, i64)>,
    words: Vec<String>,
    /// What a string is to be.
    what: Option<String>,
    /// What a table is called in messages.
    whose: Option<String>,
    known: BTreeSet<String>,
    required: BTreeSet<String>,
}

/// Schemas that are used more than once: as it stands, and with others referred to.
type Defs = BTreeMap<String, (Value, Value)>;

impl Trace {
    /// A table, the settings that it may have, and those that it has here.
    pub(super) fn table<'t>(
        &mut self,
        path: &[&str],
        whose: &str,
        known: &[&str],
        values: impl Iterator<Item = (&'t str, &'t Spanned<DeValue<'t>>)>,
    ) {
        let node = self.node(path);
        node.types.insert("table");
        node.whose = Some(whose.to_owned());
        node.known.extend(known.iter().map(|name| (*name).to_owned()));
        for (name, value) in values {
            self.value([path, &[name]].concat(), value.get_ref());
        }
    }

    pub(super) fn required(&mut self, path: &[&str], names: &[&str]) {
        self.node(path).required.extend(names.iter().map(|name| (*name).to_owned()));
    }

    pub(super) fn range(&mut self, path: &[&str], range: &RangeInclusive<i64>) {
        self.node(path).range = Some((*range.start(), *range.end()));
    }

    pub(super) fn words<'w>(&mut self, path: &[&str], words: impl Iterator<Item = &'w str>) {
        self.node(path).words = words.map(str::to_owned).collect();
    }

    pub(super) fn what(&mut self, path: &[&str], what: &str) {
        self.node(path).what = Some(what.to_owned());
    }

    /// From here on the item at `path` is one of its kind only.
    pub(super) fn kind(&mut self, path: &[&str], kind: &str) {
        let path = path.iter().map(|step| (*step).to_owned()).collect();
        let step = format!("@{kind}");
        self.all_kinds.insert(step.clone());
        self.kinds.insert(path, step);
    }

    /// What was noted, without the numbers that items had.
    pub(super) fn in_another_text(mut self) -> Self {
        self.kinds.clear();
        self
    }

    fn value(&mut self, path: Vec<&str>, value: &DeValue<'_>) {
        let node = self.node(&path);
        node.types.insert(value.type_str());
        match value {
            DeValue::Array(items) => {
                for item in items {
                    self.value([path.as_slice(), &[ITEM]].concat(), item.get_ref());
                }
            }
            DeValue::Table(table) => {
                if let Some((_, value)) = table.iter().find(|(name, _)| name.get_ref() == ANY) {
                    self.value([path.as_slice(), &[ANY]].concat(), value.get_ref());
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }

    fn node(&mut self, path: &[&str]) -> &mut Node {
        let mut general: Vec<String> = Vec::new();
        for (index, step) in path.iter().enumerate() {
            let kind = self.kinds.iter().find(|(item, _)| {
                item.len() == index + 1 && item.iter().zip(path).all(|(a, b)| a == b)
            });
            general.push(match kind {
                Some((_, kind)) => kind.clone(),
                None if step.parse::<usize>().is_ok() => ITEM.to_owned(),
                None => (*step).to_owned(),
            });
        }
        self.nodes.entry(general).or_default()
    }

    /// What may stand at `path`. With `defs`, tables are put there and referred to.
    fn schema(&self, path: &[String], defs: &mut Option<&mut Defs>) -> Value {
        let Some(node) = self.nodes.get(path) else { return json!(true) };
        let one = |kind: &&str| match *kind {
            "table" => self.object(path, node, defs),
            "array" => json!({ "type": "array", "items": self.items(path, defs) }),
            "integer" => match node.range {
                Some((least, most)) => {
                    json!({ "type": "integer", "minimum": least, "maximum": most })
                }
                None => json!({ "type": "integer" }),
            },
            "string" if !node.words.is_empty() => json!({ "type": "string", "enum": node.words }),
            "string" => match &node.what {
                Some(what) => json!({ "type": "string", "description": what }),
                None => json!({ "type": "string" }),
            },
            other => json!({ "type": other }),
        };
        let mut all: Vec<Value> = node.types.iter().map(one).collect();
        match all.len() {
            1 => all.remove(0),
            _ => json!({ "anyOf": all }),
        }
    }

    fn items(&self, path: &[String], defs: &mut Option<&mut Defs>) -> Value {
        let item = |step: &str| [path, &[step.to_owned()]].concat();
        let kinds = self.all_kinds.iter();
        let kinds: Vec<Value> = kinds
            .filter(|kind| self.nodes.contains_key(&item(kind)))
            .map(|kind| self.schema(&item(kind), defs))
            .collect();
        match kinds.is_empty() {
            true => self.schema(&item(ITEM), defs),
            false => json!({ "anyOf": kinds }),
        }
    }

    fn object(&self, path: &[String], node: &Node, defs: &mut Option<&mut Defs>) -> Value {
        let child = |name: &str| [path, &[name.to_owned()]].concat();
        if node.known.is_empty() {
            let any = self.schema(&child(ANY), defs);
            return json!({ "type": "object", "additionalProperties": any });
        }
        let kind = path.last().and_then(|step| step.strip_prefix('@'));
        let properties = node.known.iter().map(|name| {
            let schema = match kind {
                Some(kind) if name == "type" => json!({ "const": kind }),
                Some(_) | None => self.schema(&child(name), defs),
            };
            (name.clone(), schema)
        });
        let properties: Map<String, Value> = properties.collect();
        let mut required = node.required.clone();
        required.extend(kind.map(|_| "type".to_owned()));
        let mut object = json!({
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        });
        if !required.is_empty() {
            object["required"] = json!(required);
        }
        let Some(defs) = defs else { return object };
        if path.is_empty() {
            return object;
        }
        let whole = self.object(path, node, &mut None);
        let name = name(node.whose.as_deref().unwrap_or_default());
        let (first, _) =
            defs.entry(name.clone()).or_insert_with(|| (whole.clone(), object.clone()));
        match *first == whole {
            true => json!({ "$ref": format!("#/$defs/{name}") }),
            false => object,
        }
    }
}

/// `a real server` as a name: `real_server`.
fn name(whose: &str) -> String {
    let bare = whose.trim_start_matches("an ").trim_start_matches("a ");
    bare.trim_matches(['[', ']']).replace([' ', '.'], "_")
}

/// Whatever order the maps of `serde_json` were built to keep.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let by_name: BTreeMap<String, Value> =
                map.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            Value::Object(by_name.into_iter().collect())
        }
        Value::Array(all) => Value::Array(all.into_iter().map(sorted).collect()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_have_no_fault() {
        for (file, text) in EXAMPLES {
            let reading = super::super::read::read(file, text);
            let errors: Vec<_> =
                reading.diagnostics.sorted().into_iter().filter(|one| one.is_error()).collect();
            assert!(errors.is_empty(), "{errors:?}");
        }
    }

    /// A setting that the reader learns is missing here until an example has it.
    #[test]
    fn the_examples_have_every_setting() {
        let trace = trace();
        for (path, node) in &trace.nodes {
            for name in node.known.iter().filter(|name| *name != "type") {
                let setting = [path.as_slice(), std::slice::from_ref(name)].concat();
                assert!(trace.nodes.contains_key(&setting), "no example has {setting:?}");
            }
            let is_kind = trace.nodes.keys().any(|other| {
                other.len() == path.len()
                    && other.last().is_some_and(|step| step.starts_with('@'))
                    && other.split_last().map(|(_, way)| way)
                        == path.split_last().map(|(_, way)| way)
            });
            if node.types.contains("table") && node.known.is_empty() && !is_kind {
                let any = [path.as_slice(), &[ANY.to_owned()]].concat();
                assert!(trace.nodes.contains_key(&any), "no example has a name in {path:?}");
            }
        }
    }

    #[test]
    fn a_def_has_a_bare_name() {
        assert_eq!(name("a real server"), "real_server");
        assert_eq!(name("an http check"), "http_check");
        assert_eq!(name("[global.alerts]"), "global_alerts");
    }
}
