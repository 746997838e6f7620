//! What every node's file has to say alike: a difference is an error that names both places.
//! What each node runs may differ, and becomes that director's own.

use std::collections::BTreeMap;
use std::net::IpAddr;

use leasehold_model::{Config, Instance, Notify};

use super::lex::Pos;
use super::lower::{File, Router};
use super::merge::{Files, Member, Merge};
use super::track::{Named, Together};
use super::unite::differences;
use crate::document::write::{
    Setting, alerts_settings, file_settings, global_settings, process_settings, script_settings,
    sync_group_settings, vrrp_settings,
};

impl Merge<'_> {
    /// `[global]`, but for what names a node.
    pub(super) fn same_global(&mut self, files: &Files<'_>) {
        let Some(((_, first), others)) = files.split_first() else { return };
        let settings = |file: &File| {
            let mut all = global_settings(&file.global);
            all.extend(alerts_settings(&file.global.alerts));
            all
        };
        for (_, other) in others {
            for (name, mine, theirs) in differences(&settings(first), &settings(other)) {
                let (first, here) = (first.place(name), other.place(name));
                self.differ(name, &mine, first, &theirs, here);
            }
        }
        for (setting, at) in &first.places {
            let of_alerts = alerts_settings(&first.global.alerts);
            let name = setting.split('.').next().unwrap_or_default();
            let mut path = vec!["global"];
            path.extend(of_alerts.iter().any(|(own, _)| *own == name).then_some("alerts"));
            self.note_setting(&path, setting, *at);
        }
        self.config.global = first.global.clone();
    }

    pub(super) fn tracked(&mut self, files: &Files<'_>) {
        let settings = |one: &Together| sync_group_settings(&one.group);
        let groups = self.same(files, "sync_group", |file| &file.sync_groups, settings);
        let groups = groups.into_iter().map(|(name, one)| (name, one.group)).collect();
        let scripts = self.same(files, "script", |file| &file.scripts, script_settings);
        let processes = self.same(files, "process", |file| &file.processes, process_settings);
        let watched = self.same(files, "file", |file| &file.files, file_settings);
        let Config { sync_groups, scripts: of_config, processes: running, files, .. } =
            &mut self.config;
        (*sync_groups, *of_config, *running, *files) = (groups, scripts, processes, watched);
    }

    /// What the files call by one name.
    fn same<'f, T: Clone + 'f>(
        &mut self,
        files: &'f Files<'_>,
        section: &str,
        of: impl Fn(&'f File) -> &'f Vec<Named<T>>,
        settings: impl Fn(&T) -> Vec<Setting>,
    ) -> BTreeMap<String, T> {
        let mut firsts: BTreeMap<&str, &Named<T>> = BTreeMap::new();
        for one in files.iter().flat_map(|(_, file)| of(file)) {
            let Some(first) = firsts.get(one.name.as_str()) else {
                firsts.insert(&one.name, one);
                continue;
            };
            if first.broken || one.broken {
                continue;
            }
            let all = differences(&settings(&first.value), &settings(&one.value));
            for (setting, mine, theirs) in all {
                let name = format!("{setting} of {}", one.name);
                self.differ(&name, &mine, first.place(setting), &theirs, one.place(setting));
            }
        }
        for (name, one) in &firsts {
            self.note(&[section, name], one.at);
            for (setting, at) in &one.places {
                self.note_setting(&[section, name], setting, *at);
            }
            if one.broken {
                self.places.put_unread(&[section, name]);
            }
        }
        firsts.into_iter().map(|(name, one)| (name.to_owned(), one.value.clone())).collect()
    }

    /// The name of a list or table, and after a dot what in it.
    pub(super) fn note_setting(&mut self, before: &[&str], setting: &str, at: Pos) {
        let mut path = before.to_vec();
        match setting.split_once('.') {
            Some((setting, inner)) => path.extend([setting, inner]),
            None => path.push(setting),
        }
        self.note(&path, at);
    }

    /// An instance's adverts, routes and tracking.
    pub(super) fn same_rest(&mut self, first: &Router, other: &Router) {
        let base = first.interface_name();
        let (mine, theirs) = (first.alike(base), other.alike(base));
        for (name, mine, theirs) in differences(&vrrp_settings(&mine), &vrrp_settings(&theirs)) {
            let at = |router: &Router| router.rest.place(name).unwrap_or(router.at);
            self.differ(name, &mine, at(first), &theirs, at(other));
        }
        if first.peers.is_empty() != other.peers.is_empty() {
            let at = |router: &Router| router.rest.place("unicast_peer").unwrap_or(router.at);
            let place = self.report.place(at(first));
            let which = if other.peers.is_empty() { "missing here and given" } else { "missing" };
            let message = format!("unicast_peer is {which} at {place}");
            self.report.error(at(other), message, "all nodes by unicast, or all by multicast");
        }
    }

    /// Each node names the others; together they are all.
    pub(super) fn peers(&mut self, members: &[Member<'_>], instance: &mut Instance) {
        let unicast = members.iter().any(|member| !member.router.peers.is_empty());
        for Member { node, router } in members {
            if node.is_none()
                && let Some(source) = &router.source
            {
                let message = format!("{} is one node's, and the file is for all", source.value);
                let hint = "leasehold import NODE=FILE for each keeps it";
                self.report.warn(source.at, message, hint);
            }
            for peer in router.peers.iter().chain(&router.source).filter(|_| unicast) {
                let text = peer.value.to_string();
                self.note(&["instance", &router.name, "unicast_peer", &text], peer.at);
                instance.adverts.unicast_peer.push(peer.value);
            }
        }
        instance.adverts.unicast_peer.sort();
        instance.adverts.unicast_peer.dedup();
    }

    /// What all run is the instance's; the rest stays with each, and is answered in their order.
    pub(super) fn notify(&mut self, members: &[Member<'_>], instance: &mut Instance) {
        let notify = |member: &Member<'_>| member.router.rest.value.notify.clone();
        let mut own: Vec<Notify> = members.iter().map(notify).collect();
        instance.notify = Notify {
            notify: common(&mut own, |one| &mut one.notify),
            notify_master: common(&mut own, |one| &mut one.notify_master),
            notify_backup: common(&mut own, |one| &mut one.notify_backup),
            notify_fault: common(&mut own, |one| &mut one.notify_fault),
            notify_stop: common(&mut own, |one| &mut one.notify_stop),
            notify_deleted: common(&mut own, |one| &mut one.notify_deleted),
            notify_master_rx_lower_pri: common(&mut own, |one| &mut one.notify_master_rx_lower_pri),
            notify_priority_changes: common(&mut own, |one| &mut one.notify_priority_changes),
            smtp_alert: common(&mut own, |one| &mut one.smtp_alert),
        };
        for (Member { node, router }, own) in members.iter().zip(own) {
            let Some(node) = node else { continue };
            if let Some(candidate) = instance.directors.get_mut(*node) {
                candidate.notify = own;
            }
            for (setting, at) in &router.rest.places {
                let path = ["instance", &router.name, "director", node];
                self.note_setting(&path, setting, *at);
            }
        }
    }
}

/// Taken from all where all have the same.
fn common<T: Clone + PartialEq>(
    all: &mut [Notify],
    field: impl Fn(&mut Notify) -> &mut Option<T>,
) -> Option<T> {
    let (first, others) = all.split_first_mut()?;
    let value = field(first).clone();
    if others.iter_mut().any(|other| *field(other) != value) {
        return None;
    }
    for one in all {
        *field(one) = None;
    }
    value
}

impl File {
    fn place(&self, setting: &str) -> Pos {
        let found = self.places.iter().find(|(name, _)| name == setting);
        found.map_or(self.at, |(_, at)| *at)
    }
}

impl Router {
    /// What the other nodes' files must say too, as on a node whose interface is called `base`.
    pub(super) fn alike(&self, base: &str) -> Instance {
        let own = self.interface_name();
        let named = |name: &str| if name == own { base.to_owned() } else { name.to_owned() };
        let mut alike = self.rest.value.clone();
        alike.notify = Notify::default();
        alike.adverts.version = self.version.as_ref().map(|version| version.value);
        let tracked = std::mem::take(&mut alike.tracking.interfaces);
        alike.tracking.interfaces =
            tracked.into_iter().map(|(name, weight)| (named(&name), weight)).collect();
        for route in &mut alike.virtual_routes {
            route.dev = route.dev.as_deref().map(named);
        }
        for rule in &mut alike.virtual_rules {
            rule.iif = rule.iif.as_deref().map(named);
            rule.oif = rule.oif.as_deref().map(named);
        }
        alike
    }

    /// This node's address, for a director's `src_ip`.
    pub(super) fn source(&self) -> Option<IpAddr> {
        self.source.as_ref().map(|source| source.value)
    }
}
