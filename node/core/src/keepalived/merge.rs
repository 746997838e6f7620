//! Every node's file to one configuration. keepalived's nodes never compare theirs; here a
//! difference that would have split them is an error that names both places.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use leasehold_model::{Candidate, Config, Instance, Vip};

use super::lex::{Pos, Report};
use super::lower::{At, File, Router};
use super::vip::Address;
use crate::diagnostic::Places;
use crate::document::canonical;
use crate::placement::OWNER;

pub(super) type Files<'a> = [(Option<&'a str>, File)];

/// One node's version of an instance.
#[derive(Clone, Copy)]
pub(super) struct Member<'a> {
    pub(super) node: Option<&'a str>,
    pub(super) router: &'a Router,
}

pub(super) fn merge(files: &Files<'_>, report: &mut Report) -> (Config, Places) {
    let mut merge = Merge { report, config: Config::default(), places: Places::default() };
    merge.same_global(files);
    merge.global(files);
    merge.tracked(files);
    let mut members: BTreeMap<&str, Vec<Member<'_>>> = BTreeMap::new();
    for (node, file) in files {
        for router in &file.routers {
            members.entry(&router.name).or_default().push(Member { node: *node, router });
        }
    }
    merge.one_name_per_router(&members);
    for (name, members) in &members {
        merge.absent(files, name, members);
        merge.instance(name, members);
    }
    if members.keys().any(|name| !merge.config.instances.contains_key(*name)) {
        // Who is in a group, and what is tracked, can't be told while an instance can't be read.
        for section in ["sync_group", "script", "process", "file"] {
            merge.places.put_unread(&[section]);
        }
    }
    (merge.config, merge.places)
}

pub(super) struct Merge<'a> {
    pub(super) report: &'a mut Report,
    pub(super) config: Config,
    pub(super) places: Places,
}

