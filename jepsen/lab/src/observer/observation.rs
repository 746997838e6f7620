//! What was seen on the wire, and the verdict: who answered when, how long nobody did, and whether
//! two did at once.
//!
//! Two answerers show in three ways. One question answered by two is plain. Two that answer
//! different questions by turns show as a director that comes back after another took over: a
//! return is innocent only if the caller moved the address back, which [`Returns`] states. Two
//! that hide behind one hardware address show as one question answered twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::Mac;

/// An answer to a question of the observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When the question was sent.
    pub sent_ns: u64,
    /// When the kernel received the answer.
    pub received_ns: u64,
    /// Who answered.
    pub mac: Mac,
}

/// An announcement that nobody had asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// When the kernel received it.
    pub received_ns: u64,
    /// Whom it names.
    pub mac: Mac,
}

/// All that was seen of one address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// When each question was sent.
    pub sent_ns: Vec<u64>,
    /// The answers, in the order of arrival.
    pub answers: Vec<Answer>,
    /// Gratuitous ARPs and unsolicited advertisements.
    pub claims: Vec<Claim>,
}

/// All that an observer saw. Instants are nanoseconds of CLOCK_BOOTTIME.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// When it began.
    pub started_ns: u64,
    /// When it ended.
    pub ended_ns: u64,
    /// Frames that the kernel dropped because the observer was too slow: must be zero.
    pub frames_lost: u64,
    /// By address.
    pub records: BTreeMap<IpAddr, Record>,
}

/// A time in which one director alone answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reign {
    /// Who.
    pub mac: Mac,
    /// Its first answer.
    pub first_ns: u64,
    /// Its last answer.
    pub last_ns: u64,
    /// How many.
    pub answers: usize,
}

/// A time in which nobody answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Of which address.
    pub vip: IpAddr,
    /// The last answer before it, or the observation's start.
    pub from_ns: u64,
    /// The first answer after it; `None` if there was none before the observation ended.
    pub until_ns: Option<u64>,
    /// Its length, up to the observation's end if it did not end.
    pub length_ns: u64,
    /// Who answered before.
    pub before: Option<Mac>,
    /// Who answered after.
    pub after: Option<Mac>,
    /// The longest time in it in which the observer did not ask: what the length may owe to it.
    pub unasked_ns: u64,
}

/// Which returns of a director that another had followed are innocent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// The caller moved the address back at most so many times.
    AtMost(usize),
    /// Any return, if whoever it ended stays silent for so long after it: for runs in which faults
    /// move an address to and fro. Must be shorter than the quickest legitimate round trip.
    Settled(u64),
}

/// How two answerers showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DuplicateKind {
    /// One question was answered by two.
    TwoAnswerers,
    /// A director answered after another had taken over.
    AfterTakeover,
    /// One question was answered twice from one hardware address.
    Twice,
}

/// An answer that should not have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// How it showed.
    pub kind: DuplicateKind,
    /// Whose answer it was.
    pub mac: Mac,
    /// Who held the address.
    pub holder: Mac,
    /// When the question was sent.
    pub sent_ns: u64,
    /// When the answer came.
    pub received_ns: u64,
}

impl Observation {
    /// The maximal runs of answers by one director.
    pub fn reigns(&self, vip: IpAddr) -> Vec<Reign> {
        let mut reigns: Vec<Reign> = Vec::new();
        for answer in self.answers(vip) {
            match reigns.last_mut() {
                Some(reign) if reign.mac == answer.mac => {
                    reign.last_ns = answer.received_ns;
                    reign.answers += 1;
                }
                Some(_) | None => reigns.push(Reign {
                    mac: answer.mac,
                    first_ns: answer.received_ns,
                    last_ns: answer.received_ns,
                    answers: 1,
                }),
            }
        }
        reigns
    }

    /// Every answer that proves two answerers, each once.
    pub fn duplicates(&self, vip: IpAddr, returns: Returns) -> Vec<Duplicate> {
        let answers = self.answers(vip);
        let mut found = Vec::new();
        let mut answered: BTreeMap<u64, Mac> = BTreeMap::new();
        let mut seen: BTreeSet<Mac> = BTreeSet::new();
        let mut holder: Option<Mac> = None;
        let mut returned = 0;
        for (index, answer) in answers.iter().enumerate() {
            let held_by = holder.unwrap_or(answer.mac);
            let mut report = |kind, holder| {
                let Answer { sent_ns, received_ns, mac } = *answer;
                found.push(Duplicate { kind, mac, holder, sent_ns, received_ns });
            };
            let first = answered.insert(answer.sent_ns, answer.mac);
            match first {
                None => {}
                Some(other) if other == answer.mac => {
                    report(DuplicateKind::Twice, other);
                    continue;
                }
                Some(other) => report(DuplicateKind::TwoAnswerers, other),
            }
            let is_new = seen.insert(answer.mac);
            let innocent = is_new
                || held_by == answer.mac
                || match returns {
                    Returns::AtMost(limit) => returned < limit,
                    Returns::Settled(for_ns) => stays_silent(&answers[index..], held_by, for_ns),
                };
            if innocent {
                returned += usize::from(!is_new && held_by != answer.mac);
                holder = Some(answer.mac);
            } else if first.is_none() {
                // Otherwise it is on the list already, as a second answer.
                report(DuplicateKind::AfterTakeover, held_by);
            }
        }
        found
    }

