//! What the checks of a real server must fulfil.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use leasehold_model::{
    Check as Checker, CheckKind, Config, HttpCheck, MiscCheck, Pattern, RealServer, SmtpCheck, Sni,
    Source, TlsCheck, Trust, UdpCheck, Url, VirtualServer,
};

use super::Check;
use super::service::unusable;
use crate::diagnostic::some_of;
use crate::document::checks::{self, Kind};
use crate::document::pattern;

impl Check {
    pub(super) fn checks(&mut self, config: &Config, server: &VirtualServer, real: &RealServer) {
        let host = real.virtualhost.as_deref().or(server.virtualhost.as_deref());
        for (index, one) in real.checks.iter().enumerate() {
            self.at_path(&["check", &index.to_string()], |check| {
                check.check_times(one);
                if Kind::of(&one.kind).is_of_network() {
                    check.way(real.address, one);
                }
                match &one.kind {
                    CheckKind::Tcp | CheckKind::Ping => {}
                    CheckKind::Http(http) => check.http(http, host),
                    CheckKind::Smtp(smtp) => check.smtp(smtp),
                    CheckKind::Dns(dns) => check.at("name", |check| check.domain(&dns.name)),
                    CheckKind::Udp(udp) => check.udp(udp),
                    CheckKind::Misc(misc) => check.misc(misc),
                    CheckKind::File(file) => {
                        check.at("track_file", |check| check.file_of(config, &file.track_file));
                        let most = checks::MAX_FILE_WEIGHT;
                        let own = file.weight.weight.filter(|own| !(-most..=most).contains(own));
                        if let Some(own) = own {
                            let message = format!("weight {own} is out of range");
                            let hint = format!("-{most} to {most}");
                            check.at("weight", |check| check.error(message, &hint));
                        }
                    }
                }
            });
        }
    }

    fn check_times(&mut self, one: &Checker) {
        self.limit("delay_loop_ms", one.delay_loop_ms, &checks::DELAY_LOOP_MS);
        self.limit("connect_timeout_ms", one.connect_timeout_ms, &checks::CONNECT_TIMEOUT_MS);
        self.limit("retry", one.retry, &checks::RETRY);
        let wait = one.delay_before_retry_ms;
        self.limit("delay_before_retry_ms", wait, &checks::DELAY_BEFORE_RETRY_MS);
        if let Some(warmup) = one.warmup_ms {
            self.limit("warmup_ms", warmup, &checks::WARMUP_MS);
        }
        self.limit("rise", one.rise, &checks::RISE);
    }

    pub(super) fn limit(&mut self, name: &str, value: u32, range: &RangeInclusive<u32>) {
        if !range.contains(&value) {
            let hint = format!("{} to {}", range.start(), range.end());
            let message = format!("{name} {value} is out of range");
            self.at(name, |check| check.error(message, &hint));
        }
    }

    /// Where its packets go and come from.
    fn way(&mut self, real: SocketAddr, one: &Checker) {
        if matches!(&one.kind, CheckKind::Smtp(smtp) if !smtp.hosts.is_empty()) {
            return;
        }
        if Kind::of(&one.kind).has_port() && one.connect.unwrap_or(real).port() == 0 {
            let what = if one.connect.is_some() { "connect has" } else { "the real server has" };
            self.at("connect", |check| {
                let message = format!("the check has no port: {what} port 0");
                check.error(message, "say where to: connect = \"10.0.0.9:80\"");
            });
        }
        if let Some(connect) = one.connect {
            self.at("connect", |check| check.peer(connect.ip()));
        }
        self.source(&one.source, one.connect.unwrap_or(real).ip());
    }

    fn peer(&mut self, address: IpAddr) {
        if let Some((ip, why)) = unusable(address) {
            self.error(format!("{ip} {why}"), "a unicast address");
        }
    }

    fn source(&mut self, source: &Source, target: IpAddr) {
        let Source { bindto, bind_port, bind_if, fwmark: _ } = source;
        if let Some(own) = *bindto {
            self.at("bindto", |check| {
                if let Some((ip, why)) = unusable(own) {
                    check.error(format!("{ip} {why}"), "an address that each director has");
                } else if own.is_ipv4() != target.is_ipv4() {
                    check.error(
                        format!("{own} is not of the address family of {target}, which is checked"),
                        "both IPv4, or both IPv6",
                    );
                }
            });
        }
        if *bind_port == Some(0) {
            self.at("bind_port", |check| check.error("bind_port 0 is any port", "1 to 65535"));
        }
        match bind_if {
            Some(name) => self.at("bind_if", |check| check.interface_name(name)),
            None => {
                let local = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
                if let Some(address) = bindto.iter().chain([&target]).find(|one| local(one)) {
                    let message = format!("{address} is of one link, and no bind_if says which");
                    let name = if *bindto == Some(*address) { "bindto" } else { "connect" };
                    self.at(name, |check| check.error(message, "bind_if = \"eth1\""));
                }
            }
        }
    }

