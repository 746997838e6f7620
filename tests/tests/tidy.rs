//! House rules that no compiler knows: layers, purity, length, leftovers. Every fault is named, with
//! what to do, in one run; and each rule is shown to catch its own violation.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use toml::Table;

/// A crate may use crates of a lower rank only; `only` narrows that further.
struct Layer {
    name: &'static str,
    rank: u8,
    only: Option<&'static [&'static str]>,
}

const fn layer(rank: u8, name: &'static str) -> Layer {
    Layer { name, rank, only: None }
}

const LAYERS: &[Layer] = &[
    layer(0, "leasehold-model"),
    layer(0, "leasehold-fence"),
    layer(0, "leasehold-ipvs"),
    layer(0, "leasehold-lab"),
    layer(1, "leasehold-proto"),
    layer(1, "leasehold-raft-core"),
    layer(1, "leasehold-dataplane-core"),
    layer(1, "leasehold-node-core"),
    layer(2, "leasehold-raft"),
    layer(2, "leasehold-dataplane"),
    layer(3, "leasehold"),
    layer(3, "leasehold-sim"),
    // The cores serve the models and the simulation; the cluster itself is driven as a binary.
    Layer {
        name: "leasehold-jepsen",
        rank: 4,
        only: Some(&[
            "leasehold-lab",
            "leasehold-model",
            "leasehold-proto",
            "leasehold-raft-core",
            "leasehold-dataplane-core",
            "leasehold-node-core",
            "leasehold-raft",
            "leasehold-sim",
        ]),
    },
    Layer { name: "leasehold-tests", rank: 4, only: Some(&["leasehold-lab"]) },
];

/// Crates that decide and never look: what they are told is all they know.
const PURE: [&str; 4] =
    ["leasehold-model", "leasehold-raft-core", "leasehold-dataplane-core", "leasehold-node-core"];

/// What a pure crate may not use, not even through another crate.
const IMPURE: [&str; 16] = [
    "tokio",
    "mio",
    "async-std",
    "socket2",
    "rtnetlink",
    "nix",
    "tonic",
    "hyper",
    "rustls",
    "sled",
    "redb",
    "rand",
    "getrandom",
    "openraft",
    "aya",
    "reqwest",
];

const LINES_MAX: usize = 500;

/// What may stand nowhere, and what to do instead.
const LEFTOVERS: [(&str, &str); 9] = [
    ("todo!(", "build it, or leave out what needs it"),
    ("unimplemented!(", "build it, or leave out what needs it"),
    ("#[ignore", "a test runs or goes"),
    ("FIXME", "mend it, or write down the limit where users read it"),
    ("dbg!(", "use tracing"),
    ("unbounded_channel", "give the channel a bound and a reaction to being full"),
    ("mpsc::channel()", "use sync_channel with a bound"),
    ("cfg(feature = \"test", "no test-only builds of the product"),
    ("allow(unsafe_code", "use expect with a reason, in the one module that needs it"),
];

#[test]
fn crates_use_lower_layers_only() {
    let members = members();
    let mut faults = Vec::new();
    for (folder, manifest) in &members {
        faults.extend(layer_faults(folder, manifest));
    }
    report(&faults);
}

#[test]
fn cores_are_pure() {
    let mut faults = Vec::new();
    for (folder, manifest) in members() {
        let name = name_of(&manifest);
        if PURE.contains(&name.as_str()) {
            faults.extend(impure(&dependencies_of(&name)).map(|used| {
                format!(
                    "{folder}: {name} is pure, yet uses {used}: take what it gives as an argument"
                )
            }));
        }
        if folder.ends_with("/core")
            && read(&folder, "clippy.toml") != read("raft/core", "clippy.toml")
        {
            faults.push(format!("{folder}/clippy.toml: link it to raft/core/clippy.toml"));
        }
    }
    report(&faults);
}

