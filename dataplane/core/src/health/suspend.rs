//! Which virtual servers this director serves, and whose checks pause because it does not.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_model::{Config, Entrance, GroupId, VirtualServer};

use super::Name;

/// Virtual servers of which an entrance, at least, is open here. `groups` are the groups of
/// instances, by name.
#[must_use]
pub fn served(
    config: &Config,
    groups: &BTreeMap<String, GroupId>,
    open: &BTreeSet<GroupId>,
) -> BTreeSet<Name> {
    let homes = config.homes();
    let is_open = |home: Option<&str>| {
        home.and_then(|one| groups.get(one)).is_some_and(|one| open.contains(one))
    };
    let served = config
        .virtual_servers
        .iter()
        .filter(|one| homes.of_server(one).iter().any(|(_, home)| is_open(*home)));
    served.map(VirtualServer::key).collect()
}

/// Virtual servers whose checks pause here: those with `ha_suspend` none of whose addresses is
/// open here. keepalived looks for the address on the machine instead; it never pauses the checks
/// of a mark (nor does this), and those of a group always (`addr_matches` of `check_api.c` knows no
/// group): here they go on while one address of the group is held, and where it has marks only.
#[must_use]
pub fn suspended(
    config: &Config,
    groups: &BTreeMap<String, GroupId>,
    open: &BTreeSet<GroupId>,
) -> BTreeSet<Name> {
    let homes = config.homes();
    let mut names = BTreeSet::new();
    for server in config.virtual_servers.iter().filter(|one| one.ha_suspend) {
        let mut addresses = 0;
        let mut here = 0;
        for (entrance, home) in homes.of_server(server) {
            match entrance {
                Entrance::Fwmark { .. } => continue,
                Entrance::Address { .. } => addresses += 1,
            }
            let group = home.and_then(|name| groups.get(name));
            here += usize::from(group.is_some_and(|group| open.contains(group)));
        }
        if addresses > 0 && here == 0 {
            names.insert(server.key());
        }
    }
    names
}
