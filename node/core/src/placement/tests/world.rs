//! A cluster small enough to be changed by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_model::{
    BootNanos, Candidate, Eligibility, GroupId, Instance, NodeId, Role, Scope, Vip,
};

use super::super::*;

pub(super) const LEADER: NodeId = NodeId(1);

/// A small cluster that the tests change by hand.
#[derive(Debug)]
pub(super) struct World {
    pub(super) members: Vec<(NodeId, String, Role, bool, Option<Eligibility>)>,
    pub(super) groups: Vec<Group>,
    pub(super) placer: Placer,
    pub(super) now: BootNanos,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) instance: Instance,
    /// The others of its sync group.
    pub(super) partners: Vec<(String, Instance)>,
    pub(super) holder: Option<NodeId>,
    pub(super) over: bool,
    pub(super) handover: Option<NodeId>,
    pub(super) pin: Option<NodeId>,
    pub(super) cause: Cause,
}

impl Group {
    fn members(&self) -> Vec<(&str, &Instance)> {
        let partners = self.partners.iter().map(|(name, one)| (name.as_str(), one));
        std::iter::once((self.name.as_str(), &self.instance)).chain(partners).collect()
    }
}

impl World {
    /// Directors ds1, ds2, ... of these priorities for the one instance `web`, free.
    pub(super) fn of(priorities: &[u8]) -> Self {
        let mut world = Self::empty(priorities.len());
        world.add("web", priorities);
        world
    }

    pub(super) fn empty(directors: usize) -> Self {
        let up =
            Eligibility { interfaces_up: ["eth0".to_owned()].into(), ..Eligibility::default() };
        let member = |index: usize| {
            let node = NodeId(index as u64 + 1);
            (node, format!("ds{node}"), Role::Director, false, Some(up.clone()))
        };
        Self {
            members: (0..directors).map(member).collect(),
            groups: Vec::new(),
            placer: Placer::new(),
            now: BootNanos(1_000_000_000_000),
        }
    }

    pub(super) fn add(&mut self, name: &str, priorities: &[u8]) -> &mut Group {
        let candidate = |(index, priority): (usize, &u8)| {
            let own = Candidate { priority: Some(*priority), ..Candidate::default() };
            (format!("ds{}", index + 1), own)
        };
        let given = priorities.iter().enumerate().filter(|(_, priority)| **priority > 0);
        let number = u8::try_from(self.groups.len() + 1).unwrap();
        let instance = Instance {
            virtual_ipaddress: vec![Vip {
                address: [10, 0, 0, number].into(),
                prefix: 24,
                dev: None,
                label: None,
                broadcast: None,
                scope: Scope::Global,
            }],
            directors: given.map(candidate).collect::<BTreeMap<_, _>>(),
            ..Instance::new(number, "eth0")
        };
        self.groups.push(Group {
            name: name.to_owned(),
            instance,
            partners: Vec::new(),
            holder: None,
            over: true,
            handover: None,
            pin: None,
            cause: Cause::Created,
        });
        self.groups.last_mut().unwrap()
    }

    pub(super) fn report(&mut self, node: u64) -> &mut Eligibility {
        let index = usize::try_from(node - 1).unwrap();
        self.members[index].4.as_mut().unwrap()
    }

    pub(super) fn silence(&mut self, node: u64) {
        self.members[usize::try_from(node - 1).unwrap()].4 = None;
    }

    pub(super) fn drain(&mut self, node: u64) {
        self.members[usize::try_from(node - 1).unwrap()].3 = true;
    }

    pub(super) fn held_by(&mut self, node: u64) {
        self.groups[0].holder = Some(NodeId(node));
        self.groups[0].over = false;
    }

    pub(super) fn with<T>(
        &mut self,
        f: impl FnOnce(&mut Placer, &[Director<'_>], &[Slot<'_>]) -> T,
    ) -> T {
        let directors: Vec<Director<'_>> = self
            .members
            .iter()
            .map(|(node, name, role, drained, report)| Director {
                node: *node,
                name,
                role: *role,
                drained: *drained,
                report: report.as_ref(),
            })
            .collect();
        let slots: Vec<Slot<'_>> = self
            .groups
            .iter()
            .enumerate()
            .map(|(index, group)| Slot {
                group: GroupId(u32::try_from(index).unwrap()),
                name: &group.name,
                members: group.members(),
                holder: group.holder,
                over: group.over,
                handover: group.handover,
                pin: group.pin,
                cause: group.cause,
                changed_ago: Duration::from_secs(180),
                foreign: foreign(&directors, &group.members()),
            })
            .collect();
        f(&mut self.placer, &directors, &slots)
    }

    pub(super) fn place(&mut self) -> Placement {
        let now = self.now;
        self.with(|placer, directors, slots| placer.place(directors, slots, LEADER, now))
    }

    pub(super) fn decisions(&mut self) -> Vec<Decision> {
        self.place().decisions
    }

    pub(super) fn successor(&mut self, not: u64) -> Option<NodeId> {
        self.with(|_, directors, slots| {
            successor(directors, slots, LEADER, GroupId(0), NodeId(not))
        })
    }

    pub(super) fn explain(&mut self) -> String {
        let now = self.now;
        self.with(|placer, directors, slots| {
            let explanation = placer.explain(directors, slots, LEADER, now, GroupId(0));
            explanation.unwrap().to_string()
        })
    }

    pub(super) fn wait(&mut self, span: Duration) {
        self.now = self.now.after(span);
    }

    /// As the log and the holders would carry it out, at once.
    pub(super) fn carry_out(&mut self, decisions: &[Decision]) {
        for decision in decisions {
            let index = usize::try_from(decision.group().0).unwrap();
            let group = &mut self.groups[index];
            group.holder = Some(decision.to());
            group.over = false;
            group.handover = None;
        }
    }
}
