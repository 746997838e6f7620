//! Health: what is counted, what follows for the kernel, and what is told.

mod answer;
mod checker;
mod damper;
mod day;
mod events;
mod overrides;
mod properties;
mod suspend;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use leasehold_model::{
    BootNanos, Check, CheckKind, Config, Damping, Override, Overrides, Protocol, RealName,
    RealServer, Service, SorryServer, VirtualServer,
};

use super::*;
use crate::fixture::{at, config, groups, open, seconds, server};
use crate::service::{Server, desired};

fn millis(count: u64) -> BootNanos {
    BootNanos::default().after(Duration::from_millis(count))
}

/// Four of weight 1.
fn four() -> Config {
    let real = ["10.1.0.1:80", "10.1.0.2:80", "10.1.0.3:80", "10.1.0.4:80"];
    config(vec![server("10.0.0.1:80", &real)])
}

fn tcp() -> Check {
    Check::new(CheckKind::Tcp)
}

/// One director's view of one virtual server, and what it is told.
struct World {
    config: Config,
    health: Health,
    overrides: Overrides,
    now: BootNanos,
}

impl World {
    fn new(config: Config) -> Self {
        let mut health = Health::default();
        let overrides = Overrides::new();
        health.handle_config(&config, &Findings::new(), &overrides, seconds(0));
        Self { config, health, overrides, now: seconds(0) }
    }

    fn server(&self) -> &VirtualServer {
        &self.config.virtual_servers[0]
    }

    fn find(&mut self, index: usize, finding: impl Into<Finding>) -> bool {
        let Self { config, health, overrides, now } = self;
        let server = &config.virtual_servers[0];
        health.handle_finding(server, &server.real_servers[index], finding.into(), overrides, *now)
    }

    fn up(&mut self, index: usize) -> bool {
        self.find(index, Verdict::Up)
    }

    fn down(&mut self, index: usize) -> bool {
        self.find(index, Verdict::Down)
    }

    /// Its checks pass, and ask for another weight.
    fn weigh(&mut self, index: usize, effects: &[Effect]) -> bool {
        let adjustment = Adjustment::of(effects.iter().copied());
        self.find(index, Finding { adjustment, ..Verdict::Up.into() })
    }

    fn say(&mut self, index: usize, said: Option<Override>) {
        let server = &self.config.virtual_servers[0];
        let name = RealName::new(server, server.real_servers[index].address);
        match said {
            Some(said) => drop(self.overrides.insert(name, said)),
            None => drop(self.overrides.remove(&name)),
        }
        self.health.handle_overrides(&self.config, &self.overrides);
    }

    fn stands(&self, index: usize) -> Standing {
        self.effective(index).standing
    }

    fn effective(&self, index: usize) -> Effective {
        let server = self.server();
        self.health.effective(server, &server.real_servers[index], &self.overrides)
    }

    fn quorum(&self) -> bool {
        self.health.has_quorum(self.server())
    }

    /// The kernel's entries: the last number of the address, and the weight.
    fn table(&self) -> Vec<(u16, u32)> {
        let number = |one: &Server| match one.address {
            SocketAddr::V4(at) => u16::from(at.ip().octets()[3]),
            SocketAddr::V6(at) => at.ip().segments()[7],
        };
        self.servers().iter().map(|one| (number(one), one.weight)).collect()
    }

    fn servers(&self) -> Vec<Server> {
        let held = open(&[1]);
        let table = desired(&self.config, &groups(), &held, &self.health, &self.overrides);
        table.into_values().next().expect("it is served").servers
    }
}

fn name(text: &str) -> RealName {
    let (service, protocol) = (Service::Address(at("10.0.0.1:80")), Protocol::Tcp);
    RealName { service, protocol, address: at(text) }
}

fn sorry(inhibit: bool) -> Option<SorryServer> {
    Some(SorryServer { address: at("10.1.0.9:80"), lb_kind: None, inhibit })
}

fn damping(flaps: u32) -> Option<Damping> {
    Some(Damping { flaps, window_ms: 60_000, hold_ms: 30_000 })
}
