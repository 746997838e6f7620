//! What a configuration must fulfil beyond its types. Every fault is found in one run.

mod backend;
mod global;
mod instance;
mod real_server;
mod service;
mod virtual_server;

use std::collections::{BTreeMap, BTreeSet};

use leasehold_model::{Config, Dataplane};

use crate::diagnostic::{Diagnostic, Path, Places, Severity};

pub use backend::check_backend;
pub(crate) use service::entrances;
pub use service::{MAX_DESTINATIONS, MAX_RANGE, MAX_SERVICES};

/// A lease is one slot of the fence's map and one line of every renewal.
pub const MAX_INSTANCES: usize = 4096;
/// Entries of the fence's address map.
pub const MAX_VIPS: usize = 16384;
/// `IFNAMSIZ`, less the byte that ends the name.
const MAX_INTERFACE_NAME: usize = 15;

/// A diagnostic that knows the value it is about, not where that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    severity: Severity,
    pub(super) path: Path,
    message: String,
    hint: Option<String>,
}

impl Fault {
    /// Of a configuration that came from no file: a virtual server is called by its service, not
    /// by its number in the list.
    fn of(mut self, config: &Config) -> Diagnostic {
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
            None if !path.is_empty() => format!("{}: {message}", path.join(".")),
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
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

pub(super) fn faults(config: &Config) -> Vec<Fault> {
    let mut check = Check { faults: Vec::new(), path: Vec::new() };
    check.limits(config);
    check.at("global", |check| check.global(config));
    check.at("instance", |check| {
        for (name, instance) in &config.instances {
            check.at(name, |check| check.instance(name, instance));
        }
        check.addresses_once(config);
        check.routers_once(config);
    });
    check.virtual_servers(config);
    if config.global.dataplane == Dataplane::Nftables {
        check.nftables(config);
    }
    check.faults
}

struct Check {
    faults: Vec<Fault>,
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
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        self.faults.push(Fault { severity, path: self.path.clone(), message, hint });
    }

    fn error(&mut self, message: impl Into<String>, hint: &str) {
        self.report(Severity::Error, message.into(), hint);
    }

    fn warn(&mut self, message: impl Into<String>, hint: &str) {
        self.report(Severity::Warning, message.into(), hint);
    }

    fn limits(&mut self, config: &Config) {
        let count = config.instances.len();
        if count > MAX_INSTANCES {
            self.error(format!("{count} instances: {MAX_INSTANCES} is the limit"), "");
        }
        let vips: usize = config.instances.values().map(|one| one.virtual_ipaddress.len()).sum();
        if vips > MAX_VIPS {
            self.error(format!("{vips} virtual addresses: {MAX_VIPS} is the limit"), "");
        }
    }
}
