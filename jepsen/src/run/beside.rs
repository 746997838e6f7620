//! What clients saw of a run, as a row that can stand beside another product's.

use std::collections::BTreeSet;
use std::fmt;

use super::report::silences;
use crate::check::{Run, doubled, spans};

/// A kept run in figures, over all VIPs.
#[derive(Clone, Debug)]
pub struct Row {
    who: String,
    seed: u64,
    /// For how long the observer asked.
    seconds: f64,
    faults: usize,
    questions: usize,
    /// That two answered.
    twice: usize,
    /// Times in which two answered, with less than a second between two such questions.
    doubles: usize,
    longest_double_ms: f64,
    /// Silences of 50 ms and more.
    outages: usize,
    longest_outage_ms: f64,
    silent_s: f64,
}

impl Row {
    pub const HEAD: &str = "| who | seed | s | faults | questions | answered by two | times | \
                            longest, ms | silences | longest, ms | all, s |\n\
                            | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |";

    #[must_use]
    pub fn new(run: &Run) -> Row {
        let ms = |ns: u64| ns as f64 / 1e6;
        let vips: BTreeSet<_> = run.setup.vips.keys().copied().collect();
        let witnesses = run.observations.neighbours.values();
        let records: Vec<_> = witnesses
            .clone()
            .flat_map(|seen| &seen.records)
            .filter(|(vip, _)| vips.contains(vip))
            .map(|(_, record)| record)
            .collect();
        let doubles = doubled(run);
        let outages: Vec<u64> = records.iter().flat_map(|record| silences(record)).collect();
        let lengths = doubles.iter().map(|one| one.last_ns - one.first_ns);
        let asked = witnesses.map(|seen| seen.ended_ns.saturating_sub(seen.started_ns)).max();
        let setup = &run.setup;
        // Another's name is its profile.
        let who = if setup.profile.contains(' ') {
            setup.profile.clone()
        } else {
            format!("leasehold, {}, {} directors", setup.profile, setup.directors.len())
        };
        Row {
            who,
            seed: setup.seed,
            seconds: ms(asked.unwrap_or(0)) / 1e3,
            faults: spans(&run.history).iter().filter(|span| span.certain.is_some()).count(),
            questions: records.iter().map(|record| record.sent_ns.len()).sum(),
            twice: doubles.iter().map(|one| one.questions).sum(),
            doubles: doubles.len(),
            longest_double_ms: ms(lengths.max().unwrap_or(0)),
            outages: outages.len(),
            longest_outage_ms: ms(outages.iter().copied().max().unwrap_or(0)),
            silent_s: ms(outages.iter().sum()) / 1e3,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "| {} | {} | {:.0} | {} | {} | {} | {} | {:.0} | {} | {:.0} | {:.1} |",
            self.who,
            self.seed,
            self.seconds,
            self.faults,
            self.questions,
            self.twice,
            self.doubles,
            self.longest_double_ms,
            self.outages,
            self.longest_outage_ms,
            self.silent_s
        )
    }
}
