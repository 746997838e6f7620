//! What sync groups, and what is tracked, must fulfil.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_model::{Config, TrackFile, TrackProcess, TrackScript, Tracking};

use super::Check;
use crate::diagnostic::some_of;
use crate::document::tracks::Tracked;
use crate::words;

impl Check {
    pub(super) fn sync_groups(&mut self, config: &Config) {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        let members = config.sync_groups.values().flat_map(|group| &group.members);
        let grouped: BTreeSet<&str> = members.map(String::as_str).collect();
        for (name, group) in &config.sync_groups {
            self.at(name, |check| {
                check.name(name, "a sync group's");
                check.lease_name(config, name, &grouped);
                check.at("members", |check| {
                    match group.members.len() {
                        0 => check.error("the sync group has no member", "names of instances"),
                        1 => check.warn(
                            "a sync group of one instance changes nothing",
                            "name two or more, or remove the group",
                        ),
                        _ => {}
                    }
                    for member in &group.members {
                        check.at(member, |check| {
                            if !config.instances.contains_key(member) {
                                check.unknown_instance(config, member);
                            }
                            match seen.insert(member, name) {
                                Some(first) if first != name => check.error(
                                    format!("{member} is in the sync group {first} already"),
                                    "an instance is in one group at most",
                                ),
                                Some(_) | None => {}
                            }
                        });
                    }
                });
                check.tracking(config, &group.tracking);
                check.notify(config, &group.notify);
            });
        }
    }

    /// A lease is called by its group's name, or by its lone instance's.
    fn lease_name(&mut self, config: &Config, name: &str, grouped: &BTreeSet<&str>) {
        if config.instances.contains_key(name) && !grouped.contains(name) {
            let message = format!("an instance that is in no group is called {name} too");
            self.error(message, "a lease is called by that name: rename one");
        }
    }

    pub(super) fn tracking(&mut self, config: &Config, tracking: &Tracking) {
        for kind in Tracked::ALL {
            self.at(kind.setting(), |check| {
                for (name, weight) in kind.of(tracking) {
                    check.at(name, |check| {
                        match is_defined(config, kind, name) {
                            None => check.interface_name(name),
                            Some(true) => {}
                            Some(false) => check.undefined(config, kind, name),
                        }
                        let most = kind.most();
                        if weight.weight.is_some_and(|weight| !(-most..=most).contains(&weight)) {
                            let hint = format!("-{most} to {most}");
                            check.error(format!("the weight of {name} is out of range"), &hint);
                        }
                    });
                }
            });
        }
    }

    fn undefined(&mut self, config: &Config, kind: Tracked, name: &str) {
        let noun = kind.noun();
        let there = match kind {
            Tracked::Interface => String::new(),
            Tracked::Script => some_of(config.scripts.keys()),
            Tracked::Process => some_of(config.processes.keys()),
            Tracked::File => some_of(config.files.keys()),
        };
        let hint = match there.is_empty() {
            true => format!("there is none: add [{noun}.{name}]"),
            false => format!("they are: {there}"),
        };
        self.error(format!("no {noun} is called {name}"), &hint);
    }

    pub(super) fn tracked(&mut self, config: &Config) {
        let used = |kind: Tracked| -> BTreeSet<&str> {
            let instances = config.instances.values().map(|one| &one.tracking);
            let groups = config.sync_groups.values().map(|one| &one.tracking);
            instances
                .chain(groups)
                .flat_map(|one| kind.of(one).keys().map(String::as_str))
                .collect()
        };
        let (scripts, processes) = (used(Tracked::Script), used(Tracked::Process));
        for (name, script) in &config.scripts {
            self.at_path(&["script", name], |check| {
                check.unused(&scripts, name);
                check.track_script(script);
            });
        }
        for (name, process) in &config.processes {
            self.at_path(&["process", name], |check| {
                check.unused(&processes, name);
                check.track_process(process);
            });
        }
        let mut files = used(Tracked::File);
        files.extend(config.file_checks().map(|file| file.track_file.as_str()));
        for (name, file) in &config.files {
            self.at_path(&["file", name], |check| {
                check.unused(&files, name);
                check.track_file(file);
            });
        }
    }

    fn unused(&mut self, used: &BTreeSet<&str>, name: &str) {
        if !used.contains(name) {
            self.warn(format!("nothing tracks {name}: it is not watched"), "");
        }
    }

    fn track_script(&mut self, script: &TrackScript) {
        self.at("script", |check| check.command(&script.script.command));
        self.users(&script.script);
    }

    fn track_process(&mut self, process: &TrackProcess) {
        if let Err(error) = words::split(&process.process) {
            self.at("process", |check| check.error(error.to_string(), "a program's name"));
        }
        if process.quorum == 0 && process.quorum_max.is_none() {
            self.at("quorum", |check| {
                check.warn("quorum 0 is always well", "quorum_max says how many are too many");
            });
        }
        if process.quorum_max.is_some_and(|most| most < process.quorum) {
            self.at("quorum_max", |check| {
                check.error("quorum_max is below quorum: it is never well", "quorum or more");
            });
        }
    }

    fn track_file(&mut self, file: &TrackFile) {
        self.at("file", |check| check.absolute("file", &file.file));
        if file.overwrite && file.init.is_none() {
            self.at("overwrite", |check| {
                check.warn("overwrite has no effect without init", "");
            });
        }
    }
}

/// Whether there is one of that name; interfaces need no definition.
fn is_defined(config: &Config, kind: Tracked, name: &str) -> Option<bool> {
    match kind {
        Tracked::Interface => None,
        Tracked::Script => Some(config.scripts.contains_key(name)),
        Tracked::Process => Some(config.processes.contains_key(name)),
        Tracked::File => Some(config.files.contains_key(name)),
    }
}
