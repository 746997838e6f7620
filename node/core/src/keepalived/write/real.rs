//! `real_server`, and what all of its checks have.

use std::net::SocketAddr;

use leasehold_model::{Check, CheckKind, RealServer, Source};

use super::{Writer, words};
use crate::document::checks::{self, Kind};

impl Writer<'_> {
    /// `every` is how often checks are made that don't say it.
    pub(super) fn real_server(&mut self, real: &RealServer, every: u32) {
        let RealServer {
            address,
            weight,
            lb_kind,
            uthreshold,
            lthreshold,
            inhibit_on_failure,
            alpha,
            virtualhost,
            notify_up,
            notify_down,
            smtp_alert,
            checks,
        } = real;
        self.number("weight", (*weight != 1).then_some(weight));
        if let Some(kind) = lb_kind {
            self.forward("lb_kind", "lvs_method", *kind);
        }
        self.number("uthreshold", (*uthreshold != 0).then_some(uthreshold));
        self.number("lthreshold", (*lthreshold != 0).then_some(lthreshold));
        self.flag("inhibit_on_failure", *inhibit_on_failure);
        self.flag("alpha", *alpha);
        self.text_of("virtualhost", "virtualhost", virtualhost.as_deref());
        self.script("notify_up", "notify_up", notify_up.as_ref());
        self.script("notify_down", "notify_down", notify_down.as_ref());
        self.switch("smtp_alert", *smtp_alert);
        for (index, check) in checks.iter().enumerate() {
            self.at("check", |writer| {
                writer.at(&index.to_string(), |writer| writer.check(check, *address, every));
            });
        }
    }

    fn check(&mut self, check: &Check, target: SocketAddr, every: u32) {
        if check.rise != 1 {
            self.leave_out("rise", "in keepalived one success brings a real server back");
        }
        let word = match &check.kind {
            CheckKind::Tcp => "TCP_CHECK",
            CheckKind::Http(http) if http.tls.is_some() => "SSL_GET",
            CheckKind::Http(_) => "HTTP_GET",
            CheckKind::Smtp(_) => "SMTP_CHECK",
            CheckKind::Dns(_) => "DNS_CHECK",
            CheckKind::Udp(_) => "UDP_CHECK",
            CheckKind::Ping => "PING_CHECK",
            CheckKind::Misc(_) => "MISC_CHECK",
            CheckKind::File(_) => "FILE_CHECK",
        };
        self.block(word, |writer| {
            match &check.kind {
                CheckKind::Tcp | CheckKind::Ping => {}
                CheckKind::Http(http) => writer.http(http),
                CheckKind::Smtp(smtp) => writer.smtp(smtp, target),
                CheckKind::Dns(dns) => writer.dns(dns),
                CheckKind::Udp(udp) => writer.udp(udp),
                CheckKind::Misc(misc) => writer.misc(misc, check.delay_loop_ms, every),
                CheckKind::File(file) => return writer.file_check(file, check, every),
            }
            writer.way(check.connect, &check.source, target);
            writer.times(check, every);
            writer.flag("alpha", check.alpha);
            writer.flag("log_all_failures", check.log_all_failures);
        });
    }

    /// Whom it asks, where that is not the real server, and from where.
    pub(super) fn way(&mut self, connect: Option<SocketAddr>, source: &Source, target: SocketAddr) {
        if let Some(connect) = connect {
            let ip = connect.ip();
            self.number("connect_ip", (ip != target.ip()).then_some(ip));
            let port = connect.port();
            self.number("connect_port", (port != 0 && port != target.port()).then_some(port));
        }
        let Source { bindto, bind_port, bind_if, fwmark } = source;
        self.number("bindto", *bindto);
        self.number("bind_port", *bind_port);
        if let Some(interface) = bind_if {
            let interface = self.name(interface);
            self.line(&format!("bind_if {interface}"));
        }
        self.number("fwmark", *fwmark);
    }

    fn times(&mut self, check: &Check, every: u32) {
        let defaults = checks::defaults(check.kind.clone(), check.delay_loop_ms);
        let own = check.delay_loop_ms;
        self.number("delay_loop", (own != every).then(|| words::seconds(own)));
        if Kind::of(&check.kind).is_of_network() {
            let timeout = check.connect_timeout_ms;
            let given = timeout != defaults.connect_timeout_ms;
            self.number("connect_timeout", given.then(|| words::seconds(timeout)));
        }
        self.number("retry", (check.retry != defaults.retry).then_some(check.retry));
        let wait = check.delay_before_retry_ms;
        let given = wait != defaults.delay_before_retry_ms;
        self.number("delay_before_retry", given.then(|| words::seconds(wait)));
        self.number("warmup", check.warmup_ms.map(words::seconds));
    }
}
