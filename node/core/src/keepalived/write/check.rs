//! What single kinds of checks ask: mail, names, datagrams, programs and files.

use std::net::SocketAddr;

use leasehold_model::{
    Check, DnsCheck, FileCheck, MiscCheck, RecordType, Script, SmtpCheck, UdpCheck, UdpReply,
};

use super::global::MAX_SECONDS;
use super::{UNSPEAKABLE, Writer, words};
use crate::document::checks;
use crate::document::hex;

impl Writer<'_> {
    pub(super) fn smtp(&mut self, smtp: &SmtpCheck, target: SocketAddr) {
        let SmtpCheck { helo_name, hosts } = smtp;
        if helo_name != checks::HELO_NAME {
            self.text_of("helo_name", "helo_name", Some(helo_name));
        }
        for host in hosts {
            self.block("host", |writer| {
                writer.line(&format!("connect_ip {}", host.connect.ip()));
                let own = SocketAddr::new(host.connect.ip(), target.port());
                writer.way(Some(host.connect), &host.source, own);
            });
        }
    }

    pub(super) fn dns(&mut self, dns: &DnsCheck) {
        let DnsCheck { record, name } = dns;
        if *record != RecordType::default() {
            let known = checks::RECORDS.iter().find(|(_, one)| one == record);
            self.number("type", known.map(|(word, _)| word));
        }
        if name != checks::DNS_NAME {
            self.text_of("name", "name", Some(name));
        }
    }

    pub(super) fn udp(&mut self, udp: &UdpCheck) {
        let UdpCheck { payload, reply } = udp;
        if !payload.is_empty() {
            self.value("payload", "payload", Some(hex::write_bytes(payload)));
        }
        let Some(UdpReply { begins, min_length, max_length }) = reply else { return };
        let digits = format!("require_reply {}", hex::write_nibbles(begins));
        match self.fits(&digits) {
            true => self.line(digits.trim_end()),
            false => {
                self.line("require_reply");
                self.at("reply", |writer| writer.leave_out("begins", UNSPEAKABLE));
            }
        }
        self.number("min_reply_length", (*min_length != 0).then_some(min_length));
        let default = *max_length == checks::DEFAULT_REPLY_LENGTH;
        self.number("max_reply_length", (!default).then_some(max_length));
    }

    /// `own` is how often it is made, and `every` how often those that don't say it: the timeout
    /// of one that has none is the latter.
    pub(super) fn misc(&mut self, misc: &MiscCheck, own: u32, every: u32) {
        let MiscCheck { script, timeout_ms, dynamic } = misc;
        let command = Script { user: None, group: None, ..script.clone() };
        let line = words::script(&command).map(|line| format!("misc_path {line}"));
        match line.filter(|line| self.fits(line)) {
            Some(line) => self.line(&line),
            // Without a program there would be no check, and the real server always up.
            None => self.unwritable.push(format!("{:?}", script.command)),
        }
        let timeout = timeout_ms.unwrap_or(own);
        if timeout != every {
            let whole = timeout.div_ceil(1000).min(MAX_SECONDS);
            if whole * 1000 != timeout {
                let why = format!("keepalived counts whole seconds: {whole} is written");
                self.leave_out("timeout_ms", why);
            }
            self.line(&format!("misc_timeout {whole}"));
        }
        self.flag("misc_dynamic", *dynamic);
        self.user(script);
    }

    /// keepalived looks at the file when it changes, and has none of the other settings.
    pub(super) fn file_check(&mut self, file: &FileCheck, check: &Check, every: u32) {
        let FileCheck { track_file, weight } = file;
        let name = self.name(track_file);
        self.line(&format!("track_file {name}"));
        let reverse = if weight.reverse { " reverse" } else { "" };
        match weight.weight {
            Some(weight) => self.line(&format!("weight {weight}{reverse}")),
            None if weight.reverse => {
                self.leave_out("reverse", "keepalived says it with a weight alone");
            }
            None => {}
        }
        let plain = checks::defaults(check.kind.clone(), every);
        let idle = [
            ("delay_loop_ms", check.delay_loop_ms != every),
            ("retry", check.retry != plain.retry),
            ("delay_before_retry_ms", check.delay_before_retry_ms != plain.delay_before_retry_ms),
            ("warmup_ms", check.warmup_ms.is_some()),
            ("alpha", check.alpha),
            ("log_all_failures", check.log_all_failures),
        ];
        for (key, _) in idle.iter().filter(|(_, given)| *given) {
            self.leave_out(key, "keepalived's FILE_CHECK has no such setting");
        }
    }
}
