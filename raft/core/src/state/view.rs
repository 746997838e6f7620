//! Questions to the state.

use std::net::IpAddr;

use leasehold_model::{Epoch, GroupId, Instance, NodeId, Unit, Vip};

use super::{Lease, Member, State};

/// What one lease lets one node answer for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held<'a> {
    pub group: GroupId,
    pub epoch: Epoch,
    pub name: &'a str,
    pub instance: &'a Instance,
    /// The instance's VIPs, less those that an old holder elsewhere may still answer for.
    pub vips: Vec<&'a Vip>,
    pub handover: Option<NodeId>,
}

impl State {
    /// The group, instance and lease of every instance, by name.
    pub fn instances(&self) -> impl Iterator<Item = (&str, GroupId, &Instance, &Lease)> {
        self.config.instances.iter().filter_map(|(name, instance)| {
            let group = *self.groups.get(name)?;
            Some((name.as_str(), group, instance, self.leases.get(&group)?))
        })
    }

    /// What each lease covers, with its group and lease.
    pub fn units(&self) -> impl Iterator<Item = (Unit<'_>, GroupId, &Lease)> {
        self.config.units().into_iter().filter_map(|unit| {
            let group = *self.groups.get(unit.members.first()?.0)?;
            Some((unit, group, self.leases.get(&group)?))
        })
    }

    /// The group of the instance or sync group of this name.
    #[must_use]
    pub fn group_named(&self, name: &str) -> Option<GroupId> {
        let of_group = || self.units().find(|(unit, ..)| unit.name == name).map(|one| one.1);
        self.groups.get(name).copied().or_else(of_group)
    }

    /// What `node` may hold, as far as the log tells.
    #[must_use]
    pub fn held_by(&self, node: NodeId) -> Vec<Held<'_>> {
        let mine = self.instances().filter(|(.., lease)| lease.holder == Some(node));
        mine.map(|(name, group, instance, lease)| {
            let open = |vip: &&Vip| !self.is_retiring_elsewhere(vip.address, node);
            let vips = instance.vips().filter(open).collect();
            let (epoch, handover) = (lease.epoch, lease.handover);
            Held { group, epoch, name, instance, vips, handover }
        })
        .collect()
    }

    /// Whether a node other than `node` may still answer for `address`.
    #[must_use]
    pub fn is_retiring_elsewhere(&self, address: IpAddr, node: NodeId) -> bool {
        self.retiring.iter().any(|one| one.address == address && one.holder != node)
    }

    /// Whether `node` is the holder of exactly this epoch, and a member.
    #[must_use]
    pub fn is_held(&self, group: GroupId, epoch: Epoch, node: NodeId) -> bool {
        let current = self.leases.get(&group);
        self.members.contains_key(&node)
            && current.is_some_and(|lease| lease.epoch == epoch && lease.holder == Some(node))
    }

    #[must_use]
    pub fn node_named(&self, name: &str) -> Option<(NodeId, &Member)> {
        self.members.iter().find(|(_, member)| member.name == name).map(|(id, one)| (*id, one))
    }
}
