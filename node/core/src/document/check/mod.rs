//! What a configuration must fulfil beyond its types. Every fault is found in one run.

mod backend;
mod checker;
mod global;
mod instance;
mod notify;
mod real_server;
mod routing;
mod service;
mod track;
mod virtual_server;
mod vrrp;

use std::collections::{BTreeMap, BTreeSet};

use leasehold_model::{Config, Dataplane};

use crate::diagnostic::{
    Diagnostic, MAX_DIAGNOSTICS, Path, Places, Severity, cut, some_of, too_many,
};

pub use backend::check_backend;
pub(crate) use service::entrances;
pub use service::{MAX_DESTINATIONS, MAX_RANGE, MAX_SERVICES};

/// A lease is one slot of the fence's map and one line of every renewal.
pub const MAX_INSTANCES: usize = 4096;
/// Entries of the fence's address map.
pub const MAX_VIPS: usize = 16384;
/// Scripts and processes, of each kind, that instances can be made to depend on. Files are as many as
/// real servers: each may have its own.
pub(super) const MAX_TRACKED: usize = 4096;
/// Directors of an instance that tell each other by unicast.
pub(super) const MAX_PEERS: usize = 255;
/// Of instances and of whatever else has a name that lines of output repeat, in bytes.
pub(super) const MAX_NAME: usize = 255;
/// `IFNAMSIZ`, less the byte that ends the name.
const MAX_INTERFACE_NAME: usize = 15;

/// A diagnostic that knows the value it is about, not where that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) severity: Severity,
    pub(crate) path: Path,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Fault {
    /// Of a configuration that came from no file: a virtual server is called by its service, not
    /// by its number in the list.
    pub(crate) fn of(mut self, config: &Config) -> Diagnostic {
        if let [list, index, rest @ ..] = self.path.as_slice()
            && list == "virtual_server"
            && let Some(server) =
                index.parse().ok().and_then(|at: usize| config.virtual_servers.get(at))
        {
            let (service, protocol) = (&server.service, server.protocol.name());
            let mut steps = vec![format!("virtual_server {service} {protocol}")];
            steps.extend((!rest.is_empty()).then(|| rest.join(".")));
            self.message = format!("{}: {}", steps.join(", "), self.message);
            self.path.clear();
        }
        self.locate(&Places::default())
    }

    pub(super) fn locate(self, places: &Places) -> Diagnostic {
        let Self { severity, path, message, hint } = self;
        let place = places.of(&path);
        let message = match &place {
            None if !path.is_empty() => {
                let steps: Vec<String> = path.iter().map(|step| cut(step)).collect();
                format!("{}: {message}", steps.join("."))
            }
            Some(_) | None => message,
        };
        Diagnostic { severity, place, message, hint }
    }
}

/// Every fault of a configuration that came from no file.
#[must_use]
pub fn validate(config: &Config) -> Vec<Diagnostic> {
    faults(config).into_iter().map(|fault| fault.of(config)).collect()
}

/// Warns of directors that the configuration names and the cluster does not have. It may get
/// them later, so this refuses nothing.
#[must_use]
pub fn check_directors(config: &Config, known: &BTreeSet<String>) -> Vec<Diagnostic> {
    let in_instances = config.instances.iter().flat_map(|(name, instance)| {
        instance.directors.keys().map(move |director| (director, format!("instance {name}")))
    });
    let in_global = config.global.router_id.keys().map(|name| (name, "router_id".to_owned()));
    let mut unknown: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (director, user) in in_instances.chain(in_global) {
        if !known.contains(director) {
            unknown.entry(director).or_default().push(user);
        }
    }
    let warn = |(director, users): (&str, Vec<String>)| {
        let by = match users.as_slice() {
            [one] => one.clone(),
            many => format!("{} and {} more", many[0], many.len() - 1),
        };
        Diagnostic::warning(None, format!("no member is called {director} (named by {by})"))
            .hint(format!("members are: {}", listed(known)))
    };
    unknown.into_iter().map(warn).collect()
}

fn listed(names: &BTreeSet<String>) -> String {
    if names.is_empty() { "none".to_owned() } else { some_of(names.iter()) }
}

