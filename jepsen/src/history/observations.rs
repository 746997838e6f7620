//! What was seen from outside: answers on the wire, and what members told of their leases.

use std::collections::BTreeMap;
use std::net::IpAddr;

use leasehold_lab::Observation;
use leasehold_lab::observer::observation::{Answer, Claim};
use serde::{Deserialize, Serialize};

use super::setup::mac_text;
use super::{LineError, Nanos};

/// So many instants stand in one line of the file.
const INSTANTS_PER_LINE: usize = 256;

/// All of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observations {
    /// Who asked whose hardware address a VIP has, by the observer's name.
    pub neighbours: BTreeMap<String, Observation>,
    /// Who sent echoes to a VIP, as a client would; their answers name no director.
    pub echoes: BTreeMap<String, Observation>,
    /// What members said, in the order in which it was read.
    pub told: Vec<Told>,
}

/// What a member said of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// When it was said, or, where that is not known, read.
    pub seen_ns: Nanos,
    pub source: Source,
    pub word: Word,
    pub group: String,
    pub epoch: u64,
    pub holder: String,
}

/// One run of one member's daemon, by one channel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Source {
    pub node: String,
    /// Counts the starts of its daemon: one that restarts applies its log again.
    pub run: u64,
    /// `status`, `log`, `notify`: each keeps its own order, and no order with the others.
    pub channel: String,
}

/// What was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// The group is granted so, by a member that has applied it. Repeated at will.
    Holds,
    /// The holder itself serves since this instant: its first confirmed renewal. Once an epoch.
    Serves,
    /// The holder itself serves no more.
    Ended,
}

impl Observations {
    /// As JSON lines.
    #[must_use]
    pub fn to_lines(&self) -> String {
        let mut out = String::new();
        for (medium, witnesses) in
            [(Medium::Neighbours, &self.neighbours), (Medium::Echoes, &self.echoes)]
        {
            for (by, seen) in witnesses {
                for line in lines_of(by, medium, seen) {
                    push(&mut out, &line);
                }
            }
        }
        for told in &self.told {
            push(&mut out, &Line::Told(told.clone()));
        }
        out
    }

    /// What [`to_lines`](Self::to_lines) wrote.
    ///
    /// # Errors
    /// Names the first line that is none, and why.
    pub fn from_lines(text: &str) -> Result<Observations, LineError> {
        let mut read = Observations::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line =
                serde_json::from_str(line).map_err(|error| LineError::new(number, &error))?;
            read.add(line);
        }
        Ok(read)
    }

    fn add(&mut self, line: Line) {
        match line {
            Line::Witness { by, medium, started_ns, ended_ns, frames_lost } => {
                let seen = self.seen(medium, by);
                (seen.started_ns, seen.ended_ns) = (started_ns, ended_ns);
                seen.frames_lost = frames_lost;
            }
            Line::Asked { by, medium, vip, sent_ns } => {
                self.seen(medium, by).records.entry(vip).or_default().sent_ns.extend(sent_ns);
            }
            Line::Answered { by, medium, vip, mac, times_ns } => {
                let answers = times_ns.into_iter().map(|[sent_ns, received_ns]| Answer {
                    sent_ns,
                    received_ns,
                    mac,
                });
                self.seen(medium, by).records.entry(vip).or_default().answers.extend(answers);
            }
            Line::Claimed { by, medium, vip, mac, times_ns } => {
                let claims = times_ns.into_iter().map(|received_ns| Claim { received_ns, mac });
                self.seen(medium, by).records.entry(vip).or_default().claims.extend(claims);
            }
            Line::Told(told) => self.told.push(told),
        }
    }

    fn seen(&mut self, medium: Medium, by: String) -> &mut Observation {
        match medium {
            Medium::Neighbours => self.neighbours.entry(by).or_default(),
            Medium::Echoes => self.echoes.entry(by).or_default(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Medium {
    Neighbours,
    Echoes,
}

/// A line of the file. Instants of one kind by one director stand together, since every
/// millisecond has some.
#[derive(Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "lowercase")]
enum Line {
    Witness {
        by: String,
        medium: Medium,
        started_ns: Nanos,
        ended_ns: Nanos,
        frames_lost: u64,
    },
    Asked {
        by: String,
        medium: Medium,
        vip: IpAddr,
        sent_ns: Vec<Nanos>,
    },
    Answered {
        by: String,
        medium: Medium,
        vip: IpAddr,
        #[serde(with = "mac_text")]
        mac: leasehold_lab::Mac,
        times_ns: Vec<[Nanos; 2]>,
    },
    Claimed {
        by: String,
        medium: Medium,
        vip: IpAddr,
        #[serde(with = "mac_text")]
        mac: leasehold_lab::Mac,
        times_ns: Vec<Nanos>,
    },
    Told(Told),
}

fn lines_of(by: &str, medium: Medium, seen: &Observation) -> Vec<Line> {
    let by = || by.to_owned();
    let Observation { started_ns, ended_ns, frames_lost, ref records } = *seen;
    let mut lines = vec![Line::Witness { by: by(), medium, started_ns, ended_ns, frames_lost }];
    for (vip, record) in records {
        let vip = *vip;
        let asked = record.sent_ns.chunks(INSTANTS_PER_LINE);
        lines.extend(asked.map(|some| Line::Asked {
            by: by(),
            medium,
            vip,
            sent_ns: some.to_vec(),
        }));
        if record.sent_ns.is_empty() {
            // An address that was never asked for is an address that was to be.
            lines.push(Line::Asked { by: by(), medium, vip, sent_ns: Vec::new() });
        }
        for run in record.answers.chunk_by(|one, next| one.mac == next.mac) {
            lines.extend(run.chunks(INSTANTS_PER_LINE).map(|some| Line::Answered {
                by: by(),
                medium,
                vip,
                mac: some[0].mac,
                times_ns: some.iter().map(|one| [one.sent_ns, one.received_ns]).collect(),
            }));
        }
        for run in record.claims.chunk_by(|one, next| one.mac == next.mac) {
            lines.extend(run.chunks(INSTANTS_PER_LINE).map(|some| Line::Claimed {
                by: by(),
                medium,
                vip,
                mac: some[0].mac,
                times_ns: some.iter().map(|one| one.received_ns).collect(),
            }));
        }
    }
    lines
}

fn push(out: &mut String, line: &Line) {
    out.push_str(
        &serde_json::to_string(line).expect("numbers, words and lists always have a form"),
    );
    out.push('\n');
}
