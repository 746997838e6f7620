//! What the settings of no single instance must fulfil.

use leasehold_model::{Config, LvsTimeouts, SyncDaemon};

use super::Check;
use crate::diagnostic::some_of;
use crate::document::MAX_LVS_TIMEOUT_S;

/// A UDP datagram in IPv4, less its headers.
const MAX_SYNC_BYTES: u16 = 65507;

impl Check {
    pub(super) fn global(&mut self, config: &Config) {
        if let Some(group) = config.global.vrrp_mcast_group4
            && !group.is_multicast()
        {
            self.at("vrrp_mcast_group4", |check| {
                check.error(
                    format!("{group} is not a multicast address"),
                    "use one of 224.0.0.0/4; 224.0.0.18 is VRRP's own",
                );
            });
        }
        if let Some(group) = config.global.vrrp_mcast_group6
            && !group.is_multicast()
        {
            self.at("vrrp_mcast_group6", |check| {
                let message = format!("{group} is not a multicast address");
                check.error(message, "use one of ff00::/8; ff02::12 is VRRP's own");
            });
        }
        self.at("alerts", |check| check.alerts(&config.global.alerts));
        for (director, id) in &config.global.router_id {
            if id.is_empty() {
                self.at("router_id", |check| {
                    check.at(director, |check| check.error("router_id is empty", ""));
                });
            }
        }
        if let Some(timeouts) = &config.global.lvs_timeouts {
            self.at("lvs_timeouts", |check| check.lvs_timeouts(timeouts));
        }
        if let Some(daemon) = &config.global.lvs_sync_daemon {
            self.at("lvs_sync_daemon", |check| check.sync_daemon(config, daemon));
        }
    }

    fn lvs_timeouts(&mut self, timeouts: &LvsTimeouts) {
        let all = [("tcp", timeouts.tcp), ("tcpfin", timeouts.tcpfin), ("udp", timeouts.udp)];
        for (name, value) in all {
            let Some(value) = value.filter(|value| *value > MAX_LVS_TIMEOUT_S) else { continue };
            self.at(name, |check| {
                let hint = format!("up to {MAX_LVS_TIMEOUT_S} seconds, 24 days");
                check.error(format!("{name} {value} is out of range"), &hint);
            });
        }
    }

    fn sync_daemon(&mut self, config: &Config, daemon: &SyncDaemon) {
        self.at("interface", |check| check.interface(&daemon.interface));
        if let Some(name) = &daemon.instance
            && !config.instances.contains_key(name)
        {
            self.at("instance", |check| check.unknown_instance(config, name));
        }
        if daemon.maxlen.is_some_and(|bytes| !(1..=MAX_SYNC_BYTES).contains(&bytes)) {
            self.at("maxlen", |check| check.error("maxlen is out of range", "1 to 65507 bytes"));
        }
        if daemon.port == Some(0) {
            self.at("port", |check| check.error("port 0 is out of range", "1 to 65535"));
        }
        if daemon.ttl == Some(0) {
            self.at("ttl", |check| check.error("ttl 0 is out of range", "1 to 255"));
        }
        if let Some(group) = daemon.group
            && !group.is_multicast()
        {
            self.at("group", |check| {
                let message = format!("{group} is not a multicast address");
                check.error(message, "leave it out for 224.0.0.81");
            });
        }
    }

    pub(super) fn unknown_instance(&mut self, config: &Config, name: &str) {
        let hint = match config.instances.is_empty() {
            true => "there is none".to_owned(),
            false => format!("instances are: {}", some_of(config.instances.keys())),
        };
        self.error(format!("no instance is called {name}"), &hint);
    }
}