    /// The number of duplicates over all addresses.
    pub fn duplicates_total(&self, returns: Returns) -> usize {
        self.records.keys().map(|vip| self.duplicates(*vip, returns).len()).sum()
    }

    /// Announcements by a director while another reigned: sent after the other's first answer, and
    /// followed by another answer of the same.
    pub fn stray_claims(&self, vip: IpAddr) -> Vec<Claim> {
        let reigns = self.reigns(vip);
        let strays = |claim: &&Claim| {
            reigns.iter().any(|reign| {
                reign.mac != claim.mac
                    && reign.first_ns < claim.received_ns
                    && claim.received_ns < reign.last_ns
            })
        };
        self.record(vip)
            .map_or_else(Vec::new, |record| record.claims.iter().filter(strays).copied().collect())
    }

    /// The longest time without an answer that ended after `fault_ns`: from the last answer before
    /// it to the first after it. `None` if nobody ever answered, or nothing was observed after.
    pub fn outage(&self, vip: IpAddr, fault_ns: u64) -> Option<Outage> {
        let answers = self.answers(vip);
        let last = *answers.last()?;
        let gaps = answers.windows(2).map(|pair| (pair[0], Some(pair[1])));
        let (before, after) = gaps
            .chain([(last, None)])
            .filter(|(_, after)| after.map_or(self.ended_ns, |a| a.received_ns) >= fault_ns)
            .max_by_key(|(before, after)| {
                after.map_or(self.ended_ns, |a| a.received_ns).saturating_sub(before.received_ns)
            })?;
        let from_ns = before.received_ns;
        let until_ns = after.map(|answer| answer.received_ns);
        let end_ns = until_ns.unwrap_or(self.ended_ns);
        Some(Outage {
            vip,
            from_ns,
            until_ns,
            length_ns: end_ns.saturating_sub(from_ns),
            before: Some(before.mac),
            after: after.map(|answer| answer.mac),
            unasked_ns: self.unasked_ns(vip, from_ns, end_ns),
        })
    }

    /// The longest outage of any address; an address that never answered counts from the start.
    pub fn worst_outage(&self, fault_ns: u64) -> Option<Outage> {
        let of = |vip: &IpAddr| {
            self.outage(*vip, fault_ns).or_else(|| {
                let (from_ns, ended_ns) = (self.started_ns, self.ended_ns);
                self.answers(*vip).is_empty().then(|| Outage {
                    vip: *vip,
                    from_ns,
                    until_ns: None,
                    length_ns: ended_ns.saturating_sub(from_ns),
                    before: None,
                    after: None,
                    unasked_ns: self.unasked_ns(*vip, from_ns, ended_ns),
                })
            })
        };
        self.records.keys().filter_map(of).max_by_key(|outage| outage.length_ns)
    }

    /// The longest time between two questions about `vip` in an interval: the observer's own
    /// lateness, below which no figure of it means anything.
    pub fn unasked_ns(&self, vip: IpAddr, from_ns: u64, until_ns: u64) -> u64 {
        let Some(record) = self.record(vip) else { return until_ns.saturating_sub(from_ns) };
        let inside = record.sent_ns.iter().copied().filter(|at| (from_ns..=until_ns).contains(at));
        let instants: Vec<u64> = [from_ns].into_iter().chain(inside).chain([until_ns]).collect();
        instants.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or(0)
    }

    /// Who answered last.
    pub fn last_answer(&self, vip: IpAddr) -> Option<Answer> {
        self.answers(vip).last().copied()
    }

    fn record(&self, vip: IpAddr) -> Option<&Record> {
        self.records.get(&vip)
    }

    fn answers(&self, vip: IpAddr) -> &[Answer] {
        self.record(vip).map_or(&[], |record| &record.answers)
    }
}

/// Whether `mac` gives no answer among `answers` for so long after the first of them.
fn stays_silent(answers: &[Answer], mac: Mac, for_ns: u64) -> bool {
    let Some(first) = answers.first() else { return true };
    answers
        .iter()
        .take_while(|answer| answer.received_ns < first.received_ns + for_ns)
        .all(|answer| answer.mac != mac)
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |ns: u64| ns as f64 / 1e6;
        write!(f, "{}: {:.1} ms without an answer", self.vip, milliseconds(self.length_ns))?;
        if self.until_ns.is_none() {
            write!(f, ", never ended")?;
        }
        write!(f, " (longest time unasked {:.1} ms)", milliseconds(self.unasked_ns))
    }
}
