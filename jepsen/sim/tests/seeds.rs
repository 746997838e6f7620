//! A few seeds, each in a process of its own: nothing found where nothing is planted, what is
//! planted found, and the same trace twice.

#![expect(clippy::unwrap_used, reason = "helpers of a test panic as the test would")]

use std::process::{Command, Output};

fn simulate(arguments: &[&str]) -> Output {
    let keep = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_leasehold-simulate"))
        .args(arguments)
        .arg("--keep")
        .arg(keep.path())
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn hash(output: &Output) -> String {
    let text = text(output);
    let hash = text.split("hash ").nth(1).and_then(|rest| rest.split_whitespace().next());
    hash.unwrap_or_else(|| panic!("no hash in {text}")).to_owned()
}

#[test]
fn a_seed_replays_byte_for_byte_and_another_differs() {
    let [first, again, other] =
        ["5", "5", "6"].map(|seed| simulate(&["--seed", seed, "--hours", "0.01"]));
    assert!(first.status.success(), "{}", text(&first));
    assert_eq!(hash(&first), hash(&again));
    assert_ne!(hash(&first), hash(&other));
}

#[test]
fn five_directors_of_the_fast_profile_keep_their_promises() {
    let asked = ["--seed", "7", "--hours", "0.01", "--directors", "5", "--profile", "fast"];
    let run = simulate(&asked);
    assert!(run.status.success(), "{}", text(&run));
}

#[test]
fn what_is_planted_is_found_twice_alike() {
    let asked = ["--seed", "4", "--hours", "0.02", "--plant", "no-wait-after-election"];
    let [first, again] = [simulate(&asked), simulate(&asked)];
    assert!(!first.status.success() && text(&first).contains("FAILED at"), "{}", text(&first));
    let found =
        |text: String| text.lines().find(|line| line.starts_with("FAILED")).map(str::to_owned);
    assert_eq!(found(text(&first)), found(text(&again)));
    assert_eq!(hash(&first), hash(&again));
}
