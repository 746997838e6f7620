//! `vrrp_script`, `vrrp_track_process`, `track_file` and `vrrp_sync_group`, and the lines that
//! name them.

use std::collections::BTreeMap;

use leasehold_model::{
    ParamMatch, Script, SyncGroup, TrackFile, TrackProcess, TrackScript, Tracking, Weight,
};

use super::keywords::Block;
use super::lex::{Pos, Word};
use super::lower::Lower;
use super::parse::Statement;
use super::statement::{number, timer, together};
use crate::document::canonical;
use crate::document::tracks::{COUNT, DELAY_MS, INTERVAL_MS, QUORUM, Tracked};

/// Something that every file calls by one name, as one file has it.
#[derive(Debug)]
pub(super) struct Named<T> {
    pub(super) name: String,
    pub(super) at: Pos,
    pub(super) value: T,
    /// By the name of the setting in TOML.
    pub(super) places: Vec<(String, Pos)>,
    pub(super) broken: bool,
}

/// A sync group, and whether weights count in it in keepalived too.
#[derive(Clone, Debug, Default)]
pub(super) struct Together {
    pub(super) group: SyncGroup,
    pub(super) tracking_weight: bool,
}

impl<T> Named<T> {
    /// Where a setting was written, or where the whole begins.
    pub(super) fn place(&self, setting: &str) -> Pos {
        let found = self.places.iter().find(|(name, _)| name == setting);
        found.map_or(self.at, |(_, at)| *at)
    }
}

