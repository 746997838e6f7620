//! What is told along with a change: the lease that it is served by, and why.

use std::net::SocketAddr;

use leasehold_dataplane::checker::{Finding, Verdict};
use leasehold_model::{BootNanos, Instance, Protocol, Scope, Service, Vip};

use super::*;
use crate::daemon::lease_thread::OpenLease;
use crate::notify::{ServerChanges, line};

struct World {
    config: Config,
    health: Health,
    reasons: Reasons,
    groups: BTreeMap<String, GroupId>,
    telling: Telling,
    changes: ServerChanges,
}

fn real() -> SocketAddr {
    "10.0.0.1:80".parse().unwrap()
}

/// A virtual server at the address of the first of two instances.
fn config(omega: bool) -> Config {
    let mut config = Config::default();
    for (name, vrid, vip) in [("VI_1", 1, "192.168.1.100"), ("VI_2", 2, "192.168.1.101")] {
        let mut instance = Instance::new(vrid, "eth0");
        instance.virtual_ipaddress = vec![Vip {
            address: vip.parse().unwrap(),
            prefix: 24,
            dev: None,
            label: None,
            broadcast: None,
            scope: Scope::Global,
        }];
        config.instances.insert(name.to_owned(), instance);
    }
    let service = Service::Address("192.168.1.100:80".parse().unwrap());
    let mut server = VirtualServer::new(service, Protocol::Tcp);
    server.omega = omega;
    server.real_servers.push(RealServer::new(real()));
    config.virtual_servers.push(server);
    config
}

impl World {
    fn new(omega: bool) -> Self {
        let (line, changes) = line();
        let groups = [("VI_1", 1), ("VI_2", 2)].map(|(name, one)| (name.to_owned(), GroupId(one)));
        let mut world = Self {
            config: Config::default(),
            health: Health::default(),
            reasons: Reasons::default(),
            groups: groups.into(),
            telling: Telling::new(line),
            changes,
        };
        world.configure(config(omega));
        world
    }

    fn configure(&mut self, config: Config) {
        self.config = config;
        let (config, overrides) = (&self.config, Overrides::default());
        self.health.handle_config(config, &BTreeMap::new(), &overrides, BootNanos(0));
        self.telling.handle_config(&self.config, &self.groups);
    }

    /// These groups are open, each with its epoch.
    fn hold(&mut self, open: &[(u32, u64)], until: u64) -> bool {
        let lease = |epoch| OpenLease { epoch: Epoch(epoch), until: BootNanos(until) };
        let open = open.iter().map(|(group, epoch)| (GroupId(*group), lease(*epoch))).collect();
        let overrides = Overrides::default();
        let Self { config, health, reasons, groups, .. } = self;
        let look = Look { config, groups, health, overrides: &overrides, reasons };
        self.telling.handle_open(look, &open)
    }

    fn find(&mut self, verdict: Verdict) {
        let server = &self.config.virtual_servers[0];
        let finding = Finding { verdict: Some(verdict), ..Finding::default() };
        let real = &server.real_servers[0];
        let overrides = Overrides::default();
        assert!(self.health.handle_finding(server, real, finding, &overrides, BootNanos(1)));
    }

    /// What is told now: each line, its epoch and its cause.
    async fn told(&mut self) -> Vec<(String, u64, String)> {
        let overrides = Overrides::default();
        let Self { config, groups, health, reasons, .. } = self;
        self.telling.look(Look { config, groups, health, overrides: &overrides, reasons });
        let mut told = Vec::new();
        while let Some(Some(one)) = now(&self.changes).await {
            told.push((one.event.to_string(), one.epoch.0, one.cause));
        }
        told
    }
}

/// What is there already.
async fn now(changes: &ServerChanges) -> Option<Option<ServerChange>> {
    tokio::select! {
        biased;
        one = changes.pop() => Some(one),
        () = std::future::ready(()) => None,
    }
}

const RS: &str = "RS [10.0.0.1]:tcp:80 [192.168.1.100]:tcp:80";
const VS: &str = "VS [192.168.1.100]:tcp:80";

fn line_of(name: &str, word: &str, epoch: u64, cause: &str) -> (String, u64, String) {
    (format!("{name} {word}"), epoch, cause.to_owned())
}

