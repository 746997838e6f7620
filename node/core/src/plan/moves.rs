//! Where everything would come to rest, if directors stayed as they report themselves now.

use std::collections::BTreeMap;
use std::net::IpAddr;

use leasehold_model::{BootNanos, Cause, Config, GroupId, NodeId};

use super::{Move, Subject};
use crate::placement::{Decision, Director, Placer, Slot, standing};

/// Rounds of placement that are looked ahead. It settles in fewer, as a rule in one or two; what
/// spreads a great many instances evenly takes a round for each, and is cut short.
pub(super) const ROUNDS: usize = 64;

/// What the leader knows.
#[derive(Clone, Copy, Debug)]
pub struct Outlook<'a> {
    pub directors: &'a [Director<'a>],
    /// The leases as they would be right after the change.
    pub slots: &'a [Slot<'a>],
    pub leader: NodeId,
    /// Who holds each instance before it.
    pub held: &'a BTreeMap<String, NodeId>,
}

/// Where a group comes to rest.
#[derive(Clone, Copy, Debug, Default)]
struct Rest {
    holder: Option<NodeId>,
    /// Of the last decision, and by when it is taken.
    decided: Option<(Cause, BootNanos)>,
}

/// Every instance that would have another holder than it has, each by name; then every VIP that
/// would pass from one director to another because it changes its instance. And whether that is
/// not all of it, since nothing had come to rest after as many rounds as are looked ahead.
#[must_use]
pub fn moves(before: &Config, after: &Config, outlook: &Outlook<'_>) -> (Vec<Move>, bool) {
    let (rests, more) = settle(outlook);
    let homes: BTreeMap<&str, (&Slot<'_>, Rest)> = outlook
        .slots
        .iter()
        .flat_map(|slot| {
            let rest = rests.get(&slot.group).copied().unwrap_or_default();
            slot.members.iter().map(move |(name, _)| (*name, (slot, rest)))
        })
        .collect();
    let name = |node: NodeId| name_of(outlook.directors, node);
    let mut all = Vec::new();
    for instance in after.instances.keys() {
        let Some((slot, rest)) = homes.get(instance.as_str()) else { continue };
        let from = outlook.held.get(instance).copied();
        let is_new = !before.instances.contains_key(instance);
        if from == rest.holder && !(is_new && from.is_none()) {
            continue;
        }
        let why = why(outlook.directors, slot, from, rest);
        let (from, to) = (from.map(name), rest.holder.map(name));
        all.push(Move { subject: Subject::Instance, name: instance.clone(), from, to, why });
    }
    for instance in before.instances.keys().filter(|one| !after.instances.contains_key(*one)) {
        let Some(from) = outlook.held.get(instance).copied().map(name) else { continue };
        let (name, why) = (instance.clone(), "it is removed".to_owned());
        all.push(Move { subject: Subject::Instance, name, from: Some(from), to: None, why });
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all.extend(vips(before, after, outlook, |instance| homes.get(instance)?.1.holder));
    (all, more)
}

fn name_of(directors: &[Director<'_>], node: NodeId) -> String {
    let known = directors.iter().find(|one| one.node == node);
    known.map_or_else(|| format!("node {node}"), |one| one.name.to_owned())
}

/// Lets placement decide again and again, as if each decision were carried out at once; and
/// whether it would go on.
fn settle(outlook: &Outlook<'_>) -> (BTreeMap<GroupId, Rest>, bool) {
    let heard =
        |node: NodeId| outlook.directors.iter().any(|one| one.node == node && one.report.is_some());
    let mut slots = outlook.slots.to_vec();
    for slot in &mut slots {
        // Under way already; and who is silent loses it, whatever is applied.
        slot.holder = slot.handover.take().or(slot.holder);
        slot.over |= slot.holder.is_none_or(|holder| !heard(holder));
    }
    let mut decided = BTreeMap::new();
    let (mut placer, mut now, mut rounds) = (Placer::new(), BootNanos(0), 0);
    let more = loop {
        let placement = placer.place(outlook.directors, &slots, outlook.leader, now);
        let later = placement.wake.filter(|wake| *wake > now);
        if placement.decisions.is_empty() && later.is_none() {
            break false;
        }
        if rounds == ROUNDS {
            break true;
        }
        rounds += 1;
        for decision in &placement.decisions {
            let (Decision::Grant { group, to, cause } | Decision::Handover { group, to, cause }) =
                *decision;
            decided.insert(group, (cause, now));
            for slot in slots.iter_mut().filter(|slot| slot.group == group) {
                (slot.holder, slot.over, slot.cause) = (Some(to), false, cause);
            }
        }
        if placement.decisions.is_empty() {
            now = later.unwrap_or(now);
        }
    };
    // Placement leaves an instance where it is while nobody would do better; a holder that can't
    // serve it gives it up by itself.
    let serves = |slot: &Slot<'_>, node: NodeId| {
        let director = outlook.directors.iter().find(|one| one.node == node);
        director.is_some_and(|one| standing(one, slot).eligible())
    };
    let rest = |slot: &Slot<'_>| {
        let holder = slot.holder.filter(|node| !slot.over && serves(slot, *node));
        (slot.group, Rest { holder, decided: decided.get(&slot.group).copied() })
    };
    (slots.iter().map(rest).collect(), more)
}

fn why(directors: &[Director<'_>], slot: &Slot<'_>, from: Option<NodeId>, rest: &Rest) -> String {
    let bars = |node: NodeId| {
        let director = directors.iter().find(|one| one.node == node)?;
        let bar = standing(director, slot).bars.into_iter().next()?;
        Some(format!("{}: {bar}", director.name))
    };
    let Some(to) = rest.holder else {
        let all: Vec<String> = directors.iter().filter_map(|one| bars(one.node)).collect();
        return format!("no director can hold it: {}", all.join("; "));
    };
    let Some((cause, at)) = rest.decided else {
        return format!("it goes with {}", slot.name);
    };
    let to = name_of(directors, to);
    let told = match cause {
        Cause::Created => "it is new".to_owned(),
        Cause::Preempted => format!("{to} has the higher priority"),
        Cause::Balanced => "instances of equal priority are spread".to_owned(),
        Cause::Moved => format!("an operator moved it to {to}"),
        Cause::Expired
        | Cause::DaemonDied
        | Cause::Stopped
        | Cause::Drained
        | Cause::Yielded
        | Cause::Unserviceable => from
            .and_then(bars)
            .unwrap_or_else(|| "it is free, and this director serves it best".to_owned()),
    };
    match at.since(BootNanos(0)).as_millis() {
        0 => told,
        delay => format!("{told}; within {} s", delay.div_ceil(1000)),
    }
}

/// Addresses that change instance, and with it the director.
fn vips(
    before: &Config,
    after: &Config,
    outlook: &Outlook<'_>,
    rests_at: impl Fn(&str) -> Option<NodeId>,
) -> Vec<Move> {
    let (was, is) = (homes(before), homes(after));
    let mut all = Vec::new();
    for (address, new) in is {
        let Some(old) = was.get(&address).filter(|old| **old != new) else { continue };
        let (from, to) = (outlook.held.get(*old).copied(), rests_at(new));
        let Some(holder) = from.filter(|_| from != to) else { continue };
        let holder = name_of(outlook.directors, holder);
        all.push(Move {
            subject: Subject::Vip,
            name: address.to_string(),
            to: to.map(|node| name_of(outlook.directors, node)),
            why: format!("from {old} to {new}, once {holder} has let go of it"),
            from: Some(holder),
        });
    }
    all
}

fn homes(config: &Config) -> BTreeMap<IpAddr, &str> {
    let instances = config.instances.iter();
    instances.flat_map(|(name, one)| one.vips().map(|vip| (vip.address, name.as_str()))).collect()
}
