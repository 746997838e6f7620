//! A live keepalived pair gives its VIP to a cluster that joined beside it, and takes it back.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use leasehold_lab::cluster::{Cluster, Plan};
use leasehold_lab::observer::observation::Answer;
use leasehold_lab::peers::keepalived::Keepalived;
use leasehold_lab::{
    Host, LabError, Mac, Observation, Observer, Port, Result, Returns, Signal, now_ns,
};

use super::{pass, spread};

const VIP: &str = "192.168.1.100";
const VRID: u8 = 51;

/// As long as a takeover or a first lease may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// How long is watched after each step: some adverts, and every announcement.
const AFTERMATH: Duration = Duration::from_secs(4);

/// Some questions, and less than a lease takes to pass to another director and back.
const SETTLED_NS: u64 = 6_000_000;

/// The priorities: keepalived's pair, and the directors in order. All of theirs are below.
const MASTER: u8 = 150;
const BACKUP: u8 = 100;
const DIRECTORS: [u8; 3] = [90, 80, 70];

/// As many as there are priorities for.
pub const DIRECTORS_MAX: usize = DIRECTORS.len();

/// What is done, in order; each round does all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Join,
    StopBackup,
    StopMaster,
    Return,
}

impl Step {
    pub const ALL: [Step; 4] = [Step::Join, Step::StopBackup, Step::StopMaster, Step::Return];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Step::Join => "the cluster gets the instance, the pair stays",
            Step::StopBackup => "keepalived's BACKUP stopped (SIGTERM)",
            Step::StopMaster => "keepalived's MASTER stopped (SIGTERM): the cluster takes over",
            Step::Return => "keepalived started again, priority 150: the cluster gives back",
        }
    }
}

/// What the client saw of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// The longest time without an answer from anybody.
    pub outage_ms: f64,
    /// The longest time in it in which nobody was asked: what it may owe to the observer.
    pub unasked_ms: f64,
    /// Questions that two directors of the cluster answered, or one that had lost the VIP did.
    pub duplicates: usize,
    /// How often the answers passed from one director of the cluster to another.
    pub moves: usize,
    /// Answers by the cluster while keepalived was to answer alone.
    pub intruders: usize,
    /// How the answers passed from one to the other, where the step hands over.
    pub handover: Option<Handover>,
}

impl Seen {
    /// Whether the cluster kept its promise: one answerer of its own, and none beside
    /// keepalived.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.duplicates == 0 && self.moves == 0 && self.intruders == 0
    }
}

/// From the old answerer to the new.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Handover {
    /// From the old one's last answer to the new one's first; 0 if both answered for a time.
    pub silence_ms: f64,
    /// From the new one's first answer to the old one's last; 0 if nobody answered between.
    pub both_ms: f64,
    /// Questions that both answered.
    pub both: usize,
    /// Announcements between the last answer of one and the first of the other.
    pub claims_between: usize,
    /// Announcements by the old one after the new one's first answer.
    pub claims_late: usize,
}

/// Rounds on one cluster; each starts with a pair of keepalived and nothing of the cluster's.
///
/// # Errors
/// Where either does not come up, or does not take over.
pub fn run(
    binary: PathBuf,
    directors: usize,
    rounds: usize,
    mut told: impl FnMut(usize, Step, Seen),
) -> Result<Vec<(Step, Seen)>> {
    if !(1..=DIRECTORS_MAX).contains(&directors) {
        return Err(LabError::Argument(format!(
            "--directors {directors}: 1 to {DIRECTORS_MAX} are possible"
        )));
    }
    let mut site = Site::start(binary, directors)?;
    let mut all = Vec::new();
    for round in 1..=rounds {
        site.pair()?;
        for step in Step::ALL {
            let seen = site.take(step)?;
            told(round, step, seen);
            all.push((step, seen));
        }
        site.clear()?;
    }
    Ok(all)
}

/// A row for each step: minimum, median and maximum of its rounds.
#[must_use]
pub fn rows(all: &[(Step, Seen)]) -> Vec<String> {
    let row = |step: Step| {
        let seen: Vec<Seen> = all.iter().filter(|one| one.0 == step).map(|one| one.1).collect();
        let handovers: Vec<Handover> = seen.iter().filter_map(|one| one.handover).collect();
        let outages: Vec<f64> = seen.iter().map(|one| one.outage_ms).collect();
        let of = |figure: fn(&Handover) -> f64| {
            spread(&handovers.iter().map(figure).collect::<Vec<_>>())
        };
        let sum = |figure: fn(&Handover) -> usize| handovers.iter().map(figure).sum::<usize>();
        format!(
            "| {} | {} | {:.0} | {} | {} | {} | {} | {} | {} | {} | {} |",
            step.name(),
            spread(&outages),
            seen.iter().map(|one| one.unasked_ms).fold(0.0, f64::max),
            of(|one| one.silence_ms),
            of(|one| one.both_ms),
            sum(|one| one.both),
            sum(|one| one.claims_between),
            sum(|one| one.claims_late),
            seen.iter().map(|one| one.intruders).sum::<usize>(),
            seen.iter().map(|one| one.moves).sum::<usize>(),
            seen.iter().map(|one| one.duplicates).sum::<usize>(),
        )
    };
    Step::ALL.into_iter().map(row).collect()
}

