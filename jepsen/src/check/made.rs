//! Histories made by hand, for the judges' own trials.

use std::collections::BTreeMap;
use std::net::IpAddr;

use leasehold_lab::observer::observation::{Answer, Record};
use leasehold_lab::{Mac, Observation};

use super::{Judged, Run, Verdict, Violation};
use crate::history::{
    Cas, Director, F, Fault, Kind, Nanos, Observations, Op, Outcome, Process, Read, Setup, Source,
    Told, Version, Voters, Word, Write,
};

pub(super) const MS: Nanos = 1_000_000;

/// Writes operations one after the other.
#[derive(Default)]
pub(super) struct Made {
    ops: Vec<Op>,
    now_ns: Nanos,
}

impl Made {
    pub(super) fn history(&self) -> Vec<Op> {
        self.ops.clone()
    }

    /// The next are at this instant.
    pub(super) fn at(&mut self, now_ns: Nanos) -> &mut Made {
        self.now_ns = now_ns;
        self
    }

    pub(super) fn push(&mut self, process: Process, kind: Kind, f: F) {
        let index = self.ops.len() as u64;
        self.ops.push(Op { index, time_ns: self.now_ns, process, kind, f, error: None });
        self.now_ns += 1;
    }

    fn client(&mut self, number: u64, kind: Kind, f: F) {
        self.push(Process::Client(number), kind, f);
    }

    pub(super) fn invoke_read(&mut self, process: u64) {
        self.client(process, Kind::Invoke, F::Read(Read::default()));
    }

    pub(super) fn ok_read(&mut self, process: u64, revision: u64, value: u64) {
        let found = Some(Version { revision, value });
        self.client(process, Kind::Ok, F::Read(Read { local: None, found }));
    }

    pub(super) fn read(&mut self, process: u64, revision: u64, value: u64) {
        self.invoke_read(process);
        self.ok_read(process, revision, value);
    }

    pub(super) fn local_read(&mut self, process: u64, revision: u64, value: u64) {
        let local = Some("ds1".to_owned());
        let ask = F::Read(Read { local: local.clone(), found: None });
        self.client(process, Kind::Invoke, ask);
        let found = Some(Version { revision, value });
        self.client(process, Kind::Ok, F::Read(Read { local, found }));
    }

    pub(super) fn invoke_write(&mut self, process: u64, value: u64) {
        self.client(process, Kind::Invoke, F::Write(Write { value, revision: None }));
    }

    pub(super) fn ok_write(&mut self, process: u64, value: u64, revision: u64) {
        let f = F::Write(Write { value, revision: Some(revision) });
        self.client(process, Kind::Ok, f);
    }

    pub(super) fn info_write(&mut self, process: u64, value: u64) {
        self.client(process, Kind::Info, F::Write(Write { value, revision: None }));
    }

    pub(super) fn fail_write(&mut self, process: u64, value: u64) {
        self.client(process, Kind::Fail, F::Write(Write { value, revision: None }));
    }

    pub(super) fn write(&mut self, process: u64, value: u64, revision: u64) {
        self.invoke_write(process, value);
        self.ok_write(process, value, revision);
    }

    pub(super) fn cas(
        &mut self,
        process: u64,
        kind: Kind,
        (if_revision, value): (u64, u64),
        revision: Option<u64>,
    ) {
        self.client(process, kind, F::Cas(Cas { if_revision, value, revision }));
    }

    /// Invoked and answered at once: `kind` is the answer.
    pub(super) fn cas_at_once(
        &mut self,
        process: u64,
        kind: Kind,
        pair: (u64, u64),
        revision: Option<u64>,
    ) {
        self.cas(process, Kind::Invoke, pair, None);
        self.cas(process, kind, pair, revision);
    }

    pub(super) fn invoke_start(&mut self, fault: &Fault) {
        self.push(Process::Nemesis, Kind::Invoke, F::Start(fault.clone()));
    }

    pub(super) fn done_start(&mut self, fault: &Fault, outcome: Outcome) {
        self.push(Process::Nemesis, Kind::Info, F::Start(fault.clone().told(outcome)));
    }

