//! `[[virtual_server.real_server.check]]`: what each kind of check asks, and what all of them have.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use leasehold_model::{
    Check, CheckKind, DnsCheck, FileCheck, MiscCheck, Script, SmtpCheck, SmtpHost, Source,
    UdpCheck, UdpReply, Weight,
};
use toml::Spanned;

use super::virtual_server::UNREAD;
use super::{At, Reader};
use crate::document::checks::{self, Kind};
use crate::document::hex;

const TIMES: [&str; 7] = [
    "delay_loop_ms",
    "retry",
    "delay_before_retry_ms",
    "warmup_ms",
    "rise",
    "alpha",
    "log_all_failures",
];
const NETWORK: [&str; 5] = ["connect", "bindto", "bind_if", "fwmark", "connect_timeout_ms"];
const HOST: [&str; 5] = ["connect", "bindto", "bind_port", "bind_if", "fwmark"];

fn settings(kind: Kind) -> Vec<&'static str> {
    let own: &[&str] = match kind {
        Kind::Tcp | Kind::Ping => &[],
        Kind::Http => &["url", "version", "tls"],
        Kind::Smtp => &["helo_name", "host"],
        Kind::Dns => &["record", "name"],
        Kind::Udp => &["payload", "reply"],
        Kind::Misc => &["script", "timeout_ms", "dynamic"],
        Kind::File => &["track_file", "weight", "reverse"],
    };
    let mut all = vec!["type"];
    all.extend(own);
    if kind.is_of_network() {
        all.extend(NETWORK);
    }
    if kind.has_port() {
        all.push("bind_port");
    }
    all.extend(TIMES);
    all
}

