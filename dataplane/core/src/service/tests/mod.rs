//! Services: what is wanted, what is sent, and what the kernel has after it.

mod converge;
mod drain;
mod nft;
mod sync;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leasehold_model::{
    Config, Forward, Overrides, Protocol, RealServer, Scheduler, Service, VirtualServer,
};

use crate::fixture::{at, config, groups, open, seconds, server};

use super::{
    Drains, Existing, ExistingServer, Findings, Health, Key, Load, Op, Put, Table, desired, diff,
};

const DRAIN: Duration = Duration::from_secs(60);

fn key(text: &str) -> Key {
    text.parse().expect("a service as ipvsadm writes it")
}

fn table(config: &Config, held: &[u32]) -> Table {
    let mut health = Health::default();
    health.handle_config(config, &Findings::new(), &Overrides::new(), seconds(0));
    desired(config, &groups(), &open(held), &health, &Overrides::new())
}

/// Every service of the configuration, whoever serves it.
fn configured(config: &Config) -> BTreeSet<Key> {
    table(config, &[1, 2]).into_keys().collect()
}

/// A kernel that does what it is told, and refuses what a kernel would.
#[derive(Clone, Debug, Default, PartialEq)]
struct Kernel {
    services: BTreeMap<Key, Existing>,
}

impl Kernel {
    fn carry_out(&mut self, ops: &[Op]) {
        for op in ops {
            match op {
                Op::Service(put, key, settings) => {
                    let before = self.services.remove(key);
                    assert_eq!(before.is_some(), *put == Put::Changed, "{op:?}");
                    let servers = before.map(|one| one.servers).unwrap_or_default();
                    let service = Existing { settings: settings.clone(), servers };
                    self.services.insert(*key, service);
                }
                Op::RemoveService(key) => {
                    assert!(self.services.remove(key).is_some(), "{op:?}");
                }
                Op::Server(put, key, server) => {
                    let servers = &mut self.services.get_mut(key).expect("its service").servers;
                    let before = servers.iter().position(|one| one.address == server.address);
                    assert_eq!(before.is_some(), *put == Put::Changed, "{op:?}");
                    let load = before.map(|index| servers.remove(index).load);
                    servers.push(ExistingServer {
                        address: server.address,
                        forward: Some(server.forward),
                        weight: server.weight,
                        upper: server.upper,
                        lower: server.lower,
                        load: load.unwrap_or_default(),
                    });
                }
                Op::RemoveServer(key, address) => {
                    let servers = &mut self.services.get_mut(key).expect("its service").servers;
                    let before = servers.len();
                    servers.retain(|one| one.address != *address);
                    assert_eq!(servers.len() + 1, before, "{op:?}");
                }
            }
        }
    }

    fn converge(&mut self, desired: &Table, owned: &BTreeSet<Key>) -> usize {
        let mut drains = Drains::default();
        let ops = diff(desired, &self.services, owned, &mut drains, seconds(1), DRAIN);
        self.carry_out(&ops);
        ops.len()
    }

    fn load(&mut self, service: &str, address: &str, active: u32, inactive: u32) {
        let service = self.services.get_mut(&key(service)).expect("a service");
        let server = service.servers.iter_mut().find(|one| one.address == at(address));
        server.expect("a real server").load = Load { active, inactive };
    }
}
