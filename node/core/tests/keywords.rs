//! Every keyword of keepalived has a row in the table, in each block that knows it. The list is a
//! text of its own, so that a row that is lost from the table is missed.

#![expect(clippy::unwrap_used, reason = "helpers of a test panic as the test would")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use leasehold_node_core::keepalived::{self, Keyword, NoIncludes, Source, Status};

/// What `data/keywords.txt` says: names by the block they stand in.
fn list() -> BTreeMap<String, BTreeSet<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keywords.txt");
    let text = fs::read_to_string(path).unwrap();
    let mut blocks: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut block = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => name.clone_into(&mut block),
            None => blocks
                .entry(block.clone())
                .or_default()
                .extend(line.split_whitespace().map(str::to_owned)),
        }
    }
    blocks.remove("");
    blocks
}

#[test]
fn the_list_is_whole() {
    let list = list();
    let names: BTreeSet<&String> = list.values().flatten().collect();
    assert_eq!(names.len(), 369);
}

#[test]
fn every_keyword_has_a_row_in_each_of_its_blocks() {
    let rows: BTreeSet<(String, &str)> =
        keepalived::keywords().map(|row| (row.block.to_string(), row.name)).collect();
    let mut missing = Vec::new();
    for (block, names) in list() {
        for name in names.iter().filter(|name| !rows.contains(&(block.clone(), name.as_str()))) {
            missing.push(format!("{name} in {block}"));
        }
    }
    assert!(missing.is_empty(), "keywords without a row: {missing:#?}");
}

/// What keepalived does not know may stand in the table only where its manual, or its older
/// versions, have it.
#[test]
fn no_row_is_made_up() {
    let list = list();
    let of_the_manual =
        ["state_dump_file_location", "stats_dump_file_location", "json_dump_file_location"];
    let words = ["virtual_ipaddress", "virtual_routes", "virtual_rules"];
    for Keyword { name, block, .. } in keepalived::keywords() {
        let block = block.to_string();
        if words.contains(&block.as_str()) || of_the_manual.contains(&name) {
            continue;
        }
        let known = list.get(&block).is_some_and(|names| names.contains(name));
        assert!(known, "`{name}` is no keyword of {block}");
    }
}

/// A keyword that has no effect is told of wherever it stands at the root or in `global_defs`,
/// and with the note of its row: none is silent, none is unknown.
#[test]
fn what_has_no_effect_is_said_with_its_reason() {
    for keyword in keepalived::keywords() {
        let (name, note) = (keyword.name, keyword.note);
        let text = match keyword.block.to_string().as_str() {
            "the root of the file" => format!("{name} x\n"),
            "global_defs" => format!("global_defs {{\n{name} x\n}}\n"),
            _ => continue,
        };
        let source = Source { node: Some("ds1"), file: "a.conf", text: &text };
        let (_, told) = keepalived::to_config(&[source], &NoIncludes);
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        let unknown = told.iter().any(|one| one.contains("unknown keyword"));
        assert!(!unknown, "{name}: {told:?}");
        let said = told.iter().any(|one| one.contains(&format!("`{name}`")) && one.contains(note));
        match keyword.status {
            Status::Served => assert!(!said, "{name}: {told:?}"),
            Status::NotYet | Status::NoMeaning => assert!(said, "{name}: {told:?}"),
        }
    }
}
