//! Which real servers are up, and whether enough of them are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use leasehold_model::{Config, Protocol, RealServer, Service, VirtualServer};

/// A virtual server, as the configuration tells it from others.
pub(super) type Name = (Service, Protocol);

/// What the checks of one real server say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Up,
    Down,
}

/// What is known of every real server of the configuration. What was never checked is up, unless
/// it is to prove itself first (`alpha`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    verdicts: BTreeMap<(Name, SocketAddr), Verdict>,
    /// Virtual servers without their quorum.
    lost: BTreeSet<Name>,
}

impl Health {
    /// Forgets what the configuration has no more, and counts every quorum again.
    pub fn handle_config(&mut self, config: &Config) {
        let known: BTreeSet<(Name, SocketAddr)> = config
            .virtual_servers
            .iter()
            .flat_map(|one| one.real_servers.iter().map(|rs| (one.key(), rs.address)))
            .collect();
        self.verdicts.retain(|name, _| known.contains(name));
        let names: BTreeSet<Name> = config.virtual_servers.iter().map(VirtualServer::key).collect();
        self.lost.retain(|name| names.contains(name));
        for server in &config.virtual_servers {
            self.count(server);
        }
    }

    /// Takes a verdict in. True where it changes anything.
    pub fn handle_verdict(
        &mut self,
        server: &VirtualServer,
        address: SocketAddr,
        verdict: Verdict,
    ) -> bool {
        let before = self.verdicts.insert((server.key(), address), verdict);
        self.count(server);
        before != Some(verdict)
    }

    #[must_use]
    pub fn is_up(&self, server: &VirtualServer, real: &RealServer) -> bool {
        let unproven = (server.alpha || real.alpha) && !real.checks.is_empty();
        match self.verdicts.get(&(server.key(), real.address)) {
            Some(verdict) => *verdict == Verdict::Up,
            None => !unproven,
        }
    }

    /// Whether the sorry server, if there is one, serves alone.
    #[must_use]
    pub fn has_quorum(&self, server: &VirtualServer) -> bool {
        !self.lost.contains(&server.key())
    }

    /// As keepalived counts: gained at quorum + hysteresis, lost below quorum - hysteresis, and
    /// a quorum above the sum of all weights is that sum.
    fn count(&mut self, server: &VirtualServer) {
        let weight = |one: &RealServer| u64::from(one.weight);
        let total: u64 = server.real_servers.iter().map(weight).sum();
        let up = server.real_servers.iter().filter(|one| self.is_up(server, one));
        let up: u64 = up.map(weight).sum();
        let quorum = u64::from(server.quorum).min(total).max(1);
        let slack = u64::from(server.hysteresis).min(quorum - 1);
        let name = server.key();
        if up < quorum - slack {
            self.lost.insert(name);
        } else if up >= (quorum + slack).min(total.max(1)) {
            self.lost.remove(&name);
        }
    }
}