    pub(super) fn invoke_stop(&mut self, fault: &Fault) {
        self.push(Process::Nemesis, Kind::Invoke, F::Stop(fault.clone()));
    }

    pub(super) fn done_stop(&mut self, fault: &Fault, outcome: Outcome) {
        self.push(Process::Nemesis, Kind::Info, F::Stop(fault.clone().told(outcome)));
    }

    /// A fault in force from the one instant to the other, begun and healed within a nanosecond.
    pub(super) fn fault(&mut self, fault: &Fault, from_ns: Nanos, until_ns: Nanos) {
        self.at(from_ns - 1).invoke_start(fault);
        self.at(from_ns).done_start(fault, Outcome::Installed);
        self.at(until_ns).invoke_stop(fault);
        self.at(until_ns + 1).done_stop(fault, Outcome::Installed);
    }

    pub(super) fn voters(&mut self, kind: Kind, names: &[&str]) {
        let voters = names.iter().map(|name| (*name).to_owned()).collect();
        self.push(Process::Nemesis, kind, F::Voters(Voters { voters }));
    }
}

pub(super) fn vip() -> IpAddr {
    IpAddr::from([192, 0, 2, 1])
}

pub(super) fn mac(director: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, director])
}

/// Three directors, all voters, a ttl of 1 s, drift 1 %, an observer right to 1 ms.
pub(super) fn setup() -> Setup {
    let name = |number: u8| format!("ds{number}");
    Setup {
        ttl_ns: 1_000 * MS,
        drift_ppm: 10_000,
        error_bound_ns: MS,
        directors: (1..=3).map(|it| Director { name: name(it), macs: vec![mac(it)] }).collect(),
        voters: (1..=3).map(name).collect(),
        vips: BTreeMap::from([(vip(), "VI_1".to_owned())]),
        grants_complete: true,
        quickest_return_ns: 20 * MS,
        ..Setup::default()
    }
}

/// Answers for the one VIP: asked at, received at, by which director.
pub(super) fn seen(answers: &[(Nanos, Nanos, u8)]) -> Observations {
    let record = Record {
        sent_ns: answers.iter().map(|answer| answer.0).collect(),
        answers: answers
            .iter()
            .map(|&(sent_ns, received_ns, by)| Answer { sent_ns, received_ns, mac: mac(by) })
            .collect(),
        claims: Vec::new(),
    };
    let ended_ns = answers.last().map_or(0, |answer| answer.1);
    let started_ns = answers.first().map_or(0, |answer| answer.0);
    let records = BTreeMap::from([(vip(), record)]);
    let seen = Observation { started_ns, ended_ns, frames_lost: 0, records };
    Observations {
        neighbours: BTreeMap::from([("client".to_owned(), seen)]),
        ..Observations::default()
    }
}

/// A director answers every 2 ms, each within 1 ms, from the one instant until before the other.
pub(super) fn reign(by: u8, from_ns: Nanos, until_ns: Nanos) -> Vec<(Nanos, Nanos, u8)> {
    let steps = (until_ns - from_ns) / (2 * MS);
    (0..steps).map(|nth| from_ns + nth * 2 * MS).map(|at| (at, at + MS / 2, by)).collect()
}

pub(super) fn told(seen_ns: Nanos, node: &str, word: Word, epoch: u64, holder: &str) -> Told {
    let source = Source { node: node.to_owned(), run: 0, channel: "status".to_owned() };
    let (group, holder) = ("VI_1".to_owned(), holder.to_owned());
    Told { seen_ns, source, word, group, epoch, holder }
}

pub(super) fn run(history: Vec<Op>, observations: Observations) -> Run {
    Run { setup: setup(), history, observations, end: None }
}

/// The violations of a verdict that must have some.
pub(super) fn violations(judged: &Judged) -> &[Violation] {
    match &judged.verdict {
        Verdict::Invalid(violations) => violations,
        Verdict::Valid | Verdict::Unknown(_) => panic!("no violation: {judged:?}"),
    }
}