impl Merge<'_> {
    fn global(&mut self, files: &Files<'_>) {
        let mut group: Option<&At<std::net::Ipv4Addr>> = None;
        for (node, file) in files {
            if let Some(id) = &file.router_id {
                match node {
                    Some(node) => {
                        self.config.global.router_id.insert((*node).to_owned(), id.value.clone());
                        self.note(&["global", "router_id", node], id.at);
                    }
                    None => self.report.warn(
                        id.at,
                        format!("router_id {} names one node, and the file is for all", id.value),
                        "leasehold import NODE=FILE keeps it",
                    ),
                }
            }
            match (group, &file.mcast_group4) {
                (Some(first), Some(own)) => self.same_value("vrrp_mcast_group4", first, own),
                (None, Some(own)) => {
                    self.note(&["global", "vrrp_mcast_group4"], own.at);
                    group = Some(own);
                }
                (Some(_) | None, None) => {}
            }
        }
        self.config.global.vrrp_mcast_group4 = group.map(|group| group.value);
    }

    /// keepalived finds a router's other half by its number; the names may differ. Here the name
    /// is what a lease is called by.
    fn one_name_per_router(&mut self, members: &BTreeMap<&str, Vec<Member<'_>>>) {
        let mut seen: BTreeMap<(u8, IpAddr), Vec<Member<'_>>> = BTreeMap::new();
        for member in members.values().flatten() {
            let Some(vrid) = &member.router.virtual_router_id else { continue };
            let addresses = member.router.addresses.iter().map(|one| one.value.address);
            let addresses: BTreeSet<IpAddr> = addresses.collect();
            let mut twin: Option<Member<'_>> = None;
            for address in addresses {
                let others = seen.entry((vrid.value, address)).or_default();
                twin = twin.or_else(|| others.iter().find(|one| one.is_twin_of(member)).copied());
                // Two of a node are enough: one of them has another name than whoever comes.
                if others.iter().filter(|one| one.node == member.node).count() < 2 {
                    others.push(*member);
                }
            }
            if let Some(twin) = twin {
                let first = self.report.place(twin.router.at);
                self.report.error(
                    member.router.at,
                    format!(
                        "vrrp_instance {} is called {} at {first}: both have virtual_router_id {}",
                        member.router.name, twin.router.name, vrid.value
                    ),
                    "give it one name in every file",
                );
            }
        }
    }

    /// A node whose file leaves the instance out would never have held it.
    fn absent(&mut self, files: &Files<'_>, name: &str, members: &[Member<'_>]) {
        for (node, _) in files {
            let Some(node) = node else { continue };
            if !members.iter().any(|member| member.node == Some(node)) {
                self.report.warn(
                    members[0].router.at,
                    format!("vrrp_instance {name} is not in the file of {node}"),
                    &format!("{node} becomes a spare: it holds {name} when no other can"),
                );
            }
        }
    }

    fn instance(&mut self, name: &str, members: &[Member<'_>]) {
        let first = members[0].router;
        let (Some(vrid), Some(interface)) = (&first.virtual_router_id, &first.interface) else {
            return;
        };
        let errors = self.report.errors;
        for other in &members[1..] {
            self.agree(first, other.router);
        }
        // What can't be told is left out: to check the rest of it would blame what is right.
        if self.report.errors > errors || members.iter().any(|member| member.router.broken) {
            return;
        }
        let mut instance = Instance {
            advert_int_ms: first.advert_int_ms.as_ref().map_or(1000, |every| every.value),
            authentication: first.authentication.as_ref().map(|auth| auth.value.clone()),
            virtual_router_id: vrid.value,
            interface: interface.value.clone(),
            virtual_ipaddress: first.vips(&interface.value, &first.addresses),
            virtual_ipaddress_excluded: first.vips(&interface.value, &first.excluded),
            ..first.alike(&interface.value)
        };
        self.preemption(members, &mut instance);
        self.peers(members, &mut instance);
        for member in members {
            self.candidate(name, *member, &mut instance);
        }
        self.notify(members, &mut instance);
        canonical::instance(&mut instance);
        self.note_instance(name, first);
        self.config.instances.insert(name.to_owned(), instance);
    }

    fn candidate(&mut self, name: &str, member: Member<'_>, instance: &mut Instance) {
        let priority = member.router.priority();
        let at = member.router.priority.as_ref().map_or(member.router.at, |one| one.at);
        let Some(node) = member.node else {
            if priority == 255 {
                let message = "priority 255 is for one director; every one gets 254";
                self.report.warn(at, message, "leasehold import NODE=FILE for each");
            }
            instance.priority = Some(priority.min(254));
            return self.note(&["instance", name, "priority"], at);
        };
        let own = member.router.interface.as_ref();
        let interface = own.filter(|own| own.value != instance.interface);
        if let Some(own) = own {
            self.note(&["instance", name, "director", node, "interface"], own.at);
        }
        self.note(&["instance", name, "director", node], at);
        let interface = interface.map(|own| own.value.clone());
        if let Some(source) = &member.router.source {
            self.note(&["instance", name, "director", node, "src_ip"], source.at);
        }
        let src_ip = member.router.source();
        let candidate =
            Candidate { priority: Some(priority), interface, src_ip, ..Candidate::default() };
        instance.directors.insert(node.to_owned(), candidate);
    }

    /// Who takes an instance back is the node of the highest priority: its settings count.
    fn preemption(&mut self, members: &[Member<'_>], instance: &mut Instance) {
        for Member { router, .. } in members {
            if let Some(at) = router.nopreempt
                && router.is_master()
            {
                let message = "nopreempt does not count with state MASTER, as in keepalived";
                self.report.warn(at, message, "state BACKUP on every node");
            }
            if let Some(at) = router.nopreempt
                && router.priority() == OWNER
                && !router.is_master()
            {
                let message = "nopreempt does not count with priority 255, as in keepalived";
                self.report.warn(at, message, "a priority of at most 254");
            }
            if let Some(delay) = &router.preempt_delay_ms
                && router.counted_delay() == 0
                && delay.value > 0
            {
                let with = if router.is_master() { "state MASTER" } else { "nopreempt" };
                let message = format!("preempt_delay does not count with {with}, as in keepalived");
                self.report.warn(delay.at, message, "");
            }
        }
        let mut sorted: Vec<&Router> = members.iter().map(|member| member.router).collect();
        sorted.sort_by_key(|router| std::cmp::Reverse(router.priority()));
        let top = sorted[0];
        instance.preempt = top.preempts();
        instance.preempt_delay_ms = top.counted_delay();
        let differs = |other: &&&Router| {
            other.preempts() != top.preempts() || other.counted_delay() != top.counted_delay()
        };
        if let Some(other) = sorted.iter().find(differs) {
            let (first, name) = (self.report.place(top.preemption_at()), &top.name);
            self.report.warn(
                other.preemption_at(),
                format!("{name} has other preemption settings at {first}: those count"),
                "the node of the highest priority is the one that would preempt",
            );
        }
    }

    /// What would have made two masters, or adverts that nobody accepts.
    fn agree(&mut self, first: &Router, other: &Router) {
        if let (Some(first), Some(other)) = (&first.virtual_router_id, &other.virtual_router_id) {
            self.same_value("virtual_router_id", first, other);
        }
        let every = |router: &Router| match &router.advert_int_ms {
            Some(every) => every.clone(),
            None => At { value: 1000, at: router.at },
        };
        let (mine, theirs) = (every(first), every(other));
        if mine.value != theirs.value {
            let seconds = |ms: u32| format!("{}", f64::from(ms) / 1000.0);
            self.differ(
                "advert_int",
                &seconds(mine.value),
                mine.at,
                &seconds(theirs.value),
                theirs.at,
            );
        }
        let auth = |router: &Router| router.authentication.as_ref().map(|auth| auth.value.clone());
        if auth(first) != auth(other) {
            let at = |router: &Router| router.authentication.as_ref().map_or(router.at, |a| a.at);
            // The password itself stays out of logs.
            let place = self.report.place(at(first));
            let message = format!("authentication of {} differs from {place}", first.name);
            self.report.error(at(other), message, "the same on every node, or none");
        }
        self.same_rest(first, other);
        let lists = |router: &Router| [router.addresses.clone(), router.excluded.clone()];
        let words = ["virtual_ipaddress", "virtual_ipaddress_excluded"];
        for ((word, mine), theirs) in words.iter().zip(lists(first)).zip(lists(other)) {
            self.same_addresses(word, (first, &mine), (other, &theirs));
        }
    }

    fn same_addresses(
        &mut self,
        word: &str,
        (first, mine): (&Router, &[At<Address>]),
        (other, theirs): (&Router, &[At<Address>]),
    ) {
        let base = first.interface_name();
        let located = |router: &Router, all: &[At<Address>]| -> Vec<(Vip, Pos)> {
            router.vips(base, all).into_iter().zip(all.iter().map(|one| one.at)).collect()
        };
        let (mine, theirs) = (located(first, mine), located(other, theirs));
        let (here, there) = (by_address(&mine), by_address(&theirs));
        for (vip, at) in &theirs {
            match here.get(&vip.address) {
                None => self.missing(word, vip, *at, first),
                Some((own, first_at)) if own != vip => {
                    let place = self.report.place(*first_at);
                    self.report.error(
                        *at,
                        format!(
                            "{} of {} is written otherwise at {place}",
                            vip.address, first.name
                        ),
                        "the same prefix, label, brd and scope on every node; dev may differ only \
                         where it is the instance's interface",
                    );
                }
                Some(_) => {}
            }
        }
        for (vip, at) in &mine {
            if !there.contains_key(&vip.address) {
                self.missing(word, vip, *at, other);
            }
        }
    }

    fn missing(&mut self, word: &str, vip: &Vip, at: Pos, other: &Router) {
        let place = self.report.place(other.at);
        self.report.error(
            at,
            format!("{} is missing in vrrp_instance {} at {place}", vip.address, other.name),
            &format!("the same {word} on every node"),
        );
    }

    fn same_value<T: PartialEq + std::fmt::Display>(
        &mut self,
        name: &str,
        first: &At<T>,
        other: &At<T>,
    ) {
        if first.value != other.value {
            let (mine, theirs) = (first.value.to_string(), other.value.to_string());
            self.differ(name, &mine, first.at, &theirs, other.at);
        }
    }

    pub(super) fn differ(&mut self, name: &str, mine: &str, first: Pos, theirs: &str, other: Pos) {
        let place = self.report.place(first);
        let message = format!("{name} is {theirs} here and {mine} at {place}");
        self.report.error(other, message, "the same on every node");
    }

    pub(super) fn note(&mut self, path: &[&str], at: Pos) {
        self.places.put(path, self.report.place(at));
    }

    fn note_instance(&mut self, name: &str, router: &Router) {
        self.note(&["instance", name], router.at);
        let fields = [
            ("virtual_router_id", router.virtual_router_id.as_ref().map(|one| one.at)),
            ("interface", router.interface.as_ref().map(|one| one.at)),
            ("advert_int_ms", router.advert_int_ms.as_ref().map(|one| one.at)),
            ("authentication", router.authentication.as_ref().map(|one| one.at)),
            ("version", router.version.as_ref().map(|one| one.at)),
            ("preempt_delay_ms", router.preempt_delay_ms.as_ref().map(|one| one.at)),
        ];
        for (field, at) in fields {
            if let Some(at) = at {
                self.note(&["instance", name, field], at);
            }
        }
        let lists = [
            ("virtual_ipaddress", &router.addresses),
            ("virtual_ipaddress_excluded", &router.excluded),
        ];
        for (list, vips) in lists {
            for (index, vip) in vips.iter().enumerate() {
                self.note(&["instance", name, list, &index.to_string()], vip.at);
            }
        }
        for (setting, at) in &router.rest.places {
            self.note_setting(&["instance", name], setting, *at);
        }
    }
}

/// Of those that share an address, the first.
fn by_address(all: &[(Vip, Pos)]) -> BTreeMap<IpAddr, &(Vip, Pos)> {
    let mut found = BTreeMap::new();
    for one in all {
        found.entry(one.0.address).or_insert(one);
    }
    found
}

impl Member<'_> {
    fn is_twin_of(&self, other: &Self) -> bool {
        self.node != other.node && self.router.name != other.router.name
    }
}