pub(crate) fn faults(config: &Config) -> Vec<Fault> {
    let mut check = Check::default();
    if !check.limits(config) {
        // What is far too much is not looked at one by one.
        return check.faults;
    }
    check.at("global", |check| check.global(config));
    check.at("instance", |check| {
        for (name, instance) in &config.instances {
            check.at(name, |check| check.instance(config, name, instance));
        }
        check.addresses_once(config);
        check.routers_once(config);
        check.routes_once(config);
    });
    check.at("sync_group", |check| check.sync_groups(config));
    check.tracked(config);
    check.virtual_servers(config);
    if config.global.dataplane == Dataplane::Nftables {
        check.nftables(config);
    }
    check.faults
}

#[derive(Default)]
struct Check {
    faults: Vec<Fault>,
    errors: usize,
    warnings: usize,
    path: Path,
}

impl Check {
    fn at(&mut self, step: &str, inner: impl FnOnce(&mut Self)) {
        self.path.push(step.to_owned());
        inner(self);
        self.path.pop();
    }

    fn at_path(&mut self, path: &[&str], inner: impl FnOnce(&mut Self)) {
        let before = self.path.len();
        self.path.extend(path.iter().map(|step| (*step).to_owned()));
        inner(self);
        self.path.truncate(before);
    }

    fn report(&mut self, severity: Severity, message: String, hint: &str) {
        let count = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count > MAX_DIAGNOSTICS + 1 {
            return;
        }
        let over = *count > MAX_DIAGNOSTICS;
        let message = if over { too_many(severity) } else { message };
        let hint = (!hint.is_empty() && !over).then(|| hint.to_owned());
        self.faults.push(Fault { severity, path: self.path.clone(), message, hint });
    }

    fn error(&mut self, message: impl Into<String>, hint: &str) {
        self.report(Severity::Error, message.into(), hint);
    }

    fn warn(&mut self, message: impl Into<String>, hint: &str) {
        self.report(Severity::Warning, message.into(), hint);
    }

    /// Whether all keep to them. Each error stands where the first of what it counts does.
    fn limits(&mut self, config: &Config) -> bool {
        let first = |names: Option<&String>| names.cloned().unwrap_or_default();
        let vips: usize = config.instances.values().map(|one| one.vips().count()).sum();
        let of_instances = ("instance", first(config.instances.keys().next()));
        let scripts = ("script", first(config.scripts.keys().next()));
        let processes = ("process", first(config.processes.keys().next()));
        let files = ("file", first(config.files.keys().next()));
        let groups = ("virtual_server_group", first(config.groups.keys().next()));
        let sync_groups = ("sync_group", first(config.sync_groups.keys().next()));
        let peers = config.instances.values().map(|one| one.adverts.unicast_peer.len());
        let all = [
            (peers.max().unwrap_or(0), MAX_PEERS, "unicast peers of one instance", &of_instances),
            (config.instances.len(), MAX_INSTANCES, "instances", &of_instances),
            (vips, MAX_VIPS, "virtual addresses", &of_instances),
            (config.sync_groups.len(), MAX_INSTANCES, "sync groups", &sync_groups),
            (config.scripts.len(), MAX_TRACKED, "scripts", &scripts),
            (config.processes.len(), MAX_TRACKED, "processes", &processes),
            (config.files.len(), MAX_DESTINATIONS, "files", &files),
            (config.groups.len(), MAX_SERVICES, "groups of virtual servers", &groups),
        ];
        for (count, limit, what, (section, name)) in all {
            if count > limit {
                self.at_path(&[section, name], |check| {
                    check.error(format!("{count} {what}: {limit} is the limit"), "");
                });
            }
        }
        self.names(config);
        self.faults.is_empty()
    }

    /// The first name of each section that is too long, if there is one.
    fn names(&mut self, config: &Config) {
        fn long<V>(all: &BTreeMap<String, V>) -> Option<&String> {
            all.keys().find(|name| name.len() > MAX_NAME)
        }
        let sections = [
            ("instance", long(&config.instances)),
            ("sync_group", long(&config.sync_groups)),
            ("script", long(&config.scripts)),
            ("process", long(&config.processes)),
            ("file", long(&config.files)),
            ("virtual_server_group", long(&config.groups)),
        ];
        for (section, name) in sections {
            let Some(name) = name else { continue };
            self.at_path(&[section, name], |check| {
                let length = name.len();
                check.error(format!("a name of {length} bytes: {MAX_NAME} is the limit"), "");
            });
        }
    }
}
