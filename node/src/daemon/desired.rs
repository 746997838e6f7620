//! What the kernel should have, as the lease thread wants it and other threads carry it out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use leasehold_dataplane::plan::{Binding, Macvlan, Routing};
use leasehold_model::{Epoch, GroupId, Instance, NodeId};
use leasehold_raft::state::State;

use super::lease_thread::OpenLeases;

/// What the kernel should have, and why nothing more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Desired {
    /// Counts the changes; the other thread reports the last one that it has carried out.
    pub(crate) serial: u64,
    /// The addresses of the leases that are open.
    pub(crate) bindings: Vec<Binding>,
    /// The interfaces with a virtual MAC address that some of these are on.
    pub(crate) macvlans: Vec<Macvlan>,
    /// Their routes and rules.
    pub(crate) routing: BTreeMap<GroupId, Routing>,
    /// Every address that is ours to remove where `bindings` lacks it.
    pub(crate) owned: BTreeSet<IpAddr>,
    /// The groups whose leases are open, and which lease of theirs.
    pub(crate) open: BTreeMap<GroupId, Epoch>,
    /// What these groups serve, among all else.
    pub(crate) state: Arc<State>,
    /// The last serial that somebody waits for to know that an address is gone.
    pub(crate) awaited: u64,
}

/// Addresses behind the fence that left the configuration. They stay behind it until the kernel is
/// known not to have them: each with the serial of the change that unbinds it.
#[derive(Clone, Debug, Default)]
pub(super) struct Lingering(BTreeMap<IpAddr, u64>);

impl Lingering {
    /// `fenced` are behind the fence, `wanted` in the configuration; the next change is to have the
    /// serial `next`, and those up to `done` were carried out.
    pub(super) fn follow<'a, Of>(
        &mut self,
        fenced: impl Iterator<Item = &'a IpAddr>,
        wanted: &BTreeMap<IpAddr, Of>,
        next: u64,
        done: u64,
    ) {
        self.0.retain(|address, _| !wanted.contains_key(address));
        for address in fenced.filter(|address| !wanted.contains_key(address)) {
            self.0.entry(*address).or_insert(next);
        }
        self.0.retain(|_, unbound| *unbound > done);
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = &IpAddr> {
        self.0.keys()
    }
}

impl Desired {
    /// What `state` and these open leases ask of a node, which is known by number and by name.
    pub(super) fn of(
        state: &Arc<State>,
        (node, name): (NodeId, &str),
        leases: &OpenLeases,
        lingering: &Lingering,
    ) -> Desired {
        let mut wishes = Desired { state: state.clone(), ..Desired::default() };
        for held in state
            .held_by(node)
            .iter()
            .filter(|one| leases.get(&one.group).is_some_and(|lease| lease.epoch == one.epoch))
        {
            wishes.open.insert(held.group, held.epoch);
            let own = Routing::of(held.instance, name);
            wishes.routing.entry(held.group).or_default().extend(own);
            let macvlan = Macvlan::of(held.instance, name);
            for vip in &held.vips {
                let interface = held.instance.interface_of(vip, name);
                let interface = Macvlan::or(macvlan.as_ref(), interface);
                wishes.bindings.push(Binding {
                    address: vip.address,
                    prefix: vip.prefix,
                    interface: interface.to_owned(),
                    label: held.instance.label_of(vip, name),
                    broadcast: vip.broadcast,
                    scope: vip.scope,
                    group: held.group,
                });
            }
            wishes.macvlans.extend(macvlan);
        }
        let all = state.config.instances.values().flat_map(Instance::vips);
        wishes.owned = all.map(|vip| vip.address).collect();
        wishes.owned.extend(lingering.addresses());
        wishes.awaited = lingering.0.values().copied().max().unwrap_or(0);
        wishes
    }

    /// Whether both want the same of addresses, interfaces and routes, for the same leases.
    pub(super) fn binds_as(&self, other: &Desired) -> bool {
        self.bindings == other.bindings
            && (&self.macvlans, &self.routing) == (&other.macvlans, &other.routing)
            && self.owned == other.owned
            && self.open == other.open
    }

    /// Whether the virtual servers of `state` are these, in the words of operators too.
    pub(super) fn serves_as(&self, state: &State) -> bool {
        self.state.revision == state.revision && self.state.overrides == state.overrides
    }
}

#[cfg(test)]
mod tests {
    use leasehold_model::{Family, Fwmark, Override, Protocol, RealName, Revision, Service};

    use super::*;

    #[test]
    fn an_address_that_left_is_kept_until_it_is_known_to_be_unbound_and_no_longer() {
        let address = IpAddr::from([192, 0, 2, 1]);
        let (mut lingering, nothing) = (Lingering::default(), BTreeMap::<IpAddr, ()>::new());
        let mut follow = |next, done| {
            lingering.follow([address].iter(), &nothing, next, done);
            lingering.0.get(&address).copied()
        };
        assert_eq!(follow(8, 7), Some(8));
        // Other changes come and go meanwhile.
        assert_eq!(follow(10, 7), Some(8));
        assert_eq!(follow(10, 8), None);
    }

    #[test]
    fn an_address_that_came_back_is_kept_by_nobody() {
        let address = IpAddr::from([192, 0, 2, 1]);
        let mut lingering = Lingering::default();
        lingering.follow([address].iter(), &BTreeMap::<IpAddr, ()>::new(), 8, 7);
        lingering.follow([address].iter(), &BTreeMap::from([(address, ())]), 9, 7);
        assert_eq!(lingering.addresses().count(), 0);
    }

    #[test]
    fn an_operator_s_word_is_passed_on_as_a_configuration_is() {
        let desired = Desired::default();
        assert!(desired.serves_as(&State { applied: 9, ..State::default() }));
        assert!(!desired.serves_as(&State { revision: Revision(9), ..State::default() }));
        let service = Service::Fwmark(Fwmark { mark: 1, family: Family::Inet });
        let address = ([10, 0, 0, 9], 80).into();
        let name = RealName { service, protocol: Protocol::Tcp, address };
        let overrides = Arc::new([(name, Override::Drain)].into());
        assert!(!desired.serves_as(&State { overrides, ..State::default() }));
    }
}