impl Lower<'_> {
    /// Every block of the root that is called one of `keywords`, each name once.
    pub(super) fn named<T>(
        &mut self,
        statements: &[Statement],
        keywords: &[&str],
        read: impl Fn(&mut Self, &[Statement], &mut Named<Option<T>>),
    ) -> Vec<Named<T>> {
        let mut all: Vec<Named<T>> = Vec::new();
        let mut firsts: BTreeMap<String, Pos> = BTreeMap::new();
        for one in statements.iter().filter(|one| keywords.contains(&one.keyword.text.as_str())) {
            let Some(name) = self.title(one) else { continue };
            let Some(lines) = self.block(one) else { continue };
            let mut named = Named {
                name: name.text.clone(),
                at: name.at,
                value: None,
                places: Vec::new(),
                broken: false,
            };
            let errors = self.report.errors;
            read(self, lines, &mut named);
            let broken = self.report.errors > errors;
            if let Some(first) = firsts.get(&named.name) {
                let first = self.report.place(*first);
                let keyword = &one.keyword.text;
                let message = format!("{keyword} {} is defined at {first} already", named.name);
                self.report.error(named.at, message, "names are unique: rename one");
                continue;
            }
            let Named { name, at, value, places, .. } = named;
            if let Some(value) = value {
                firsts.insert(name.clone(), at);
                all.push(Named { name, at, value, places, broken });
            }
        }
        all
    }

    pub(super) fn track_script(
        &mut self,
        lines: &[Statement],
        named: &mut Named<Option<TrackScript>>,
    ) {
        self.unserved(Block::Script, lines);
        self.repeated(lines, &[]);
        let unread = Script { command: String::new(), user: None, group: None };
        let mut script = TrackScript::new(unread);
        let mut user = None;
        let times = timer(*INTERVAL_MS.start(), *INTERVAL_MS.end());
        for line in lines {
            let setting = match line.keyword.text.as_str() {
                "script" => {
                    self.unquoted(line);
                    script.script = self.script(line).unwrap_or(script.script);
                    "script"
                }
                "interval" => {
                    let every = self.value(line, "0.001 to 86400 seconds", &times);
                    script.interval_ms = every.map_or(1000, |every| every.value);
                    "interval_ms"
                }
                "timeout" => {
                    let timeout = self.value(line, "0.001 to 86400 seconds", &times);
                    script.timeout_ms = timeout.map(|timeout| timeout.value);
                    "timeout_ms"
                }
                "weight" => {
                    script.weight = self.weight_line(line, Tracked::Script);
                    "weight"
                }
                "rise" => {
                    script.rise = self.count(line);
                    "rise"
                }
                "fall" => {
                    script.fall = self.count(line);
                    "fall"
                }
                "user" => {
                    user = self.user(line);
                    "user"
                }
                "init_fail" => {
                    script.init_fail = self.flag(line).is_some_and(|flag| flag.value);
                    "init_fail"
                }
                _ => continue,
            };
            named.places.push((setting.to_owned(), line.keyword.at));
        }
        if script.script.command.is_empty() {
            let message = format!("vrrp_script {} has no script", named.name);
            self.report.error(named.at, message, "script \"/usr/bin/killall -0 haproxy\"");
        }
        if let Some((user, group)) = user {
            (script.script.user, script.script.group) = (Some(user), group);
        }
        canonical::track_script(&mut script);
        named.value = Some(script);
    }

    fn unquoted(&mut self, line: &Statement) {
        if let [program, argument, ..] = line.arguments.as_slice()
            && !program.text.contains(' ')
        {
            let program = &program.text;
            let message =
                format!("{program} has arguments: keepalived leaves them out without quotes");
            self.report.warn(argument.at, message, "quotes around the whole command");
        }
    }

    fn count(&mut self, line: &Statement) -> u32 {
        let read = number(*COUNT.start(), *COUNT.end());
        self.value(line, "1 or more", read).map_or(1, |count| count.value)
    }

    pub(super) fn track_process(
        &mut self,
        lines: &[Statement],
        named: &mut Named<Option<TrackProcess>>,
    ) {
        self.unserved(Block::TrackProcess, lines);
        self.repeated(lines, &[]);
        let mut process = TrackProcess::new("");
        for line in lines {
            let setting = match line.keyword.text.as_str() {
                "process" => {
                    self.no_block(line);
                    let words: Vec<String> = line.arguments.iter().map(Word::unescaped).collect();
                    process.process = match words.as_slice() {
                        // The name and its parameters, in quotes that are not needed.
                        [one] if !one.contains(['"', '\'', '\\']) => one.clone(),
                        words => together(words),
                    };
                    process.full_command |= process.process.contains(' ');
                    "process"
                }
                "param_match" => {
                    process.full_command = true;
                    process.param_match = self.param_match(line);
                    "param_match"
                }
                "full_command" => {
                    process.full_command = self.flag(line).is_some_and(|flag| flag.value);
                    "full_command"
                }
                "weight" => {
                    process.weight = self.weight_line(line, Tracked::Process);
                    "weight"
                }
                "quorum" => {
                    process.quorum = self.enough(line);
                    "quorum"
                }
                "quorum_max" => {
                    process.quorum_max = Some(self.enough(line));
                    "quorum_max"
                }
                "delay" => {
                    let delay = self.delay(line);
                    (process.fork_delay_ms, process.terminate_delay_ms) = (delay, delay);
                    "fork_delay_ms"
                }
                "fork_delay" => {
                    process.fork_delay_ms = self.delay(line);
                    "fork_delay_ms"
                }
                "terminate_delay" => {
                    process.terminate_delay_ms = self.delay(line);
                    "terminate_delay_ms"
                }
                _ => continue,
            };
            named.places.push((setting.to_owned(), line.keyword.at));
        }
        if process.process.is_empty() {
            let message = format!("vrrp_track_process {} has no process", named.name);
            self.report.error(named.at, message, "process haproxy");
        }
        if process.quorum_max == Some(0) {
            process.quorum = 0;
        }
        canonical::weight(&mut process.weight, 0);
        named.value = Some(process);
    }

    /// Alone it means exact.
    fn param_match(&mut self, line: &Statement) -> ParamMatch {
        let read = |text: &str| match text {
            "exact" => Some(ParamMatch::Exact),
            "initial" => Some(ParamMatch::Initial),
            "partial" => Some(ParamMatch::Partial),
            _ => None,
        };
        if line.arguments.is_empty() {
            return ParamMatch::Exact;
        }
        self.value(line, "initial or partial", read).map(|found| found.value).unwrap_or_default()
    }

    fn enough(&mut self, line: &Statement) -> u32 {
        let read = number(*QUORUM.start(), *QUORUM.end());
        self.value(line, "0 to 65535", read).map_or(1, |quorum| quorum.value)
    }

    fn delay(&mut self, line: &Statement) -> u32 {
        let read = timer(*DELAY_MS.start(), *DELAY_MS.end());
        self.value(line, "0 to 86400 seconds", read).map_or(0, |delay| delay.value)
    }

    pub(super) fn track_file(&mut self, lines: &[Statement], named: &mut Named<Option<TrackFile>>) {
        self.unserved(Block::TrackFile, lines);
        self.repeated(lines, &[]);
        let weight = Weight::default();
        let mut file = TrackFile { file: String::new(), weight, init: None, overwrite: false };
        for line in lines {
            let setting = match line.keyword.text.as_str() {
                "file" => {
                    let path = self.argument(line).map(|word| word.text.clone());
                    file.file = path.unwrap_or_default();
                    "file"
                }
                "weight" => {
                    file.weight = self.weight_line(line, Tracked::File);
                    "weight"
                }
                "init_file" => {
                    self.init_file(line, &mut file);
                    "init"
                }
                _ => continue,
            };
            named.places.push((setting.to_owned(), line.keyword.at));
        }
        if file.file.is_empty() {
            let message = format!("track_file {} has no file", named.name);
            self.report.error(named.at, message, "file \"/run/keepalived.priority\"");
        }
        canonical::weight(&mut file.weight, 1);
        named.value = Some(file);
    }

    /// `init_file [VALUE] [overwrite]`; without a value, 0.
    fn init_file(&mut self, line: &Statement, file: &mut TrackFile) {
        self.no_block(line);
        file.init = Some(0);
        for word in &line.arguments {
            match word.text.as_str() {
                "overwrite" => file.overwrite = true,
                text => match text.parse() {
                    Ok(value) => file.init = Some(value),
                    Err(_) => {
                        let message = format!("init_file {text} is no number");
                        self.report.error(word.at, message, "init_file 0 overwrite");
                    }
                },
            }
        }
    }

    pub(super) fn sync_group(&mut self, lines: &[Statement], named: &mut Named<Option<Together>>) {
        self.unserved(Block::SyncGroup, lines);
        self.repeated(lines, &["group"]);
        let mut together = Together::default();
        let group = &mut together.group;
        for line in lines {
            if line.keyword.text == "sync_group_tracking_weight" {
                together.tracking_weight = true;
            } else if line.keyword.text == "group" {
                named.places.push(("members".to_owned(), line.keyword.at));
                for one in self.block(line).unwrap_or_default() {
                    let words = std::iter::once(&one.keyword).chain(&one.arguments);
                    group.members.extend(words.map(|word| word.text.clone()));
                }
            } else {
                self.track_line(line, &mut group.tracking, &mut named.places);
                self.notify_line(line, &mut group.notify, &mut named.places);
            }
        }
        group.members.sort();
        group.members.dedup();
        if group.members.is_empty() {
            let name = &named.name;
            let message = format!("the sync group {name} has no member: it is ignored");
            return self.report.warn(named.at, message, "group { VI_1 VI_2 }, with their names");
        }
        named.value = Some(together);
    }

    /// Reads a `track_*` block; others are left alone.
    pub(super) fn track_line(
        &mut self,
        one: &Statement,
        tracking: &mut Tracking,
        places: &mut Vec<(String, Pos)>,
    ) {
        let (kind, slot) = match one.keyword.text.as_str() {
            "track_interface" => (Tracked::Interface, &mut tracking.interfaces),
            "track_script" => (Tracked::Script, &mut tracking.scripts),
            "track_process" => (Tracked::Process, &mut tracking.processes),
            "track_file" => (Tracked::File, &mut tracking.files),
            _ => return,
        };
        places.push((kind.setting().to_owned(), one.keyword.at));
        for line in self.block(one).unwrap_or_default() {
            self.no_block(line);
            let reversed = self.reversed.contains(&(kind, line.keyword.text.clone()));
            let mut weight = self.weight(&line.arguments, kind, reversed);
            if kind == Tracked::Interface {
                canonical::weight(&mut weight, 0);
            }
            let name = &line.keyword.text;
            places.push((format!("{}.{name}", kind.setting()), line.keyword.at));
            if slot.insert(name.clone(), weight).is_some() {
                let message = format!("{name} is tracked twice: this line counts");
                self.report.warn(line.keyword.at, message, "remove one");
            }
        }
    }

    fn weight_line(&mut self, line: &Statement, kind: Tracked) -> Weight {
        self.no_block(line);
        let mut words = vec![line.keyword.clone()];
        words.extend(line.arguments.iter().cloned());
        self.weight(&words, kind, false)
    }

    /// `weight -20 reverse`. What is reversed where it is defined is so with another weight too,
    /// unless `noreverse` is said.
    fn weight(&mut self, words: &[Word], kind: Tracked, reversed: bool) -> Weight {
        let mut weight = Weight::default();
        let mut inherits = reversed;
        let mut words = words.iter();
        let most = kind.most();
        while let Some(word) = words.next() {
            match word.text.as_str() {
                "weight" => {
                    let wanted = format!("-{most} to {most}");
                    weight.weight = self.after(word, words.next(), &wanted, number(-most, most));
                }
                "reverse" => weight.reverse = true,
                "noreverse" => inherits = false,
                other => {
                    let message = format!("{other:?} is no option of a {}", kind.setting());
                    self.report.error(word.at, message, "weight N, and reverse; one name per line");
                }
            }
        }
        weight.reverse |= inherits && weight.weight.is_some();
        weight
    }

    /// `user USER [GROUP]`.
    pub(super) fn user(&mut self, one: &Statement) -> Option<(String, Option<String>)> {
        self.no_block(one);
        let mut words = one.arguments.iter().map(|word| word.text.clone());
        let user = words.next();
        if user.is_none() {
            let message = format!("{} has no value", one.keyword.text);
            self.report.error(one.keyword.at, message, "a user, and a group");
        }
        Some((user?, words.next()))
    }
}
