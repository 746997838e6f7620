//! Round trips: a document is written as TOML, or as every node's keepalived.conf, and read again.

#![expect(clippy::unwrap_used, reason = "helpers of a test panic as the test would")]

mod check;
mod draw;
mod expressible;
mod lvs;
mod valid;
mod vrrp;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use draw::Draw;
use leasehold_model::Config;
use leasehold_node_core::keepalived::{self, NoIncludes, Source, to_keepalived};
use leasehold_node_core::{Diagnostic, document};
use proptest::prelude::*;

/// Far more than the largest document takes.
const CHOICES: usize = 1500;

proptest! {
    #[test]
    fn a_document_is_written_as_toml_and_read_back(
        choices in prop::collection::vec(0..30_000u32, 0..CHOICES),
    ) {
        let config = valid::config(&mut Draw::new(choices));
        is_valid(&config);
        let text = document::to_toml(&config);
        let (again, told) = document::parse_toml("export.toml", &text);
        prop_assert_eq!(again.as_ref(), Some(&config), "{}\n{:?}", text, told);
        prop_assert_eq!(document::to_toml(&again.unwrap()), text);
    }

    #[test]
    fn a_document_goes_to_keepalived_and_back(
        choices in prop::collection::vec(0..30_000u32, 0..CHOICES),
    ) {
        there_and_back(&valid::config(&mut Draw::new(choices)));
    }

    /// What is said of each director is what the document means for it.
    #[test]
    fn spelling_out_keeps_the_meaning(
        choices in prop::collection::vec(0..30_000u32, 0..CHOICES),
    ) {
        let config = valid::config(&mut Draw::new(choices));
        let nodes = nodes(&config);
        let spelled = expressible::spelled_out(&config, &nodes);
        for (name, one) in &config.instances {
            let other = &spelled.instances[name];
            for node in &nodes {
                prop_assert_eq!(one.interface_at(node), other.interface_at(node));
                prop_assert_eq!(one.priority_of(node), other.priority_of(node));
                prop_assert_eq!(one.version(&config.global), other.version(&config.global));
                let (mut own, mut same) = (one.notify_at(node), other.notify_at(node));
                // None is no.
                own.notify_priority_changes.get_or_insert(false);
                same.notify_priority_changes.get_or_insert(false);
                prop_assert_eq!(own, same);
                for (vip, twin) in one.vips().zip(other.vips()) {
                    prop_assert_eq!(one.interface_of(vip, node), other.interface_of(twin, node));
                    prop_assert_eq!(one.label_of(vip, node), other.label_of(twin, node));
                }
            }
        }
    }
}

/// The cases of the conformance tests, imported ones and those of TOML.
#[test]
fn every_case_goes_to_keepalived_and_back() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut count = 0;
    for kind in ["keepalived", "toml"] {
        let mut cases: Vec<PathBuf> =
            fs::read_dir(data.join(kind)).unwrap().map(|entry| entry.unwrap().path()).collect();
        cases.sort();
        for file in cases.iter().map(|case| case.join("expected.toml")).filter(|file| file.exists())
        {
            let text = fs::read_to_string(&file).unwrap();
            let (config, _) = document::parse_toml(&file.display().to_string(), &text);
            there_and_back(&config.unwrap());
            count += 1;
        }
    }
    assert!(count > 20, "{count} cases");
}

/// Documents of fixed seeds, for keepalived itself to judge.
#[test]
fn the_generated_documents_are_those_in_the_data() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/generated");
    for seed in 1..=36u64 {
        let config =
            valid::config(&mut Draw::seeded(seed, 80 + usize::try_from(seed).unwrap() * 12));
        is_valid(&config);
        let (text, path) = (document::to_toml(&config), folder.join(format!("{seed:02}.toml")));
        if std::env::var_os("LEASEHOLD_REWRITE").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            expected == text,
            "{} is out of date: LEASEHOLD_REWRITE=1 cargo test -p leasehold-node-core",
            path.display()
        );
    }
}

fn is_valid(config: &Config) {
    let errors: Vec<String> = document::validate(config)
        .iter()
        .filter(|one| Diagnostic::is_error(one))
        .map(ToString::to_string)
        .collect();
    assert_eq!(errors, Vec::<String>::new(), "{}", document::to_toml(config));
}

/// Every director that the document names, and one where it names none.
fn nodes(config: &Config) -> Vec<String> {
    let of_instances = config.instances.values().flat_map(|one| one.directors.keys());
    let all = of_instances.chain(config.global.router_id.keys());
    // No director can have a name of several words, and router_id is of no instance.
    let named: BTreeSet<&String> = all.filter(|name| !name.contains(' ')).collect();
    match named.is_empty() {
        true => vec!["ds1".to_owned()],
        false => named.into_iter().cloned().collect(),
    }
}

/// A document to every director's keepalived.conf, and these to a document: the same, but for what
/// the writer said.
fn there_and_back(config: &Config) {
    is_valid(config);
    let nodes = nodes(config);
    let mut expected = expressible::spelled_out(config, &nodes);
    let (mut texts, mut left_out) = (Vec::new(), BTreeSet::new());
    for node in &nodes {
        let written = to_keepalived(config, node).unwrap();
        left_out.extend(written.left_out.into_iter().map(|one| one.path));
        texts.push((node, written.text));
    }
    let sources: Vec<Source<'_>> = texts
        .iter()
        .map(|(node, text)| Source { node: Some(node.as_str()), file: node.as_str(), text })
        .collect();
    let (read, told) = keepalived::to_config(&sources, &NoIncludes);
    let shown = || {
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        format!("{}\n{:#?}\n{}", document::to_toml(config), texts, told.join("\n"))
    };
    let mut read = read.unwrap_or_else(|| panic!("{}", shown()));
    for path in &left_out {
        expressible::forget(&mut expected, path);
        expressible::forget(&mut read, path);
    }
    assert!(expected == read, "{}\n{}", differences(&expected, &read), shown());
}

/// The lines that only one of the two has.
fn differences(expected: &Config, read: &Config) -> String {
    let (expected, read) = (document::to_toml(expected), document::to_toml(read));
    let only = |these: &str, those: &str, sign: &str| {
        let those: BTreeSet<&str> = those.lines().collect();
        let lines = these.lines().filter(|line| !those.contains(line));
        lines.map(|line| format!("{sign} {line}\n")).collect::<String>()
    };
    format!("{}{}", only(&expected, &read, "-"), only(&read, &expected, "+"))
}