    /// `host` is what pages have that name none.
    fn http(&mut self, http: &HttpCheck, host: Option<&str>) {
        let HttpCheck { urls, version: _, tls } = http;
        self.at("url", |check| {
            if urls.is_empty() {
                check.error("an http check without a url", "give at least one: { path = \"/\" }");
            }
            for (index, url) in urls.iter().enumerate() {
                check.at(&index.to_string(), |check| check.url(url));
            }
        });
        let Some(TlsCheck { sni, trust }) = tls else { return };
        self.at("tls", |check| {
            match sni {
                Sni::Off => {}
                Sni::Virtualhost => {
                    if urls.iter().any(|url| url.virtualhost.is_none()) && host.is_none() {
                        let message = "a url without a virtualhost is asked for without a name";
                        let hint = "give it one, or the name itself: sni = \"www.example.org\"";
                        check.at("sni", |check| check.warn(message, hint));
                    }
                }
                Sni::Name(name) => check.at("sni", |check| check.host(name)),
            }
            match trust {
                Trust::Any | Trust::System => {}
                Trust::File(path) if path.starts_with('/') => {}
                Trust::File(path) => check.at("trust", |check| {
                    let hint = "\"any\", \"system\", or the path of a PEM file, from / on";
                    check.error(format!("{path:?} is nothing to trust"), hint);
                }),
            }
        });
    }

    fn url(&mut self, url: &Url) {
        let broken = |c: char| c.is_control() || c.is_whitespace();
        self.at("path", |check| {
            if !url.path.starts_with('/') || url.path.contains(broken) {
                check.error(
                    format!("{:?} is no path", url.path),
                    "it begins with / and has no space: write %20 for one",
                );
            }
        });
        self.at("status_code", |check| {
            for (first, last) in &url.status_code {
                if first > last || !(100..=999).contains(first) || *last > 999 {
                    check
                        .error(format!("{first}-{last} is no range of status codes"), "100 to 999");
                }
            }
        });
        if let Some(host) = &url.virtualhost {
            self.at("virtualhost", |check| check.host(host));
        }
        let Some(Pattern { regex, no_match: _, min_offset, max_offset }) = &url.regex else {
            return;
        };
        if let Err(error) = pattern::check(regex) {
            self.at("regex", |check| check.error(error.to_string(), error.hint));
        }
        if *max_offset != 0 && min_offset >= max_offset {
            self.at("max_offset", |check| {
                check.error(
                    format!(
                        "no match can begin at byte {min_offset} or later and before {max_offset}"
                    ),
                    "max_offset above min_offset, or 0 for no limit",
                );
            });
        }
    }

    fn smtp(&mut self, smtp: &SmtpCheck) {
        let SmtpCheck { helo_name, hosts } = smtp;
        let odd = |c: char| c.is_whitespace() || c.is_control();
        if helo_name.is_empty() || helo_name.contains(odd) {
            self.at("helo_name", |check| {
                let message = format!("{helo_name:?} is nothing to say HELO with");
                check.error(message, "a host name, in one word");
            });
        }
        for (index, host) in hosts.iter().enumerate() {
            self.at_path(&["host", &index.to_string()], |check| {
                check.at("connect", |check| {
                    if host.connect.port() == 0 {
                        check.error("the host has port 0", "SMTP is on port 25");
                    }
                    check.peer(host.connect.ip());
                });
                check.source(&host.source, host.connect.ip());
            });
        }
    }

    fn domain(&mut self, name: &str) {
        if !checks::is_domain(name) {
            self.error(
                format!("{name:?} is no domain name"),
                "labels of 1 to 63 characters with dots between them, or \".\" for the root",
            );
        }
    }

    fn udp(&mut self, udp: &UdpCheck) {
        let UdpCheck { payload, reply } = udp;
        let most = checks::MAX_DATAGRAM;
        if u32::try_from(payload.len()).map_or(true, |length| length > most) {
            self.at("payload", |check| {
                let message = format!("{} bytes do not fit into a datagram", payload.len());
                check.error(message, &format!("{most} at most"));
            });
        }
        let Some(reply) = reply else { return };
        self.at("reply", |check| {
            check.limit("max_length", reply.max_length, &(0..=most));
            if reply.min_length > reply.max_length {
                let (min, max) = (reply.min_length, reply.max_length);
                check.at("min_length", |check| {
                    check.error(
                        format!("no reply has {min} bytes or more and {max} or fewer"),
                        "min_length is max_length at most, which is 255 where nothing is said",
                    );
                });
            }
            if !reply.begins.len().is_multiple_of(2)
                || reply.begins.iter().flatten().any(|nibble| *nibble > 15)
            {
                check.at("begins", |check| check.error("not whole bytes", "two digits a byte"));
            }
        });
    }

    fn misc(&mut self, misc: &MiscCheck) {
        self.at("script", |check| check.program(&misc.script));
        if let Some(timeout) = misc.timeout_ms {
            self.limit("timeout_ms", timeout, &checks::SCRIPT_TIMEOUT_MS);
        }
    }

    fn file_of(&mut self, config: &Config, name: &str) {
        if config.files.contains_key(name) {
            return;
        }
        let hint = match config.files.is_empty() {
            true => format!("there is none: add [file.{name}]"),
            false => format!("they are: {}", some_of(config.files.keys())),
        };
        self.error(format!("no file is called {name}"), &hint);
    }
}
