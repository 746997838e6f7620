//! What the blocks of one file mean together: instances, their sync groups and what they track.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_model::{Tracking, Weight};

use super::lex::Pos;
use super::lower::{File, Lower};
use crate::document::tracks::Tracked;

impl Lower<'_> {
    /// keepalived counts weights in a sync group only where it is told to.
    pub(super) fn weights_in_groups(&mut self, file: &File) {
        let weights = Weights::of(file);
        let weighted = file.routers.iter().filter(|one| weights.count(&one.rest.value.tracking));
        let weighted: Vec<(&str, Pos)> = weighted.map(|one| (one.name.as_str(), one.at)).collect();
        for group in file.sync_groups.iter().filter(|group| !group.value.tracking_weight) {
            let name = &group.name;
            let members: BTreeSet<&str> =
                group.value.group.members.iter().map(String::as_str).collect();
            let places = weighted.iter().filter(|(one, _)| members.contains(one));
            let places = places.map(|(_, at)| *at);
            let own = weights.count(&group.value.group.tracking).then_some(group.at);
            if let Some(at) = own.into_iter().chain(places).next() {
                let message = format!(
                    "weights count in the sync group {name}: keepalived ignores them without \
                     sync_group_tracking_weight"
                );
                self.report.warn(at, message, "remove them, or write weight 0 for a fault");
            }
        }
    }

    /// What a group says counts for its instances before what the file says.
    pub(super) fn priority_changes(&mut self, file: &mut File) {
        let File { routers, sync_groups, priority_changes, .. } = file;
        let mut of_groups: BTreeMap<&str, Option<bool>> = BTreeMap::new();
        for group in sync_groups.iter().map(|group| &group.value.group) {
            for member in &group.members {
                of_groups.entry(member).or_insert(group.notify.notify_priority_changes);
            }
        }
        for router in routers {
            let of_group = of_groups.get(router.name.as_str()).copied().flatten();
            let own = &mut router.rest.value.notify.notify_priority_changes;
            *own = own.or(of_group).or(*priority_changes);
        }
        for group in sync_groups {
            let own = &mut group.value.group.notify.notify_priority_changes;
            *own = own.or(*priority_changes);
        }
    }
}

/// What each thing that is tracked weighs where nothing else is said.
struct Weights<'a>(BTreeMap<(Tracked, &'a str), i16>);

impl<'a> Weights<'a> {
    fn of(file: &'a File) -> Self {
        let mut all = BTreeMap::new();
        let mut put = |kind: Tracked, name: &'a str, own: &Weight| {
            let otherwise = if kind == Tracked::File { 1 } else { 0 };
            all.insert((kind, name), own.weight.unwrap_or(otherwise));
        };
        for one in &file.scripts {
            put(Tracked::Script, &one.name, &one.value.weight);
        }
        for one in &file.processes {
            put(Tracked::Process, &one.name, &one.value.weight);
        }
        for one in &file.files {
            put(Tracked::File, &one.name, &one.value.weight);
        }
        Self(all)
    }

    /// Whether any of it changes a priority.
    fn count(&self, tracking: &Tracking) -> bool {
        let own = |kind: Tracked, name: &str| self.0.get(&(kind, name)).copied();
        Tracked::ALL.into_iter().any(|kind| {
            let mut all = kind.of(tracking).iter();
            all.any(|(name, one)| one.weight.or_else(|| own(kind, name)).unwrap_or(0) != 0)
        })
    }
}