/// What the columns of [`rows`] are.
pub const HEAD: &str = "| step | outage ms, min / median / max | of it unasked, at most ms | \
    silence between the two, ms | both answered, ms | questions both answered | \
    announcements between | late announcements by the old | answers beside keepalived | \
    moves in the cluster | duplicates in the cluster |\n\
    | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |";

struct Site {
    vip: IpAddr,
    cluster: Cluster,
    hosts: [(Host, Port); 2],
    master: Option<Keepalived>,
    backup: Option<Keepalived>,
}

impl Site {
    fn start(binary: PathBuf, directors: usize) -> Result<Site> {
        let vip = VIP.parse().map_err(|_| LabError::Argument(format!("{VIP} is no address")))?;
        let cluster = Cluster::start(&Plan { directors, ..Plan::new(binary) })?;
        let host = |name: &str, nth| -> Result<(Host, Port)> {
            let host = Host::new(name)?;
            let port = cluster.lan.attach(&host, "eth0", nth)?;
            Ok((host, port))
        };
        let hosts = [host("ka1", 61)?, host("ka2", 62)?];
        Ok(Site { vip, cluster, hosts, master: None, backup: None })
    }

    fn observe(&self) -> Result<Observer> {
        self.cluster.lan.observe(&self.cluster.client, &[self.vip])
    }

    /// Brings the pair up, alone.
    fn pair(&mut self) -> Result<()> {
        let observer = self.observe()?;
        self.master = Some(Keepalived::start(&self.hosts[0].0, &keepalived("MASTER", MASTER))?);
        self.backup = Some(Keepalived::start(&self.hosts[1].0, &keepalived("BACKUP", BACKUP))?);
        observer.wait_for(self.vip, Some(self.hosts[0].1.mac), SOON)?;
        pass(AFTERMATH)
    }

    /// Takes everything away again.
    fn clear(&mut self) -> Result<()> {
        self.cluster.apply_with("toml", "", &["--allow-empty"])?;
        let observer = self.observe()?;
        (self.master, self.backup) = (None, None);
        // Killed, it left its address behind.
        for (host, _) in &self.hosts {
            host.ip(&format!("addr flush to {VIP}/32 dev eth0"))?;
        }
        observer.wait_for_silence(self.vip, Duration::from_secs(1), SOON)
    }

    /// Does one step, and waits until it is over.
    fn take(&mut self, step: Step) -> Result<Seen> {
        let (vip, old) = (self.vip, self.hosts[0].1.mac);
        let observer = self.observe()?;
        observer.wait_for(vip, None, SOON)?;
        let from = now_ns();
        match step {
            Step::Join => {
                self.cluster.apply("toml", &leasehold(self.cluster.nodes().len())).map(drop)?
            }
            Step::StopBackup => stop(&mut self.backup)?,
            Step::StopMaster => {
                signal(self.master.as_ref())?;
                observer.wait_for_other(vip, old, SOON)?;
            }
            Step::Return => {
                let config = keepalived("MASTER", MASTER);
                self.master = Some(Keepalived::start(&self.hosts[0].0, &config)?);
                observer.wait_for(vip, Some(old), SOON)?;
            }
        }
        pass(AFTERMATH)?;
        let seen = observer.stop()?;
        match step {
            Step::StopMaster => self.master = None,
            Step::Join | Step::StopBackup | Step::Return => {}
        }
        self.judge(step, &seen, from)
    }

    fn judge(&self, step: Step, seen: &Observation, from: u64) -> Result<Seen> {
        let ours: BTreeSet<Mac> = self.cluster.nodes().iter().map(|node| node.port.mac).collect();
        let outage = seen.outage(self.vip, from);
        let (duplicates, moves) = within(seen, self.vip, &ours);
        let mut result = Seen {
            outage_ms: outage.map_or(0.0, |one| one.length_ns as f64 / 1e6),
            unasked_ms: outage.map_or(0.0, |one| one.unasked_ns as f64 / 1e6),
            duplicates,
            moves,
            ..Seen::default()
        };
        let by = |mac: Mac| ours.contains(&mac);
        match step {
            Step::Join | Step::StopBackup => {
                let record = &seen.records[&self.vip];
                result.intruders = record.answers.iter().filter(|one| by(one.mac)).count();
            }
            Step::StopMaster | Step::Return => {
                let ours_were_first = step == Step::Return;
                let handover = handover(seen, self.vip, |mac| by(mac) == ours_were_first);
                let told = || LabError::Argument(format!("{}: nothing passed", step.name()));
                result.handover = Some(handover.ok_or_else(told)?);
            }
        }
        Ok(result)
    }
}

/// Ends one of the pair as an operator does, and waits until it has ended.
fn stop(one: &mut Option<Keepalived>) -> Result<()> {
    signal(one.as_ref())?;
    if let Some(one) = one.take() {
        one.process().wait(SOON)?;
    }
    Ok(())
}

