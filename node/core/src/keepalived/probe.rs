//! What single kinds of checks ask: mail, names, datagrams, programs and files.

use std::net::SocketAddr;

use leasehold_model::{
    DnsCheck, FileCheck, MiscCheck, Script, SmtpCheck, SmtpHost, UdpCheck, UdpReply, Weight,
};

use super::checker::{Lines, Way};
use super::draft::Draft;
use super::lex::Word;
use super::lower::Lower;
use super::parse::Statement;
use super::statement::{number, together};
use crate::document::checks;
use crate::document::hex;

impl Lower<'_> {
    pub(super) fn smtp(&mut self, lines: &mut Lines<'_>, target: SocketAddr) -> SmtpCheck {
        let mut helo_name = checks::HELO_NAME.to_owned();
        let mut hosts: Vec<SmtpHost> = Vec::new();
        for line in std::mem::take(&mut lines.own) {
            match line.keyword.text.as_str() {
                "helo_name" => {
                    if let Some(word) = self.argument(line) {
                        helo_name.clone_from(&word.text);
                        lines.place(&["helo_name"], word.at);
                    }
                }
                "host" => {
                    let mut way = Way::default();
                    for line in self.block(line).unwrap_or_default() {
                        if !self.is_placeholder(line) {
                            self.way(line, &mut way);
                        }
                    }
                    hosts.push(SmtpHost { connect: way.connect(target), source: way.source });
                }
                _ => {}
            }
        }
        // keepalived checks the address of the block itself only where it is said, or no other is.
        if lines.way.is_given() && !hosts.is_empty() {
            let connect = lines.way.connect(target);
            hosts.insert(0, SmtpHost { connect, source: lines.way.source.clone() });
        }
        SmtpCheck { helo_name, hosts }
    }

    pub(super) fn dns(&mut self, lines: &mut Lines<'_>) -> DnsCheck {
        let (mut record, mut name) = (None, checks::DNS_NAME.to_owned());
        for line in std::mem::take(&mut lines.own) {
            match line.keyword.text.as_str() {
                "type" => {
                    let mut records = checks::RECORDS.iter();
                    let read = |text: &str| {
                        let found = records.find(|(name, _)| name.eq_ignore_ascii_case(text));
                        found.map(|(_, record)| *record)
                    };
                    let names = checks::RECORDS.map(|(name, _)| name).join(", ");
                    record = self.value(line, &format!("one of {names}"), read);
                }
                "name" => {
                    if let Some(word) = self.argument(line) {
                        name = checks::domain(&word.text);
                        lines.place(&["name"], word.at);
                    }
                }
                _ => {}
            }
        }
        DnsCheck { record: record.map(|record| record.value).unwrap_or_default(), name }
    }

    pub(super) fn udp(&mut self, lines: &mut Lines<'_>) -> UdpCheck {
        let mut payload = Vec::new();
        let mut begins = None;
        let (mut min_length, mut max_length) = (None, None);
        for line in std::mem::take(&mut lines.own) {
            match line.keyword.text.as_str() {
                "payload" => {
                    payload = self.payload(line).unwrap_or_default();
                }
                "require_reply" => begins = self.digits(line),
                "min_reply_length" => min_length = self.length(line),
                "max_reply_length" => max_length = self.length(line),
                _ => continue,
            }
            let setting = match line.keyword.text.as_str() {
                "payload" => "payload",
                _ => "reply",
            };
            lines.place(&[setting], line.keyword.at);
        }
        let lengths = [&min_length, &max_length];
        if begins.is_none() && lengths.iter().any(|length| length.is_some()) {
            let message = "the length of a reply has no effect without require_reply";
            self.report.warn(lines.one.keyword.at, message, "require_reply");
        }
        let reply = begins.map(|begins| UdpReply {
            begins,
            min_length: min_length.unwrap_or(0),
            max_length: max_length.unwrap_or(checks::DEFAULT_REPLY_LENGTH),
        });
        UdpCheck { payload, reply }
    }

    fn payload(&mut self, line: &Statement) -> Option<Vec<u8>> {
        let digits = self.digits(line)?;
        if digits.is_empty() {
            self.report.error(line.keyword.at, "payload has no value", "payload 0a1b");
        }
        let payload = hex::bytes(&digits);
        if payload.is_none() {
            let message = "payload has an X: what is sent has to be known";
            self.report.error(line.keyword.at, message, "X is for require_reply");
        }
        payload
    }

    /// Hexadecimal digits in words of any length.
    fn digits(&mut self, line: &Statement) -> Option<Vec<Option<u8>>> {
        self.no_block(line);
        let words: Vec<&str> = line.arguments.iter().map(|word| word.text.as_str()).collect();
        let digits = hex::loose_nibbles(&words.join(" "));
        if digits.is_none() {
            let message = format!("{} {} is not hexadecimal", line.keyword.text, words.join(" "));
            self.report.error(line.arguments[0].at, message, "such as 0a1b, or X for any digit");
        }
        digits
    }

    fn length(&mut self, line: &Statement) -> Option<u32> {
        let length = self.value(line, "0 to 65535", number(0, u32::from(u16::MAX)))?;
        // No datagram is longer.
        Some(length.value.min(checks::MAX_DATAGRAM))
    }

    pub(super) fn misc(&mut self, lines: &mut Lines<'_>, draft: &Draft) -> Option<MiscCheck> {
        let (mut command, mut user, mut timeout_ms, mut dynamic) = (None, None, None, false);
        for line in std::mem::take(&mut lines.own) {
            match line.keyword.text.as_str() {
                "misc_path" => {
                    command = self.command_line(line);
                    lines.place(&["script"], line.keyword.at);
                }
                "misc_timeout" => {
                    let most = checks::SCRIPT_TIMEOUT_MS.end() / 1000;
                    let wanted = format!("a whole number of seconds, 0 to {most}");
                    let timeout = self.value(line, &wanted, number(0, most));
                    timeout_ms = timeout.map(|timeout| timeout.value * 1000);
                }
                "misc_dynamic" => {
                    self.no_block(line);
                    dynamic = true;
                }
                "user" => user = self.user(line),
                _ => {}
            }
        }
        let Some(command) = command else {
            let message = "MISC_CHECK without misc_path is ignored, as in keepalived";
            self.report.warn(lines.one.keyword.at, message, "misc_path \"/usr/bin/check it\"");
            return None;
        };
        let (user, group) = user.map_or((None, None), |(user, group)| (Some(user), group));
        let group = group.map(|group| group.trim_start_matches(':').to_owned());
        let script = Script { command, user, group: group.filter(|group| !group.is_empty()) };
        // 0 is none, and the virtual server's delay_loop counts, also where the check has its own.
        let outer = draft.times.delay_loop_ms.as_ref().map(|every| every.value);
        let outer = outer.unwrap_or_else(checks::default_delay_loop_ms);
        let timeout_ms = timeout_ms.filter(|timeout| *timeout != 0).or(Some(outer));
        Some(MiscCheck { script, timeout_ms, dynamic })
    }

    /// One quoted text, or words that are put together again.
    fn command_line(&mut self, line: &Statement) -> Option<String> {
        self.no_block(line);
        match line.arguments.as_slice() {
            [] => {
                let message = "misc_path has no value";
                self.report.error(line.keyword.at, message, "the path of a program");
                None
            }
            [one] => Some(one.unescaped()),
            words => {
                let words: Vec<String> = words.iter().map(Word::unescaped).collect();
                Some(together(&words))
            }
        }
    }

    pub(super) fn file(&mut self, lines: &mut Lines<'_>) -> Option<FileCheck> {
        let (mut track_file, mut weight) = (None, Weight::default());
        for line in std::mem::take(&mut lines.own) {
            match line.keyword.text.as_str() {
                "track_file" => {
                    if let Some(word) = self.argument(line) {
                        track_file = Some(word.text.clone());
                        lines.place(&["track_file"], word.at);
                    }
                }
                "weight" => weight = self.file_weight(line).unwrap_or_default(),
                _ => {}
            }
        }
        let Some(track_file) = track_file else {
            let message = "FILE_CHECK without track_file is ignored, as in keepalived";
            self.report.warn(lines.one.keyword.at, message, "the name of a track_file block");
            return None;
        };
        Some(FileCheck { track_file, weight })
    }

    fn file_weight(&mut self, line: &Statement) -> Option<Weight> {
        self.no_block(line);
        let most = checks::MAX_FILE_WEIGHT;
        let wanted = format!("-{most} to {most}");
        let read = number(-most, most);
        let weight = self.after(&line.keyword, line.arguments.first(), &wanted, read)?;
        let reverse = match line.arguments.get(1).map(|word| (word, word.text.as_str())) {
            None | Some((_, "noreverse")) => false,
            Some((_, "reverse")) => true,
            Some((word, other)) => {
                let message = format!("{other:?} is no option of a weight");
                self.report.error(word.at, message, "reverse or noreverse");
                return None;
            }
        };
        Some(Weight { weight: Some(weight), reverse })
    }
}