impl Router {
    fn is_master(&self) -> bool {
        self.master.as_ref().is_some_and(|master| master.value)
    }

    /// keepalived honours nopreempt only where the initial state is BACKUP, and never in the
    /// owner of the addresses.
    fn preempts(&self) -> bool {
        self.nopreempt.is_none() || self.is_master() || self.priority() == OWNER
    }

    /// keepalived clears the delay where there is nothing to wait for, or it would start as MASTER.
    fn counted_delay(&self) -> u32 {
        if !self.preempts() || self.is_master() {
            return 0;
        }
        self.preempt_delay_ms.as_ref().map_or(0, |delay| delay.value)
    }

    fn preemption_at(&self) -> Pos {
        let delay = self.preempt_delay_ms.as_ref().map(|delay| delay.at);
        self.nopreempt.or(delay).unwrap_or(self.at)
    }

    fn priority(&self) -> u8 {
        let default = if self.is_master() { OWNER } else { 100 };
        self.priority.as_ref().map_or(default, |priority| priority.value)
    }

    pub(super) fn interface_name(&self) -> &str {
        self.interface.as_ref().map_or("", |interface| &interface.value)
    }

    /// The VIPs as a node would have them whose interface is called `base`.
    fn vips(&self, base: &str, all: &[At<Address>]) -> Vec<Vip> {
        let own = self.interface_name();
        let vip = |one: &At<Address>| {
            let Address { address, prefix, dev, label, broadcast, scope } = one.value.clone();
            let dev = dev.filter(|dev| dev != own);
            let label = label.map(|label| match label.strip_prefix(own) {
                Some(rest) if dev.is_none() => format!("{base}{rest}"),
                Some(_) | None => label,
            });
            Vip { address, prefix, dev, label, broadcast, scope }
        };
        all.iter().map(vip).collect()
    }
}
