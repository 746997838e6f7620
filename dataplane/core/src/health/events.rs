//! What changed of real servers and quorums, told as keepalived tells it: in one order, each
//! change once.
//!
//! A [`Reporter`] is given [`Facts`] whenever they may have changed, compares them with what it
//! told last, and yields [`Event`]s: real servers first, in the order of the configuration, and
//! their virtual server after them; what leaves goes by its
//! address. What came and went between two looks is not told: whoever is
//! to hear of every change looks after every one.
//!
//! The beginning is keepalived's (`init_services` and `update_svr_checker_state` of
//! `ipwrapper.c`, without `rs_init_notifies`):
//! - a real server that counts as up before its first answer, or passes it, is not told of; one
//!   that fails it is down;
//! - one that has to prove itself (`alpha`) is told of by its first answer, whichever it is;
//! - a quorum that is there is told of; one that is not is told of where a sorry server serves.
//!
//! And the end: what leaves the configuration goes down. With `omega`, a virtual server is told of
//! only where it is served, and goes down where it is given up (`clear_services`): keepalived's
//! omega is the end of the process, and a lease ends more often than that. Unlike there, it comes
//! up again by the same way when it is served again, and a quorum that was lost is not lost anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::SocketAddr;

use leasehold_model::{Config, Overrides, RealServer, Script, Service, VirtualServer};

use super::{Health, Name, Standing, has_alpha};

/// All that is told of follows from these.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub config: &'a Config,
    pub health: &'a Health,
    pub overrides: &'a Overrides,
    /// Virtual servers that are served here: [`super::served`].
    pub served: &'a BTreeSet<Name>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    RealServer(SocketAddr),
    VirtualServer,
}

/// Why, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Where a real server stands now.
    Standing(Standing),
    /// The quorum as the director found it.
    Began,
    /// The quorum is gained, or lost.
    Quorum,
    /// It left the configuration.
    Removed,
    /// It is served here no more, and has `omega`.
    GivenUp,
}

/// One thing to tell: by a script, by a line to a pipe (which is how it is displayed), by mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub server: Name,
    pub subject: Subject,
    pub up: bool,
    pub cause: Cause,
    /// `notify_up` or `notify_down`, `quorum_up` or `quorum_down`.
    pub script: Option<Script>,
    /// As configured. Absent: see [`RealServer::smtp_alert`] and [`VirtualServer::smtp_alert`].
    pub smtp_alert: Option<bool>,
}

/// What was told last of one real server, or of one quorum, and what is left to be told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    up: bool,
    on_down: Option<Script>,
    smtp_alert: Option<bool>,
}

/// Of one virtual server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) real: BTreeMap<SocketAddr, Told>,
    quorum: Option<Told>,
}

/// Remembers what was told.
#[derive(Clone, Debug, Default)]
pub struct Reporter {
    pub(super) told: BTreeMap<Name, Page>,
    pub(super) queue: VecDeque<Event>,
}

impl Reporter {
    /// Takes in how everything is now.
    pub fn handle_facts(&mut self, facts: &Facts<'_>) {
        let names: BTreeSet<Name> =
            facts.config.virtual_servers.iter().map(VirtualServer::key).collect();
        let gone: Vec<_> = self.told.extract_if(.., |name, _| !names.contains(name)).collect();
        for (name, mut page) in gone {
            self.close(&name, &mut page, Cause::Removed);
        }
        for server in &facts.config.virtual_servers {
            self.handle_server(facts, server);
        }
    }

    /// Takes in how one virtual server and all its real servers are now.
    pub fn handle_server(&mut self, facts: &Facts<'_>, server: &VirtualServer) {
        let there: BTreeSet<_> = server.real_servers.iter().map(|one| one.address).collect();
        self.turn(server.key(), |this, name, page| {
            let gone = page.real.extract_if(.., |address, _| !there.contains(address));
            let mut gone = Page { real: gone.collect(), quorum: None };
            this.close(name, &mut gone, Cause::Removed);
            if server.omega && !facts.served.contains(name) {
                this.close(name, page, Cause::GivenUp);
                return;
            }
            for real in &server.real_servers {
                this.tell_real_server(facts, server, real, name, page);
            }
            this.tell_quorum(facts, server, name, page);
        });
    }

    /// Takes in how one real server is now, and the quorum that it counts for: enough where no
    /// other has changed, and cheap where there are thousands.
    pub fn handle_real_server(
        &mut self,
        facts: &Facts<'_>,
        server: &VirtualServer,
        real: &RealServer,
    ) {
        let name = server.key();
        if server.omega && !facts.served.contains(&name) {
            return;
        }
        self.turn(name, |this, name, page| {
            this.tell_real_server(facts, server, real, name, page);
            this.tell_quorum(facts, server, name, page);
        });
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.queue.pop_front()
    }

    fn turn(&mut self, name: Name, change: impl FnOnce(&mut Self, &Name, &mut Page)) {
        let mut page = self.told.remove(&name).unwrap_or_default();
        change(self, &name, &mut page);
        self.told.insert(name, page);
    }

