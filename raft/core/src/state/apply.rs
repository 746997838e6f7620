//! One entry's effect.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use leasehold_model::{
    Config, Epoch, GroupId, NodeId, Override, RealName, Revision, Role, VirtualServer,
};

use super::{Cause, Command, Entry, Lease, Member, Note, Outcome, Retiring, Revised, State, Token};

impl State {
    /// Applies the entry at `index`. Entries come in the order of the log, each once.
    pub fn apply(&mut self, index: u64, entry: &Entry) -> Outcome {
        assert!(index > self.applied, "entry {index} after {}", self.applied);
        self.applied = index;
        let at = entry.at_unix_ms;
        match &entry.command {
            Command::Found { cluster, name, address } => self.found(cluster, name, address),
            Command::Apply { config, if_revision, note } => {
                self.apply_config(index, at, config, *if_revision, note.as_ref())
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
            Command::Override { real_server, word } => self.say(real_server, *word),
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
        config: &Arc<Config>,
        if_revision: Option<Revision>,
        note: Option<&Note>,
    ) -> Outcome {
        if let Some(expected) = if_revision
            && expected != self.revision
        {
            let Revised { revision: in_force, origin, .. } = self.in_force();
            return Outcome::Conflict { expected, in_force, origin: origin.cloned() };
        }
        if *config == self.config {
            return Outcome::Applied { revision: self.revision, changed: false };
        }
        let groups = self.groups_of(config);
        self.retire_departing(index, config, &groups);
        self.groups = groups;
        let kept: BTreeSet<GroupId> = self.groups.values().copied().collect();
        self.leases.retain(|group, _| kept.contains(group));
        self.pins.retain(|group, _| kept.contains(group));
        for group in kept {
            let new = || Lease { since_unix_ms: at, ..Lease::default() };
            self.leases.entry(group).or_insert_with(new);
        }
        self.forget_overrides_of_removed(config);
        self.revise(index, at, config, note);
        Outcome::Applied { revision: self.revision, changed: true }
    }

    /// The group of every instance in `next`. A group keeps its number, and with it its holder,
    /// as long as one of its instances is in it.
    fn groups_of(&mut self, next: &Config) -> BTreeMap<String, GroupId> {
        let mut groups = BTreeMap::new();
        let mut taken = BTreeSet::new();
        for unit in next.units() {
            let had = unit.members.iter().filter_map(|(name, _)| self.groups.get(*name));
            let group = had.copied().find(|group| !taken.contains(group)).unwrap_or_else(|| {
                self.next_group += 1;
                GroupId(self.next_group)
            });
            taken.insert(group);
            groups.extend(unit.members.iter().map(|(name, _)| ((*name).to_owned(), group)));
        }
        groups
    }

    /// Every address that `next` takes out of a group with a holder: that holder may answer for
    /// it until it is heard of again.
    fn retire_departing(
        &mut self,
        index: u64,
        next: &Config,
        next_groups: &BTreeMap<String, GroupId>,
    ) {
        for (name, instance) in &self.config.instances {
            let Some(group) = self.groups.get(name) else { continue };
            let Some(lease) = self.leases.get(group) else { continue };
            let Some(holder) = lease.holder else { continue };
            let remaining =
                next.instances.iter().filter(|(name, _)| next_groups.get(*name) == Some(group));
            let stays: BTreeSet<IpAddr> =
                remaining.flat_map(|(_, one)| one.vips().map(|vip| vip.address)).collect();
            for vip in instance.vips() {
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

    /// A real server that comes back later is another one: nobody has said anything of it.
    fn forget_overrides_of_removed(&mut self, next: &Config) {
        if self.overrides.is_empty() {
            return;
        }
        let servers: BTreeMap<_, &VirtualServer> =
            next.virtual_servers.iter().map(|one| (one.key(), one)).collect();
        let stays = |name: &RealName| {
            let server = servers.get(&(name.service.clone(), name.protocol));
            server.is_some_and(|one| one.real_servers.iter().any(|it| it.address == name.address))
        };
        if !self.overrides.keys().all(stays) {
            Arc::make_mut(&mut self.overrides).retain(|name, _| stays(name));
        }
    }

    fn say(&mut self, name: &RealName, word: Option<Override>) -> Outcome {
        if self.config.real_server(name).is_none() {
            return Outcome::Refused(format!("{name} was removed meanwhile"));
        }
        let overrides = Arc::make_mut(&mut self.overrides);
        match word {
            Some(word) => drop(overrides.insert(name.clone(), word)),
            None => drop(overrides.remove(name)),
        }
        Outcome::Done
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
