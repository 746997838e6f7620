//! Documents with faults, each with every message that is said about it, as an operator sees it:
//! where, what, the line with the word marked, and what to do. `LEASEHOLD_REWRITE=1` writes what
//! is expected; the difference is for a reviewer.

#![expect(clippy::unwrap_used, reason = "helpers of a test panic as the test would")]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use leasehold_node_core::keepalived::{self, NoIncludes, Source};
use leasehold_node_core::{Diagnostic, document};

/// A document of `data/bad.txt`: after `=== NAME` its text, after `---` what is said.
struct Case<'a> {
    name: &'a str,
    text: &'a str,
}

fn cases(all: &str) -> Vec<Case<'_>> {
    let parts = all.split("=== ").skip(1);
    let one = |part: &'_ str| -> Option<(usize, usize)> {
        let (name, rest) = part.split_once('\n')?;
        Some((name.len(), rest.find("---\n").unwrap_or(rest.len())))
    };
    let cases = parts.map(|part| {
        let (name, end) = one(part).unwrap();
        Case { name: &part[..name], text: &part[name + 1..][..end] }
    });
    cases.collect()
}

fn said(case: &Case<'_>) -> Vec<Diagnostic> {
    let (config, diagnostics) = if case.name.ends_with(".toml") {
        document::parse_toml(case.name, case.text)
    } else {
        let source = Source { node: Some("ds1"), file: case.name, text: case.text };
        keepalived::to_config(&[source], &NoIncludes)
    };
    assert!(config.is_none(), "{} has no fault", case.name);
    diagnostics
}

#[test]
fn every_fault_is_said_in_one_run_with_its_place() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bad.txt");
    let stored = fs::read_to_string(&path).unwrap();
    let cases = cases(&stored);
    assert!(cases.len() >= 40, "{} documents", cases.len());
    let mut now = String::new();
    for case in &cases {
        let _ = write!(now, "=== {}\n{}---\n", case.name, case.text);
        let diagnostics = said(case);
        for one in &diagnostics {
            let _ = writeln!(now, "{}", one.marked(case.text));
        }
        let errors: Vec<&Diagnostic> = diagnostics.iter().filter(|one| one.is_error()).collect();
        assert!(!errors.is_empty(), "{}", case.name);
        // What is missing as a whole has the place of what it is missing from.
        assert!(errors.iter().all(|one| one.place.is_some()), "{}: {errors:?}", case.name);
        now.push('\n');
    }
    if std::env::var_os("LEASEHOLD_REWRITE").is_some() {
        fs::write(&path, now).unwrap();
        return;
    }
    for (stored, now) in stored.split("=== ").zip(now.split("=== ")) {
        assert_eq!(stored, now);
    }
}
