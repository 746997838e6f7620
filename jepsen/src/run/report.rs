//! What a run comes to, as a table.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use leasehold_lab::Observation;
use leasehold_lab::observer::observation::Record;

use super::Settings;
use crate::check::{self, Checker, Judged, Sum, Verdict};
use crate::history::{F, Kind as Done, Op, Outcome};
use crate::nemesis::{Active, Kind, Noted};

/// Shorter silences are no outages.
const OUTAGE_NS: u64 = 50_000_000;

/// How long nobody answered, each time.
pub(super) fn silences(record: &Record) -> Vec<u64> {
    let gaps = record.answers.windows(2);
    let gaps = gaps.map(|pair| pair[1].received_ns.saturating_sub(pair[0].received_ns));
    gaps.filter(|gap| *gap >= OUTAGE_NS).collect()
}

/// A run, weighed.
#[derive(Clone)]
pub struct Report {
    pub seed: u64,
    pub command: String,
    pub folder: PathBuf,
    pub noted: Vec<Noted>,
    /// How many operations of each sort ended how: acknowledged, refused, in doubt.
    pub operations: BTreeMap<&'static str, [usize; 3]>,
    /// Until the cluster was whole, from the last heal; or why it was not.
    pub rest: Result<Duration, String>,
    /// By VIP: silences, the longest in ms, all together in ms.
    pub outages: BTreeMap<IpAddr, (usize, f64, f64)>,
    /// By how much a thread of no priority once woke late, in ms: silences owe that to the machine.
    pub late_ms: f64,
    pub judged: Vec<(Checker, Judged)>,
    /// One answerer for the address that goes from group to group.
    pub wanderer: Option<Judged>,
    /// Of the testbed, not of what was tested; nothing is proven then.
    pub failures: Vec<String>,
}

impl Report {
    pub(super) fn new(
        settings: &Settings,
        folder: &Path,
        active: &Active,
        history: &[Op],
        rest: Result<Duration, String>,
    ) -> Report {
        let mut operations: BTreeMap<&'static str, [usize; 3]> = BTreeMap::new();
        for op in history {
            let place = match op.kind {
                Done::Invoke => continue,
                Done::Ok => 0,
                Done::Fail => 1,
                Done::Info => 2,
            };
            match op.f {
                F::Start(_) | F::Stop(_) | F::Voters(_) => {}
                F::Read(_) | F::Write(_) | F::Cas(_) | F::Get(_) | F::Command(_) => {
                    operations.entry(op.f.name()).or_default()[place] += 1;
                }
            }
        }
        Report {
            seed: settings.seed,
            command: settings.command(),
            folder: folder.to_owned(),
            noted: active.noted.clone(),
            operations,
            rest,
            outages: BTreeMap::new(),
            late_ms: active.late_ns as f64 / 1e6,
            judged: Vec::new(),
            wanderer: None,
            failures: Vec::new(),
        }
    }

    /// What the observer saw.
    pub(super) fn weigh(&mut self, seen: &Observation) {
        let ms = |ns: u64| ns as f64 / 1e6;
        for (vip, record) in &seen.records {
            let long = silences(record);
            let worst = long.iter().copied().max().unwrap_or(0);
            self.outages.insert(*vip, (long.len(), ms(worst), ms(long.iter().sum())));
        }
    }

    /// The worst of all verdicts. What did not come to rest has broken a promise; what the
    /// testbed could not do leaves everything open.
    #[must_use]
    pub fn sum(&self) -> Sum {
        let wandering = match self.wanderer.as_ref().map(|judged| &judged.verdict) {
            Some(Verdict::Invalid(_)) => Sum::Broken,
            // Without grants there is no more to say of it.
            Some(Verdict::Valid | Verdict::Unknown(_)) => Sum::Good,
            None => Sum::Unclear,
        };
        let rest = if self.rest.is_ok() { Sum::Good } else { Sum::Broken };
        let testbed = if self.failures.is_empty() { Sum::Good } else { Sum::Unclear };
        check::sum(&self.judged).max(wandering).max(rest).max(testbed)
    }

    /// Who found something first, and when it showed.
    fn first_accusation(&self) -> Option<(&'static str, u64)> {
        let judged = self.judged.iter().map(|(checker, judged)| (checker.name, judged));
        let all = judged.chain(self.wanderer.as_ref().map(|judged| ("wanderer", judged)));
        let found = all.filter_map(|(name, judged)| match &judged.verdict {
            Verdict::Invalid(all) => {
                let instants = all.iter().map(|one| one.at_ns).filter(|at| *at > 0);
                instants.min().map(|at| (name, at))
            }
            Verdict::Valid | Verdict::Unknown(_) => None,
        });
        found.min_by_key(|(_, at)| *at)
    }

