//! The checks of a real server: what all of them have, and the times that come from the blocks
//! around them.

use std::net::{IpAddr, SocketAddr};

use leasehold_model::{Check, CheckKind, Source};

use super::draft::Draft;
use super::keywords::{self, Block};
use super::lex::Pos;
use super::lower::{At, Lower};
use super::parse::Statement;
use super::statement::{number, others, timer};
use crate::document::checks::{self, Kind};

/// A real server may have several of one kind.
pub(super) const CHECKERS: [&str; 10] = [
    "TCP_CHECK",
    "HTTP_GET",
    "SSL_GET",
    "SMTP_CHECK",
    "DNS_CHECK",
    "MISC_CHECK",
    "PING_CHECK",
    "UDP_CHECK",
    "BFD_CHECK",
    "FILE_CHECK",
];

/// Those of `co_*` in keepalived's check_api.c.
const CONNECTION: [&str; 7] =
    ["connect_ip", "connect_port", "bindto", "bind_port", "bind_if", "fwmark", "connect_timeout"];

/// What a block says of the checks within it.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    pub(super) delay_loop_ms: Option<At<u32>>,
    connect_timeout_ms: Option<At<u32>>,
    retry: Option<At<u32>>,
    delay_before_retry_ms: Option<At<u32>>,
    warmup_ms: Option<At<u32>>,
}

impl Times {
    /// Where these say nothing, the outer block counts.
    pub(super) fn within(self, outer: &Self) -> Self {
        Self {
            delay_loop_ms: self.delay_loop_ms.or_else(|| outer.delay_loop_ms.clone()),
            connect_timeout_ms: self
                .connect_timeout_ms
                .or_else(|| outer.connect_timeout_ms.clone()),
            retry: self.retry.or_else(|| outer.retry.clone()),
            delay_before_retry_ms: self
                .delay_before_retry_ms
                .or_else(|| outer.delay_before_retry_ms.clone()),
            warmup_ms: self.warmup_ms.or_else(|| outer.warmup_ms.clone()),
        }
    }
}

/// Where in the document a setting stands, and where it was written.
pub(super) type Written = (Vec<String>, Pos);

/// A check as one file has it.
pub(super) struct Checker {
    pub(super) check: Check,
    /// Whether the real server is down until it passes; the real server's where it says nothing.
    pub(super) alpha: Option<bool>,
    pub(super) at: Pos,
    /// From the check on.
    pub(super) places: Vec<Written>,
}

/// Where a check asks, and from where.
#[derive(Clone, Debug, Default)]
pub(super) struct Way {
    pub(super) ip: Option<IpAddr>,
    pub(super) port: Option<u16>,
    pub(super) source: Source,
}

impl Way {
    pub(super) fn is_given(&self) -> bool {
        self.ip.is_some() || self.port.is_some() || !self.source.is_any()
    }

    pub(super) fn connect(&self, target: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.ip.unwrap_or(target.ip()), self.port.unwrap_or(target.port()))
    }
}

/// The blocks around a check.
pub(super) struct Around<'a> {
    /// The real server's, with the virtual server's where it says nothing.
    pub(super) times: &'a Times,
    pub(super) draft: &'a Draft,
    /// Where the real server is checked unless the check says otherwise.
    pub(super) target: SocketAddr,
}

/// The lines of a check that are of its own kind, and all that the others said.
pub(super) struct Lines<'s> {
    pub(super) one: &'s Statement,
    pub(super) own: Vec<&'s Statement>,
    pub(super) way: Way,
    pub(super) times: Times,
    pub(super) places: Vec<Written>,
    alpha: Option<bool>,
    log_all_failures: Option<bool>,
}

impl Lines<'_> {
    pub(super) fn place(&mut self, path: &[&str], at: Pos) {
        self.places.push((path.iter().map(|step| (*step).to_owned()).collect(), at));
    }
}

pub(super) fn kind_of(one: &Statement) -> Option<Kind> {
    kind(&one.keyword.text)
}

fn kind(name: &str) -> Option<Kind> {
    match name {
        "TCP_CHECK" => Some(Kind::Tcp),
        "HTTP_GET" | "SSL_GET" => Some(Kind::Http),
        "SMTP_CHECK" => Some(Kind::Smtp),
        "DNS_CHECK" => Some(Kind::Dns),
        "UDP_CHECK" => Some(Kind::Udp),
        "PING_CHECK" => Some(Kind::Ping),
        "MISC_CHECK" => Some(Kind::Misc),
        "FILE_CHECK" => Some(Kind::File),
        _ => None,
    }
}

/// The keywords that no other kind has.
fn own_block(kind: Kind) -> Option<Block> {
    match kind {
        Kind::Tcp | Kind::Ping => None,
        Kind::Http => Some(Block::Http),
        Kind::Smtp => Some(Block::Smtp),
        Kind::Dns => Some(Block::Dns),
        Kind::Udp => Some(Block::Udp),
        Kind::Misc => Some(Block::Misc),
        Kind::File => Some(Block::FileCheck),
    }
}

