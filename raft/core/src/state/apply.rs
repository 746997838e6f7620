//! One entry's effect.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use leasehold_model::{Config, Epoch, GroupId, NodeId, Revision, Role};

use super::{Cause, Command, Entry, Lease, Member, Outcome, Retiring, State, Token};

impl State {
    /// Applies the entry at `index`. Entries come in the order of the log, each once.
    pub fn apply(&mut self, index: u64, entry: &Entry) -> Outcome {
        assert!(index > self.applied, "entry {index} after {}", self.applied);
        self.applied = index;
        let at = entry.at_unix_ms;
        match &entry.command {
            Command::Found { cluster, name, address } => self.found(cluster, name, address),
            Command::Apply { config, if_revision } => {
                self.apply_config(index, at, config, *if_revision)
            }
            Command::Grant { group, holder, replaces, cause } => {
                self.grant(index, at, *group, *holder, *replaces, *cause)
            }
            Command::Release { group, epoch, next, cause } => {
                self.release(index, at, *group, *epoch, *next, *cause)
            }
            Command::Handover { group, epoch, to, cause } => {
                self.handover(*group, *epoch, *to, *cause)
            }
            Command::Pin { group, node } => self.pin(*group, *node),
            Command::Retired { items } => self.retired(items),
            Command::Started { node, incarnation } => self.started(index, at, *node, *incarnation),
            Command::Drain { node, drained } => self.drain(*node, *drained),
            Command::Vote { node, votes } => self.vote(*node, *votes),
            Command::AddToken { hash, role, expires_unix_ms } => {
                self.tokens.retain(|_, token| token.expires_unix_ms > at);
                let token = Token { role: *role, expires_unix_ms: *expires_unix_ms };
                self.tokens.insert(hash.clone(), token);
                Outcome::Done
            }
            Command::Admit { token_hash, name, address } => {
                self.admit(index, at, token_hash, name, address)
            }
            Command::Remove { node } => self.remove(*node),
        }
    }

    /// Records that the log went on without a command (a blank or membership entry).
    pub fn skip(&mut self, index: u64) {
        assert!(index > self.applied, "entry {index} after {}", self.applied);
        self.applied = index;
    }

    fn found(&mut self, cluster: &str, name: &str, address: &str) -> Outcome {
        if !self.cluster.is_empty() {
            return Outcome::Refused(format!("the cluster {} exists already", self.cluster));
        }
        self.cluster = cluster.to_owned();
        self.members.insert(
            NodeId(1),
            Member {
                name: name.to_owned(),
                address: address.to_owned(),
                role: Role::Director,
                drained: false,
                votes: true,
                incarnation: 0,
            },
        );
        Outcome::Done
    }

    fn apply_config(
        &mut self,
        index: u64,
        at: u64,
        config: &Config,
        if_revision: Option<Revision>,
    ) -> Outcome {
        if let Some(expected) = if_revision
            && expected != self.revision
        {
            return Outcome::Refused(format!(
                "the configuration is at revision {}, not {expected}: someone changed it meanwhile",
                self.revision
            ));
        }
        if *config == *self.config {
            return Outcome::Applied { revision: self.revision, changed: false };
        }
        self.retire_departing(index, config);
        self.groups.retain(|name, _| config.instances.contains_key(name));
        let kept: BTreeSet<GroupId> = self.groups.values().copied().collect();
        self.leases.retain(|group, _| kept.contains(group));
        self.pins.retain(|group, _| kept.contains(group));
        for name in config.instances.keys() {
            if !self.groups.contains_key(name) {
                self.next_group += 1;
                let group = GroupId(self.next_group);
                self.groups.insert(name.clone(), group);
                self.leases.insert(group, Lease { since_unix_ms: at, ..Lease::default() });
            }
        }
        self.config = Arc::new(config.clone());
        self.revision = Revision(index);
        Outcome::Applied { revision: self.revision, changed: true }
    }

    /// Every address that `next` takes out of a group with a holder: that holder may answer for
    /// it until it is heard of again.
    fn retire_departing(&mut self, index: u64, next: &Config) {
        for (name, instance) in &self.config.instances {
            let Some(group) = self.groups.get(name) else { continue };
            let Some(lease) = self.leases.get(group) else { continue };
            let Some(holder) = lease.holder else { continue };
            let stays: BTreeSet<IpAddr> = next
                .instances
                .get(name)
                .map(|one| one.virtual_ipaddress.iter().map(|vip| vip.address).collect())
                .unwrap_or_default();
            for vip in &instance.virtual_ipaddress {
                if !stays.contains(&vip.address) {
                    self.retiring.push(Retiring {
                        address: vip.address,
                        group: *group,
                        epoch: lease.epoch,
                        holder,
                        index,
                    });
                }
            }
        }
    }

    fn grant(
        &mut self,
        index: u64,
        at: u64,
        group: GroupId,
        holder: NodeId,
        replaces: Epoch,
        cause: Cause,
    ) -> Outcome {
        let member = self.members.contains_key(&holder);
        let Some(lease) = self.leases.get_mut(&group) else { return Outcome::Stale };
        if lease.epoch != replaces || !member {
            return Outcome::Stale;
        }
        *lease = Lease {
            holder: Some(holder),
            epoch: Epoch(index),
            since_unix_ms: at,
            cause,
            handover: None,
        };
        self.end_of(group, replaces);
        if self.pins.get(&group).is_some_and(|node| *node != holder) {
            self.pins.remove(&group);
        }
        Outcome::Done
    }

