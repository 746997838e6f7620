//! Debian's keepalived reads what `export --keepalived` writes: every document of the conformance
//! tests, imported or in TOML, and those generated from fixed seeds, for every director they name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use leasehold_lab::{Host, LabError, Result, find_binary};
use toml::{Table, Value};

/// What keepalived 2.2.7 says of a text that is right, and why that is no fault of the text.
const EXPECTED: [(&str, &str); 21] = [
    ("Unknown keyword 'v3_checksum_as_v2'", "a word of 2.4"),
    ("vrrp script interval '0.5' must be", "a fraction is a value of 2.4"),
    ("vrrp script timeout '0.5' invalid", "a fraction is a value of 2.4"),
    ("vrrp script timeout '1.5' invalid", "a fraction is a value of 2.4"),
    ("smtp_connect_timeout '15.5' must be", "a fraction is a value of 2.4"),
    ("invalid number '0.5'", "said beside the four above"),
    ("invalid number '1.5'", "said beside the four above"),
    ("invalid number '15.5'", "said beside the four above"),
    ("SECURITY VIOLATION", "the scripts of this test run as root"),
    ("since not found/accessible", "the program is not on this machine"),
    ("Unable to set default user", "script_user is not on this machine"),
    ("track script other not found", "it was removed for want of its user"),
    ("Error setting global script uid/gid", "script_user is not on this machine"),
    ("Invalid smtp server mail", "the relay's name is in no DNS"),
    ("has no real servers - ignoring", "nor has the document"),
    ("hysteresis", "the document warns that the quorum is never gained"),
    ("exceeds total weight of real servers", "the document warns of it"),
    ("protocol will be ignored", "of a group of marks, the document has a protocol too"),
    ("Truncating auth_pass to 8 characters", "both take the first eight"),
    ("with no interface specified, not tracking", "a route without one is not watched"),
    ("Rule has no preference specified", "the document leaves it to the kernel too"),
];
/// The same, of what is tracked twice: keepalived watches an instance's own interface anyway.
const TWICE: [&str; 2] = ["since own interface", "is configured on VRRP instance and sync group"];

#[test]
fn keepalived_reads_every_document_that_leasehold_writes() -> Result<()> {
    let binary = find_binary()?;
    let documents = documents();
    assert!(documents.len() > 50, "{} documents", documents.len());
    let host = Host::new("reader")?;
    let folder = std::env::temp_dir().join(format!("leasehold-conf-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a directory for the texts");
    let tables: Vec<(PathBuf, Table)> = documents.into_iter().map(|path| read(&path)).collect();
    interfaces(&host, &tables)?;
    let (mut faults, mut texts, mut clean) = (Vec::new(), 0, 0);
    for (path, table) in &tables {
        for director in directors(table) {
            let text = export(&binary, path, &director)?;
            let file = folder.join("keepalived.conf");
            fs::write(&file, as_root(&text)).expect("a file in the test's directory");
            let told = verdict(&host, &file)?;
            texts += 1;
            clean += usize::from(told.is_empty());
            let unknown = told.iter().filter(|line| {
                let mut known = EXPECTED.iter().map(|(words, _)| words).chain(&TWICE);
                !known.any(|words| line.contains(words))
            });
            faults.extend(unknown.map(|line| format!("{} {director}: {line}", path.display())));
        }
    }
    fs::remove_dir_all(&folder).expect("the test's own directory");
    println!("{texts} texts, of which keepalived has nothing to say of {clean}");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    Ok(())
}

/// Every document without an error in the data of the core's tests.
fn documents() -> Vec<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/core/tests/data");
    let entries = |folder: PathBuf| {
        let all = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        all.map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>()
    };
    let mut all = entries(data.join("generated"));
    for kind in ["keepalived", "toml"] {
        let cases = entries(data.join(kind)).into_iter();
        all.extend(cases.map(|case| case.join("expected.toml")).filter(|path| path.exists()));
    }
    all.sort();
    all
}

fn read(path: &Path) -> (PathBuf, Table) {
    let text = fs::read_to_string(path).expect("a document");
    (path.to_owned(), text.parse().expect("TOML"))
}

/// Those that the document names; one where it names none.
fn directors(document: &Table) -> BTreeSet<String> {
    let in_table = |table: Option<&Value>| -> Vec<String> {
        let table = table.and_then(Value::as_table);
        table.into_iter().flat_map(Table::keys).cloned().collect()
    };
    let global = document.get("global").and_then(|global| global.get("router_id"));
    let instances = document.get("instance").and_then(Value::as_table);
    let instances = instances.into_iter().flat_map(Table::values);
    let mut all: BTreeSet<String> =
        instances.flat_map(|one| in_table(one.get("director"))).collect();
    all.extend(in_table(global).into_iter().filter(|name| !name.contains(' ')));
    if all.is_empty() {
        all.insert("ds1".to_owned());
    }
    all
}

/// Every interface that a document names: keepalived looks for each.
fn interfaces(host: &Host, documents: &[(PathBuf, Table)]) -> Result<()> {
    let mut names = BTreeSet::new();
    for (_, document) in documents {
        for value in document.values() {
            collect("", value, &mut names);
        }
    }
    for (number, name) in (1..).zip(names) {
        host.ip(&format!("link add {name} type veth peer name other{number}"))?;
        host.ip(&format!("link set {name} up"))?;
        host.ip(&format!("link set other{number} up"))?;
        host.add_address(&name, &format!("10.255.{number}.1/24"))?;
    }
    Ok(())
}

fn collect(key: &str, value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if ["interface", "dev", "iif", "oif", "bind_if"].contains(&key) => {
            names.insert(text.clone());
        }
        Value::Table(table) => {
            if key == "track_interface" {
                names.extend(table.keys().cloned());
            }
            table.iter().for_each(|(key, value)| collect(key, value, names));
        }
        Value::Array(all) => all.iter().for_each(|value| collect(key, value, names)),
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_) => {}
    }
}

fn export(binary: &Path, document: &Path, director: &str) -> Result<String> {
    let mut command = Command::new(binary);
    command.args(["export", "--keepalived", director, "--from"]).arg(document);
    let output = command.output().map_err(|error| LabError::Argument(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{} {director}: {said}", document.display());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// keepalived 2.2.7 ends itself by SIGTERM where it tests a script of another user: it takes the
/// shell for a parent that has died (`check_script_secure`).
fn as_root(text: &str) -> String {
    let line = |line: &str| {
        let words = line.split(' ').map(|word| match word {
            "nobody" | "nogroup" | "staff" | "keepalived_script" => "root",
            // Alone on its line it is a keyword.
            "ops" if line.trim() != "ops" => "root",
            word => word,
        });
        words.collect::<Vec<_>>().join(" ") + "\n"
    };
    text.lines().map(line).collect()
}

/// What keepalived says of a file: nothing where it takes it as it is.
fn verdict(host: &Host, file: &Path) -> Result<Vec<String>> {
    let mut command = Command::new("timeout");
    command.args(["30", "nsenter"]).arg(format!("--net={}", host.path().display()));
    command.args(["keepalived", "--config-test", "--use-file"]).arg(file);
    // There is no DNS here to wait for.
    command.env("RES_OPTIONS", "timeout:1 attempts:1");
    let output = command.output().map_err(|error| LabError::Argument(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => Ok(Vec::new()),
        // It runs, and something of it is ignored or changed; 6 is about scripts.
        Some(5 | 6) => Ok(said.lines().map(str::to_owned).collect()),
        other => Ok(vec![format!("keepalived ended with {other:?}: {said}")]),
    }
}
