//! `[[virtual_server.real_server]]` and its checks.

use leasehold_model::{Check, CheckKind, RealServer, Url};

use super::virtual_server::UNREAD;
use super::{At, Reader};
use crate::document::checks::{self, Kind};

impl Reader<'_> {
    pub(super) fn real_servers(&mut self, server: &At<'_, '_>) -> Vec<RealServer> {
        let mut all = Vec::new();
        for (index, span, table) in self.tables(server, "real_server") {
            let mut path = server.path_to("real_server");
            path.push(&index);
            let at = At { table, span, path };
            all.push(self.real_server(&at));
        }
        all
    }

    fn real_server(&mut self, at: &At<'_, '_>) -> RealServer {
        let known = [
            "address",
            "weight",
            "lb_kind",
            "uthreshold",
            "lthreshold",
            "inhibit_on_failure",
            "alpha",
            "virtualhost",
            "notify_up",
            "notify_down",
            "check",
        ];
        self.known(at, "a real server", &known);
        self.required(at, &["address"]);
        let mut real = RealServer::new(self.socket(at, "address").unwrap_or(UNREAD));
        let any = i64::from(u32::MAX);
        real.weight = self.integer(at, "weight", 0..=65535).unwrap_or(1);
        real.lb_kind = self.forward(at, "lb_kind");
        real.uthreshold = self.integer(at, "uthreshold", 0..=any).unwrap_or(0);
        real.lthreshold = self.integer(at, "lthreshold", 0..=any).unwrap_or(0);
        real.inhibit_on_failure = self.boolean(at, "inhibit_on_failure").unwrap_or(false);
        real.alpha = self.boolean(at, "alpha").unwrap_or(false);
        real.virtualhost = self.owned(at, "virtualhost");
        real.notify_up = self.script(at, "notify_up");
        real.notify_down = self.script(at, "notify_down");
        for (index, span, table) in self.tables(at, "check") {
            let mut path = at.path_to("check");
            path.push(&index);
            match self.check(&At { table, span, path }) {
                Some(check) => real.checks.push(check),
                // Indices after this one would be off by one.
                None => self.places.put_unread(&at.path_to("check")),
            }
        }
        real
    }

    fn check(&mut self, at: &At<'_, '_>) -> Option<Check> {
        self.required(at, &["type"]);
        let kinds = [("tcp", Kind::Tcp), ("http", Kind::Http)];
        let kind = self.choice(at, "type", &kinds)?;
        let common = [
            "type",
            "connect",
            "delay_loop_ms",
            "connect_timeout_ms",
            "retry",
            "delay_before_retry_ms",
        ];
        let kind_of_check = match kind {
            Kind::Tcp => {
                self.known(at, "a tcp check", &common);
                CheckKind::Tcp
            }
            Kind::Http => {
                self.known(at, "an http check", &[&common[..], &["url"]].concat());
                self.required(at, &["url"]);
                CheckKind::Http { urls: self.urls(at) }
            }
        };
        let defaults = checks::defaults(kind);
        let times = |range: std::ops::RangeInclusive<u32>| {
            i64::from(*range.start())..=i64::from(*range.end())
        };
        let every = times(checks::DELAY_LOOP_MS);
        let timeout = times(checks::CONNECT_TIMEOUT_MS);
        let wait = times(checks::DELAY_BEFORE_RETRY_MS);
        Some(Check {
            kind: kind_of_check,
            connect: self.socket(at, "connect"),
            delay_loop_ms: self
                .integer(at, "delay_loop_ms", every)
                .unwrap_or(defaults.delay_loop_ms),
            connect_timeout_ms: self
                .integer(at, "connect_timeout_ms", timeout)
                .unwrap_or(defaults.connect_timeout_ms),
            retry: self.integer(at, "retry", times(checks::RETRY)).unwrap_or(defaults.retry),
            delay_before_retry_ms: self
                .integer(at, "delay_before_retry_ms", wait)
                .unwrap_or(defaults.delay_before_retry_ms),
        })
    }

    fn urls(&mut self, check: &At<'_, '_>) -> Vec<Url> {
        let mut urls = Vec::new();
        for (index, span, table) in self.tables(check, "url") {
            let mut path = check.path_to("url");
            path.push(&index);
            let at = At { table, span, path };
            self.known(&at, "a url", &["path", "status_code", "virtualhost"]);
            self.required(&at, &["path"]);
            urls.push(Url {
                path: self.string(&at, "path").unwrap_or("/").to_owned(),
                status_code: self.status_codes(&at),
                virtualhost: self.owned(&at, "virtualhost"),
            });
        }
        urls
    }

    fn status_codes(&mut self, at: &At<'_, '_>) -> Vec<(u16, u16)> {
        let mut ranges = Vec::new();
        for (index, value) in self.array(at, "status_code").into_iter().flatten().enumerate() {
            let index = index.to_string();
            let mut path = at.path_to("status_code");
            path.push(&index);
            let Some(text) = value.get_ref().as_str() else {
                self.mistyped(&path, value, "a string such as \"200\" or \"200-299\"");
                continue;
            };
            match checks::status_codes(text) {
                Some(range) => ranges.push(range),
                None => {
                    let message = format!("{text:?} is no status code");
                    let hint = "100 to 999, or a range such as \"200-299\"";
                    self.unread(&path, &value.span(), message, hint);
                }
            }
        }
        ranges
    }
}
