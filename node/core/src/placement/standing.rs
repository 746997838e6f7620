//! How one director stands for one instance: whether it may hold it, and with what priority.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use leasehold_model::{ForeignMaster, Instance, Role};
use serde::{Deserialize, Serialize};

use super::{Director, Slot};

/// The priority of an address owner (RFC 9568, 5.2.4). Tracking does not change it.
pub(crate) const OWNER: u8 = 255;

/// What keeps a director from holding an instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bar {
    Witness,
    Unheard,
    Drained,
    Stopping,
    InterfaceDown(String),
    /// What it tracks for the instance says that it must not hold it.
    Fault(String),
    /// A router from outside the cluster has the addresses.
    Yields(String),
    /// It took the instance over and could not serve it.
    Unable(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Empty: it may hold the instance.
    pub bars: Vec<Bar>,
    /// 0: a spare.
    pub configured: u8,
    /// What tracking adds or takes.
    pub delta: i16,
    /// What counts.
    pub effective: u8,
    /// Who else speaks for it there, from outside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<String>,
    /// Why it can't serve all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impaired: Option<String>,
}

impl Standing {
    #[must_use]
    pub fn eligible(&self) -> bool {
        self.bars.is_empty()
    }

    /// What directors are compared by: one that serves all of it, then priority.
    #[must_use]
    pub fn fitness(&self) -> (bool, u8) {
        (self.impaired.is_none(), self.effective)
    }
}

#[must_use]
pub fn standing(director: &Director<'_>, slot: &Slot<'_>) -> Standing {
    let mut bars = Vec::new();
    if director.role == Role::Witness {
        bars.push(Bar::Witness);
    }
    if director.drained {
        bars.push(Bar::Drained);
    }
    let (mut impaired, mut foreign) = (None, None);
    match director.report {
        None => bars.push(Bar::Unheard),
        Some(report) => {
            if report.stopping {
                bars.push(Bar::Stopping);
            }
            let needed: BTreeSet<&str> =
                slot.members.iter().flat_map(|(_, one)| interfaces(one, director.name)).collect();
            let down = needed.into_iter().filter(|name| !report.interfaces_up.contains(*name));
            bars.extend(down.map(|name| Bar::InterfaceDown(name.to_owned())));
            let of = |map: &BTreeMap<String, String>| {
                slot.members.iter().filter_map(|(name, _)| map.get(*name).cloned()).collect()
            };
            let (faults, unable): (Vec<_>, Vec<_>) = (of(&report.faults), of(&report.unable));
            bars.extend(faults.into_iter().map(Bar::Fault));
            // Where it has said nothing yet, it does not know of the instance.
            let listens = |(name, one): &&(&str, &Instance)| {
                one.adverts.foreign_master == ForeignMaster::Yield
                    && report.foreigners.get(*name).is_none_or(|one| one.listens)
            };
            let listening = slot.members.iter().find(listens);
            bars.extend(listening.map(|_| Bar::Yields("it still listens for one".to_owned())));
            bars.extend(unable.into_iter().map(Bar::Unable));
            impaired = of(&report.impaired).into_iter().next();
            foreign = slot.members.iter().find_map(|(name, _)| {
                let (address, priority) = report.foreigners.get(*name)?.master?;
                Some(format!("{address} speaks for it with priority {priority}"))
            });
        }
    }
    let (effective, configured, delta) = priority(director, slot);
    if let Some((priority, address)) = slot.foreign
        && (priority >= effective || !slot.preempt())
    {
        bars.push(Bar::Yields(format!("{address} is master with priority {priority}")));
    }
    Standing { bars, configured, delta, effective, foreign, impaired }
}

/// That of the instance with the lowest: a sync group is as fit as its weakest member. What
/// counts, what is configured, and what tracking adds or takes.
fn priority(director: &Director<'_>, slot: &Slot<'_>) -> (u8, u8, i16) {
    let of = |(name, instance): &(&str, &Instance)| {
        let configured = instance.priority_of(director.name);
        let delta = director.report.and_then(|report| report.priority_delta.get(*name));
        let delta = delta.copied().unwrap_or(0);
        (effective(configured, delta), configured, delta)
    };
    slot.members.iter().map(of).min().unwrap_or_default()
}

/// keepalived keeps what tracking makes of a priority within 1 and 254.
#[must_use]
pub fn effective(configured: u8, delta: i16) -> u8 {
    match configured {
        0 | OWNER => configured,
        _ => {
            let sum = i16::from(configured).saturating_add(delta).clamp(1, 254);
            u8::try_from(sum).unwrap_or(configured)
        }
    }
}

/// Where the VIPs live at the director, and where its adverts go out.
fn interfaces<'a>(instance: &'a Instance, director: &'a str) -> BTreeSet<&'a str> {
    let own = instance.directors.get(director).and_then(|one| one.interface.as_deref());
    let elsewhere = instance.vips().filter(|vip| vip.dev.is_some());
    let elsewhere = elsewhere.map(|vip| instance.interface_of(vip, director));
    let primary = (!instance.dont_track_primary).then(|| own.unwrap_or(&instance.interface));
    elsewhere.chain(primary).collect()
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Witness => f.write_str("a witness never holds a VIP"),
            Self::Unheard => f.write_str("not heard for a whole ttl"),
            Self::Drained => f.write_str("drained"),
            Self::Stopping => f.write_str("stopping"),
            Self::InterfaceDown(name) => write!(f, "interface {name} is down or missing"),
            Self::Fault(why) => write!(f, "fault: {why}"),
            Self::Yields(why) => write!(f, "it yields to a router from outside: {why}"),
            Self::Unable(why) => write!(f, "it could not serve it: {why}"),
        }
    }
}
