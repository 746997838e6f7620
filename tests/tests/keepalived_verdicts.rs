//! Debian's keepalived and Leasehold on every file of the importer's corpus. Where they disagree,
//! `data/keepalived-verdicts.toml` says why; `docs/keepalived-verdicts.md` is made from it.
//!
//! `LEASEHOLD_REWRITE=1` writes the document anew; the difference is for a reviewer.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use leasehold_lab::{Host, LabError, Result, find_binary};

/// One file's verdict, and the first words about it.
struct Verdict {
    word: &'static str,
    /// Of how many lines the first is.
    count: usize,
    first: String,
}

const TAKEN: &str = "taken";
const IN_PART: &str = "in part";
const REFUSED: &str = "refused";

/// A namespace with the interfaces that the files name.
fn site() -> Result<Host> {
    let host = Host::new("verdicts")?;
    for (index, name) in ["eth0", "eth1", "eth2", "eth3"].iter().enumerate() {
        host.ip(&format!("link add {name} type veth peer name peer{index}"))?;
        host.ip(&format!("link set peer{index} up"))?;
        host.ip(&format!("address add 10.255.{index}.2/24 dev {name}"))?;
        host.ip(&format!("link set {name} up"))?;
    }
    Ok(host)
}

fn inside(host: &Host, words: &[&str]) -> Result<Output> {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", host.path().display())).args(["timeout", "60"]).args(words);
    command.env("RUST_LOG", "off");
    command.output().map_err(|error| LabError::Argument(error.to_string()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn files() -> Vec<PathBuf> {
    let folder = root().join("node/core/tests/data/corpus");
    let all = fs::read_dir(&folder).expect("the corpus").map(|entry| entry.expect("one").path());
    let mut all: Vec<PathBuf> =
        all.filter(|path| path.extension().is_some_and(|own| own == "conf")).collect();
    all.sort();
    all
}

/// The exit codes of `keepalived -t` in 2.2.7: 0 right, 5 it would run without what it complains
/// of, 6 a script that it would not run or a file that is missing, others it can't run. Later
/// versions have 4, 5 and 3.
fn theirs(host: &Host, file: &Path) -> Result<Verdict> {
    let name = file.display().to_string();
    let output = inside(host, &["keepalived", "-t", "-f", &name])?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    // Beside what is wrong with a file it says what it does.
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let word = match output.status.code() {
        Some(0) => TAKEN,
        Some(5 | 6) => IN_PART,
        Some(_) | None => REFUSED,
    };
    let place = format!("({name}: ");
    let ended = || match output.status.code() {
        // `timeout` says of a program that a signal ended: 128 and its number.
        Some(code) if code > 128 => format!("ended by signal {}", code - 128),
        Some(_) | None => String::new(),
    };
    let first = lines.first().map_or_else(ended, |line| line.replace(&place, "("));
    Ok(Verdict { word, count: lines.len(), first })
}

fn ours(host: &Host, file: &Path) -> Result<Verdict> {
    let binary = find_binary()?.display().to_string();
    let name = file.display().to_string();
    let output = inside(host, &[&binary, "import", &format!("ds1={name}")])?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = |line: &&str| line.contains(": warning: ") || line.contains(": error: ");
    let lines: Vec<&str> = text.lines().filter(said).collect();
    let is_error = |line: &&&str| line.contains(": error: ");
    // The worst is what decides.
    let first = lines.iter().find(is_error).or(lines.first()).copied().unwrap_or_default();
    let first = first.trim_start_matches("leasehold: ").replace(&format!("{name}:"), "");
    let word = match (output.status.code(), lines.is_empty()) {
        (Some(0), true) => TAKEN,
        (Some(0), false) => IN_PART,
        (Some(_) | None, _) => REFUSED,
    };
    Ok(Verdict { word, count: lines.len(), first })
}

/// Why they disagree, by file.
fn reasons() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/keepalived-verdicts.toml");
    let text = fs::read_to_string(path).expect("the reasons");
    toml::from_str(&text).expect("TOML of file = \"reason\"")
}

fn cell(verdict: &Verdict) -> String {
    let first: String = verdict.first.chars().take(140).collect();
    let first = first.replace('|', "\\|").replace('<', "&lt;").replace('`', "'");
    let first = first.replace(|c: char| c.is_control() || c == '\u{fffd}', "?");
    match verdict.count {
        0 if verdict.first.is_empty() => verdict.word.to_owned(),
        0 => format!("{}: {first}", verdict.word),
        1 => format!("{}: `{first}`", verdict.word),
        more => format!("{}: `{first}` and {} more", verdict.word, more - 1),
    }
}

const HEAD: &str = "\
# keepalived.conf: keepalived's verdict and Leasehold's

<!-- Made by tests/tests/keepalived_verdicts.rs; the test compares. Do not edit. -->

Every file of `node/core/tests/data/corpus`, read by Debian's keepalived 2.2.7 (`keepalived -t`, in a network namespace
with the interfaces eth0 to eth3) and by `leasehold import ds1=FILE`.

- *taken*: nothing to say (keepalived exits with 0).
- *in part*: keepalived exits with 5, or with 6 because of a script or a missing file: it would run without what it complains
  of. Leasehold: taken, with warnings.
- *refused*: there is nothing to run with (keepalived exits with 2, or crashes).

The first words are shown, with their line where the program says it. keepalived 2.2.7 does not know the words of later
versions; Leasehold knows those of 2.4.3.
";

#[test]
fn every_disagreement_with_keepalived_is_explained() -> Result<()> {
    let host = site()?;
    let reasons = reasons();
    let (mut table, mut agree, mut counts) = (String::new(), 0, BTreeMap::new());
    let (mut unexplained, mut seen) = (Vec::new(), Vec::new());
    for file in files() {
        let (theirs, ours) = (theirs(&host, &file)?, ours(&host, &file)?);
        let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        *counts.entry((theirs.word, ours.word)).or_insert(0) += 1;
        let reason = reasons.get(&name);
        if theirs.word == ours.word {
            agree += 1;
            if reason.is_some() {
                unexplained.push(format!("{name}: they agree, and a reason is given"));
            }
        } else if reason.is_none() {
            unexplained.push(format!("{name}: {} and {}", cell(&theirs), cell(&ours)));
        }
        let why = reason.map_or("", String::as_str);
        let _ = writeln!(table, "| {name} | {} | {} | {why} |", cell(&theirs), cell(&ours));
        seen.push(name);
    }
    unexplained.extend(reasons.keys().filter(|name| !seen.contains(name)).cloned());
    let mut text = format!("{HEAD}\n{} files; they agree on {agree}.\n\n", seen.len());
    text.push_str("| keepalived 2.2.7 | Leasehold | files |\n| --- | --- | --- |\n");
    for ((theirs, ours), count) in counts {
        let _ = writeln!(text, "| {theirs} | {ours} | {count} |");
    }
    text.push_str("\n| file | keepalived 2.2.7 | Leasehold | why they differ |\n");
    text.push_str("| --- | --- | --- | --- |\n");
    text.push_str(&table);
    let path = root().join("docs/keepalived-verdicts.md");
    if std::env::var_os("LEASEHOLD_REWRITE").is_some() {
        fs::write(&path, &text).expect("the document is written");
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(unexplained.is_empty(), "no reason: {unexplained:#?}");
    for (stored, now) in stored.lines().zip(text.lines()) {
        assert_eq!(stored, now, "{} is out of date", path.display());
    }
    assert_eq!(stored.len(), text.len(), "{} is out of date", path.display());
    Ok(())
}
