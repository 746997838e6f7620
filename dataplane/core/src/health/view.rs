//! One director's view of all real servers: which are up, and whether they are enough.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use leasehold_model::{BootNanos, Config, Overrides, RealServer, VirtualServer};

use super::standing::said;
use super::{Damper, Effective, Finding, Findings, Name, Verdict, has_alpha};

/// What is known of every real server of the configuration. What was never checked is up, unless
/// it is to prove itself first (`alpha`).
///
/// A quorum has memory (hysteresis), and so have dampers: all else follows from the arguments, of
/// which the kernel's table may have newer ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    pub(super) servers: BTreeMap<Name, View>,
    /// When real servers that are held are held no more.
    pub(super) holds: BTreeSet<(BootNanos, Name, SocketAddr)>,
}

/// Of one virtual server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) real: BTreeMap<SocketAddr, Known>,
    /// The sum of what real servers count for.
    live: u64,
    limits: Limits,
    quorum: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    finding: Finding,
    /// What its checks say, and before they say anything: the configuration.
    up: bool,
    /// Absent: comings and goings are not counted.
    pub(super) damper: Option<Damper>,
    /// What it adds to `live`.
    counted: u64,
}

impl Known {
    fn new(server: &VirtualServer, real: &RealServer) -> Self {
        let up = !has_alpha(server, real);
        Self { finding: Finding::default(), up, damper: None, counted: 0 }
    }

    /// Where its checks say nothing, because they are others than before, one that was up has
    /// proven itself (`migrate_checkers` of `ipwrapper.c`).
    fn find(&mut self, server: &VirtualServer, real: &RealServer, finding: Finding) {
        self.finding = finding;
        self.up = match finding.verdict {
            Some(verdict) => verdict == Verdict::Up,
            None => self.up || !has_alpha(server, real),
        };
    }

    fn is_held(&self) -> bool {
        self.damper.as_ref().is_some_and(Damper::is_held)
    }

    fn hold(&self) -> Option<BootNanos> {
        self.damper.as_ref().and_then(Damper::poll_timeout)
    }
}

/// When a quorum is lost, and when it is gained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    lost_below: u64,
    gained_at: u64,
}

impl Limits {
    /// As keepalived counts: gained at quorum + hysteresis, lost below quorum - hysteresis, where
    /// a quorum above the sum of all configured weights is that sum, and hysteresis is less than
    /// the quorum (`validate_check_config` of `check_data.c`). Unlike there, what is wanted to
    /// gain it is no more than that sum either: it could never be gained.
    fn of(server: &VirtualServer) -> Self {
        let total = server.real_servers.iter().map(|one| u64::from(one.weight)).sum::<u64>().max(1);
        let quorum = u64::from(server.quorum).clamp(1, total);
        let slack = u64::from(server.hysteresis).min(quorum - 1);
        Self { lost_below: quorum - slack, gained_at: (quorum + slack).min(total) }
    }
}

impl View {
    /// Within the band of the hysteresis a new one has its quorum: unlike with keepalived, whose
    /// restart may put the sorry server before real servers that all other directors serve.
    fn new(limits: Limits, before: Option<bool>, real: BTreeMap<SocketAddr, Known>) -> Self {
        let live = real.values().map(|one| one.counted).sum();
        let mut view = Self { real, live, limits, quorum: before.unwrap_or(true) };
        view.count();
        view
    }

    /// Where no hysteresis is, one of the two holds; within the band of it neither does.
    fn count(&mut self) {
        if self.live < self.limits.lost_below {
            self.quorum = false;
        } else if self.live >= self.limits.gained_at {
            self.quorum = true;
        }
    }

    fn recount(&mut self, address: SocketAddr, now: Effective) {
        if let Some(known) = self.real.get_mut(&address) {
            let counted = u64::from(now.weight);
            let before = std::mem::replace(&mut known.counted, counted);
            self.live = self.live - before + counted;
        }
        self.count();
    }
}

impl Health {
    /// Another configuration, and what those of its checks say that go on.
    pub fn handle_config(
        &mut self,
        config: &Config,
        findings: &Findings,
        overrides: &Overrides,
        now: BootNanos,
    ) {
        let mut before = std::mem::take(&mut self.servers);
        self.holds.clear();
        for server in &config.virtual_servers {
            let name = server.key();
            let (mut known, quorum) = match before.remove(&name) {
                Some(view) => (view.real, Some(view.quorum)),
                None => (BTreeMap::new(), None),
            };
            let mut all = BTreeMap::new();
            for real in &server.real_servers {
                let before = known.remove(&real.address);
                let mut one = before.unwrap_or_else(|| Known::new(server, real));
                let place = (name.clone(), real.address);
                one.find(server, real, findings.get(&place).copied().unwrap_or_default());
                one.damper = damper(server, &one, now);
                self.holds.extend(one.hold().map(|until| (until, place.0, place.1)));
                let effective = effective(server, real, Some(&one), overrides);
                one.counted = u64::from(effective.weight);
                all.insert(real.address, one);
            }
            self.servers.insert(name, View::new(Limits::of(server), quorum, all));
        }
    }

