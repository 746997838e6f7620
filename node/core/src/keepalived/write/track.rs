//! What instances track, how they are told of, and the groups they stand in.

use leasehold_model::{
    Config, Notify, ParamMatch, Script, SyncGroup, TrackFile, TrackProcess, TrackScript, Tracking,
    Weight,
};

use super::global::MAX_SECONDS;
use super::{UNSPEAKABLE, Writer, words};
use crate::document::tracks::Tracked;
use crate::words::split;

const MAX_PROCESS_DELAY_MS: u32 = 3_600_000;

impl Writer<'_> {
    pub(super) fn tracked(&mut self) {
        let Config { scripts, processes, files, .. } = self.config;
        for (name, one) in scripts {
            let head = format!("vrrp_script {}", self.name(name));
            self.at_named("script", name, |writer| {
                writer.block(&head, |writer| writer.track_script(one));
            });
        }
        for (name, one) in processes {
            let head = format!("vrrp_track_process {}", self.name(name));
            self.at_named("process", name, |writer| {
                writer.block(&head, |writer| writer.track_process(one));
            });
        }
        for (name, one) in files {
            let head = format!("track_file {}", self.name(name));
            self.at_named("file", name, |writer| {
                writer.block(&head, |writer| writer.track_file(one));
            });
        }
    }

    pub(super) fn at_named(&mut self, list: &str, name: &str, inner: impl FnOnce(&mut Self)) {
        self.at(list, |writer| writer.at(name, inner));
    }

    fn track_script(&mut self, one: &TrackScript) {
        let TrackScript { script, interval_ms, timeout_ms, weight, rise, fall, init_fail } = one;
        let command = Script { user: None, group: None, ..script.clone() };
        match words::script(&command) {
            Some(line) if self.fits(&line) => self.line(&format!("script {line}")),
            // A script without a command can't be: keepalived would ignore what tracks it.
            Some(_) | None => self.unwritable.push(format!("{:?}", script.command)),
        }
        self.script_seconds("interval_ms", "interval", Some(*interval_ms));
        self.script_seconds("timeout_ms", "timeout", *timeout_ms);
        self.weight_line(weight, 0);
        self.number("rise", (*rise != 1).then_some(rise));
        self.number("fall", (*fall != 1).then_some(fall));
        self.user(script);
        self.flag("init_fail", *init_fail);
    }

    fn script_seconds(&mut self, key: &str, word: &str, ms: Option<u32>) {
        let Some(ms) = ms else { return };
        let most = MAX_SECONDS * 1000;
        if ms > most {
            self.leave_out(key, format!("keepalived's longest is {MAX_SECONDS} seconds"));
        }
        self.line(&format!("{word} {}", words::seconds(ms.min(most))));
    }

    /// `user USER [GROUP]`, on a line of its own.
    pub(super) fn user(&mut self, script: &Script) {
        let who = [&script.user, &script.group].into_iter().flatten();
        let who: Option<Vec<String>> = who.map(|one| words::word(one)).collect();
        match who {
            Some(who) if who.is_empty() => {}
            who => {
                let who = who.map(|who| who.join(" "));
                self.at("script", |writer| writer.value("user", "user", who));
            }
        }
    }

    /// `otherwise` is the weight where none is said.
    fn weight_line(&mut self, one: &Weight, otherwise: i16) {
        if *one == Weight::default() {
            return;
        }
        let weight = one.weight.unwrap_or(otherwise);
        self.line(&format!("weight {weight}{}", reverse(one)));
    }

    fn track_process(&mut self, one: &TrackProcess) {
        let TrackProcess {
            process,
            param_match,
            full_command,
            weight,
            quorum,
            quorum_max,
            fork_delay_ms,
            terminate_delay_ms,
        } = one;
        let parts = split(process).unwrap_or_default();
        let line: Option<Vec<String>> = parts.iter().map(|part| words::word(part)).collect();
        // One word with blanks is taken for a program and its parameters.
        let alone = matches!(parts.as_slice(), [one] if one.contains(char::is_whitespace));
        match line.filter(|_| !alone).map(|line| line.join(" ")) {
            Some(line) if self.fits(&line) => self.line(&format!("process {line}")),
            Some(_) | None => self.unwritable.push(format!("{process:?}")),
        }
        match param_match {
            ParamMatch::Exact => {}
            ParamMatch::Initial => self.line("param_match initial"),
            ParamMatch::Partial => self.line("param_match partial"),
        }
        self.weight_line(weight, 0);
        match (quorum, quorum_max) {
            // quorum_max 0 says it.
            (1, _) | (0, Some(0)) => {}
            (0, _) => self.leave_out("quorum", "keepalived's least is 1"),
            (quorum, _) => self.line(&format!("quorum {quorum}")),
        }
        self.number("quorum_max", *quorum_max);
        let delays = [
            ("fork_delay_ms", "fork_delay", *fork_delay_ms),
            ("terminate_delay_ms", "terminate_delay", *terminate_delay_ms),
        ];
        for (key, word, ms) in delays {
            if ms > MAX_PROCESS_DELAY_MS {
                self.leave_out(key, "keepalived's longest is an hour");
            }
            let ms = Some(ms.min(MAX_PROCESS_DELAY_MS)).filter(|ms| *ms != 0);
            self.number(word, ms.map(words::seconds));
        }
        self.flag("full_command", *full_command);
    }

    fn track_file(&mut self, one: &TrackFile) {
        let TrackFile { file, weight, init, overwrite } = one;
        match words::word(file) {
            Some(path) if self.fits(&path) => self.line(&format!("file {path}")),
            Some(_) | None => self.unwritable.push(format!("{file:?}")),
        }
        self.weight_line(weight, 1);
        match (init, overwrite) {
            (Some(value), true) => self.line(&format!("init_file {value} overwrite")),
            (Some(value), false) => self.line(&format!("init_file {value}")),
            (None, true) => self.leave_out("overwrite", "it has no effect without init"),
            (None, false) => {}
        }
    }

    pub(super) fn sync_groups(&mut self) {
        for (name, group) in &self.config.sync_groups {
            let head = format!("vrrp_sync_group {}", self.name(name));
            self.at_named("sync_group", name, |writer| {
                writer.block(&head, |writer| writer.sync_group(group));
            });
        }
    }

    fn sync_group(&mut self, group: &SyncGroup) {
        let members: Vec<String> = group.members.iter().map(|one| self.name(one)).collect();
        self.block("group", |writer| members.iter().for_each(|one| writer.line(one)));
        let instances = group.members.iter().filter_map(|one| self.config.instances.get(one));
        let mut tracked = instances.map(|one| &one.tracking).chain([&group.tracking]);
        if tracked.any(|tracking| !tracking.is_empty()) {
            // Weights count in a group, which keepalived has to be told.
            self.line("sync_group_tracking_weight");
        }
        self.tracking(&group.tracking, str::to_owned);
        let Notify { notify_deleted, notify_master_rx_lower_pri, .. } = &group.notify;
        let missing = [
            ("notify_deleted", notify_deleted),
            ("notify_master_rx_lower_pri", notify_master_rx_lower_pri),
        ];
        for (key, _) in missing.iter().filter(|(_, script)| script.is_some()) {
            self.leave_out(key, "keepalived's sync groups have none: instances have");
        }
        let known = Notify {
            notify_deleted: None,
            notify_master_rx_lower_pri: None,
            ..group.notify.clone()
        };
        self.notify(&known, |_, _| None);
    }

    /// The four blocks; `own` is this node's name for an interface.
    pub(super) fn tracking(&mut self, tracking: &Tracking, own: impl Fn(&str) -> String) {
        for kind in Tracked::ALL {
            let all = kind.of(tracking);
            if all.is_empty() {
                continue;
            }
            self.at(kind.setting(), |writer| {
                writer.block(kind.setting(), |writer| {
                    for (name, weight) in all {
                        let written =
                            if kind == Tracked::Interface { own(name) } else { name.clone() };
                        writer.tracker(kind, name, &written, weight);
                    }
                });
            });
        }
    }

    fn tracker(&mut self, kind: Tracked, name: &str, written: &str, one: &Weight) {
        let Config { scripts, processes, files, .. } = self.config;
        let followed = match kind {
            Tracked::Interface => Weight::default(),
            Tracked::Script => scripts.get(name).map(|one| one.weight).unwrap_or_default(),
            Tracked::Process => processes.get(name).map(|one| one.weight).unwrap_or_default(),
            Tracked::File => files.get(name).map(|one| one.weight).unwrap_or_default(),
        };
        let otherwise = followed.weight.unwrap_or(if kind == Tracked::File { 1 } else { 0 });
        let word = self.name(written);
        let is_followed = one.weight.is_none() && (followed.reverse || !one.reverse);
        if is_followed {
            return self.line(&word);
        }
        if one.weight.is_none() && kind != Tracked::Interface {
            let why =
                format!("keepalived says reverse with a weight alone: {otherwise} is written");
            self.leave_out(name, why);
        }
        let weight = one.weight.unwrap_or(otherwise);
        self.line(&format!("{word} weight {weight}{}", reverse(one)));
    }

    /// `owner` names the director whose script it is, where it is not everyone's.
    pub(super) fn notify(
        &mut self,
        notify: &Notify,
        owner: impl Fn(&str, &Script) -> Option<String>,
    ) {
        for (word, script) in notify.scripts() {
            let Some(script) = script else { continue };
            match owner(word, script) {
                Some(director) => self.at("director", |writer| {
                    writer.at(&director, |writer| writer.script(word, word, Some(script)));
                }),
                None => self.script(word, word, Some(script)),
            }
        }
        self.switch("notify_priority_changes", notify.notify_priority_changes);
        self.switch("smtp_alert", notify.smtp_alert);
    }

    pub(super) fn script(&mut self, key: &str, word: &str, script: Option<&Script>) {
        let Some(script) = script else { return };
        let line = words::script(script).map(|line| format!("{word} {line}"));
        match line.filter(|line| self.fits(line)) {
            Some(line) => self.line(&line),
            None => self.leave_out(key, UNSPEAKABLE),
        }
    }
}

fn reverse(one: &Weight) -> &'static str {
    if one.reverse { " reverse" } else { "" }
}
