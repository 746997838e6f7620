//! Proof 2: answers against the grants that were told.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::IpAddr;

use super::Answer;
use crate::check::{Violation, ms};
use crate::history::{Nanos, Told, Word};

/// The channel by which members tell of grants when they apply them.
const APPLIED: &str = "log";

/// The grants of one group, as far as they were told.
#[derive(Debug, Default)]
pub(super) struct Grants {
    holders: BTreeMap<u64, BTreeSet<String>>,
    /// When a member that applied a grant said so first, which is before anybody can answer by it.
    applied: BTreeMap<u64, Nanos>,
    error_ns: Nanos,
    /// From when on an epoch is the least that anybody may answer by, in the order of time.
    floors: Vec<(Nanos, u64)>,
}

impl Grants {
    /// `error_ns`: by how much a question's instant and that of a telling may be apart.
    pub(super) fn of(told: &[Told], group: &str, error_ns: Nanos) -> Grants {
        let mut grants = Grants { error_ns, ..Grants::default() };
        for told in told.iter().filter(|told| told.group == group) {
            grants.holders.entry(told.epoch).or_default().insert(told.holder.clone());
            if told.source.channel == APPLIED {
                let first = grants.applied.entry(told.epoch).or_insert(told.seen_ns);
                *first = told.seen_ns.min(*first);
            }
            // Whoever knows of a grant knows that all older ones were over when it was made.
            let floor = match told.word {
                Word::Holds | Word::Serves => told.epoch,
                Word::Ended => told.epoch + 1,
            };
            grants.floors.push((told.seen_ns + error_ns, floor));
        }
        grants.floors.sort_unstable();
        grants
    }

    pub(super) fn is_empty(&self) -> bool {
        self.holders.is_empty()
    }

    /// One violation for each run of answers by one director that no epoch of its explains.
    /// `answers` are in the order of their questions.
    pub(super) fn unexplained(&self, vip: IpAddr, answers: &[Answer]) -> Vec<Violation> {
        let mut runs: Vec<Run> = Vec::new();
        let mut open: BTreeMap<&str, usize> = BTreeMap::new();
        let mut floors = self.floors.iter().peekable();
        let mut floor = 0;
        let mut whose: Option<&Answer> = None;
        // Answers whose end is not certainly past yet, with their epochs.
        let mut recent: BinaryHeap<Reverse<(Nanos, u64, usize)>> = BinaryHeap::new();
        for (at, answer) in answers.iter().enumerate() {
            while let Some((_, epoch)) = floors.next_if(|(known_ns, _)| *known_ns < answer.sent_ns)
            {
                if *epoch > floor {
                    (floor, whose) = (*epoch, None);
                }
            }
            while let Some(&Reverse((_, epoch, earlier))) = recent.peek() {
                if !answers[earlier].certainly_before(answer.sent_ns) {
                    break;
                }
                recent.pop();
                if epoch >= floor {
                    (floor, whose) = (epoch, Some(&answers[earlier]));
                }
            }
            let mut later = self.holders.range(floor..);
            match later.find(|(epoch, holders)| {
                holders.contains(&answer.by) && self.could_be(**epoch, answer)
            }) {
                Some((epoch, _)) => {
                    recent.push(Reverse((answer.until_ns, *epoch, at)));
                    open.remove(answer.by.as_str());
                }
                None => {
                    let nth = *open.entry(&answer.by).or_insert(runs.len());
                    match runs.get_mut(nth) {
                        Some(run) => run.goes_on(answer),
                        None => runs.push(Run::new(answer, floor, whose)),
                    }
                }
            }
        }
        runs.iter().map(|run| self.violation(vip, run)).collect()
    }

    /// Whether the grant was there when the answer was given at the latest.
    fn could_be(&self, epoch: u64, answer: &Answer) -> bool {
        let applied = self.applied.get(&epoch);
        applied.is_none_or(|first_ns| first_ns.saturating_sub(self.error_ns) <= answer.until_ns)
    }

    fn violation(&self, vip: IpAddr, run: &Run) -> Violation {
        let Run { by, first_ns, last_ns, answers, floor, after } = run;
        let older = self.holders.range(..floor).rev();
        let own = older.filter(|(_, holders)| holders.contains(by)).map(|(epoch, _)| epoch).next();
        let own = own.map_or_else(
            || "it was never granted before".to_owned(),
            |epoch| format!("its last epoch was {epoch}"),
        );
        let after = after.as_ref().map_or_else(String::new, |other| format!(", after {other}"));
        Violation::new(
            *first_ns,
            format!(
                "{vip}: {by} gave {answers} answers in {} when epoch {floor} was the least in \
                 force{after}; {own}",
                ms(last_ns.saturating_sub(*first_ns))
            ),
        )
    }
}

/// Answers of one director that nothing explains, without an explained one of its between.
struct Run {
    by: String,
    first_ns: Nanos,
    last_ns: Nanos,
    answers: usize,
    floor: u64,
    /// Whose answer it was that showed the newer epoch.
    after: Option<String>,
}

impl Run {
    fn new(answer: &Answer, floor: u64, whose: Option<&Answer>) -> Run {
        Run {
            by: answer.by.clone(),
            first_ns: answer.sent_ns,
            last_ns: answer.sent_ns,
            answers: 1,
            floor,
            after: whose.filter(|other| other.by != answer.by).map(|other| other.by.clone()),
        }
    }

    fn goes_on(&mut self, answer: &Answer) {
        self.last_ns = answer.sent_ns;
        self.answers += 1;
    }
}
