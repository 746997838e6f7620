//! Services: what is wanted, what is sent, and what the kernel has after it.

mod converge;
mod drain;
mod health;
mod nft;
mod sync;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use leasehold_model::{
    BootNanos, Config, Forward, GroupId, Instance, Protocol, RealServer, Scheduler, Scope, Service,
    Vip, VirtualServer,
};

use super::{
    Drains, Existing, ExistingServer, Health, Key, Load, Op, Put, Table, configured, desired, diff,
};

const DRAIN: Duration = Duration::from_secs(60);

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

fn key(text: &str) -> Key {
    text.parse().expect("a service as ipvsadm writes it")
}

fn seconds(count: u64) -> BootNanos {
    BootNanos::default().after(Duration::from_secs(count))
}

/// Two instances, each with one VIP.
fn config(servers: Vec<VirtualServer>) -> Config {
    let instance = |vrid, address: &str| Instance {
        virtual_router_id: vrid,
        interface: "eth0".to_owned(),
        priority: None,
        advert_int_ms: 1000,
        authentication: None,
        preempt: true,
        preempt_delay_ms: 0,
        virtual_ipaddress: vec![Vip {
            address: address.parse().expect("an address"),
            prefix: 24,
            dev: None,
            label: None,
            broadcast: None,
            scope: Scope::Global,
        }],
        directors: BTreeMap::new(),
    };
    let instances = [("left", instance(1, "10.0.0.1")), ("right", instance(2, "10.0.0.2"))];
    let instances = instances.map(|(name, one)| (name.to_owned(), one));
    Config { instances: instances.into(), virtual_servers: servers, ..Config::default() }
}

fn server(address: &str, real: &[&str]) -> VirtualServer {
    VirtualServer {
        lb_algo: Scheduler::Wrr,
        lb_kind: Forward::Dr,
        real_servers: real.iter().map(|one| RealServer::new(at(one))).collect(),
        ..VirtualServer::new(Service::Address(at(address)), Protocol::Tcp)
    }
}

fn groups() -> BTreeMap<String, GroupId> {
    [("left".to_owned(), GroupId(1)), ("right".to_owned(), GroupId(2))].into()
}

fn open(groups: &[u32]) -> BTreeSet<GroupId> {
    groups.iter().map(|one| GroupId(*one)).collect()
}

fn table(config: &Config, held: &[u32]) -> Table {
    let mut health = Health::default();
    health.handle_config(config);
    desired(config, &groups(), &open(held), &health)
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
