//! How things are at this director, gathered from the configuration and from what it reports.

use std::time::Duration;

use leasehold_model::{
    Cause, Config, Eligibility, Epoch, GroupId, Instance, NodeId, Notify, Role, Unit,
};

use super::Kind;
use crate::placement::{Bar, Director, Slot, standing};

/// Everything that is to be told of, at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub units: Vec<UnitFacts>,
    /// The daemon was told to stop.
    pub stopping: bool,
}

/// What one lease covers, and whether that is open here, or what it covers is bound here still.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitFacts {
    /// The sync group, if it is one. It has neither priority nor fault of its own.
    pub group: Option<MemberFacts>,
    /// In the order of the group; one, where it is none.
    pub members: Vec<MemberFacts>,
    pub held: Option<Held>,
}

/// A lease that is open here, or was, and whose addresses are still here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub epoch: Epoch,
    /// Why it came here.
    pub cause: String,
}

/// An instance, or a sync group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberFacts {
    pub name: String,
    /// What counts, with what tracking adds or takes; 0: a spare.
    pub priority: u8,
    /// Why this director can't hold it.
    pub fault: Option<String>,
    /// It has a `notify_deleted`: without one, whoever is told hears of a fault.
    pub tells_deletion: bool,
    pub tells_priority: bool,
}

impl UnitFacts {
    pub(super) fn keys(&self) -> impl Iterator<Item = (Kind, &str)> {
        let members = self.members.iter().map(|one| (Kind::Instance, one.name.as_str()));
        members.chain(self.group.iter().map(|one| (Kind::Group, one.name.as_str())))
    }

    /// The members, and then the group.
    pub(super) fn described(&self) -> Vec<((Kind, String), MemberFacts)> {
        let described = self.members.iter().chain(&self.group).cloned();
        let keys = self.keys().map(|(kind, name)| (kind, name.to_owned()));
        keys.zip(described).collect()
    }
}

impl Facts {
    /// What `config` and `report` say of the director called `director`. `held` tells the open
    /// lease of the instance of this name.
    #[must_use]
    pub fn gather(
        config: &Config,
        director: &str,
        report: &Eligibility,
        held: impl Fn(&str) -> Option<Held>,
    ) -> Self {
        let units = config.units().into_iter().map(|unit| UnitFacts {
            held: unit.members.first().and_then(|(name, _)| held(name)),
            group: unit.sync_group.map(|group| MemberFacts {
                name: unit.name.to_owned(),
                ..MemberFacts::default().told_as(&group.notify)
            }),
            members: members(&unit, director, report),
        });
        Self { units: units.collect(), stopping: report.stopping }
    }
}

impl MemberFacts {
    fn told_as(self, notify: &Notify) -> Self {
        Self {
            tells_deletion: notify.notify_deleted.is_some(),
            tells_priority: notify.notify_priority_changes == Some(true),
            ..self
        }
    }
}

fn members(unit: &Unit<'_>, director: &str, report: &Eligibility) -> Vec<MemberFacts> {
    let facts = |(name, instance): &(&str, &Instance)| {
        let standing = standing(
            &Director {
                node: NodeId(0),
                name: director,
                role: Role::Director,
                drained: false,
                report: Some(report),
            },
            &Slot {
                group: GroupId(0),
                name,
                members: vec![(name, instance)],
                holder: None,
                over: true,
                handover: None,
                pin: None,
                cause: Cause::Created,
                changed_ago: Duration::ZERO,
                foreign: None,
            },
        );
        MemberFacts {
            name: (*name).to_owned(),
            priority: standing.effective,
            fault: standing.bars.iter().find(|bar| is_fault(bar)).map(ToString::to_string),
            ..MemberFacts::default().told_as(&instance.notify_at(director))
        }
    };
    unit.members.iter().map(facts).collect()
}

/// The others are somebody's wish.
fn is_fault(bar: &Bar) -> bool {
    match bar {
        Bar::InterfaceDown(_) | Bar::Fault(_) | Bar::Unable(_) => true,
        Bar::Witness | Bar::Unheard | Bar::Drained | Bar::Stopping | Bar::Yields(_) => false,
    }
}
