//! `[global]`: settings of no single instance or virtual server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use leasehold_model::{Dataplane, Global, LvsTimeouts, SyncDaemon};

use super::{At, Reader};
use crate::document::{MAX_LVS_TIMEOUT_S, canonical};

/// A day, and far above what any connection needs to end.
const MAX_DRAIN_TIMEOUT_MS: i64 = 86_400_000;

/// A second between two announcements: with more, many VIPs would not be announced in time.
const MAX_PACING_US: i64 = 1_000_000;

impl Reader<'_> {
    pub(super) fn global(&mut self, at: &At<'_, '_>) -> Global {
        let known = [
            "vrrp_mcast_group4",
            "vrrp_mcast_group6",
            "vrrp_version",
            "garp",
            "garp_interval_us",
            "gna_interval_us",
            "alerts",
            "dataplane",
            "drain_timeout_ms",
            "lvs_timeouts",
            "lvs_sync_daemon",
            "router_id",
        ];
        self.known(at, "[global]", &known);
        let dataplanes = [
            ("auto", Dataplane::Auto),
            ("ipvs", Dataplane::Ipvs),
            ("nftables", Dataplane::Nftables),
        ];
        let mut global = Global {
            vrrp_mcast_group4: self.parsed::<Ipv4Addr>(at, "vrrp_mcast_group4", "an IPv4 address"),
            vrrp_mcast_group6: self.parsed::<Ipv6Addr>(at, "vrrp_mcast_group6", "an IPv6 address"),
            vrrp_version: self.version(at, "vrrp_version"),
            garp: self.garp(at),
            garp_interval_us: self.pacing(at, "garp_interval_us"),
            gna_interval_us: self.pacing(at, "gna_interval_us"),
            alerts: self.alerts(at),
            dataplane: self.choice(at, "dataplane", &dataplanes).unwrap_or_default(),
            drain_timeout_ms: self.integer(at, "drain_timeout_ms", 0..=MAX_DRAIN_TIMEOUT_MS),
            ..Global::default()
        };
        if let Some(table) = self.table(at, "lvs_timeouts") {
            let timeouts = self.lvs_timeouts(&table);
            global.lvs_timeouts = (timeouts != LvsTimeouts::default()).then_some(timeouts);
        }
        if let Some(table) = self.table(at, "lvs_sync_daemon") {
            global.lvs_sync_daemon = Some(self.sync_daemon(&table));
        }
        if let Some(ids) = self.table(at, "router_id") {
            for key in ids.table.keys() {
                let director: &str = key.get_ref();
                if let Some(id) = self.string(&ids, director) {
                    global.router_id.insert(director.to_owned(), id.to_owned());
                }
            }
        }
        canonical::global(&mut global);
        global
    }

    /// 0 is keepalived's word for none.
    fn pacing(&mut self, at: &At<'_, '_>, name: &str) -> Option<u32> {
        self.integer(at, name, 0..=MAX_PACING_US).filter(|pacing| *pacing != 0)
    }

    /// 0 is the kernel's word for "as it is".
    fn lvs_timeouts(&mut self, at: &At<'_, '_>) -> LvsTimeouts {
        self.known(at, "lvs_timeouts", &["tcp", "tcpfin", "udp"]);
        let range = 0..=i64::from(MAX_LVS_TIMEOUT_S);
        let mut one = |name| self.integer(at, name, range.clone()).filter(|seconds| *seconds > 0);
        LvsTimeouts { tcp: one("tcp"), tcpfin: one("tcpfin"), udp: one("udp") }
    }

    fn sync_daemon(&mut self, at: &At<'_, '_>) -> SyncDaemon {
        let known = ["interface", "instance", "id", "maxlen", "port", "ttl", "group"];
        self.known(at, "lvs_sync_daemon", &known);
        self.required(at, &["interface"]);
        SyncDaemon {
            interface: self.string(at, "interface").unwrap_or("unread").to_owned(),
            instance: self.owned(at, "instance"),
            id: self.integer(at, "id", 0..=255).unwrap_or(0),
            maxlen: self.integer(at, "maxlen", 1..=65507),
            port: self.integer(at, "port", 1..=65535),
            ttl: self.integer(at, "ttl", 1..=255),
            group: self.parsed::<IpAddr>(at, "group", "an address"),
        }
    }
}
