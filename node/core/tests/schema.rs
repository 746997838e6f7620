//! The published schema is what the reader takes: every document that it reads validates, and
//! what it can't read, by its keys or types, does not.

#![expect(clippy::unwrap_used, reason = "helpers of a test panic as the test would")]

use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use leasehold_node_core::document;
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn validator() -> Validator {
    let schema: Value = serde_json::from_str(&document::json_schema()).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

fn json_of(toml: &str) -> Option<Value> {
    toml::from_str(toml).ok()
}

/// Every text of TOML in the tests' data.
fn texts(of: &Path, name: &str) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(of).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(texts(&path, name));
        } else if path.file_name().is_some_and(|own| own == name) {
            all.push((path.clone(), fs::read_to_string(&path).unwrap()));
        }
    }
    all.sort();
    all
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

#[test]
fn the_published_schema_is_current() {
    let path = root().join("docs/leasehold.schema.json");
    let schema = document::json_schema();
    if std::env::var_os("LEASEHOLD_REWRITE").is_some() {
        fs::write(&path, schema).unwrap();
        return;
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    let hint = "LEASEHOLD_REWRITE=1 cargo test -p leasehold-node-core --test schema";
    assert!(published == schema, "{} is out of date: {hint}", path.display());
}

#[test]
fn every_valid_document_validates() {
    let validator = validator();
    let mut count = 0;
    let inputs = texts(&data().join("toml"), "input.toml");
    let good = inputs.into_iter().filter(|(path, _)| path.with_file_name("expected.toml").exists());
    let written = texts(&data(), "expected.toml");
    let guide = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let examples = guide.split("```toml\n").skip(1).map(|part| part.split("```").next().unwrap());
    let examples = examples.map(|text| (PathBuf::from("configuration.md"), text.to_owned()));
    for (path, text) in good.chain(written).chain(examples) {
        let value = json_of(&text).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|one| format!("{}: {one}", one.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
        count += 1;
    }
    assert!(count > 30, "{count} documents");
}

/// Those whose faults are of keys and types. Faults of meaning are beyond a schema.
#[test]
fn what_can_not_be_read_does_not_validate() {
    let validator = validator();
    for case in [
        "04-wrong-types-and-unknown-keys",
        "08-virtual-servers-that-can-not-be-read",
        "13-vrrp-that-can-not-be-read",
        "15-checks-that-can-not-be-read",
    ] {
        let path = data().join("toml").join(case).join("input.toml");
        let value = json_of(&fs::read_to_string(path).unwrap()).unwrap();
        assert!(!validator.is_valid(&value), "{case}");
    }
}

/// The way to every value of a document.
fn ways(value: &Value, way: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                let step = name.replace('~', "~0").replace('/', "~1");
                let way = format!("{way}/{step}");
                ways(inner, &way, all);
                all.push(way);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                let way = format!("{way}/{index}");
                ways(inner, &way, all);
                all.push(way);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// In documents that have every setting: a value that no TOML has, and a key that nobody knows,
/// are refused wherever they stand.
#[test]
fn no_other_type_and_no_other_key_validates_anywhere() {
    let validator = validator();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/document/schema");
    let mut places = 0;
    for name in ["short.toml", "long.toml"] {
        let whole = json_of(&fs::read_to_string(examples.join(name)).unwrap()).unwrap();
        assert!(validator.is_valid(&whole), "{name}");
        let mut all = Vec::new();
        ways(&whole, "", &mut all);
        for way in all {
            let mut changed = whole.clone();
            *changed.pointer_mut(&way).unwrap() = json!(1.5);
            assert!(!validator.is_valid(&changed), "{name}: 1.5 at {way}");
            places += 1;
            let mut changed = whole.clone();
            let Some(table) = changed.pointer_mut(&way).unwrap().as_object_mut() else { continue };
            // Where names are free, another name is right.
            if table.contains_key("*") {
                continue;
            }
            table.insert("unheard_of".to_owned(), json!("10.0.0.1"));
            assert!(!validator.is_valid(&changed), "{name}: a key at {way}");
            places += 1;
        }
    }
    assert!(places > 400, "{places} places");
}

/// What the reader says of a document's keys and types, the schema says too.
#[test]
fn reader_and_schema_agree_on_single_settings() {
    let validator = validator();
    let base = "[instance.a]\nvirtual_router_id = 1\ninterface = \"eth0\"\nvirtual_ipaddress = [\"10.0.0.1\"]\n";
    let cases = [
        "priority = 0",
        "priority = 254",
        "priority = 255",
        "priority = \"100\"",
        "advert_int_ms = 9",
        "version = 3",
        "version = 4",
        "preempt = 1",
        "use_vmac = \"yes\"",
        "use_vmac = true",
        "use_vmac = { nam = \"a\" }",
        "foreign_master = \"war\"",
        "track_script = [\"a\"]",
        "track_interface = { eth1 = -254 }",
        "track_interface = { eth1 = -253 }",
        "notify = { user = \"a\" }",
        "notify = 1",
        "authentication = { auth_type = \"PASS\" }",
        "colour = \"red\"",
    ];
    for case in cases {
        let text = format!("{base}{case}\n");
        let (config, diagnostics) = document::parse_toml("a.toml", &text);
        let valid = validator.is_valid(&json_of(&text).unwrap());
        assert_eq!(config.is_some(), valid, "{case}: {diagnostics:?}");
    }
}