#[test]
fn members_take_the_workspaces_lints() {
    let faults: Vec<String> = members()
        .iter()
        .filter(|(_, manifest)| {
            let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
            lints.and_then(toml::Value::as_bool) != Some(true)
        })
        .map(|(folder, _)| format!("{folder}/Cargo.toml: add `[lints] workspace = true`"))
        .collect();
    report(&faults);
}

#[test]
fn sources_keep_the_house_rules() {
    let mut files = Vec::new();
    collect(&root(), &mut files);
    assert!(files.len() > 20, "the sources were not found");
    let mut faults = Vec::new();
    for file in files {
        let path = file.strip_prefix(root()).expect("found below the root").display().to_string();
        // This file must name what it forbids.
        if path != "tests/tests/tidy.rs" {
            let text = fs::read_to_string(&file).expect("a source is readable text");
            faults.extend(source_faults(&path, &text));
        }
    }
    report(&faults);
}

/// Any other mode kills the guard when the daemon is gone: just when its work begins.
#[test]
fn the_unit_leaves_the_guard_alone_and_waits_for_it() {
    let unit = read("node/systemd", "leasehold.service");
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key));
    assert_eq!(value("KillMode="), Some("process"));
    let after = value("ExecStopPost=").expect("a command after the daemon's end");
    assert!(after.ends_with("leasehold close"), "{after}");
}

fn layer_faults(folder: &str, manifest: &Table) -> Vec<String> {
    let name = name_of(manifest);
    let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
        return vec![format!("{folder}/Cargo.toml: {name} has no rank: give it one in tidy.rs")];
    };
    let used = ["dependencies", "dev-dependencies", "build-dependencies"]
        .into_iter()
        .filter_map(|kind| manifest.get(kind)?.as_table())
        .flat_map(|table| table.keys());
    used.filter(|used| used.starts_with("leasehold"))
        .filter_map(|used| {
            let lower = LAYERS.iter().any(|other| other.name == used && other.rank < layer.rank);
            let allowed = layer.only.is_none_or(|only| only.contains(&used.as_str()));
            (!(lower && allowed)).then(|| {
                format!("{folder}/Cargo.toml: {name} (rank {}) may not use {used}", layer.rank)
            })
        })
        .collect()
}

fn impure(used: &[String]) -> impl Iterator<Item = &String> {
    used.iter().filter(|used| IMPURE.contains(&used.as_str()))
}

fn source_faults(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.starts_with("//!") {
        faults.push(format!("{path}:1: begin with `//!` and the file's one idea"));
    }
    let length = text.lines().count();
    if length > LINES_MAX {
        faults
            .push(format!("{path}: {length} lines, more than {LINES_MAX}: it needs a second room"));
    }
    let unsafe_belongs_here = path.starts_with("dataplane/fence/") || path.ends_with("/sys.rs");
    let mut in_tests = path.contains("/tests/") || path.ends_with("/tests.rs");
    let (mut gated, mut explained) = (false, false);
    for (number, line) in (1..).zip(text.lines()) {
        // A test module that has its own file leaves the rest of this one as it was.
        in_tests |= gated && line.starts_with("mod ") && line.ends_with('{');
        gated = line == "#[cfg(test)]";
        for (leftover, instead) in LEFTOVERS {
            if line.contains(leftover) {
                faults.push(format!("{path}:{number}: `{leftover}`: {instead}"));
            }
        }
        if line.contains("expect(unsafe_code") && !unsafe_belongs_here {
            faults.push(format!("{path}:{number}: unsafe code lives in the fence, or in a sys.rs"));
        }
        if in_tests && line.contains("sleep(") && !explained {
            faults.push(format!(
                "{path}:{number}: a test that sleeps hopes: await the event itself, or say in a \
                 comment above, `// Sleeps ...`, what takes this time"
            ));
        }
        explained = line.trim_start().starts_with("// Sleeps ");
    }
    faults
}

fn report(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("this crate lies in the workspace").to_path_buf()
}

fn read(folder: &str, file: &str) -> String {
    fs::read_to_string(root().join(folder).join(file)).unwrap_or_default()
}