/// Whether keepalived knows a keyword of every checker in one of this kind.
fn is_common(kind: Kind, name: &str) -> bool {
    match kind {
        Kind::File => false,
        Kind::Misc => !CONNECTION.contains(&name),
        Kind::Ping => name != "connect_port" && name != "bind_port",
        Kind::Tcp | Kind::Http | Kind::Smtp | Kind::Dns | Kind::Udp => true,
    }
}

impl Lower<'_> {
    /// What has no effect in the checks of a whole file, each once.
    pub(super) fn unserved_checks<'s>(&mut self, reals: &[&'s Statement]) {
        let mut common: Vec<&'s Statement> = Vec::new();
        let mut pages: Vec<&'s Statement> = Vec::new();
        for name in CHECKERS {
            let Some(kind) = kind(name) else { continue };
            let checks = reals.iter().filter(|one| one.keyword.text == name);
            let lines: Vec<&'s Statement> =
                checks.flat_map(|one| one.block.iter().flatten()).collect();
            let is_own = |one: &&Statement| {
                own_block(kind)
                    .is_some_and(|block| keywords::find(block, &one.keyword.text).is_some())
            };
            let (own, rest): (Vec<_>, Vec<_>) = lines.into_iter().partition(is_own);
            let (idle, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|one| {
                let name = one.keyword.text.as_str();
                name == "nb_get_retry"
                    || (keywords::find(Block::Checker, name).is_some() && !is_common(kind, name))
            });
            self.idle(name, &idle);
            common.extend(rest);
            let nested = own.iter().flat_map(|one| one.block.iter().flatten());
            match kind {
                Kind::Http => pages.extend(nested),
                Kind::Smtp => self.hosts(nested, &mut common),
                Kind::Tcp | Kind::Dns | Kind::Udp | Kind::Ping | Kind::Misc | Kind::File => {}
            }
            if let Some(block) = own_block(kind) {
                self.unserved(block, own);
            }
        }
        self.unserved(Block::Checker, common);
        self.unserved(Block::Url, pages);
    }

    fn hosts<'s>(
        &mut self,
        nested: impl Iterator<Item = &'s Statement>,
        common: &mut Vec<&'s Statement>,
    ) {
        let (idle, rest): (Vec<_>, Vec<_>) = nested.partition(|one| {
            let name = one.keyword.text.as_str();
            let known = keywords::find(Block::Checker, name).is_some();
            known && (!CONNECTION.contains(&name) || name == "connect_timeout")
        });
        self.idle("host", &idle);
        common.extend(rest);
    }

    /// Keywords that do nothing in this block, and may elsewhere.
    fn idle(&mut self, block: &str, lines: &[&Statement]) {
        let mut seen: Vec<&str> = Vec::new();
        for one in lines {
            let name = one.keyword.text.as_str();
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            let same = lines.iter().filter(|other| other.keyword.text == name);
            let places: Vec<Pos> = same.map(|other| other.keyword.at).collect();
            let others = others(&places);
            let (why, hint) = match (block, name) {
                (_, "nb_get_retry") => {
                    let value = one.arguments.first().map_or("1", |word| word.text.as_str());
                    (
                        ", as in keepalived 2: it belongs in HTTP_GET",
                        format!("retry {value}, if that is meant"),
                    )
                }
                ("host", _) => (": the check has it", "write it in SMTP_CHECK".to_owned()),
                ("PING_CHECK", _) => (": an echo has no port", "remove it".to_owned()),
                (_, _) => (", as in keepalived", "remove it".to_owned()),
            };
            let message = format!("`{name}` has no effect in {block}{why}{others}");
            self.report.warn(places[0], message, &hint);
        }
    }

    /// Whether the statement is one of those that a block may say for the checks within it.
    pub(super) fn time(&mut self, one: &Statement, least_retry: u32, times: &mut Times) -> bool {
        let (slot, range, wanted) = match one.keyword.text.as_str() {
            "delay_loop" => {
                (&mut times.delay_loop_ms, checks::DELAY_LOOP_MS, "0.01 to 86400 seconds")
            }
            "connect_timeout" => {
                (&mut times.connect_timeout_ms, checks::CONNECT_TIMEOUT_MS, "0.001 to 3600 seconds")
            }
            "delay_before_retry" => (
                &mut times.delay_before_retry_ms,
                checks::DELAY_BEFORE_RETRY_MS,
                "0 to 86400 seconds",
            ),
            "warmup" => (&mut times.warmup_ms, checks::WARMUP_MS, "0 to 86400 seconds"),
            "retry" => {
                self.retry(one, least_retry, times);
                return true;
            }
            _ => return false,
        };
        if let Some(value) = self.value(one, wanted, timer(*range.start(), *range.end())) {
            self.set(one, slot, value);
        }
        true
    }

    pub(super) fn retry(&mut self, one: &Statement, least: u32, times: &mut Times) {
        let most = *checks::RETRY.end();
        if let Some(value) = self.value(one, &format!("{least} to {most}"), number(least, most)) {
            self.set(one, &mut times.retry, value);
        }
    }

    pub(super) fn checker(
        &mut self,
        one: &Statement,
        kind: Kind,
        around: &Around<'_>,
    ) -> Option<Checker> {
        let mut lines = self.lines(one, kind)?;
        let what = match kind {
            Kind::Tcp => CheckKind::Tcp,
            Kind::Ping => CheckKind::Ping,
            Kind::Http => CheckKind::Http(self.http(&mut lines)?),
            Kind::Smtp => CheckKind::Smtp(self.smtp(&mut lines, around.target)),
            Kind::Dns => CheckKind::Dns(self.dns(&mut lines)),
            Kind::Udp => CheckKind::Udp(self.udp(&mut lines)),
            Kind::Misc => CheckKind::Misc(self.misc(&mut lines, around.draft)?),
            Kind::File => CheckKind::File(self.file(&mut lines)?),
        };
        let Lines { way, times, places, alpha, log_all_failures, .. } = lines;
        let times = match kind {
            // Of what is said outside, nothing is its, but when it is looked at.
            Kind::File => {
                let delay_loop_ms = around.times.delay_loop_ms.clone();
                Times { delay_loop_ms, ..Times::default() }
            }
            Kind::Tcp
            | Kind::Http
            | Kind::Smtp
            | Kind::Dns
            | Kind::Udp
            | Kind::Ping
            | Kind::Misc => times.within(around.times),
        };
        let or = |time: Option<At<u32>>, default| time.map_or(default, |time| time.value);
        let every = or(times.delay_loop_ms, checks::default_delay_loop_ms());
        let defaults = checks::defaults(what, every);
        let check = Check {
            connect: Some(way.connect(around.target)),
            source: way.source,
            connect_timeout_ms: or(times.connect_timeout_ms, defaults.connect_timeout_ms),
            retry: or(times.retry, defaults.retry),
            delay_before_retry_ms: or(times.delay_before_retry_ms, defaults.delay_before_retry_ms),
            warmup_ms: times.warmup_ms.map(|warmup| warmup.value),
            log_all_failures: log_all_failures.unwrap_or(around.draft.log_all_failures),
            ..defaults
        };
        Some(Checker { check, alpha, at: one.keyword.at, places })
    }

    fn lines<'s>(&mut self, one: &'s Statement, kind: Kind) -> Option<Lines<'s>> {
        let mut lines = Lines {
            one,
            own: Vec::new(),
            way: Way::default(),
            times: Times::default(),
            places: Vec::new(),
            alpha: None,
            log_all_failures: None,
        };
        let block = self.block(one)?;
        self.repeated(block, &["url", "host"]);
        for line in block {
            let name = line.keyword.text.as_str();
            let idle = keywords::find(Block::Checker, name).is_some() && !is_common(kind, name);
            if self.is_placeholder(line) || idle {
                continue;
            }
            if self.time(line, 0, &mut lines.times) {
                let setting = if name == "retry" { name.to_owned() } else { format!("{name}_ms") };
                lines.place(&[&setting], line.keyword.at);
            } else if let Some(setting) = self.way(line, &mut lines.way) {
                lines.place(&[setting], line.keyword.at);
            } else {
                match name {
                    "alpha" => lines.alpha = self.flag(line).map(|flag| flag.value),
                    "log_all_failures" => {
                        lines.log_all_failures = self.flag(line).map(|flag| flag.value);
                    }
                    _ => lines.own.push(line),
                }
            }
        }
        Some(lines)
    }

    /// The setting that a line about the connection is in the document.
    pub(super) fn way(&mut self, line: &Statement, way: &mut Way) -> Option<&'static str> {
        let address = |text: &str| text.parse::<IpAddr>().ok();
        let setting = match line.keyword.text.as_str() {
            "connect_ip" => {
                way.ip = self.value(line, "an address", address).map(|ip| ip.value);
                "connect"
            }
            "connect_port" => {
                let port = self.value(line, "1 to 65535", number(1, 65535));
                way.port = port.map(|port| port.value);
                "connect"
            }
            "bindto" => {
                way.source.bindto = self.value(line, "an address", address).map(|ip| ip.value);
                "bindto"
            }
            "bind_port" => {
                let port = self.value(line, "1 to 65535", number(1, 65535));
                way.source.bind_port = port.map(|port| port.value);
                "bind_port"
            }
            "bind_if" => {
                way.source.bind_if = self.argument(line).map(|word| word.text.clone());
                "bind_if"
            }
            "fwmark" => {
                let mark = self.value(line, "a number", number(0, u32::MAX));
                way.source.fwmark = mark.map(|mark| mark.value);
                "fwmark"
            }
            _ => return None,
        };
        Some(setting)
    }
}