    /// Operators said something else. Counts every quorum again.
    pub fn handle_overrides(&mut self, config: &Config, overrides: &Overrides) {
        for server in &config.virtual_servers {
            let Some(view) = self.servers.get_mut(&server.key()) else { continue };
            view.live = 0;
            for real in &server.real_servers {
                let Some(one) = view.real.get_mut(&real.address) else { continue };
                let effective = effective(server, real, Some(one), overrides);
                one.counted = u64::from(effective.weight);
            }
            view.live = view.real.values().map(|one| one.counted).sum();
            view.count();
        }
    }

    /// Takes in what the checks of a real server say. True where it stands elsewhere than before,
    /// also if only by its checks, it has another weight, or the quorum is another.
    pub fn handle_finding(
        &mut self,
        server: &VirtualServer,
        real: &RealServer,
        finding: Finding,
        overrides: &Overrides,
        now: BootNanos,
    ) -> bool {
        let name = server.key();
        let Some(view) = self.servers.get_mut(&name) else { return false };
        let Some(known) = view.real.get_mut(&real.address) else { return false };
        let before = effective(server, real, Some(known), overrides);
        let (hold, was) = (known.hold(), (known.up, known.is_held()));
        known.find(server, real, finding);
        if let Some(damper) = &mut known.damper {
            damper.handle_state(known.up, now);
        }
        let then = known.hold();
        let after = effective(server, real, Some(known), overrides);
        let moved = was != (known.up, known.is_held());
        let quorum = view.quorum;
        view.recount(real.address, after);
        let changed = moved || before != after || quorum != view.quorum;
        if hold != then {
            let entry = |until| (until, name.clone(), real.address);
            if let Some(hold) = hold.map(entry) {
                self.holds.remove(&hold);
            }
            self.holds.extend(then.map(entry));
        }
        changed
    }

    /// When a real server that is held is held no more.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<BootNanos> {
        self.holds.first().map(|(until, ..)| *until)
    }

    /// Lets go of those whose time it is, and names the virtual servers that they belong to.
    pub fn handle_timeout(
        &mut self,
        config: &Config,
        overrides: &Overrides,
        now: BootNanos,
    ) -> BTreeSet<Name> {
        let mut names = BTreeSet::new();
        while self.poll_timeout().is_some_and(|until| until <= now) {
            let Some((_, name, address)) = self.holds.pop_first() else { break };
            let Some(view) = self.servers.get_mut(&name) else { continue };
            if let Some(damper) = view.real.get_mut(&address).and_then(|one| one.damper.as_mut()) {
                damper.handle_timeout(now);
            }
            let server = config.virtual_servers.iter().find(|one| one.key() == name);
            let of = |one: &&RealServer| one.address == address;
            let found = server.and_then(|one| Some((one, one.real_servers.iter().find(of)?)));
            if let Some((server, real)) = found {
                let effective = effective(server, real, view.real.get(&address), overrides);
                view.recount(address, effective);
            }
            names.insert(name);
        }
        names
    }

    /// Where a real server stands, and what it gets.
    #[must_use]
    pub fn effective(
        &self,
        server: &VirtualServer,
        real: &RealServer,
        overrides: &Overrides,
    ) -> Effective {
        let view = self.servers.get(&server.key());
        effective(server, real, view.and_then(|one| one.real.get(&real.address)), overrides)
    }

    /// Whether it would be up if no operator had said anything.
    #[must_use]
    pub fn is_up(&self, server: &VirtualServer, real: &RealServer) -> bool {
        self.effective(server, real, &Overrides::new()).standing.is_up()
    }

    /// Whether the sorry server, if there is one, serves alone.
    #[must_use]
    pub fn has_quorum(&self, server: &VirtualServer) -> bool {
        self.servers.get(&server.key()).is_none_or(|view| view.quorum)
    }
}

fn effective(
    server: &VirtualServer,
    real: &RealServer,
    known: Option<&Known>,
    overrides: &Overrides,
) -> Effective {
    let held = known.is_some_and(Known::is_held);
    let (finding, up) = match known {
        Some(one) => (one.finding, one.up),
        None => (Finding::default(), !has_alpha(server, real)),
    };
    Effective::of(real, finding, up, held, said(overrides, server, real.address))
}

/// The damper that it had, told of the finding, or a new one.
fn damper(server: &VirtualServer, known: &Known, now: BootNanos) -> Option<Damper> {
    let damping = server.damping?;
    let mut damper = known.damper.clone().unwrap_or_else(|| Damper::new(damping, known.up));
    damper.handle_damping(damping);
    damper.handle_state(known.up, now);
    Some(damper)
}
