//! Which addresses the neighbours are told of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use leasehold_dataplane::plan::{Announced, Binding};
use leasehold_model::{Epoch, GroupId};
use leasehold_raft::state::State;

use super::desired::Desired;

/// The addresses that neighbours may take for another's: those that were bound just now, and those
/// whose lease is another than before, since it may have been away meanwhile.
pub(super) fn taken(
    desired: &Desired,
    bound: &BTreeSet<IpAddr>,
    before: &BTreeMap<GroupId, Epoch>,
) -> Vec<Binding> {
    let same = |group: &GroupId| before.get(group) == desired.open.get(group);
    let new = |one: &&Binding| bound.contains(&one.address) || !same(&one.group);
    desired.bindings.iter().filter(new).cloned().collect()
}

/// The bindings as the configuration wants them announced.
pub(super) fn announced<'a>(state: &State, bindings: &[&'a Binding]) -> Vec<Announced<'a>> {
    let config = &state.config;
    let homes = config.homes();
    let apart = |address: IpAddr| {
        let us = match address {
            IpAddr::V4(_) => config.global.garp_interval_us,
            IpAddr::V6(_) => config.global.gna_interval_us,
        };
        Duration::from_micros(us.unwrap_or(0).into())
    };
    let all = bindings.iter().map(|one| {
        let instance = homes.of(one.address).and_then(|name| config.instances.get(name));
        let own = instance.map(|instance| instance.garp).unwrap_or_default();
        Announced {
            address: one.address,
            interface: &one.interface,
            garp: own.or(config.global.garp),
            apart: apart(one.address),
        }
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use leasehold_model::Scope;

    use super::*;

    /// A lease that went and came back while a pass was under way leaves its addresses bound.
    #[test]
    fn what_is_bound_still_is_taken_again_with_another_lease() {
        let (group, address) = (GroupId(1), IpAddr::from([192, 0, 2, 1]));
        let binding = Binding {
            address,
            prefix: 32,
            interface: "eth0".to_owned(),
            label: None,
            broadcast: None,
            scope: Scope::Global,
            group,
        };
        let open = [(group, Epoch(9))].into();
        let desired = Desired { bindings: vec![binding], open, ..Desired::default() };
        let news = |bound: &[IpAddr], before: u64| {
            let bound = bound.iter().copied().collect();
            taken(&desired, &bound, &[(group, Epoch(before))].into())
        };
        assert_eq!(news(&[], 9), []);
        assert_eq!(news(&[], 5), desired.bindings);
        assert_eq!(news(&[address], 9), desired.bindings);
    }
}