    fn release(
        &mut self,
        index: u64,
        at: u64,
        group: GroupId,
        epoch: Epoch,
        next: Option<NodeId>,
        cause: Cause,
    ) -> Outcome {
        // Also where the group itself is gone: its addresses may be waiting for this.
        self.end_of(group, epoch);
        let next = next.filter(|node| self.members.contains_key(node));
        let Some(lease) = self.leases.get_mut(&group) else { return Outcome::Stale };
        if lease.epoch != epoch || lease.holder.is_none() {
            return Outcome::Stale;
        }
        *lease =
            Lease { holder: next, epoch: Epoch(index), since_unix_ms: at, cause, handover: None };
        if let Some(next) = next
            && self.pins.get(&group).is_some_and(|node| *node != next)
        {
            self.pins.remove(&group);
        }
        Outcome::Done
    }

    fn end_of(&mut self, group: GroupId, epoch: Epoch) {
        self.retiring.retain(|one| (one.group, one.epoch) != (group, epoch));
    }

    fn handover(&mut self, group: GroupId, epoch: Epoch, to: NodeId, cause: Cause) -> Outcome {
        let member = self.members.contains_key(&to);
        let Some(lease) = self.leases.get_mut(&group) else { return Outcome::Stale };
        if lease.epoch != epoch || !member || lease.holder.is_none() || lease.holder == Some(to) {
            return Outcome::Stale;
        }
        lease.handover = Some(to);
        lease.cause = cause;
        Outcome::Done
    }

    fn pin(&mut self, group: GroupId, node: NodeId) -> Outcome {
        if !self.leases.contains_key(&group) {
            return Outcome::Refused("the instance was removed meanwhile".to_owned());
        }
        match self.members.get(&node) {
            None => Outcome::Refused(format!("node {node} is not a member")),
            Some(member) if member.role == Role::Witness => {
                Outcome::Refused(format!("{} is a witness: it never holds a VIP", member.name))
            }
            Some(member) if member.drained => {
                Outcome::Refused(format!("{} is drained: undrain it first", member.name))
            }
            Some(_) => {
                self.pins.insert(group, node);
                Outcome::Done
            }
        }
    }

    fn retired(&mut self, items: &[Retiring]) -> Outcome {
        self.retiring.retain(|one| !items.contains(one));
        Outcome::Done
    }

    fn started(&mut self, index: u64, at: u64, node: NodeId, incarnation: u64) -> Outcome {
        let Some(member) = self.members.get_mut(&node) else {
            return Outcome::Refused(format!("node {node} is not a member"));
        };
        if incarnation <= member.incarnation {
            return Outcome::Stale;
        }
        member.incarnation = incarnation;
        for lease in self.leases.values_mut().filter(|lease| lease.holder == Some(node)) {
            *lease = Lease {
                holder: None,
                epoch: Epoch(index),
                since_unix_ms: at,
                cause: Cause::DaemonDied,
                handover: None,
            };
        }
        self.retiring.retain(|one| one.holder != node);
        Outcome::Done
    }

    fn drain(&mut self, node: NodeId, drained: bool) -> Outcome {
        let Some(member) = self.members.get_mut(&node) else {
            return Outcome::Refused(format!("node {node} is not a member"));
        };
        member.drained = drained;
        if drained {
            self.pins.retain(|_, pinned| *pinned != node);
        }
        Outcome::Done
    }

    fn vote(&mut self, node: NodeId, votes: bool) -> Outcome {
        let others = self.members.iter().filter(|(id, one)| **id != node && one.votes).count();
        let Some(member) = self.members.get_mut(&node) else {
            return Outcome::Refused(format!("node {node} is not a member"));
        };
        if !votes && others == 0 {
            return Outcome::Refused(format!("{} is the last voter", member.name));
        }
        member.votes = votes;
        Outcome::Done
    }

    fn admit(&mut self, index: u64, at: u64, hash: &str, name: &str, address: &str) -> Outcome {
        let Some(token) = self.tokens.get(hash) else {
            return Outcome::Refused("the token is unknown, or was used before".to_owned());
        };
        if token.expires_unix_ms <= at {
            return Outcome::Refused("the token has expired".to_owned());
        }
        for (id, member) in &self.members {
            if member.name == name {
                return Outcome::Refused(format!("{name} is the name of node {id} already"));
            }
            if member.address == address {
                return Outcome::Refused(format!("{address} is {}'s address already", member.name));
            }
        }
        let role = token.role;
        self.tokens.remove(hash);
        let node = NodeId(index);
        let (name, address) = (name.to_owned(), address.to_owned());
        let member = Member { name, address, role, drained: false, votes: true, incarnation: 0 };
        self.members.insert(node, member);
        Outcome::Admitted { node, role }
    }

    fn remove(&mut self, node: NodeId) -> Outcome {
        if !self.members.iter().any(|(id, one)| *id != node && one.votes) {
            return Outcome::Refused("the last voter can't be removed".to_owned());
        }
        if self.members.remove(&node).is_none() {
            return Outcome::Refused(format!("node {node} is not a member"));
        }
        self.pins.retain(|_, pinned| *pinned != node);
        for lease in self.leases.values_mut() {
            if lease.handover == Some(node) {
                lease.handover = None;
            }
        }
        Outcome::Done
    }
}
