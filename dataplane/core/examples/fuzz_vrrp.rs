//! Feeds changed packets to the VRRP codec for as long as wanted, and keeps those that reach a
//! new set of outcomes.
//!
//! `cargo run -p leasehold-dataplane-core --example fuzz_vrrp -- SECONDS SEED [DIRECTORY]`

#![allow(clippy::print_stdout, reason = "its report is its product")]
#![allow(clippy::disallowed_methods, reason = "it runs for a given time, unlike the core")]
#![allow(clippy::disallowed_types, reason = "the clock is how long it runs, and decides nothing")]

#[path = "../tests/vrrp/fuzzing.rs"]
mod fuzzing;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use fuzzing::{Chance, mutate, outcomes, seeds};
use leasehold_dataplane_core::vrrp::Reason;

/// Packets between two looks at the clock.
const BATCH: u64 = 1000;

fn name(outcome: Option<Reason>) -> &'static str {
    outcome.map_or("accepted", Reason::name)
}

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let number = |at: usize, default| words.get(at).map_or(Ok(default), |word| word.parse());
    let (Ok(seconds), Ok(seed)) = (number(0, 10), number(1, 1)) else {
        println!("usage: fuzz_vrrp SECONDS SEED [DIRECTORY]");
        return;
    };
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/vrrp");
    let directory = PathBuf::from(words.get(2).map_or(corpus, String::as_str));

    let mut pool = kept(&directory);
    let mut known: BTreeSet<_> = pool.iter().map(|input| outcomes(input)).collect();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let begun = pool.len();
    for input in seeds() {
        if known.insert(outcomes(&input)) {
            keep(&directory, &outcomes(&input), &input, seed, pool.len());
            pool.push(input);
        }
    }
    let (mut chance, mut packets) = (Chance::new(seed), 0_u64);
    let until = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < until {
        for _ in 0..BATCH {
            let mut input = pool[chance.below(pool.len())].clone();
            mutate(&mut chance, &mut input);
            let outcomes = outcomes(&input);
            for outcome in &outcomes {
                *counts.entry(name(*outcome)).or_default() += 1;
            }
            if known.insert(outcomes.clone()) {
                keep(&directory, &outcomes, &input, seed, pool.len());
                pool.push(input);
            }
        }
        packets += BATCH;
    }
    println!("{packets} packets in {seconds} s, seed {seed}: no panic");
    println!("{} of {} inputs of the pool are new", pool.len() - begun, pool.len());
    for (name, count) in counts {
        println!("{count:12} {name}");
    }
}

fn kept(directory: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> =
        fs::read_dir(directory).into_iter().flatten().flatten().map(|it| it.path()).collect();
    // The order of a directory is no order, and the seed must mean something.
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).collect()
}

/// Names it for the last outcome in the order of the checks: it came furthest.
fn keep(
    directory: &Path,
    outcomes: &BTreeSet<Option<Reason>>,
    input: &[u8],
    seed: u64,
    nth: usize,
) {
    let furthest = if outcomes.contains(&None) { None } else { outcomes.last().copied().flatten() };
    let path = directory.join(format!("{}-{seed}_{nth}.bin", name(furthest)));
    if let Err(error) = fs::create_dir_all(directory).and_then(|()| fs::write(&path, input)) {
        println!("cannot keep {}: {error}", path.display());
    }
}
