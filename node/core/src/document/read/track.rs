//! What is tracked, by instances and groups, and what each thing is.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use leasehold_model::{
    ParamMatch, Script, SyncGroup, TrackFile, TrackProcess, TrackScript, Tracking, Weight,
};
use toml::Spanned;
use toml::de::DeValue;

use super::{At, Reader, notify};
use crate::document::canonical;
use crate::document::tracks::{COUNT, DELAY_MS, INTERVAL_MS, QUORUM, Tracked};

pub(super) const TRACKING: [&str; 4] =
    ["track_interface", "track_script", "track_process", "track_file"];

impl Reader<'_> {
    pub(super) fn tracking(&mut self, at: &At<'_, '_>) -> Tracking {
        Tracking {
            interfaces: self.tracked(at, Tracked::Interface),
            scripts: self.tracked(at, Tracked::Script),
            processes: self.tracked(at, Tracked::Process),
            files: self.tracked(at, Tracked::File),
        }
    }

    fn tracked(&mut self, at: &At<'_, '_>, kind: Tracked) -> BTreeMap<String, Weight> {
        let mut all = BTreeMap::new();
        let Some(table) = self.table(at, kind.setting()) else { return all };
        for (name, value) in table.table {
            let name: &str = name.get_ref();
            let mut weight = self.tracked_one(&table, name, value, kind);
            if kind == Tracked::Interface {
                canonical::weight(&mut weight, 0);
            }
            all.insert(name.to_owned(), weight);
        }
        all
    }

    /// `{}`, `{ weight = -20, reverse = true }` or `-20`.
    fn tracked_one(
        &mut self,
        at: &At<'_, '_>,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        kind: Tracked,
    ) -> Weight {
        if value.get_ref().as_integer().is_some() {
            let weight = self.integer(at, name, range(kind));
            return Weight { weight, reverse: false };
        }
        if value.get_ref().as_table().is_none() {
            let path = at.path_to(name);
            self.places.put(&path, self.lines.place(&value.span()));
            self.mistyped(&path, value, "a weight, or a table of weight and reverse");
            return Weight::default();
        }
        let Some(at) = self.as_table(at.path_to(name), value) else { return Weight::default() };
        self.known(&at, kind.setting(), &["weight", "reverse"]);
        self.weight(&at, kind)
    }

    fn weight(&mut self, at: &At<'_, '_>, kind: Tracked) -> Weight {
        Weight {
            weight: self.integer(at, "weight", range(kind)),
            reverse: self.boolean(at, "reverse").unwrap_or(false),
        }
    }

    pub(super) fn track_script(&mut self, at: &At<'_, '_>) -> TrackScript {
        let known = [
            "script",
            "interval_ms",
            "timeout_ms",
            "weight",
            "reverse",
            "rise",
            "fall",
            "user",
            "group",
            "init_fail",
        ];
        self.known(at, "a script", &known);
        self.required(at, &["script"]);
        let mut script = TrackScript {
            script: Script {
                command: self.owned(at, "script").unwrap_or_else(|| "/unread".to_owned()),
                user: self.owned(at, "user"),
                group: self.owned(at, "group"),
            },
            interval_ms: self.integer(at, "interval_ms", limits(INTERVAL_MS)).unwrap_or(1000),
            timeout_ms: self.integer(at, "timeout_ms", limits(INTERVAL_MS)),
            weight: self.weight(at, Tracked::Script),
            rise: self.integer(at, "rise", limits(COUNT)).unwrap_or(1),
            fall: self.integer(at, "fall", limits(COUNT)).unwrap_or(1),
            init_fail: self.boolean(at, "init_fail").unwrap_or(false),
        };
        canonical::track_script(&mut script);
        script
    }

    pub(super) fn track_process(&mut self, at: &At<'_, '_>) -> TrackProcess {
        let known = [
            "process",
            "param_match",
            "full_command",
            "weight",
            "reverse",
            "quorum",
            "quorum_max",
            "fork_delay_ms",
            "terminate_delay_ms",
        ];
        self.known(at, "a process", &known);
        self.required(at, &["process"]);
        let matches = [
            ("exact", ParamMatch::Exact),
            ("initial", ParamMatch::Initial),
            ("partial", ParamMatch::Partial),
        ];
        let mut process = TrackProcess {
            process: self.owned(at, "process").unwrap_or_else(|| "unread".to_owned()),
            param_match: self.choice(at, "param_match", &matches).unwrap_or_default(),
            full_command: self.boolean(at, "full_command").unwrap_or(false),
            weight: self.weight(at, Tracked::Process),
            quorum: self.integer(at, "quorum", limits(QUORUM)).unwrap_or(1),
            quorum_max: self.integer(at, "quorum_max", limits(QUORUM)),
            fork_delay_ms: self.integer(at, "fork_delay_ms", limits(DELAY_MS)).unwrap_or(0),
            terminate_delay_ms: self
                .integer(at, "terminate_delay_ms", limits(DELAY_MS))
                .unwrap_or(0),
        };
        canonical::weight(&mut process.weight, 0);
        process
    }

    pub(super) fn track_file(&mut self, at: &At<'_, '_>) -> TrackFile {
        self.known(at, "a file", &["file", "weight", "reverse", "init", "overwrite"]);
        self.required(at, &["file"]);
        let mut file = TrackFile {
            file: self.owned(at, "file").unwrap_or_else(|| "/unread".to_owned()),
            weight: self.weight(at, Tracked::File),
            init: self.integer(at, "init", i64::from(i32::MIN)..=i64::from(i32::MAX)),
            overwrite: self.boolean(at, "overwrite").unwrap_or(false),
        };
        canonical::weight(&mut file.weight, 1);
        file
    }

    pub(super) fn sync_group(&mut self, at: &At<'_, '_>) -> SyncGroup {
        let mut known = vec!["members"];
        known.extend(TRACKING);
        known.extend(notify::NOTIFY);
        self.known(at, "a sync group", &known);
        self.required(at, &["members"]);
        SyncGroup {
            members: self.words(at, "members", "a name", |text| Some(text.to_owned())),
            tracking: self.tracking(at),
            notify: self.notify(at),
        }
    }
}

fn limits(range: RangeInclusive<u32>) -> RangeInclusive<i64> {
    i64::from(*range.start())..=i64::from(*range.end())
}

fn range(kind: Tracked) -> RangeInclusive<i64> {
    let most = i64::from(kind.most());
    -most..=most
}