    fn tell_real_server(
        &mut self,
        facts: &Facts<'_>,
        server: &VirtualServer,
        real: &RealServer,
        name: &Name,
        page: &mut Page,
    ) {
        let standing = facts.health.effective(server, real, facts.overrides).standing;
        let last = page.real.get(&real.address).map(|told| told.up);
        let Some(up) = next(last, standing) else { return };
        // What counts as up without having proven it goes without saying.
        if last.map_or(!up || has_alpha(server, real), |last| last != up) {
            let script = if up { &real.notify_up } else { &real.notify_down };
            self.queue.push_back(Event {
                server: name.clone(),
                subject: Subject::RealServer(real.address),
                up,
                cause: Cause::Standing(standing),
                script: script.clone(),
                smtp_alert: real.smtp_alert,
            });
        }
        let (on_down, smtp_alert) = (real.notify_down.clone(), real.smtp_alert);
        page.real.insert(real.address, Told { up, on_down, smtp_alert });
    }

    fn tell_quorum(
        &mut self,
        facts: &Facts<'_>,
        server: &VirtualServer,
        name: &Name,
        page: &mut Page,
    ) {
        let up = facts.health.has_quorum(server);
        let last = page.quorum.as_ref().map(|told| told.up);
        if last.map_or(up || server.sorry_server.is_some(), |last| last != up) {
            let script = if up { &server.quorum_up } else { &server.quorum_down };
            self.queue.push_back(Event {
                server: name.clone(),
                subject: Subject::VirtualServer,
                up,
                cause: if last.is_none() { Cause::Began } else { Cause::Quorum },
                script: script.clone(),
                smtp_alert: server.smtp_alert,
            });
        }
        let (on_down, smtp_alert) = (server.quorum_down.clone(), server.smtp_alert);
        page.quorum = Some(Told { up, on_down, smtp_alert });
    }

    /// All that is up goes down.
    fn close(&mut self, name: &Name, page: &mut Page, cause: Cause) {
        let real = page.real.iter_mut().map(|(at, told)| (Subject::RealServer(*at), told));
        let quorum = page.quorum.iter_mut().map(|told| (Subject::VirtualServer, told));
        for (subject, told) in real.chain(quorum) {
            if std::mem::replace(&mut told.up, false) {
                self.queue.push_back(Event {
                    server: name.clone(),
                    subject,
                    up: false,
                    cause,
                    script: told.on_down.clone(),
                    smtp_alert: told.smtp_alert,
                });
            }
        }
    }
}

/// What it is to be told to be. Absent: nothing is known of it yet.
fn next(last: Option<bool>, standing: Standing) -> Option<bool> {
    match standing {
        Standing::Up | Standing::Drained => Some(true),
        Standing::Failed | Standing::Held | Standing::Disabled => Some(false),
        Standing::Unproven => last.map(|_| false),
    }
}

impl Event {
    /// Of a mail, behind the name of the router: keepalived's words.
    #[must_use]
    pub fn mail_subject(&self) -> String {
        let Self { server, subject, .. } = self;
        let server = server_words(server);
        match subject {
            Subject::RealServer(at) => {
                let real = real_words(*at, &self.server);
                format!("Realserver {real} of virtual server {server} - {}", self.word())
            }
            Subject::VirtualServer => format!("Virtualserver {server} - {}", self.word()),
        }
    }

    /// Whether it is in the configuration no more.
    #[must_use]
    pub fn is_last(&self) -> bool {
        match self.cause {
            Cause::Removed => true,
            Cause::Standing(_) | Cause::Began | Cause::Quorum | Cause::GivenUp => false,
        }
    }

    fn word(&self) -> &'static str {
        if self.up { "UP" } else { "DOWN" }
    }
}

impl fmt::Display for Event {
    /// The line that a pipe gets, without its end (`notify_fifo_rs`, `notify_fifo_vs`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = server_words(&self.server);
        match self.subject {
            Subject::RealServer(at) => {
                let real = real_words(at, &self.server);
                write!(f, "RS {real} {server} {}", self.word())
            }
            Subject::VirtualServer => write!(f, "VS {server} {}", self.word()),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standing(Standing::Up | Standing::Drained) => "its checks pass",
            Self::Standing(Standing::Unproven) => "no check of it has passed yet",
            Self::Standing(Standing::Failed) => "a check of it fails",
            Self::Standing(Standing::Held) => "it came and went too often",
            Self::Standing(Standing::Disabled) => "an operator disabled it",
            Self::Began => "this director began",
            Self::Quorum => "the weight of the real servers that are up changed",
            Self::Removed => "it left the configuration",
            Self::GivenUp => "it is served here no more",
        })
    }
}

/// What keepalived calls a virtual server (`format_vs` of `check_data.c`).
fn server_words((service, protocol): &Name) -> String {
    match service {
        Service::Address(at) => trio(*at, protocol.name()),
        Service::Fwmark(fwmark) => format!("FWM {}", fwmark.mark),
        // A group has no port of its own.
        Service::Group(name) => format!("[{name}]:0"),
    }
}

/// And a real server (`format_rs`).
fn real_words(at: SocketAddr, (service, protocol): &Name) -> String {
    match service {
        Service::Fwmark(_) => trio(at, "none"),
        Service::Address(_) | Service::Group(_) => trio(at, protocol.name()),
    }
}

fn trio(at: SocketAddr, protocol: &str) -> String {
    format!("[{}]:{protocol}:{}", at.ip(), at.port())
}
