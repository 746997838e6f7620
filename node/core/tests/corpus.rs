//! What the importer says of every file of `data/corpus`: whether it takes it, and its messages.
//! `LEASEHOLD_REWRITE=1` writes the verdicts anew; the difference is for a reviewer.

#![expect(clippy::unwrap_used, reason = "helpers of a test panic as the test would")]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use leasehold_node_core::document;
use leasehold_node_core::keepalived::{self, Included, Includes, Source};

/// Of a file that says much, as many messages as show what it is about.
const SHOWN: usize = 12;

/// No file lies beside those of the corpus.
struct Nothing;

impl Includes for Nothing {
    fn include(&self, _from: &str, _pattern: &str) -> Result<Included, String> {
        Ok(Included::default())
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/corpus")
}

fn files() -> Vec<PathBuf> {
    let all = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> =
        all.filter(|path| path.extension().is_some_and(|own| own == "conf")).collect();
    all.sort();
    all
}

fn verdict(path: &Path) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    // As the command line reads it: what is no UTF-8 is reported where it stands.
    let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    let source = Source { node: Some("ds1"), file: name, text: &text };
    let (config, diagnostics) = keepalived::to_config(&[source], &Nothing);
    let mut out = format!("# {name}: ");
    match &config {
        Some(config) => {
            let vips: usize =
                config.instances.values().map(|one| one.virtual_ipaddress.len()).sum();
            let real: usize = config.virtual_servers.iter().map(|one| one.real_servers.len()).sum();
            let (instances, servers) = (config.instances.len(), config.virtual_servers.len());
            let _ = writeln!(
                out,
                "taken: {instances} instances, {vips} VIPs, {servers} virtual servers, {real} real \
                 servers"
            );
            let written = document::to_toml(config);
            let (again, told) = document::parse_toml("again", &written);
            assert_eq!(again.as_ref(), Some(config), "{name}: {told:?}");
        }
        None => {
            let errors = diagnostics.iter().filter(|one| one.is_error()).count();
            assert!(errors > 0, "{name} is refused in silence");
            let _ = writeln!(out, "refused: {errors} errors");
        }
    }
    for one in diagnostics.iter().take(SHOWN) {
        let _ = writeln!(out, "{one}");
    }
    if diagnostics.len() > SHOWN {
        let _ = writeln!(out, "and {} more", diagnostics.len() - SHOWN);
    }
    out.push('\n');
    out
}

#[test]
fn every_file_has_its_verdict() {
    let files = files();
    assert!(files.len() >= 60, "{} files", files.len());
    let verdicts: String = files.iter().map(|path| verdict(path)).collect();
    let path = folder().join("verdicts.txt");
    if std::env::var_os("LEASEHOLD_REWRITE").is_some() {
        fs::write(&path, verdicts).unwrap();
        return;
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    for (stored, now) in stored.split("\n# ").zip(verdicts.split("\n# ")) {
        assert_eq!(stored, now);
    }
    assert!(stored == verdicts, "{} has not every file", path.display());
}

/// The corpus is of files as people have them: from a few lines to thousands.
#[test]
fn the_files_are_of_many_sizes() {
    let lines = |path: &PathBuf| fs::read(path).unwrap().split(|byte| *byte == b'\n').count();
    let mut sizes: Vec<usize> = files().iter().map(lines).collect();
    sizes.sort_unstable();
    assert!(sizes[0] >= 10 && sizes[sizes.len() - 1] >= 2900, "{sizes:?}");
    assert!(sizes.iter().all(|lines| *lines <= 3000), "{sizes:?}");
}
