//! The configurations that the simulated cluster runs.

use std::sync::Arc;

use std::net::{IpAddr, Ipv4Addr};

use leasehold_model::{Config, GroupId, Instance, Role, Scope, Vip};

use super::node::MEMBERS;
use crate::state::{Command, Entry, Member, State};

fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

fn instance(virtual_router_id: u8, addresses: &[u8]) -> Instance {
    let vip = |last: &u8| Vip {
        address: address(*last),
        prefix: 32,
        dev: None,
        label: None,
        broadcast: None,
        scope: Scope::Global,
    };
    Instance {
        virtual_ipaddress: addresses.iter().map(vip).collect(),
        ..Instance::new(virtual_router_id, "eth0")
    }
}

/// Address 1 wanders from group to group; in one variant nobody has it, in one a group is gone.
pub(super) fn config(variant: u64) -> Config {
    let of: &[(&str, &[u8])] = match variant {
        0 => &[("a", &[1, 2]), ("b", &[3])],
        1 => &[("a", &[2]), ("b", &[1, 3])],
        2 => &[("a", &[2]), ("b", &[3])],
        _ => &[("b", &[1, 2, 3])],
    };
    let mut config = Config::default();
    for (number, (name, addresses)) in of.iter().enumerate() {
        config.instances.insert((*name).to_owned(), instance(number as u8 + 1, addresses));
    }
    config
}

/// Three members and a configuration, in entry 1.
pub(super) fn base() -> State {
    let mut state = State::default();
    for id in MEMBERS {
        let member = Member {
            name: format!("ds{id}"),
            address: format!("192.0.2.10{id}:7400"),
            role: Role::Director,
            drained: false,
            votes: true,
            incarnation: 0,
        };
        state.members.insert(id, member);
    }
    let command = Command::Apply { config: Arc::new(config(0)), if_revision: None, note: None };
    state.apply(1, &Entry { at_unix_ms: 0, command });
    assert_eq!(state.groups.len(), 2);
    assert!(state.leases.contains_key(&GroupId(2)));
    state
}