#[tokio::test]
async fn the_epoch_is_that_of_the_lease_that_serves_it_here() {
    let mut world = World::new(false);
    let quorum = "the weight of the real servers that are up changed";
    assert_eq!(world.told().await, [line_of(VS, "UP", 0, "this director began")]);
    // Another instance's lease is not its own.
    assert!(world.hold(&[(2, 9)], 1));
    world.find(Verdict::Down);
    let failed = "a check of it fails";
    let down = |epoch| [line_of(RS, "DOWN", epoch, failed), line_of(VS, "DOWN", epoch, quorum)];
    assert_eq!(world.told().await, down(0));
    assert!(world.hold(&[(1, 11), (2, 9)], 1));
    assert!(!world.hold(&[(1, 11), (2, 9)], 2), "the deadlines alone moved");
    world.find(Verdict::Up);
    let up =
        |epoch| [line_of(RS, "UP", epoch, "its checks pass"), line_of(VS, "UP", epoch, quorum)];
    assert_eq!(world.told().await, up(11));
    assert!(world.hold(&[], 3));
    assert!(world.told().await.is_empty(), "to give it up is no news without omega");
    world.find(Verdict::Down);
    assert_eq!(world.told().await, down(0));
}

#[tokio::test]
async fn what_is_given_up_or_removed_has_the_epoch_that_it_had() {
    let mut world = World::new(true);
    assert!(world.told().await.is_empty(), "it is not served here");
    world.hold(&[(1, 11)], 1);
    assert_eq!(world.told().await, [line_of(VS, "UP", 11, "this director began")]);
    world.hold(&[], 2);
    let all = |epoch, cause| [line_of(RS, "DOWN", epoch, cause), line_of(VS, "DOWN", epoch, cause)];
    assert_eq!(world.told().await, all(11, "it is served here no more"));
    world.hold(&[(1, 14)], 3);
    assert_eq!(world.told().await.len(), 2);
    let mut without = world.config.clone();
    without.virtual_servers.clear();
    world.configure(without);
    assert_eq!(world.told().await, all(14, "it left the configuration"));
    assert!(world.telling.homes.is_empty());
}

#[tokio::test]
async fn what_a_configuration_gives_up_has_the_epoch_that_it_was_served_by() {
    let mut world = World::new(true);
    world.hold(&[(1, 11)], 1);
    world.told().await;
    // Its address goes to an instance that is not held here.
    let mut moved = world.config.clone();
    let vips = moved.instances["VI_1"].virtual_ipaddress.clone();
    moved.instances.get_mut("VI_1").unwrap().virtual_ipaddress.clear();
    moved.instances.get_mut("VI_2").unwrap().virtual_ipaddress = vips;
    world.configure(moved);
    let cause = "it is served here no more";
    let down = |epoch| [line_of(RS, "DOWN", epoch, cause), line_of(VS, "DOWN", epoch, cause)];
    assert_eq!(world.told().await, down(11));
    world.hold(&[(1, 11), (2, 14)], 1);
    assert_eq!(world.told().await.len(), 2);
    // And to none: of the lease that it was served by, and of no other.
    let mut gone = world.config.clone();
    gone.instances.get_mut("VI_2").unwrap().virtual_ipaddress.clear();
    world.configure(gone);
    assert_eq!(world.told().await, down(14));

    // What was not served here when it got `omega` was served by none.
    let mut world = World::new(false);
    world.hold(&[(1, 11)], 1);
    world.told().await;
    world.hold(&[], 1);
    assert!(world.told().await.is_empty());
    world.configure(config(true));
    assert_eq!(world.told().await, down(0));
}

#[tokio::test]
async fn a_lease_that_ended_and_came_back_unseen_is_told_as_both() {
    let mut world = World::new(true);
    world.hold(&[(1, 11)], 1);
    world.told().await;
    world.hold(&[(1, 14), (2, 15)], 2);
    let (over, quorum) = ("it is served here no more", "its checks pass");
    let told = world.told().await;
    assert_eq!(told[..2], [line_of(RS, "DOWN", 11, over), line_of(VS, "DOWN", 11, over)]);
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!(told[2], line_of(RS, "UP", 14, quorum));
    assert_eq!((told[3].0.as_str(), told[3].1), (format!("{VS} UP").as_str(), 14));
}

#[tokio::test]
async fn what_the_check_said_is_told_with_its_failure() {
    let mut world = World::new(false);
    world.told().await;
    let (service, protocol) = world.config.virtual_servers[0].key();
    let name = RealName { service, protocol, address: real() };
    world.reasons.insert(name, "connection refused".to_owned());
    world.find(Verdict::Down);
    assert_eq!(world.told().await[0].2, "a check of it fails: connection refused");
    world.find(Verdict::Up);
    assert_eq!(world.told().await[0].2, "its checks pass", "the reason is an old one");
}
