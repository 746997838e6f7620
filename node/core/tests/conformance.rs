//! Configurations as data: each folder of `tests/data` has numbered cases with their input, the
//! configuration it must give and every diagnostic. `LEASEHOLD_REWRITE=1 cargo test` rewrites
//! what is expected; the difference is then for a reviewer.

#![expect(clippy::unwrap_used, reason = "helpers of a test panic as the test would")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use leasehold_model::Config;
use leasehold_node_core::keepalived::{Included, Includes, Source};
use leasehold_node_core::{Diagnostic, document, keepalived};

#[test]
fn keepalived_files_become_one_configuration() {
    for case in cases("keepalived") {
        // `ds1.conf` is the file of ds1; `all.conf` is for every director.
        let texts: Vec<(String, String)> = inputs(&case, "conf");
        let nodes = texts.iter().map(|(file, text)| Source {
            node: file.strip_suffix(".conf").filter(|node| *node != "all"),
            file,
            text,
        });
        let sources: Vec<Source<'_>> = nodes.collect();
        let (config, diagnostics) = keepalived::to_config(&sources, &Beside(&case));
        compare(&case, config.as_ref(), &diagnostics);
    }
}

#[test]
fn toml_files_become_a_configuration() {
    for case in cases("toml") {
        let text = fs::read_to_string(case.join("input.toml")).unwrap();
        let (config, diagnostics) = document::parse_toml("input.toml", &text);
        compare(&case, config.as_ref(), &diagnostics);
    }
}

#[test]
fn the_documentation_of_keywords_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/keepalived.md");
    expect(&path, &keepalived::to_markdown());
}

#[test]
fn the_example_of_the_documentation_has_no_fault() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let text = fs::read_to_string(path).unwrap();
    let example = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let (config, diagnostics) = document::parse_toml("configuration.md", example);
    assert_eq!(diagnostics, vec![]);
    let config = config.unwrap();
    assert_eq!((config.virtual_servers.len(), config.sync_groups.len()), (2, 1));
}

/// Files that a case includes lie in its folder `include`.
struct Beside<'a>(&'a Path);

impl Includes for Beside<'_> {
    fn include(&self, _from: &str, pattern: &str) -> Result<Included, String> {
        let (prefix, suffix) = pattern.split_once('*').unwrap_or((pattern, ""));
        let all = inputs(&self.0.join("include"), "inc");
        let matching = all.into_iter().filter(|(name, _)| {
            let name = format!("include/{name}");
            name.starts_with(prefix) && name.ends_with(suffix)
        });
        let files = matching.map(|(name, text)| (format!("include/{name}"), text)).collect();
        Ok(Included { files, skipped: Vec::new() })
    }
}

fn compare(case: &Path, config: Option<&Config>, diagnostics: &[Diagnostic]) {
    let lines: Vec<String> = diagnostics.iter().map(|one| format!("{one}\n")).collect();
    expect(&case.join("expected.txt"), &lines.concat());
    let Some(config) = config else {
        let expected = case.join("expected.toml");
        if is_rewriting() && expected.exists() {
            fs::remove_file(&expected).unwrap();
        }
        assert!(!expected.exists(), "{}: there is no configuration", case.display());
        return;
    };
    let text = document::to_toml(config);
    expect(&case.join("expected.toml"), &text);
    // Whatever can be imported can be written and read again.
    let (again, _) = document::parse_toml("again", &text);
    assert_eq!(again.as_ref(), Some(config), "{}", case.display());
    assert_eq!(document::to_toml(&again.unwrap()), text, "{}", case.display());
}

fn expect(path: &Path, actual: &str) {
    if is_rewriting() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert!(
        expected == actual,
        "{} is out of date\n--- expected\n{expected}\n--- actual\n{actual}\n\
         if the actual text is right: LEASEHOLD_REWRITE=1 cargo test -p leasehold-node-core",
        path.display()
    );
}

fn is_rewriting() -> bool {
    std::env::var_os("LEASEHOLD_REWRITE").is_some()
}

fn cases(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(kind);
    let mut cases: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty(), "no cases in {}", folder.display());
    cases
}

fn inputs(case: &Path, extension: &str) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(case) else { return Vec::new() };
    let files = entries.map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|own| own == extension));
    let named: BTreeMap<String, String> = files
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    named.into_iter().collect()
}
