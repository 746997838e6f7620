//! Nonsense on the wire: nothing panics, every kind of it has its reason, and what was once
//! interesting is tried again.

#[path = "vrrp/fuzzing.rs"]
mod fuzzing;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fuzzing::{Chance, mutate, outcomes, seeds};
use leasehold_dataplane_core::vrrp::Reason;

fn every_outcome() -> BTreeSet<Option<Reason>> {
    Reason::ALL.into_iter().map(Some).chain([None]).collect()
}

#[test]
fn nonsense_is_turned_away_and_every_reason_is_met() {
    let mut chance = Chance::new(4);
    let seeds = seeds();
    let mut met = BTreeSet::new();
    for round in 0..250_000 {
        let mut input = if round % 10 == 0 {
            (0..chance.below(120)).map(|_| chance.next() as u8).collect()
        } else {
            seeds[chance.below(seeds.len())].clone()
        };
        mutate(&mut chance, &mut input);
        met.extend(outcomes(&input));
    }
    assert_eq!(met, every_outcome());
}

/// Each file is named for an outcome that it had when it was found.
#[test]
fn the_corpus_has_the_outcomes_of_its_names() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/vrrp");
    let mut met = BTreeSet::new();
    for entry in fs::read_dir(&directory).expect("a corpus") {
        let path = entry.expect("a file").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        let input = fs::read(&path).expect("its bytes");
        let outcomes = outcomes(&input);
        let names: BTreeSet<_> =
            outcomes.iter().map(|one| one.map_or("accepted", Reason::name)).collect();
        let wanted = name.rsplit_once('-').map_or(name, |(reason, _)| reason);
        assert!(names.contains(wanted), "{name}: {names:?}");
        met.extend(outcomes);
    }
    assert_eq!(met, every_outcome());
}
