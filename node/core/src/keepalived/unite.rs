//! Every node's load balancing to one. keepalived's nodes each serve their own list; here whoever
//! holds a VIP serves the same, so a difference is an error that names both places.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use leasehold_model::{
    Config, Entrance, Family, GroupEntry, LvsTimeouts, RealServer, VirtualServer,
    VirtualServerGroup,
};

use super::group::Group;
use super::lex::{Pos, Report};
use super::lower::{At, File};
use super::server::Server;
use super::source;
use super::sync::Sync;
use crate::diagnostic::Places;
use crate::document::{
    self,
    write::{Setting, real_server_settings, server_settings},
};

type Files<'a> = [(Option<&'a str>, File)];

const SAME: &str = "the same on every node";

pub(super) fn unite(
    files: &Files<'_>,
    config: &mut Config,
    places: &mut Places,
    report: &mut Report,
) {
    let mut unite = Unite { report, config, places };
    unite.timeouts(files);
    unite.sync(files);
    unite.groups(files);
    unite.servers(files);
}

struct Unite<'a> {
    report: &'a mut Report,
    config: &'a mut Config,
    places: &'a mut Places,
}

impl Unite<'_> {
    fn timeouts(&mut self, files: &Files<'_>) {
        let mut all = files.iter().filter_map(|(_, file)| file.timeouts.as_ref());
        let Some(first) = all.next() else { return };
        let text = |timeouts: &LvsTimeouts| {
            let all = [("tcp", timeouts.tcp), ("tcpfin", timeouts.tcpfin), ("udp", timeouts.udp)];
            let given =
                all.iter().filter_map(|(name, value)| Some(format!("{name} {}", (*value)?)));
            given.collect::<Vec<_>>().join(" ")
        };
        for other in all.filter(|other| other.value != first.value) {
            let (mine, theirs) = (text(&first.value), text(&other.value));
            self.differ("lvs_timeouts", &mine, first.at, &theirs, other.at);
        }
        self.note(&["global", "lvs_timeouts"], first.at);
        self.config.global.lvs_timeouts = Some(first.value);
    }

    fn sync(&mut self, files: &Files<'_>) {
        let mut all = files.iter().filter_map(|(_, file)| file.sync.as_ref());
        let Some(first) = all.next() else { return };
        for other in all.filter(|other| other.value != first.value) {
            let place = self.report.place(first.at);
            self.report.error(other.at, format!("lvs_sync_daemon differs from {place}"), SAME);
        }
        let At { value: Sync { daemon, has_id }, at } = first;
        let mut daemon = daemon.clone();
        if let Some(name) = &daemon.instance
            && !has_id
        {
            let instance = self.config.instances.get(name);
            daemon.id = instance.map_or(0, |instance| instance.virtual_router_id);
        }
        self.note(&["global", "lvs_sync_daemon"], *at);
        self.config.global.lvs_sync_daemon = Some(daemon);
    }

    fn groups(&mut self, files: &Files<'_>) {
        let mut firsts: BTreeMap<&str, &Group> = BTreeMap::new();
        for (_, file) in files {
            for group in &file.groups {
                match firsts.get(group.name.as_str()) {
                    Some(first) if !first.broken && !group.broken => {
                        self.same_entries(first, group);
                    }
                    Some(_) => {}
                    None => {
                        firsts.insert(&group.name, group);
                    }
                }
            }
        }
        for (name, group) in firsts {
            self.note(&["virtual_server_group", name], group.at);
            for (index, entry) in group.entries.iter().enumerate() {
                let index = index.to_string();
                self.note(&["virtual_server_group", name, "entries", &index], entry.at);
            }
            if group.broken {
                self.places.put_unread(&["virtual_server_group", name]);
            }
            let entries = group.entries.iter().map(|entry| entry.value.clone()).collect();
            self.config.groups.insert(name.to_owned(), VirtualServerGroup { entries });
        }
    }

    fn same_entries(&mut self, first: &Group, other: &Group) {
        let sorted = |group: &Group| {
            let mut entries: Vec<GroupEntry> =
                group.entries.iter().map(|entry| entry.value.clone()).collect();
            entries.sort();
            entries
        };
        if sorted(first) != sorted(other) {
            let place = self.report.place(first.at);
            let name = &first.name;
            let message = format!("virtual_server_group {name} has other entries at {place}");
            self.report.error(other.at, message, SAME);
        }
    }

    fn servers(&mut self, files: &Files<'_>) {
        let mut all: BTreeMap<_, Vec<(Option<&str>, &Server)>> = BTreeMap::new();
        for (node, file) in files {
            for server in &file.servers {
                all.entry(server.value.key()).or_default().push((*node, server));
            }
        }
        for members in all.values() {
            let first = members[0].1;
            if members.iter().any(|(_, server)| server.broken) {
                continue;
            }
            let servers: Vec<&Server> = members.iter().map(|(_, server)| *server).collect();
            let values = source::without_own_addresses(&servers, self.report);
            for (other, value) in servers.iter().zip(&values).skip(1) {
                self.same_server((first, &values[0]), (other, value));
            }
            self.absent(files, members);
            let index = self.config.virtual_servers.len().to_string();
            self.note(&["virtual_server", &index], first.at);
            for (path, at) in &first.places {
                let path = path.iter().map(String::as_str);
                let path: Vec<&str> = ["virtual_server", &index].into_iter().chain(path).collect();
                self.note(&path, *at);
            }
            let Some(mut server) = values.into_iter().next() else { continue };
            self.home(first, &mut server);
            self.config.virtual_servers.push(server);
        }
        let mut routers = files.iter().flat_map(|(_, file)| &file.routers);
        if routers.any(|router| !self.config.instances.contains_key(&router.name)) {
            // Whose VIP it is can't be told while an instance can't be read.
            self.places.put_unread(&["virtual_server"]);
        }
    }

    /// keepalived serves all on every node. Here a holder does: where a mark, or an address that
    /// no instance has, does not tell which one, the first that can is taken, as the file has no
    /// word for it.
    fn home(&mut self, first: &Server, server: &mut VirtualServer) {
        if self.config.instances.len() < 2 {
            return;
        }
        let entrances = document::entrances(self.config, server);
        let at_home = self.config.homes().of_entrances(server, &entrances);
        let homes: BTreeSet<&str> = at_home.iter().copied().flatten().collect();
        if at_home.iter().all(Option::is_some) || homes.len() > 1 {
            return;
        }
        let family = entrances.first().map(|one| match one {
            Entrance::Address { address, .. } => Family::of(*address),
            Entrance::Fwmark { family, .. } => *family,
        });
        let mut like = self.config.instances.iter().filter(|(_, one)| {
            one.virtual_ipaddress.first().map(|vip| Family::of(vip.address)) == family
        });
        let any = || self.config.instances.keys().next().map(String::as_str);
        let like = || like.next().map(|(name, _)| name.as_str());
        let taken = homes.first().copied().or_else(like).or_else(any);
        let Some(name) = taken.map(str::to_owned) else { return };
        let service = &server.service;
        let message = format!("{service} tells no instance: the holder of {name} serves it");
        server.instance = Some(name);
        let hint = "in TOML, instance = \"NAME\" says otherwise";
        self.report.warn(first.at, message, hint);
    }

    fn absent(&mut self, files: &Files<'_>, members: &[(Option<&str>, &Server)]) {
        let first = members[0].1;
        for (node, _) in files {
            let Some(node) = node else { continue };
            if !members.iter().any(|(member, _)| *member == Some(*node)) {
                let service = &first.value.service;
                let message = format!("virtual_server {service} is not in the file of {node}");
                let hint = format!("{node} serves it too when it holds the VIP");
                self.report.warn(first.at, message, &hint);
            }
        }
    }

    /// Both as their files have them, and what of that is not a node's own.
    fn same_server(
        &mut self,
        (first, mine): (&Server, &VirtualServer),
        (other, theirs): (&Server, &VirtualServer),
    ) {
        let (of_first, of_other) = (Written::of(first), Written::of(other));
        for (name, mine, theirs) in differences(&server_settings(mine), &server_settings(theirs)) {
            self.differ(name, &mine, of_first.place(name), &theirs, of_other.place(name));
        }
        let (here, there) = (by_address(mine), by_address(theirs));
        for (index, real) in theirs.real_servers.iter().enumerate() {
            match here.get(&real.address) {
                None => self.missing(real, of_other.place_of_real(index, "address"), first),
                Some(&before) => {
                    let mine = real_server_settings(&mine.real_servers[before]);
                    for (name, mine, theirs) in differences(&mine, &real_server_settings(real)) {
                        let first_at = of_first.place_of_real(before, name);
                        let here = of_other.place_of_real(index, name);
                        let name = format!("{name} of {}", real.address);
                        self.differ(&name, &mine, first_at, &theirs, here);
                    }
                }
            }
        }
        for (index, real) in mine.real_servers.iter().enumerate() {
            if !there.contains_key(&real.address) {
                self.missing(real, of_first.place_of_real(index, "address"), other);
            }
        }
    }

    fn missing(&mut self, real: &RealServer, at: Pos, other: &Server) {
        let place = self.report.place(other.at);
        let service = &other.value.service;
        let message = format!("{} is missing in virtual_server {service} at {place}", real.address);
        self.report.error(at, message, "the same real servers on every node");
    }

    fn differ(&mut self, name: &str, mine: &str, first: Pos, theirs: &str, other: Pos) {
        let place = self.report.place(first);
        let message = format!("{name} is {theirs} here and {mine} at {place}");
        self.report.error(other, message, SAME);
    }

    fn note(&mut self, path: &[&str], at: Pos) {
        self.places.put(path, self.report.place(at));
    }
}