impl Reader<'_> {
    pub(super) fn checks(&mut self, real: &At<'_, '_>) -> Vec<Check> {
        let mut all = Vec::new();
        for (index, span, table) in self.tables(real, "check") {
            let mut path = real.path_to("check");
            path.push(&index);
            match self.check(&At { table, span, path }) {
                Some(check) => all.push(check),
                // Indices after this one would be off by one.
                None => self.places.put_unread(&real.path_to("check")),
            }
        }
        all
    }

    fn check(&mut self, at: &At<'_, '_>) -> Option<Check> {
        self.required(at, &["type"]);
        let kind = self.choice(at, "type", &Kind::ALL.map(|kind| (kind.word(), kind)))?;
        if let Some(trace) = &mut self.trace {
            trace.kind(&at.path, kind.word());
        }
        self.known(at, kind.noun(), &settings(kind));
        let what = match kind {
            Kind::Tcp => CheckKind::Tcp,
            Kind::Http => CheckKind::Http(self.http(at)),
            Kind::Smtp => CheckKind::Smtp(self.smtp(at)),
            Kind::Dns => CheckKind::Dns(self.dns(at)),
            Kind::Udp => CheckKind::Udp(self.udp(at)),
            Kind::Ping => CheckKind::Ping,
            Kind::Misc => CheckKind::Misc(self.misc(at)),
            Kind::File => CheckKind::File(self.file(at)),
        };
        let every = self.limited(at, "delay_loop_ms", checks::DELAY_LOOP_MS);
        let every = every.unwrap_or_else(checks::default_delay_loop_ms);
        let mut check = checks::defaults(what, every);
        if kind.is_of_network() {
            check.connect = match kind.has_port() {
                true => self.socket(at, "connect"),
                false => self.peer(at, "connect"),
            };
            check.source = self.source(at, kind.has_port());
            let timeout = self.limited(at, "connect_timeout_ms", checks::CONNECT_TIMEOUT_MS);
            check.connect_timeout_ms = timeout.unwrap_or(check.connect_timeout_ms);
        }
        check.retry = self.limited(at, "retry", checks::RETRY).unwrap_or(check.retry);
        let wait = self.limited(at, "delay_before_retry_ms", checks::DELAY_BEFORE_RETRY_MS);
        check.delay_before_retry_ms = wait.unwrap_or(check.delay_before_retry_ms);
        check.warmup_ms = self.limited(at, "warmup_ms", checks::WARMUP_MS);
        check.rise = self.limited(at, "rise", checks::RISE).unwrap_or(1);
        check.alpha = self.boolean(at, "alpha").unwrap_or(false);
        check.log_all_failures = self.boolean(at, "log_all_failures").unwrap_or(false);
        Some(check)
    }

    pub(super) fn limited(
        &mut self,
        at: &At<'_, '_>,
        name: &str,
        range: RangeInclusive<u32>,
    ) -> Option<u32> {
        self.integer(at, name, i64::from(*range.start())..=i64::from(*range.end()))
    }

    fn source(&mut self, at: &At<'_, '_>, has_port: bool) -> Source {
        Source {
            bindto: self.parsed(at, "bindto", "an address"),
            bind_port: if has_port { self.integer(at, "bind_port", 1..=65535) } else { None },
            bind_if: self.owned(at, "bind_if"),
            fwmark: self.integer(at, "fwmark", 0..=i64::from(u32::MAX)),
        }
    }

    /// An address where no port means anything.
    fn peer(&mut self, at: &At<'_, '_>, name: &str) -> Option<SocketAddr> {
        let address: Option<IpAddr> = self.parsed(at, name, "an address");
        address.map(|address| SocketAddr::new(address, 0))
    }

    fn smtp(&mut self, at: &At<'_, '_>) -> SmtpCheck {
        let helo_name = self.owned(at, "helo_name").unwrap_or_else(|| checks::HELO_NAME.to_owned());
        let mut hosts = Vec::new();
        for (index, span, table) in self.tables(at, "host") {
            let mut path = at.path_to("host");
            path.push(&index);
            let host = At { table, span, path };
            self.known(&host, "a host", &HOST);
            self.required(&host, &["connect"]);
            let connect = self.socket(&host, "connect").unwrap_or(UNREAD);
            hosts.push(SmtpHost { connect, source: self.source(&host, true) });
        }
        if !hosts.is_empty() {
            for name in HOST.iter().filter(|name| at.get(name).is_some()) {
                let message = format!("{name} has no effect beside host");
                self.warn(at, name, &message, "each host has its own");
            }
        }
        SmtpCheck { helo_name, hosts }
    }

    fn dns(&mut self, at: &At<'_, '_>) -> DnsCheck {
        let name = self.string(at, "name").unwrap_or(checks::DNS_NAME);
        DnsCheck {
            record: self.choice(at, "record", &checks::RECORDS).unwrap_or_default(),
            name: checks::domain(name),
        }
    }

    fn udp(&mut self, at: &At<'_, '_>) -> UdpCheck {
        UdpCheck {
            payload: self.payload(at).unwrap_or_default(),
            reply: at.get("reply").and_then(|_| self.reply(at)),
        }
    }

    fn payload(&mut self, at: &At<'_, '_>) -> Option<Vec<u8>> {
        let text = self.string(at, "payload")?;
        let payload = hex::nibbles(text).and_then(|nibbles| hex::bytes(&nibbles));
        if payload.is_none() {
            let message = format!("payload {text:?} is not hexadecimal");
            self.refused(at, "payload", message, "two digits a byte, such as \"0a1b\"");
        }
        payload
    }

    /// How it begins, or a table with its length too.
    fn reply(&mut self, at: &At<'_, '_>) -> Option<UdpReply> {
        let name = "reply";
        if at.get(name)?.get_ref().as_table().is_none() {
            let begins = self.begins(at, name)?;
            let max_length = checks::DEFAULT_REPLY_LENGTH;
            return Some(UdpReply { begins, min_length: 0, max_length });
        }
        let table = self.table(at, name)?;
        self.known(&table, "a reply", &["begins", "min_length", "max_length"]);
        let range = 0..=checks::MAX_DATAGRAM;
        Some(UdpReply {
            begins: self.begins(&table, "begins").unwrap_or_default(),
            min_length: self.limited(&table, "min_length", range.clone()).unwrap_or(0),
            max_length: self
                .limited(&table, "max_length", range)
                .unwrap_or(checks::DEFAULT_REPLY_LENGTH),
        })
    }

    fn begins(&mut self, at: &At<'_, '_>, name: &str) -> Option<Vec<Option<u8>>> {
        let text = self.string(at, name)?;
        let begins = hex::nibbles(text);
        if begins.is_none() {
            let message = format!("{name} {text:?} is not hexadecimal");
            let hint = "two digits a byte, X for any digit, such as \"0aX1\"";
            self.refused(at, name, message, hint);
        }
        begins
    }

    fn misc(&mut self, at: &At<'_, '_>) -> MiscCheck {
        self.required(at, &["script"]);
        let script = self.script(at, "script");
        if script.is_none() {
            self.places.put_unread(&at.path_to("script"));
        }
        MiscCheck {
            script: script.unwrap_or(Script { command: String::new(), user: None, group: None }),
            timeout_ms: self.limited(at, "timeout_ms", checks::SCRIPT_TIMEOUT_MS),
            dynamic: self.boolean(at, "dynamic").unwrap_or(false),
        }
    }

    fn file(&mut self, at: &At<'_, '_>) -> FileCheck {
        self.required(at, &["track_file"]);
        let most = i64::from(checks::MAX_FILE_WEIGHT);
        FileCheck {
            track_file: self.owned(at, "track_file").unwrap_or_default(),
            weight: Weight {
                weight: self.integer(at, "weight", -most..=most),
                reverse: self.boolean(at, "reverse").unwrap_or(false),
            },
        }
    }

    /// The value is of the right type and means nothing.
    pub(super) fn refused(&mut self, at: &At<'_, '_>, name: &str, message: String, hint: &str) {
        let span = at.get(name).map_or(0..0, Spanned::span);
        self.unread(&at.path_to(name), &span, message, hint);
    }
}
