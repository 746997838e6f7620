//! One virtual router at one director: it speaks while its lease is held, and judges who else
//! speaks.
//!
//! The lease decides who holds. What is heard matters in two ways: a master from outside the
//! cluster is told of, and with `foreign_master = "yield"` it is stood back from, as a VRRP
//! backup does. Who of the cluster holds is never learnt from adverts.
//!
//! Pure: instants and events come in, [`Command`]s and the next wake-up go out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use leasehold_model::{BootNanos, ForeignMaster};

use super::{Expected, Heard, Reason, Received, judge, master_down, skew};

/// Anybody on the link can make adverts: answering them must not be a way to keep us busy.
const ANSWER_APART: Duration = Duration::from_millis(500);

/// Other routers that are remembered; anybody on the link can make up more.
pub(super) const SOURCES: usize = 16;

/// Whose lease it is, as far as this director knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Without a leader this director's log may be old: whoever speaks may hold by a newer one.
    Unknown,
    Nobody,
    /// Another director's: it speaks, and it judges.
    Another,
    /// This one's by the log; no traffic passes yet.
    Granted,
    /// This one's, and its traffic passes.
    Open,
}

/// What the router is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Send an advert of this priority.
    Advertise(u8),
    /// A master of lower priority spoke: neighbours may believe it.
    Announce,
    /// A master of higher priority spoke: let the lease go.
    Yield,
}

/// A router of our number that is none of the cluster's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    pub source: IpAddr,
    pub priority: u8,
    pub since: BootNanos,
    /// When it counts as gone, if it is not heard again.
    down: BootNanos,
}

/// What it speaks and expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub expected: Expected,
    /// 1 to 255.
    pub priority: u8,
    /// Absent: there is no address to speak from.
    pub source: Option<IpAddr>,
    pub policy: ForeignMaster,
}

/// How many packets came and went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub sent: u64,
    pub heard: u64,
    pub dropped: BTreeMap<Reason, u64>,
}

#[derive(Clone, Debug)]
pub struct Router {
    settings: Settings,
    standing: Standing,
    next_advert: Option<BootNanos>,
    pub(super) foreign: BTreeMap<IpAddr, Foreign>,
    /// Sources that spoke while another director held. What one of them sent before it stopped
    /// may arrive after it: it is not judged by its next advert, but by those that follow.
    fellows: BTreeSet<IpAddr>,
    /// Until when it only listens: a master that is there has been heard by then.
    listens_until: Option<BootNanos>,
    spoke: bool,
    /// When a lower master was last answered.
    answered: Option<BootNanos>,
    commands: VecDeque<Command>,
    pub counters: Counters,
}

impl Router {
    #[must_use]
    pub fn new(settings: Settings, now: BootNanos) -> Self {
        let mut one = Self {
            settings,
            standing: Standing::Unknown,
            next_advert: None,
            foreign: BTreeMap::new(),
            fellows: BTreeSet::new(),
            listens_until: None,
            spoke: false,
            answered: None,
            commands: VecDeque::new(),
            counters: Counters::default(),
        };
        one.listen(now);
        one
    }

    /// A master that is there speaks before this is over.
    fn listen(&mut self, now: BootNanos) {
        self.listens_until = match self.settings.policy {
            ForeignMaster::Warn => None,
            ForeignMaster::Yield => {
                Some(now.after(down_after(&self.settings, interval(&self.settings))))
            }
        };
    }

    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Other settings, by which the next advert goes.
    pub fn handle_settings(&mut self, settings: Settings, now: BootNanos) {
        let faster = settings.expected.interval_ms < self.settings.expected.interval_ms;
        self.settings = settings;
        if faster && self.next_advert.is_some() {
            self.next_advert = Some(now);
        }
    }

    pub fn handle_standing(&mut self, standing: Standing, now: BootNanos) {
        let before = std::mem::replace(&mut self.standing, standing);
        if before == standing {
            return;
        }
        match standing {
            Standing::Another => {
                // Its holder judges from now on.
                self.foreign.clear();
                self.fellows.clear();
                self.listens_until = None;
                self.fall_silent();
            }
            Standing::Nobody => {
                self.fall_silent();
                if before == Standing::Unknown {
                    self.listen(now);
                }
            }
            Standing::Unknown => self.fall_silent(),
            // It ran out, and may be renewed yet.
            Standing::Granted if before == Standing::Open => self.fall_silent(),
            // A foreign master that hears of us now has stopped when traffic passes.
            Standing::Granted if self.foreign_master(now).is_some() => self.advertise(now),
            Standing::Granted => {}
            Standing::Open => {
                self.listens_until = None;
                self.advertise(now);
            }
        }
    }