/// Where the settings of a server were written first.
struct Written<'a> {
    at: Pos,
    places: BTreeMap<&'a [String], Pos>,
}

impl<'a> Written<'a> {
    fn of(server: &'a Server) -> Self {
        let mut places = BTreeMap::new();
        for (path, at) in &server.places {
            places.entry(path.as_slice()).or_insert(*at);
        }
        Self { at: server.at, places }
    }

    fn find(&self, path: &[&str]) -> Option<Pos> {
        let path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
        self.places.get(path.as_slice()).copied()
    }

    fn place(&self, setting: &str) -> Pos {
        self.find(&[setting]).unwrap_or(self.at)
    }

    fn place_of_real(&self, index: usize, setting: &str) -> Pos {
        let index = index.to_string();
        let exact = self.find(&["real_server", &index, setting]);
        exact.or_else(|| self.find(&["real_server", &index, "address"])).unwrap_or(self.at)
    }
}

/// The number of each real server: of those that share an address, of the first.
fn by_address(server: &VirtualServer) -> BTreeMap<SocketAddr, usize> {
    let mut all = BTreeMap::new();
    for (index, real) in server.real_servers.iter().enumerate() {
        all.entry(real.address).or_insert(index);
    }
    all
}

/// The settings that are not the same, with both values.
pub(super) fn differences(
    mine: &[Setting],
    theirs: &[Setting],
) -> Vec<(&'static str, String, String)> {
    let value = |all: &[Setting], name: &str| {
        let found = all.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone());
        // A list of several lines, on one.
        found.map_or("left out".to_owned(), |value| {
            value.replace("[\n    ", "[").replace(",\n]", "]").replace("\n    ", " ")
        })
    };
    let mut names: Vec<&'static str> = mine.iter().chain(theirs).map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    let pairs = names.into_iter().map(|name| (name, value(mine, name), value(theirs, name)));
    pairs.filter(|(_, mine, theirs)| mine != theirs).collect()
}
