//! What is broken: the cluster, and who of it is meant.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leasehold_lab::cluster::{Cluster, Desk};
use leasehold_lab::{Host, LabError, until};
use serde_json::Value;

use super::Site;
use crate::history::Recorder;
use crate::random::Random;
use crate::workload::document::Orders;

/// A member that does not answer within this time is not asked.
const ANSWER_WITHIN: Duration = Duration::from_millis(1500);

/// What a guard may need to finish for a daemon that is gone.
const GUARD_WITHIN: Duration = Duration::from_secs(3);

/// Whom a fault is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Who holds this instance, by its place in the configuration.
    Holder(usize),
    Leader,
    /// A member by its place; a director where it is below their number.
    Member(usize),
}

impl Target {
    /// Holders and the leader are where faults hurt, so they come more often than chance has it.
    pub(super) fn draw(random: &mut Random, site: &Site) -> Target {
        match random.below(4) {
            0 | 1 => Target::Holder(random.below(site.instances)),
            2 => Target::Leader,
            _ => Target::Member(random.below(site.members)),
        }
    }

    pub(super) fn director(random: &mut Random, site: &Site) -> Target {
        if random.chance(60) {
            Target::Holder(random.below(site.instances))
        } else {
            Target::Member(random.below(site.directors))
        }
    }
}

/// An instance under test.
#[derive(Clone, Debug)]
pub struct Subject {
    pub name: String,
    pub vip: IpAddr,
}

/// The cluster under test, and who keeps what down.
#[derive(Debug)]
pub struct World {
    pub cluster: Cluster,
    pub subjects: Vec<Subject>,
    pub site: Site,
    pub recorder: Arc<Recorder>,
    /// How often each member's daemon was started.
    pub runs: Arc<Vec<AtomicU64>>,
    /// Commands that must be done before the cluster is whole again.
    pub debts: Vec<Vec<String>>,
    /// Where changes of the configuration are ordered.
    pub orders: Option<Orders>,
    /// How many faults keep a member's daemon from running.
    held: BTreeMap<usize, usize>,
    /// How many faults cut a way.
    cuts: BTreeMap<(usize, usize), usize>,
}

impl World {
    #[must_use]
    pub fn new(
        cluster: Cluster,
        subjects: Vec<Subject>,
        site: Site,
        recorder: Arc<Recorder>,
    ) -> World {
        let runs = cluster.nodes().iter().map(|_| AtomicU64::new(1)).collect();
        World {
            cluster,
            subjects,
            site,
            recorder,
            runs: Arc::new(runs),
            debts: Vec::new(),
            orders: None,
            held: BTreeMap::new(),
            cuts: BTreeMap::new(),
        }
    }

    pub(super) fn name(&self, member: usize) -> String {
        self.cluster.nodes()[member].name.clone()
    }

    pub(super) fn names(&self, members: &[usize]) -> Vec<String> {
        members.iter().map(|member| self.name(*member)).collect()
    }

    pub(super) fn host(&self, member: usize) -> &Host {
        &self.cluster.nodes()[member].host
    }

    pub(super) fn others(&self, member: usize) -> Vec<usize> {
        (0..self.site.members).filter(|other| *other != member).collect()
    }

    /// Who runs, and is kept from nothing.
    pub(super) fn answering(&self) -> Vec<usize> {
        let all = 0..self.site.members;
        all.filter(|one| self.cluster.is_up(*one) && !self.held.contains_key(one)).collect()
    }

    /// What the first member that answers in time says.
    pub(super) fn status(&self) -> Option<Value> {
        if let Some(seen) = self.cluster.pair_status() {
            return Some(seen);
        }
        self.answering().into_iter().find_map(|member| {
            let errand = self.cluster.desk(member).send(&["status", "--json"]);
            let text = errand.answer(ANSWER_WITHIN)?.ok()?;
            serde_json::from_str(&text).ok()
        })
    }

    /// Which member is meant now.
    pub(super) fn resolve(&self, target: Target) -> Result<usize, String> {
        let named = |name: Option<&str>, what: &str| {
            let nodes = self.cluster.nodes();
            let place = name.and_then(|name| nodes.iter().position(|node| node.name == name));
            place.ok_or_else(|| format!("{what} is known"))
        };
        let silent = || "no member answers".to_owned();
        match target {
            Target::Member(member) => Ok(member),
            Target::Leader => {
                let status = self.status().ok_or_else(silent)?;
                named(status["cluster"]["leader"].as_str(), "no leader")
            }
            Target::Holder(nth) => {
                let status = self.status().ok_or_else(silent)?;
                let name = &self.subjects[nth].name;
                let all = status["instances"].as_array();
                let one = all.and_then(|all| all.iter().find(|one| one["name"] == **name));
                named(one.and_then(|one| one["holder"].as_str()), "no holder")
            }
        }
    }

    /// A member to say something to: one that runs, the first of a shuffled order.
    pub(super) fn desk(&self, word: u64) -> Result<(usize, Desk), String> {
        let up = self.answering();
        let one = up.get(usize::try_from(word).unwrap_or(0) % up.len().max(1));
        let one = one.ok_or_else(|| "no member runs".to_owned())?;
        Ok((*one, self.cluster.desk(*one)))
    }

    /// Keeps a member from running, or from being started, until it is let go.
    pub(super) fn hold(&mut self, member: usize) {
        *self.held.entry(member).or_default() += 1;
    }

    /// Lets go of it, and starts it where it is down and nobody else keeps it so.
    pub(super) fn let_go(&mut self, member: usize) -> Result<(), LabError> {
        let held = self.held.entry(member).or_default();
        *held = held.saturating_sub(1);
        if *held == 0 {
            self.held.remove(&member);
        }
        self.revive(member)
    }

    pub(super) fn is_held(&self, member: usize) -> bool {
        self.held.contains_key(&member)
    }

    /// Starts a daemon that is down, unless a fault keeps it so.
    pub fn revive(&mut self, member: usize) -> Result<(), LabError> {
        if self.cluster.is_up(member) || self.is_held(member) {
            return Ok(());
        }
        if let Ok(daemon) = self.cluster.daemon(member) {
            // Its guard is to finish what it began; one that is stuck is killed with the rest.
            let _ = until("the guard to finish", GUARD_WITHIN, || {
                daemon.tree().is_empty().then_some(())
            });
        }
        self.cluster.mark_down(member);
        self.note_start(member);
        self.cluster.launch_again(member)
    }

    /// What its daemon says from now on is another run's.
    pub(super) fn note_start(&self, member: usize) {
        self.runs[member].fetch_add(1, Ordering::Relaxed);
    }

    /// Stops everything on these ways, beside what others have stopped.
    pub(super) fn cut(&mut self, ways: &[(usize, usize)]) -> Result<(), LabError> {
        for way in ways {
            *self.cuts.entry(*way).or_default() += 1;
        }
        self.cluster.lan.change_ways(&self.ends(ways), &[])
    }

    /// Undoes that, but for the ways that others have stopped too.
    pub(super) fn mend(&mut self, ways: &[(usize, usize)]) -> Result<(), LabError> {
        let mut free = Vec::new();
        for way in ways {
            let count = self.cuts.entry(*way).or_default();
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.cuts.remove(way);
                free.push(*way);
            }
        }
        self.cluster.lan.change_ways(&[], &self.ends(&free))
    }

    fn ends(&self, ways: &[(usize, usize)]) -> Vec<(&Host, &Host)> {
        ways.iter().map(|(from, to)| (self.host(*from), self.host(*to))).collect()
    }
}
