//! How one director stands for one instance: whether it may hold it, and with what priority.

use std::collections::BTreeSet;
use std::fmt;

use leasehold_model::{Instance, Role};
use serde::{Deserialize, Serialize};

use super::{Director, Slot};

/// The priority of an address owner (RFC 9568, 5.2.4). Tracking does not change it.
const OWNER: u8 = 255;

/// What keeps a director from holding an instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bar {
    Witness,
    Unheard,
    Drained,
    Stopping,
    InterfaceDown(String),
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
    let configured = slot.instance.priority_of(director.name);
    let mut bars = Vec::new();
    if director.role == Role::Witness {
        bars.push(Bar::Witness);
    }
    if director.drained {
        bars.push(Bar::Drained);
    }
    let mut delta = 0;
    let mut impaired = None;
    match director.report {
        None => bars.push(Bar::Unheard),
        Some(report) => {
            if report.stopping {
                bars.push(Bar::Stopping);
            }
            let needed = interfaces(slot.instance, director.name);
            let down = needed.into_iter().filter(|name| !report.interfaces_up.contains(*name));
            bars.extend(down.map(|name| Bar::InterfaceDown(name.to_owned())));
            bars.extend(report.unable.get(slot.name).cloned().map(Bar::Unable));
            impaired = report.impaired.get(slot.name).cloned();
            delta = report.priority_delta.get(slot.name).copied().unwrap_or(0);
        }
    }
    Standing { bars, configured, delta, effective: effective(configured, delta), impaired }
}

/// keepalived keeps what tracking makes of a priority within 1 and 254.
fn effective(configured: u8, delta: i16) -> u8 {
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
    let elsewhere = instance.virtual_ipaddress.iter().filter(|vip| vip.dev.is_some());
    let elsewhere = elsewhere.map(|vip| instance.interface_of(vip, director));
    elsewhere.chain([own.unwrap_or(&instance.interface)]).collect()
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Witness => f.write_str("a witness never holds a VIP"),
            Self::Unheard => f.write_str("not heard for a whole ttl"),
            Self::Drained => f.write_str("drained"),
            Self::Stopping => f.write_str("stopping"),
            Self::InterfaceDown(name) => write!(f, "interface {name} is down or missing"),
            Self::Unable(why) => write!(f, "it could not serve it: {why}"),
        }
    }
}
