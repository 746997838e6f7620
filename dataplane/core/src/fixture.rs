//! What the tests of several rooms begin with: two instances, and virtual servers behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use leasehold_model::{
    BootNanos, Config, Forward, GroupId, Instance, Protocol, RealServer, Scheduler, Scope, Service,
    Vip, VirtualServer,
};

pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

pub(crate) fn seconds(count: u64) -> BootNanos {
    BootNanos::default().after(Duration::from_secs(count))
}

/// Behind the VIP of the instance `left`, whose group is 1; `right` has another VIP and group 2.
pub(crate) fn config(servers: Vec<VirtualServer>) -> Config {
    let instance = |vrid, address: &str| Instance {
        virtual_ipaddress: vec![Vip {
            address: address.parse().expect("an address"),
            prefix: 24,
            dev: None,
            label: None,
            broadcast: None,
            scope: Scope::Global,
        }],
        ..Instance::new(vrid, "eth0")
    };
    let instances = [("left", instance(1, "10.0.0.1")), ("right", instance(2, "10.0.0.2"))];
    let instances = instances.map(|(name, one)| (name.to_owned(), one));
    Config { instances: instances.into(), virtual_servers: servers, ..Config::default() }
}

pub(crate) fn server(address: &str, real: &[&str]) -> VirtualServer {
    VirtualServer {
        lb_algo: Scheduler::Wrr,
        lb_kind: Forward::Dr,
        real_servers: real.iter().map(|one| RealServer::new(at(one))).collect(),
        ..VirtualServer::new(Service::Address(at(address)), Protocol::Tcp)
    }
}

pub(crate) fn groups() -> BTreeMap<String, GroupId> {
    [("left".to_owned(), GroupId(1)), ("right".to_owned(), GroupId(2))].into()
}

pub(crate) fn open(groups: &[u32]) -> BTreeSet<GroupId> {
    groups.iter().map(|one| GroupId(*one)).collect()
}
