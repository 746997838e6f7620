//! What the thread that checks has to tell: each change of a real server or a quorum goes to the
//! thread that tells, by a line that nobody here waits at.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_dataplane::checker::{
    Cause, Event, Facts, Health, Name, Reporter, Standing, Subject, served,
};
use leasehold_model::{Config, Epoch, GroupId, Overrides, RealName, RealServer, VirtualServer};

use crate::daemon::lease_thread::OpenLeases;
use crate::daemon::sight::Reasons;
use crate::notify::{Line, ServerChange};

pub(super) struct Telling {
    reporter: Reporter,
    line: Line,
    /// What is served here.
    served: BTreeSet<Name>,
    /// The groups whose holders serve each virtual server.
    homes: BTreeMap<Name, BTreeSet<GroupId>>,
    /// Of the leases that are open here.
    open: BTreeMap<GroupId, Epoch>,
    /// Of the lease by which each virtual server was served at the last look: what is given up or
    /// removed is told with it, whether a lease or the configuration is the reason.
    served_by: BTreeMap<Name, Epoch>,
}

/// All that there is to look at.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) config: &'a Config,
    pub(super) groups: &'a BTreeMap<String, GroupId>,
    pub(super) health: &'a Health,
    pub(super) overrides: &'a Overrides,
    pub(super) reasons: &'a Reasons,
}

impl Telling {
    pub(super) fn new(line: Line) -> Self {
        Self {
            reporter: Reporter::default(),
            line,
            served: BTreeSet::new(),
            homes: BTreeMap::new(),
            open: BTreeMap::new(),
            served_by: BTreeMap::new(),
        }
    }

    /// Another configuration, or other groups of the same instances.
    pub(super) fn handle_config(&mut self, config: &Config, groups: &BTreeMap<String, GroupId>) {
        let homes = config.homes();
        self.homes.clear();
        for server in &config.virtual_servers {
            let mine = homes.of_server(server).into_iter().filter_map(|(_, home)| home);
            let mine = mine.filter_map(|home| groups.get(home)).copied().collect();
            self.homes.insert(server.key(), mine);
        }
        self.serve(config, groups);
    }

    /// Tells what follows where others than before are open here, or have another epoch; whether
    /// it is so.
    pub(super) fn handle_open(&mut self, look: Look<'_>, open: &OpenLeases) -> bool {
        let open: BTreeMap<_, _> =
            open.iter().map(|(group, lease)| (*group, lease.epoch)).collect();
        // Mostly it is the deadlines that moved.
        if self.open == open {
            return false;
        }
        // A lease that ended and came back since is told to have ended, as if it had been seen.
        let same =
            |group: &GroupId, epoch: &Epoch| self.open.get(group).is_none_or(|one| one == epoch);
        let lasting: BTreeMap<_, _> = open
            .iter()
            .filter(|(group, epoch)| same(group, epoch))
            .map(|(group, epoch)| (*group, *epoch))
            .collect();
        if lasting.len() < open.len() {
            self.follow_open(look, lasting);
        }
        self.follow_open(look, open);
        true
    }

    fn follow_open(&mut self, look: Look<'_>, open: BTreeMap<GroupId, Epoch>) {
        self.open = open;
        self.serve(look.config, look.groups);
        self.look(look);
    }

    fn serve(&mut self, config: &Config, groups: &BTreeMap<String, GroupId>) {
        let open = self.open.keys().copied().collect();
        self.served = served(config, groups, &open);
    }

    /// Whose leases are open here.
    pub(super) fn open(&self) -> BTreeSet<GroupId> {
        self.open.keys().copied().collect()
    }

    /// Tells what is different from what was told last.
    pub(super) fn look(&mut self, look: Look<'_>) {
        self.reporter.handle_facts(&facts(look, &self.served));
        self.tell(look.reasons);
        let now = |name: &Name| Some((name.clone(), self.open_epoch(name)?));
        self.served_by = self.homes.keys().filter_map(now).collect();
    }

    /// The same, of these virtual servers alone.
    pub(super) fn look_at(&mut self, look: Look<'_>, names: &BTreeSet<Name>) {
        let servers = look.config.virtual_servers.iter();
        for server in servers.filter(|server| names.contains(&server.key())) {
            self.reporter.handle_server(&facts(look, &self.served), server);
        }
        self.tell(look.reasons);
    }

    /// The same, of one real server and the quorum that it counts for.
    pub(super) fn look_at_one(
        &mut self,
        look: Look<'_>,
        server: &VirtualServer,
        real: &RealServer,
    ) {
        self.reporter.handle_real_server(&facts(look, &self.served), server, real);
        self.tell(look.reasons);
    }

    fn tell(&mut self, reasons: &Reasons) {
        while let Some(event) = self.reporter.poll_event() {
            let (cause, epoch) = (cause(&event, reasons), self.epoch(&event));
            self.line.push(ServerChange::new(event, cause, epoch));
        }
    }

    /// Of the lease by which it is served here, or was until now; 0: of none.
    fn epoch(&self, event: &Event) -> Epoch {
        let epoch = match event.cause {
            Cause::GivenUp | Cause::Removed => self.served_by.get(&event.server).copied(),
            Cause::Standing(_) | Cause::Began | Cause::Quorum => self.open_epoch(&event.server),
        };
        epoch.unwrap_or_default()
    }

    /// Of several leases, the greatest; none: it is not served here.
    fn open_epoch(&self, name: &Name) -> Option<Epoch> {
        let homes = self.homes.get(name).into_iter().flatten();
        homes.filter_map(|group| self.open.get(group)).copied().max()
    }
}

fn facts<'a>(look: Look<'a>, served: &'a BTreeSet<Name>) -> Facts<'a> {
    let Look { config, health, overrides, .. } = look;
    Facts { config, health, overrides, served }
}

/// In words, with what the check said that failed.
fn cause(event: &Event, reasons: &Reasons) -> String {
    let said = match (event.cause, event.subject) {
        (Cause::Standing(Standing::Failed), Subject::RealServer(address)) => {
            let (service, protocol) = event.server.clone();
            reasons.get(&RealName { service, protocol, address })
        }
        (Cause::Standing(_), Subject::RealServer(_))
        | (
            Cause::Began | Cause::Quorum | Cause::Removed | Cause::GivenUp,
            Subject::RealServer(_),
        )
        | (_, Subject::VirtualServer) => None,
    };
    match said {
        Some(why) => format!("{}: {why}", event.cause),
        None => event.cause.to_string(),
    }
}

#[cfg(test)]
mod tests;
