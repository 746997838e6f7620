//! Mutations of every file in the tests' data, for both parsers: no panic, no hang, no memory that
//! grows without bound, and no refusal in silence.
//!
//! The short form is one of the tests. `FUZZ_SECONDS=600 cargo test -p leasehold-node-core --test
//! fuzz -- --nocapture` goes on for so many seconds of the processor's time, prints what it did, and
//! keeps the slowest and the largest input of each parser. `FUZZ_SEED` begins elsewhere;
//! `FUZZ_INPUT=FILE` runs one input that was kept, alone.

#![expect(clippy::unwrap_used, reason = "helpers of a test panic as the test would")]
#![expect(clippy::disallowed_methods, reason = "it runs for a given time, unlike the core")]

#[path = "fuzz/measure.rs"]
mod measure;
#[path = "fuzz/mutate.rs"]
mod mutate;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use leasehold_node_core::keepalived::{self, Included, Includes, Source};
use leasehold_node_core::{Diagnostic, document};
use measure::{Records, Watchdog, peak, spent};
use mutate::{Chance, Texts};

/// For one input, of the processor's time, without optimization.
const MOST_TIME: Duration = Duration::from_secs(8);
/// For all that one input makes of itself, in KiB.
const MOST_MEMORY: u64 = 640 << 10;

/// Included files are others of the corpus, and sometimes the file itself.
struct Others<'a>(&'a Texts);

impl Includes for Others<'_> {
    fn include(&self, from: &str, pattern: &str) -> Result<Included, String> {
        let sum: usize = pattern.bytes().map(usize::from).sum();
        let skipped = vec![(pattern.to_owned(), "a directory".to_owned())];
        match sum % 5 {
            0 => {
                let files = vec![(from.to_owned(), "include itself".to_owned())];
                Ok(Included { files, skipped: Vec::new() })
            }
            1 => Ok(Included::default()),
            2 => Err("no such file".to_owned()),
            3 => Ok(Included { files: Vec::new(), skipped }),
            _ => {
                let text = &self.0.conf[sum % self.0.conf.len()];
                let files =
                    vec![(pattern.to_owned(), text.clone()), ("b".to_owned(), text.clone())];
                Ok(Included { files, skipped })
            }
        }
    }
}

fn check(config: Option<&leasehold_model::Config>, diagnostics: &[Diagnostic]) {
    let errors = diagnostics.iter().any(Diagnostic::is_error);
    assert!(config.is_some() != errors, "a configuration, or an error");
    for one in diagnostics {
        assert!(!one.message.is_empty());
        // What is shown of a line must not fail where the line is strange.
        let _ = one.marked("a\tb");
    }
    let Some(config) = config else { return };
    let written = document::to_toml(config);
    let (again, told) = document::parse_toml("again", &written);
    assert_eq!(again.as_ref(), Some(config), "{told:?}\n{written}");
}

fn run(texts: &Texts, text: &str, toml: bool) {
    if toml {
        let (config, diagnostics) = document::parse_toml("a.toml", text);
        check(config.as_ref(), &diagnostics);
        return;
    }
    let sources = [
        Source { node: Some("ds1"), file: "ds1.conf", text },
        Source { node: Some("ds2"), file: "ds2.conf", text },
    ];
    let (config, diagnostics) = keepalived::to_config(&sources[..1], &Others(texts));
    check(config.as_ref(), &diagnostics);
    if config.is_some() {
        // The same text of two nodes goes together, or says why not.
        let (config, diagnostics) = keepalived::to_config(&sources, &Others(texts));
        check(config.as_ref(), &diagnostics);
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What one input did.
struct Outcome {
    panicked: bool,
    took: Duration,
    memory: u64,
}

fn measured(texts: &Texts, text: &str, toml: bool) -> Outcome {
    let start = spent();
    let outcome = catch_unwind(AssertUnwindSafe(|| run(texts, text, toml)));
    Outcome { panicked: outcome.is_err(), took: spent() - start, memory: peak() }
}

#[test]
fn no_mutation_breaks_a_parser() {
    let texts = Texts::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data"));
    if let Ok(one) = std::env::var("FUZZ_INPUT") {
        let text = fs::read_to_string(&one).unwrap();
        let Outcome { panicked, took, memory } = measured(&texts, &text, one.ends_with(".toml"));
        println!("{one}: {took:?}, {memory} KiB");
        assert!(!panicked);
        return;
    }
    let seed = number("FUZZ_SEED").unwrap_or(1);
    let long = number("FUZZ_SECONDS");
    let limit = Duration::from_secs(long.unwrap_or(4));
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{seed}"));
    let mut chance = Chance::new(seed);
    let (begun, mut executions) = (spent(), [0u64; 2]);
    let mut records = Records::new(folder.clone(), long.is_some());
    let watchdog = Watchdog::new(folder.clone(), MOST_TIME * 2);
    let before = peak();
    while spent() - begun < limit {
        let round: u64 = executions.iter().sum();
        let toml = round % 4 == 3;
        let text = texts.mutated(&mut chance, toml);
        watchdog.begins(toml, &text);
        let Outcome { panicked, took, memory } = measured(&texts, &text, toml);
        executions[usize::from(toml)] += 1;
        records.note(toml, &text, took, memory);
        if panicked || took > MOST_TIME || memory > before + MOST_MEMORY {
            let kept = measure::keep(&folder, "failed", toml, &text);
            panic!("seed {seed}, round {round}: {took:?}, {memory} KiB; the input is {kept}");
        }
    }
    let [conf, toml] = executions;
    let (took, total) = (spent() - begun, conf + toml);
    println!(
        "seed {seed}: {total} executions in {took:.0?}: {conf} keepalived.conf, {toml} TOML; \
         memory before: {before} KiB\n{records}"
    );
    assert!(conf > 10 && toml > 3, "{executions:?}");
}