/// Every member of the workspace, by folder.
fn members() -> BTreeMap<String, Table> {
    let workspace: Table = read("", "Cargo.toml").parse().expect("Cargo.toml is TOML");
    let members = workspace["workspace"]["members"].as_array().expect("members is a list");
    let folders = members.iter().map(|member| member.as_str().expect("a member is a path"));
    folders
        .map(|folder| {
            let manifest = read(folder, "Cargo.toml").parse().expect("Cargo.toml is TOML");
            (folder.to_owned(), manifest)
        })
        .collect()
}

fn name_of(manifest: &Table) -> String {
    manifest["package"]["name"].as_str().expect("a package has a name").to_owned()
}

/// All that a crate is built from, through however many others.
fn dependencies_of(name: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--edges", "normal", "--prefix", "none", "--format", "{p}", "-p", name])
        .current_dir(root())
        .output()
        .expect("cargo runs the tests, so it can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder is readable").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type().expect("an entry has a kind");
        if kind.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            collect(&path, files);
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

mod judged {
    //! Each rule catches its own violation.

    use super::*;

    fn manifest(text: &str) -> Table {
        text.parse().expect("the sample is TOML")
    }

    #[test]
    fn an_upward_or_sideways_dependency_is_found() {
        for (name, used) in [
            ("leasehold-raft", "leasehold-dataplane"),
            ("leasehold-model", "leasehold-proto"),
            ("leasehold-lab", "leasehold-dataplane-core"),
            ("leasehold-tests", "leasehold"),
            ("leasehold-unheard-of", "leasehold-model"),
        ] {
            for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
                let text = format!("package.name = \"{name}\"\n{kind}.{used}.workspace = true");
                assert_eq!(layer_faults("x", &manifest(&text)).len(), 1, "{name} -> {used}");
            }
        }
        let text =
            "package.name = \"leasehold-raft\"\ndependencies.leasehold-model.workspace = true";
        assert_eq!(layer_faults("x", &manifest(text)), Vec::<String>::new());
    }

    #[test]
    fn an_impure_dependency_is_found_also_at_a_distance() {
        assert!(impure(&dependencies_of("leasehold-proto")).any(|used| used == "tokio"));
    }

    #[test]
    fn every_forbidden_word_is_found() {
        for (leftover, _) in LEFTOVERS {
            let text = format!("//! x\n{leftover}");
            assert_eq!(source_faults("x/src/y.rs", &text).len(), 1, "{leftover}");
        }
        let text = "//! x\n#![expect(unsafe_code, reason = \"y\")]";
        assert_eq!(source_faults("node/src/y.rs", text).len(), 1);
        assert_eq!(source_faults("dataplane/fence/src/y.rs", text).len(), 0);
    }

    #[test]
    fn a_missing_head_a_long_file_and_a_sleeping_test_are_found() {
        assert_eq!(source_faults("x/src/y.rs", "use x;").len(), 1);
        let long = "//! x\n".repeat(LINES_MAX + 1);
        assert_eq!(source_faults("x/src/y.rs", &long).len(), 1);
        let sleeping = "//! x\nfn f() {\n    sleep(1);\n}\n";
        assert_eq!(source_faults("x/src/y.rs", sleeping).len(), 0);
        assert_eq!(source_faults("x/tests/y.rs", sleeping).len(), 1);
        let explained = "//! x\nfn f() {\n    // Sleeps as a slow disk does.\n    sleep(1);\n}\n";
        assert_eq!(source_faults("x/tests/y.rs", explained).len(), 0);
        let inner = "//! x\n#[cfg(test)]\nmod tests {\n    sleep(1);\n}\n";
        assert_eq!(source_faults("x/src/y.rs", inner).len(), 1);
        let beside = "//! x\n#[cfg(test)]\nmod tests;\nfn f() {\n    sleep(1);\n}\n";
        assert_eq!(source_faults("x/src/y.rs", beside).len(), 0);
    }
}
