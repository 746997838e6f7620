//! The checks of a real server, and the times that come from the blocks around them.

use std::net::{IpAddr, SocketAddr};

use leasehold_model::{Check, CheckKind, Url};

use super::keywords::{self, Block};
use super::lex::Pos;
use super::lower::{At, Lower};
use super::parse::Statement;
use super::statement::{number, others, timer};
use crate::document::checks::{self, Kind};

/// What a block says of the checks within it.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    delay_loop_ms: Option<At<u32>>,
    connect_timeout_ms: Option<At<u32>>,
    retry: Option<At<u32>>,
    delay_before_retry_ms: Option<At<u32>>,
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
        }
    }
}

/// A check as one file has it, and whether its real server is down until it passes.
pub(super) struct Checker {
    pub(super) check: Check,
    pub(super) alpha: bool,
    pub(super) at: Pos,
}

pub(super) fn kind_of(one: &Statement) -> Option<Kind> {
    match one.keyword.text.as_str() {
        "TCP_CHECK" => Some(Kind::Tcp),
        "HTTP_GET" => Some(Kind::Http),
        _ => None,
    }
}

impl Lower<'_> {
    /// What has no effect in the checks of a whole file, each once.
    pub(super) fn unserved_checks<'s>(&mut self, reals: &[&'s Statement]) {
        let of = |wanted: Kind| {
            let checks = reals.iter().filter(move |one| kind_of(one) == Some(wanted));
            checks.flat_map(|one| one.block.iter().flatten()).collect::<Vec<&'s Statement>>()
        };
        let (tcp, http) = (of(Kind::Tcp), of(Kind::Http));
        let is_retry = |one: &Statement| one.keyword.text == "nb_get_retry";
        let retries: Vec<&&Statement> = tcp.iter().filter(|one| is_retry(one)).collect();
        if let Some(first) = retries.first() {
            let places: Vec<Pos> = retries.iter().map(|one| one.keyword.at).collect();
            let value = first.arguments.first().map_or("1", |word| word.text.as_str());
            let message = format!(
                "`nb_get_retry` has no effect in TCP_CHECK, as in keepalived 2: it belongs in \
                 HTTP_GET{}",
                others(&places)
            );
            self.report.warn(places[0], message, &format!("retry {value}, if that is meant"));
        }
        let of_http = |one: &Statement| keywords::find(Block::Http, &one.keyword.text).is_some();
        let (own, common): (Vec<_>, Vec<_>) = http.into_iter().partition(|one| of_http(one));
        self.unserved_but(Block::Checker, tcp.into_iter().chain(common), is_retry);
        let urls = own.iter().filter(|one| one.keyword.text == "url");
        let pages: Vec<&Statement> = urls.flat_map(|one| one.block.iter().flatten()).collect();
        self.unserved(Block::Http, own);
        self.unserved(Block::Url, pages);
    }

    /// Whether the statement is one of those that a block may say for the checks within it.
    pub(super) fn time(&mut self, one: &Statement, least_retry: u32, times: &mut Times) -> bool {
        let range = |range: std::ops::RangeInclusive<u32>| timer(*range.start(), *range.end());
        match one.keyword.text.as_str() {
            "delay_loop" => {
                let read = range(checks::DELAY_LOOP_MS);
                if let Some(value) = self.value(one, "0.01 to 86400 seconds", read) {
                    self.set(one, &mut times.delay_loop_ms, value);
                }
            }
            "connect_timeout" => {
                let read = range(checks::CONNECT_TIMEOUT_MS);
                if let Some(value) = self.value(one, "0.001 to 3600 seconds", read) {
                    self.set(one, &mut times.connect_timeout_ms, value);
                }
            }
            "delay_before_retry" => {
                let read = range(checks::DELAY_BEFORE_RETRY_MS);
                if let Some(value) = self.value(one, "0 to 86400 seconds", read) {
                    self.set(one, &mut times.delay_before_retry_ms, value);
                }
            }
            "retry" => self.retry(one, least_retry, times),
            _ => return false,
        }
        true
    }

    fn retry(&mut self, one: &Statement, least: u32, times: &mut Times) {
        let most = *checks::RETRY.end();
        if let Some(value) = self.value(one, &format!("{least} to {most}"), number(least, most)) {
            self.set(one, &mut times.retry, value);
        }
    }

    /// `target` is where the real server is checked unless the block says otherwise.
    pub(super) fn checker(
        &mut self,
        one: &Statement,
        kind: Kind,
        outer: &Times,
        target: SocketAddr,
    ) -> Option<Checker> {
        let (mut times, mut alpha) = (Times::default(), false);
        let (mut ip, mut port, mut urls, mut host) = (None, None, Vec::new(), None);
        let lines = self.block(one)?;
        self.repeated(lines, &["url"]);
        for line in lines {
            if self.is_placeholder(line) || self.time(line, 0, &mut times) {
                continue;
            }
            match (line.keyword.text.as_str(), kind) {
                ("alpha", _) => alpha = self.flag(line).is_some_and(|flag| flag.value),
                ("connect_ip", _) => {
                    let read = |text: &str| text.parse::<IpAddr>().ok();
                    ip = self.value(line, "an address", read);
                }
                ("connect_port", _) => port = self.value(line, "1 to 65535", number(1, 65535)),
                ("nb_get_retry", Kind::Http) => self.retry(line, 0, &mut times),
                ("virtualhost", Kind::Http) => host = self.argument(line).map(|w| w.text.clone()),
                ("url", Kind::Http) => urls.extend(self.url(line)),
                _ => {}
            }
        }
        if kind == Kind::Http && urls.is_empty() {
            let message = "HTTP_GET without a url is ignored, as in keepalived";
            self.report.warn(one.keyword.at, message, "url { path / }");
            return None;
        }
        for url in &mut urls {
            url.virtualhost = url.virtualhost.take().or_else(|| host.clone());
        }
        let connect = SocketAddr::new(
            ip.map_or(target.ip(), |ip| ip.value),
            port.map_or(target.port(), |port| port.value),
        );
        let times = times.within(outer);
        let defaults = checks::defaults(kind);
        let or = |time: Option<At<u32>>, default| time.map_or(default, |time| time.value);
        let check = Check {
            kind: match kind {
                Kind::Tcp => CheckKind::Tcp,
                Kind::Http => CheckKind::Http { urls },
            },
            connect: Some(connect),
            delay_loop_ms: or(times.delay_loop_ms, defaults.delay_loop_ms),
            connect_timeout_ms: or(times.connect_timeout_ms, defaults.connect_timeout_ms),
            retry: or(times.retry, defaults.retry),
            delay_before_retry_ms: or(times.delay_before_retry_ms, defaults.delay_before_retry_ms),
        };
        Some(Checker { check, alpha, at: one.keyword.at })
    }

    fn url(&mut self, one: &Statement) -> Option<Url> {
        let mut path = None;
        let mut url = Url { path: String::new(), status_code: Vec::new(), virtualhost: None };
        let lines = self.block(one)?;
        // The codes of several lines are added up.
        self.repeated(lines, &["status_code"]);
        for line in lines {
            if self.is_placeholder(line) {
                continue;
            }
            match line.keyword.text.as_str() {
                "path" => path = self.argument(line).map(|word| word.text.clone()),
                "virtualhost" => {
                    url.virtualhost = self.argument(line).map(|word| word.text.clone());
                }
                "status_code" => {
                    for word in &line.arguments {
                        match checks::status_codes(&word.text) {
                            Some(range) => url.status_code.push(range),
                            None => {
                                let message = format!("status_code {:?} is no code", word.text);
                                let hint = "100 to 999, or a range such as 200-299";
                                self.report.error(word.at, message, hint);
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        let Some(path) = path else {
            let message = "a url without a path is ignored, as in keepalived";
            self.report.warn(one.keyword.at, message, "path /");
            return None;
        };
        Some(Url { path, ..url })
    }
}
