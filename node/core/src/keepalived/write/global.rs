//! `global_defs`.

use std::net::Ipv6Addr;

use leasehold_model::{
    Alerts, Dataplane, Garp, Global, LvsTimeouts, SmtpServer, SyncDaemon, VrrpVersion,
};

use super::{UNSPEAKABLE, Writer, words};

/// keepalived counts these delays in microseconds of 32 bits.
pub(super) const MAX_SECONDS: u32 = u32::MAX / 1_000_000;

impl Writer<'_> {
    pub(super) fn global(&mut self) {
        let global = &self.config.global;
        let has_id = global.router_id.contains_key(self.director);
        let other = Global { router_id: std::collections::BTreeMap::new(), ..global.clone() };
        if !has_id && other == Global::default() {
            return;
        }
        self.at("global", |writer| writer.block("global_defs", Self::global_defs));
        // A block of nothing but what is left out says nothing.
        let empty = "\nglobal_defs {\n}\n";
        if self.text.ends_with(empty) {
            self.text.truncate(self.text.len() - empty.len());
        }
    }

    fn global_defs(&mut self) {
        let global = &self.config.global;
        let Global {
            router_id,
            vrrp_mcast_group4,
            vrrp_mcast_group6,
            vrrp_version,
            garp,
            garp_interval_us,
            gna_interval_us,
            alerts,
            dataplane,
            lvs_sync_daemon,
            lvs_timeouts,
            drain_timeout_ms,
        } = global;
        if let Some(id) = router_id.get(self.director) {
            let director = self.director;
            self.at("router_id", |writer| writer.text_of(director, "router_id", Some(id)));
        }
        self.at("alerts", |writer| writer.alerts(alerts));
        match vrrp_version {
            Some(VrrpVersion::V3) => self.line("vrrp_version 3"),
            Some(VrrpVersion::V2) => self.line("vrrp_version 2"),
            None => {}
        }
        self.number("vrrp_mcast_group4", *vrrp_mcast_group4);
        match vrrp_mcast_group6 {
            Some(group) if !is_link_local(*group) => {
                self.leave_out("vrrp_mcast_group6", "keepalived takes link-local multicast alone");
            }
            Some(_) | None => self.number("vrrp_mcast_group6", *vrrp_mcast_group6),
        }
        self.garp("vrrp_garp", garp);
        let pacing =
            [("vrrp_garp_interval", garp_interval_us), ("vrrp_gna_interval", gna_interval_us)];
        for (word, interval) in pacing {
            self.number(word, interval.map(words::seconds_of_us));
        }
        if let Some(daemon) = lvs_sync_daemon {
            self.sync_daemon(daemon);
        }
        if let Some(timeouts) = lvs_timeouts {
            self.lvs_timeouts(timeouts);
        }
        match dataplane {
            Dataplane::Auto => {}
            Dataplane::Ipvs | Dataplane::Nftables => {
                self.leave_out("dataplane", "keepalived always forwards by IPVS");
            }
        }
        if drain_timeout_ms.is_some() {
            let why = "keepalived forgets the connections of a removed real server at once, or \
                       never: as the kernel is set";
            self.leave_out("drain_timeout_ms", why);
        }
    }

    fn alerts(&mut self, alerts: &Alerts) {
        let Alerts {
            script_user,
            script_group,
            notify_fifo,
            notify_fifo_script,
            vrrp_notify_fifo,
            vrrp_notify_fifo_script,
            lvs_notify_fifo,
            lvs_notify_fifo_script,
            notification_email,
            notification_email_from,
            smtp_server,
            smtp_connect_timeout_ms,
            smtp_helo_name,
            smtp_alert,
            smtp_alert_checker,
            no_email_faults,
            webhook,
        } = alerts;
        self.recipients(notification_email);
        let from = notification_email_from.as_deref();
        self.text_of("notification_email_from", "notification_email_from", from);
        if let Some(server) = smtp_server {
            let (host, port) = match server {
                SmtpServer::Address(at) => (at.ip().to_string(), at.port()),
                SmtpServer::Name { host, port } => (host.clone(), *port),
            };
            let port = if port == SmtpServer::PORT { String::new() } else { format!(" {port}") };
            let line = words::word(&host).map(|host| format!("{host}{port}"));
            self.value("smtp_server", "smtp_server", line);
        }
        self.number("smtp_connect_timeout", smtp_connect_timeout_ms.map(words::seconds));
        self.text_of("smtp_helo_name", "smtp_helo_name", smtp_helo_name.as_deref());
        self.switch("smtp_alert_vrrp", smtp_alert.then_some(true));
        self.switch("smtp_alert_checker", *smtp_alert_checker);
        self.flag("no_email_faults", *no_email_faults);
        match (script_user, script_group) {
            (Some(user), group) => {
                let who = [Some(user), group.as_ref()].into_iter().flatten();
                let who: Option<Vec<String>> = who.map(|one| words::word(one)).collect();
                self.value("script_user", "script_user", who.map(|who| who.join(" ")));
            }
            (None, Some(_)) => self.leave_out("script_group", "keepalived takes it after a user"),
            (None, None) => {}
        }
        for (name, pipe, reader) in [
            ("notify_fifo", notify_fifo, notify_fifo_script),
            ("vrrp_notify_fifo", vrrp_notify_fifo, vrrp_notify_fifo_script),
            ("lvs_notify_fifo", lvs_notify_fifo, lvs_notify_fifo_script),
        ] {
            self.text_of(name, name, pipe.as_deref());
            let script = format!("{name}_script");
            self.script(&script, &script, reader.as_ref());
        }
        if !webhook.is_empty() {
            self.leave_out("webhook", "keepalived has none; a script can call one");
        }
    }

    fn recipients(&mut self, all: &[String]) {
        let lines: Option<Vec<String>> = all.iter().map(|one| words::word(one)).collect();
        match lines {
            Some(lines) if lines.is_empty() => {}
            Some(lines) => self.block("notification_email", |writer| {
                lines.iter().for_each(|line| writer.line(line));
            }),
            None => self.leave_out("notification_email", UNSPEAKABLE),
        }
    }

    /// `prefix` is `garp`, or `vrrp_garp` for the cluster's.
    pub(super) fn garp(&mut self, prefix: &str, garp: &Garp) {
        let Garp {
            master_delay_s,
            master_repeat,
            master_refresh_s,
            master_refresh_repeat,
            lower_prio_delay_s,
            lower_prio_repeat,
        } = garp;
        let all = [
            ("master_delay_s", "master_delay", master_delay_s),
            ("master_repeat", "master_repeat", master_repeat),
            ("master_refresh_s", "master_refresh", master_refresh_s),
            ("master_refresh_repeat", "master_refresh_repeat", master_refresh_repeat),
            ("lower_prio_delay_s", "lower_prio_delay", lower_prio_delay_s),
            ("lower_prio_repeat", "lower_prio_repeat", lower_prio_repeat),
        ];
        for (key, word, value) in all {
            let is_long = key.ends_with("delay_s") && value.is_some_and(|s| s > MAX_SECONDS);
            if is_long {
                let why = format!("keepalived's longest is {MAX_SECONDS} seconds");
                self.at("garp", |writer| writer.leave_out(key, why));
            } else {
                self.number(&format!("{prefix}_{word}"), *value);
            }
        }
    }

    fn sync_daemon(&mut self, daemon: &SyncDaemon) {
        let SyncDaemon { interface, instance, id, maxlen, port, ttl, group } = daemon;
        let mut line = format!("lvs_sync_daemon {}", self.name(interface));
        if let Some(instance) = instance {
            line.push_str(&format!(" inst {}", self.name(instance)));
        }
        line.push_str(&format!(" id {id}"));
        let options = [
            ("maxlen", maxlen.map(u32::from)),
            ("port", port.map(u32::from)),
            ("ttl", ttl.map(u32::from)),
        ];
        for (word, value) in options {
            line.push_str(&value.map(|value| format!(" {word} {value}")).unwrap_or_default());
        }
        line.push_str(&group.map(|group| format!(" group {group}")).unwrap_or_default());
        self.line(&line);
    }

    fn lvs_timeouts(&mut self, timeouts: &LvsTimeouts) {
        let LvsTimeouts { tcp, tcpfin, udp } = timeouts;
        let all = [("tcp", tcp), ("tcpfin", tcpfin), ("udp", udp)];
        let given =
            all.iter().filter_map(|(word, value)| Some(format!(" {word} {}", value.as_ref()?)));
        let given: String = given.collect();
        if !given.is_empty() {
            self.line(&format!("lvs_timeouts{given}"));
        }
    }
}

/// `ff02::/16`, the only ones that keepalived sends adverts to.
pub(super) fn is_link_local(group: Ipv6Addr) -> bool {
    group.octets()[0] == 0xff && group.octets()[1] & 0xf == 2
}