    /// The same in words: how long it took.
    fn first_accused(&self) -> String {
        let Some((judge, at_ns)) = self.first_accusation() else {
            return "nobody accused of anything that has an instant".to_owned();
        };
        let befell = |noted: &&Noted| {
            noted.from_ns <= at_ns && !matches!(noted.outcome, Outcome::Skipped { .. })
        };
        let before: Vec<&Noted> = self.noted.iter().filter(befell).collect();
        let begun_ns = self.noted.first().map_or(at_ns, |noted| noted.from_ns);
        let last = before.last().map_or_else(|| "none".to_owned(), |noted| noted.kind.name());
        format!(
            "first accused by {judge}, {:.1} s and {} faults after the first fault began; the last \
             was {last}",
            at_ns.saturating_sub(begun_ns) as f64 / 1e9,
            before.len()
        )
    }

    /// Every fault, a line each.
    #[must_use]
    pub fn timeline(&self) -> String {
        let first_ns = self.noted.first().map_or(0, |noted| noted.from_ns);
        let mut text = "| from s | to s | fault | whom | outcome | |\n\
            | --- | --- | --- | --- | --- | --- |\n"
            .to_owned();
        for noted in &self.noted {
            let at = |ns: u64| ns.saturating_sub(first_ns) as f64 / 1e9;
            text += &format!(
                "| {:.3} | {:.3} | {} | {} | {} | {} |\n",
                at(noted.from_ns),
                at(noted.until_ns),
                noted.kind.name(),
                noted.nodes.join(" "),
                word(&noted.outcome),
                noted.legend
            );
        }
        text
    }
}

/// One fault, as it is told while the run goes on.
pub(super) fn line(noted: &Noted) -> String {
    let whom = noted.nodes.join(" ");
    format!("{}: {} [{whom}] {}", noted.kind.name(), noted.legend, word(&noted.outcome))
}

fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Installed => "installed".to_owned(),
        Outcome::Skipped { reason } => format!("skipped: {}", first_line(reason)),
        Outcome::Indeterminate { reason } => format!("in doubt: {}", first_line(reason)),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}; again: {}", self.seed, self.command)?;
        writeln!(f, "\n| fault | installed | skipped | in doubt | why not |")?;
        writeln!(f, "| --- | --- | --- | --- | --- |")?;
        let mut by_kind: BTreeMap<Kind, ([usize; 3], String)> = BTreeMap::new();
        for noted in &self.noted {
            let (counts, why) = by_kind.entry(noted.kind).or_default();
            let (place, reason) = match &noted.outcome {
                Outcome::Installed => (0, None),
                Outcome::Skipped { reason } => (1, Some(reason)),
                Outcome::Indeterminate { reason } => (2, Some(reason)),
            };
            counts[place] += 1;
            if let Some(reason) = reason {
                first_line(reason).clone_into(why);
            }
        }
        for (kind, ([installed, skipped, doubt], why)) in &by_kind {
            writeln!(f, "| {} | {installed} | {skipped} | {doubt} | {why} |", kind.name())?;
        }
        writeln!(f, "\n| operation | acknowledged | refused | in doubt |")?;
        writeln!(f, "| --- | --- | --- | --- |")?;
        for (name, [ok, fail, info]) in &self.operations {
            writeln!(f, "| {name} | {ok} | {fail} | {info} |")?;
        }
        writeln!(f, "\n| VIP | silences of 50 ms and more | longest ms | all ms |")?;
        writeln!(f, "| --- | --- | --- | --- |")?;
        for (vip, (number, longest, all)) in &self.outages {
            writeln!(f, "| {vip} | {number} | {longest:.0} | {all:.0} |")?;
        }
        writeln!(f, "\na thread of no priority woke up to {:.0} ms late", self.late_ms)?;
        match &self.rest {
            Ok(took) => writeln!(f, "whole again {:.1} s after the last heal", took.as_secs_f64())?,
            Err(why) => writeln!(f, "NOT whole again: {why}")?,
        }
        write!(f, "{}", check::tell(&self.judged))?;
        if let Some(Judged { verdict: Verdict::Invalid(all), .. }) = &self.wanderer {
            writeln!(f, "wanderer      INVALID, {} violations", all.len())?;
            for violation in all.iter().take(5) {
                writeln!(f, "  ! {violation}")?;
            }
        }
        writeln!(f, "{}", self.first_accused())?;
        for failure in &self.failures {
            writeln!(f, "the testbed failed: {failure}")?;
        }
        writeln!(f, "kept in {}", self.folder.display())
    }
}