    /// A packet with our number came in by our interface.
    pub fn handle_packet(&mut self, received: &Received, now: BootNanos) {
        let (advert, source) = match judge(&self.settings.expected, received) {
            Heard::Dropped(reason) => return self.count(reason),
            Heard::Advert { advert, source, note } => {
                if let Some(note) = note {
                    self.count(note);
                }
                (advert, source)
            }
        };
        self.counters.heard += 1;
        if let (super::Auth::Ah { sequence, .. }, super::Auth::Ah { sequence: highest, .. }) =
            (advert.auth, &mut self.settings.expected.auth)
        {
            *highest = sequence.max(*highest);
        }
        match self.standing {
            Standing::Another if self.fellows.len() < SOURCES => {
                self.fellows.insert(source);
            }
            Standing::Another => {}
            // Who was foreign still is; of others it can't be told.
            Standing::Unknown if !self.foreign.contains_key(&source) => {}
            Standing::Unknown => {
                let interval = Duration::from_millis(advert.interval_ms.into());
                self.hear(source, advert.priority, interval, now);
            }
            Standing::Nobody | Standing::Granted | Standing::Open
                if self.fellows.remove(&source) || Some(source) == self.settings.source => {}
            Standing::Nobody | Standing::Granted | Standing::Open => {
                let interval = Duration::from_millis(advert.interval_ms.into());
                self.hear(source, advert.priority, interval, now);
            }
        }
    }

    fn hear(&mut self, source: IpAddr, priority: u8, interval: Duration, now: BootNanos) {
        if priority == 0 {
            // It has stopped: whoever is fittest takes over first (RFC 9568, 6.4.2).
            let wait = skew(self.settings.expected.version, self.settings.priority, interval);
            if let Some(one) = self.foreign.get_mut(&source) {
                one.down = one.down.min(now.after(wait));
            }
            return;
        }
        if self.foreign.len() >= SOURCES && !self.foreign.contains_key(&source) {
            return;
        }
        let down = now.after(down_after(&self.settings, interval));
        let one = self.foreign.entry(source);
        let one = one.or_insert(Foreign { source, priority, since: now, down });
        (one.priority, one.down) = (priority, down);
        let one = *one;
        if self.standing != Standing::Open {
            return;
        }
        if self.is_above(&one) {
            if self.settings.policy == ForeignMaster::Yield {
                self.commands.push_back(Command::Yield);
            }
        } else if self.answered.is_none_or(|at| now.since(at) >= ANSWER_APART) {
            self.answered = Some(now);
            self.advertise(now);
            self.commands.push_back(Command::Announce);
        }
    }

    pub fn handle_timeout(&mut self, now: BootNanos) {
        self.foreign.retain(|_, one| one.down > now);
        self.listens_until = self.listens_until.filter(|until| *until > now);
        if self.next_advert.is_some_and(|next| next <= now) {
            self.advertise(now);
        }
    }

    /// Whether it would yield, and has not listened for long enough to know to whom.
    #[must_use]
    pub fn listens(&self, now: BootNanos) -> bool {
        self.listens_until.is_some_and(|until| until > now)
    }

    /// The fittest master that is not of the cluster.
    #[must_use]
    pub fn foreign_master(&self, now: BootNanos) -> Option<Foreign> {
        let alive = self.foreign.values().filter(|one| one.down > now);
        alive.max_by_key(|one| (one.priority, one.source)).copied()
    }

    /// Whether a master from outside the cluster is stood back from.
    #[must_use]
    pub fn would_yield(&self) -> bool {
        self.settings.policy == ForeignMaster::Yield
    }

    /// Traffic passes here.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.standing == Standing::Open
    }

    /// The highest authentication sequence number that was heard; 0 where there is none.
    #[must_use]
    pub fn highest_sequence(&self) -> u32 {
        match self.settings.expected.auth {
            super::Auth::Ah { sequence, .. } => sequence,
            super::Auth::None | super::Auth::Pass(_) => 0,
        }
    }

    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// When to call [`Self::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<BootNanos> {
        let down = self.foreign.values().map(|one| one.down).min();
        [self.next_advert, down, self.listens_until].into_iter().flatten().min()
    }

    /// As VRRP compares: by priority, then by address.
    fn is_above(&self, one: &Foreign) -> bool {
        (one.priority, Some(one.source)) > (self.settings.priority, self.settings.source)
    }

    fn advertise(&mut self, now: BootNanos) {
        self.commands.push_back(Command::Advertise(self.settings.priority));
        self.spoke = true;
        self.next_advert = match self.standing {
            Standing::Open => {
                let every = interval(&self.settings);
                // By the beat, not by when this one got its turn; and never in a burst.
                let beat = self.next_advert.filter(|due| *due <= now).map(|due| due.after(every));
                Some(beat.filter(|next| *next > now).unwrap_or_else(|| now.after(every)))
            }
            Standing::Unknown | Standing::Nobody | Standing::Another | Standing::Granted => None,
        };
    }

    fn fall_silent(&mut self) {
        self.next_advert = None;
        if std::mem::take(&mut self.spoke) {
            self.commands.push_back(Command::Advertise(0));
        }
    }

    fn count(&mut self, reason: Reason) {
        *self.counters.dropped.entry(reason).or_default() += 1;
    }
}

fn interval(settings: &Settings) -> Duration {
    Duration::from_millis(settings.expected.interval_ms.into())
}

/// How long after an advert its sender counts as gone.
fn down_after(settings: &Settings, interval: Duration) -> Duration {
    master_down(settings.expected.version, settings.priority, interval)
}