fn signal(one: Option<&Keepalived>) -> Result<()> {
    let down = || LabError::Argument("this keepalived is down".to_owned());
    one.ok_or_else(down)?.process().kill(Signal::SIGTERM)
}

/// The duplicates among these alone, and the changes from one to another, whatever others
/// answered.
fn within(seen: &Observation, vip: IpAddr, ours: &BTreeSet<Mac>) -> (usize, usize) {
    let mut only = seen.clone();
    for record in only.records.values_mut() {
        record.answers.retain(|one| ours.contains(&one.mac));
    }
    // A cluster that yields may pass the VIP to and fro: that is bad, but not two at a time.
    let duplicates = only.duplicates(vip, Returns::Settled(SETTLED_NS)).len();
    (duplicates, only.reigns(vip).len().saturating_sub(1))
}

/// How the answers passed from those that `is_old` names to the others; `None` if they did not.
fn handover(seen: &Observation, vip: IpAddr, is_old: impl Fn(Mac) -> bool) -> Option<Handover> {
    let record = seen.records.get(&vip)?;
    let (old, new): (Vec<&Answer>, Vec<&Answer>) =
        record.answers.iter().partition(|one| is_old(one.mac));
    let last = old.iter().map(|one| one.received_ns).max()?;
    let first = new.iter().map(|one| one.received_ns).min()?;
    let answered: BTreeSet<u64> = old.iter().map(|one| one.sent_ns).collect();
    let ms = |from: u64, until: u64| until.saturating_sub(from) as f64 / 1e6;
    let claims = || record.claims.iter();
    Some(Handover {
        silence_ms: ms(last, first),
        both_ms: ms(first, last),
        both: new.iter().filter(|one| answered.contains(&one.sent_ns)).count(),
        claims_between: claims().filter(|one| (last..first).contains(&one.received_ns)).count(),
        claims_late: claims().filter(|one| is_old(one.mac) && one.received_ns > first).count(),
    })
}

fn keepalived(state: &str, priority: u8) -> String {
    format!(
        "global_defs {{\n    vrrp_version 2\n}}\nvrrp_instance VI_1 {{\n    state {state}\n    \
         interface eth0\n    virtual_router_id {VRID}\n    priority {priority}\n    \
         advert_int 1\n    virtual_ipaddress {{\n        {VIP}/24\n    }}\n}}\n"
    )
}

fn leasehold(directors: usize) -> String {
    let directors: String = (1..)
        .zip(DIRECTORS)
        .take(directors)
        .map(|(nth, priority)| format!("[instance.VI_1.director.ds{nth}]\npriority = {priority}\n"))
        .collect();
    format!(
        "[instance.VI_1]\nvirtual_router_id = {VRID}\ninterface = \"eth0\"\n\
         advert_int_ms = 1000\nvirtual_ipaddress = [\"{VIP}/24\"]\n\
         foreign_master = \"yield\"\n{directors}"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use leasehold_lab::observer::observation::{Claim, Record};

    use super::*;

    const OLD: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const NEW: Mac = Mac([2, 0, 0, 0, 0, 2]);
    const MS: u64 = 1_000_000;

    fn seen(answers: &[(u64, Mac)], claims: &[(u64, Mac)]) -> (Observation, IpAddr) {
        let vip = IpAddr::from([10, 0, 0, 1]);
        let answer = |&(at, mac): &(u64, Mac)| Answer {
            sent_ns: at / 10 * 10 * MS,
            received_ns: at * MS,
            mac,
        };
        let claim = |&(at, mac): &(u64, Mac)| Claim { received_ns: at * MS, mac };
        let record = Record {
            sent_ns: Vec::new(),
            answers: answers.iter().map(answer).collect(),
            claims: claims.iter().map(claim).collect(),
        };
        (Observation { records: BTreeMap::from([(vip, record)]), ..Observation::default() }, vip)
    }

    #[test]
    fn a_silence_between_the_two_is_measured_with_what_was_announced_in_it() {
        let claims = [(5, OLD), (45, NEW), (70, OLD), (80, NEW)];
        let (seen, vip) = seen(&[(1, OLD), (11, OLD), (61, NEW)], &claims);
        let found = handover(&seen, vip, |mac| mac == OLD);
        let wanted =
            Handover { silence_ms: 50.0, claims_between: 1, claims_late: 1, ..Handover::default() };
        assert_eq!(found, Some(wanted));
    }

    #[test]
    fn both_answering_is_no_silence_and_is_no_duplicate_within_one_of_them() {
        let (seen, vip) = seen(&[(1, OLD), (11, NEW), (12, OLD), (21, OLD), (31, NEW)], &[]);
        let found = handover(&seen, vip, |mac| mac == OLD);
        assert_eq!(found, Some(Handover { both_ms: 10.0, both: 1, ..Handover::default() }));
        assert_eq!(within(&seen, vip, &BTreeSet::from([NEW])), (0, 0));
        let (duplicates, moves) = within(&seen, vip, &BTreeSet::from([NEW, OLD]));
        assert_eq!((duplicates, moves), (1, 3), "12 is a second answer, 31 a return in peace");
        assert_eq!(handover(&seen, vip, |_| true), None);
    }
}
