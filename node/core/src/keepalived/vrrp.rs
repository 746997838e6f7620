//! What a `vrrp_instance` says about its adverts, routes, tracking and scripts.

use std::net::IpAddr;

use leasehold_model::{Garp, Instance, Vmac, VrrpVersion};

use super::keywords::{self, Block};
use super::lex::Pos;
use super::lower::{At, File, Lower, Router};
use super::parse::Statement;
use super::statement::{microseconds, number};
use super::vip;
use crate::document::routing::{self, Problem};

/// The part of an instance that every file has to say alike, and what each runs.
#[derive(Debug)]
pub(super) struct Rest {
    /// Only what this file's keywords are about is set.
    pub(super) value: Instance,
    /// By the name of the setting in TOML.
    pub(super) places: Vec<(String, Pos)>,
    pub(super) xmit_base: Option<Pos>,
}

impl Default for Rest {
    fn default() -> Self {
        Self { value: Instance::new(1, ""), places: Vec::new(), xmit_base: None }
    }
}

impl Rest {
    pub(super) fn place(&self, setting: &str) -> Option<Pos> {
        self.places.iter().find(|(name, _)| name == setting).map(|(_, at)| *at)
    }
}

/// A day, as in TOML.
const MAX_GARP_DELAY_S: u32 = 86_400;
const MAX_GARP_REPEAT: u32 = 1000;
const MAX_PACING_US: u32 = 1_000_000;

impl Lower<'_> {
    /// Reads a line that `lower` itself does not.
    pub(super) fn rest(&mut self, one: &Statement, router: &mut Router) {
        let rest = &mut router.rest;
        self.track_line(one, &mut rest.value.tracking, &mut rest.places);
        self.notify_line(one, &mut rest.value.notify, &mut rest.places);
        if self.garp_line(one, &mut rest.value.garp) {
            return rest.places.push(("garp".to_owned(), one.keyword.at));
        }
        let setting = match one.keyword.text.as_str() {
            "mcast_dst_ip" => {
                let group = self.address(one);
                rest.value.adverts.mcast_dst_ip = group.map(|group| group.value);
                "mcast_dst_ip"
            }
            "mcast_src_ip" | "unicast_src_ip" => {
                if let Some(source) = self.address(one) {
                    self.set(one, &mut router.source, source);
                }
                return;
            }
            "unicast_peer" => {
                self.peers(one, router);
                return;
            }
            "unicast_ttl" => {
                let ttl = self.value(one, "1 to 255", number(1, 255));
                rest.value.adverts.unicast_ttl = ttl.map(|ttl| ttl.value);
                "unicast_ttl"
            }
            "v3_checksum_as_v2" => {
                let flag = self.flag(one).is_some_and(|flag| flag.value);
                rest.value.adverts.v3_checksum_as_v2 = flag;
                "v3_checksum_as_v2"
            }
            "use_vmac" => {
                rest.value.use_vmac = Some(self.vmac(one));
                "use_vmac"
            }
            "vmac_xmit_base" => {
                rest.xmit_base = self.flag(one).filter(|flag| flag.value).map(|flag| flag.at);
                return;
            }
            "dont_track_primary" => {
                rest.value.dont_track_primary = self.flag(one).is_some_and(|flag| flag.value);
                "dont_track_primary"
            }
            "virtual_ipaddress_excluded" => {
                router.excluded.extend(vip::addresses(self, one));
                return;
            }
            "virtual_routes" => {
                self.routes(one, rest);
                "virtual_routes"
            }
            "virtual_rules" => {
                self.rules(one, rest);
                "virtual_rules"
            }
            _ => return,
        };
        rest.places.push((setting.to_owned(), one.keyword.at));
    }

    fn address(&mut self, one: &Statement) -> Option<At<IpAddr>> {
        self.value(one, "an IP address", |text| text.parse().ok())
    }

    /// The lines are addresses; what is said about their TTL is not served.
    fn peers(&mut self, one: &Statement, router: &mut Router) {
        router.rest.places.push(("unicast_peer".to_owned(), one.keyword.at));
        for line in self.block(one).unwrap_or_default() {
            let Ok(peer) = line.keyword.text.parse::<IpAddr>() else {
                let message = format!("{:?} is no IP address", line.keyword.text);
                self.report.error(line.keyword.at, message, "one peer per line");
                continue;
            };
            if let Some(option) = line.arguments.first() {
                let message = format!("{:?} after the peer is not served yet", option.text);
                self.report.warn(option.at, message, "the cluster checks its own members");
            }
            router.peers.push(At { value: peer, at: line.keyword.at });
        }
    }

    /// `use_vmac [NAME]`.
    fn vmac(&mut self, one: &Statement) -> Vmac {
        self.no_block(one);
        let mut words = one.arguments.iter();
        let mut vmac = Vmac::default();
        while let Some(word) = words.next() {
            match word.text.as_str() {
                "name" => vmac.name = words.next().map(|word| word.text.clone()),
                text if text.contains(':') => {
                    let message = format!("the MAC address {text} is not served yet");
                    self.report.warn(word.at, message, "it is 00:00:5e:00:01:VRID");
                }
                "netlink_notify_msg" => {}
                "group" => {
                    words.next();
                    self.report.warn(word.at, "group of use_vmac is not served yet", "");
                }
                text if vmac.name.is_none() => vmac.name = Some(text.to_owned()),
                text => {
                    let message = format!("{text:?} after use_vmac is ignored");
                    self.report.warn(word.at, message, "use_vmac NAME");
                }
            }
        }
        vmac
    }

    fn routes(&mut self, one: &Statement, rest: &mut Rest) {
        for line in self.block(one).unwrap_or_default() {
            if let Some(route) = self.words(line, Block::VirtualRoute, routing::route) {
                let place = format!("virtual_routes.{}", rest.value.virtual_routes.len());
                rest.places.push((place, line.keyword.at));
                rest.value.virtual_routes.push(route);
            }
        }
    }

    fn rules(&mut self, one: &Statement, rest: &mut Rest) {
        for line in self.block(one).unwrap_or_default() {
            if let Some(rule) = self.words(line, Block::VirtualRule, routing::rule) {
                let place = format!("virtual_rules.{}", rest.value.virtual_rules.len());
                rest.places.push((place, line.keyword.at));
                rest.value.virtual_rules.push(rule);
            }
        }
    }

    /// A line of words, by a grammar that knows no places.
    fn words<T>(
        &mut self,
        line: &Statement,
        block: Block,
        read: impl Fn(&[&str]) -> (Option<T>, Vec<Problem>),
    ) -> Option<T> {
        self.no_block(line);
        let words: Vec<_> = std::iter::once(&line.keyword).chain(&line.arguments).collect();
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        let (value, problems) = read(&texts);
        let at = |word: usize| words.get(word).map_or(line.keyword.at, |word| word.at);
        for problem in problems {
            match problem {
                Problem::Wrong { word, message, hint } => {
                    self.report.error(at(word), message, hint);
                }
                Problem::Unserved { word, .. } => {
                    let name = texts.get(word).copied().unwrap_or_default();
                    let note = keywords::find(block, name).map_or("", |known| known.note);
                    let message = format!("`{name}` is not served yet: {note}");
                    self.report.warn(at(word), message, "");
                }
            }
        }
        value
    }

    /// Reads `garp_*`, or with `vrrp_` before it the cluster's; whether it was one.
    fn garp_line(&mut self, one: &Statement, garp: &mut Garp) -> bool {
        let name = one.keyword.text.as_str();
        let (slot, least, most) = match name.strip_prefix("vrrp_").unwrap_or(name) {
            "garp_master_delay" => (&mut garp.master_delay_s, 0, MAX_GARP_DELAY_S),
            "garp_master_repeat" => (&mut garp.master_repeat, 1, MAX_GARP_REPEAT),
            "garp_master_refresh" => (&mut garp.master_refresh_s, 0, MAX_GARP_DELAY_S),
            "garp_master_refresh_repeat" => (&mut garp.master_refresh_repeat, 1, MAX_GARP_REPEAT),
            "garp_lower_prio_delay" => (&mut garp.lower_prio_delay_s, 0, MAX_GARP_DELAY_S),
            "garp_lower_prio_repeat" => (&mut garp.lower_prio_repeat, 0, MAX_GARP_REPEAT),
            _ => return false,
        };
        let wanted = format!("{least} to {most}");
        let value = self.value(one, &wanted, number(0, most));
        *slot = value.map(|value| {
            if value.value < least {
                let message = format!("{name} 0 means {least}, as in keepalived");
                self.report.warn(value.at, message, &wanted);
            }
            value.value.max(least)
        });
        true
    }

    /// Reads a line of `global_defs` that is about VRRP or about alerts.
    pub(super) fn global_rest(&mut self, one: &Statement, file: &mut File) {
        self.alert_line(one, &mut file.global.alerts, &mut file.places);
        if self.garp_line(one, &mut file.global.garp) {
            return file.places.push(("garp".to_owned(), one.keyword.at));
        }
        let setting = match one.keyword.text.as_str() {
            "vrrp_mcast_group6" => {
                let group = self.value(one, "an IPv6 address", |text| text.parse().ok());
                file.global.vrrp_mcast_group6 = group.map(|group| group.value);
                "vrrp_mcast_group6"
            }
            "vrrp_version" => {
                let version = self.value(one, "2 or 3", version);
                file.global.vrrp_version = version.map(|version| version.value);
                "vrrp_version"
            }
            "vrrp_garp_interval" => {
                file.global.garp_interval_us = self.pacing(one);
                "garp_interval_us"
            }
            "vrrp_gna_interval" => {
                file.global.gna_interval_us = self.pacing(one);
                "gna_interval_us"
            }
            "vrrp_min_garp" => {
                if self.flag(one).is_some_and(|flag| flag.value) {
                    let garp = &mut file.global.garp;
                    garp.master_delay_s.get_or_insert(0);
                    garp.master_repeat.get_or_insert(1);
                }
                "garp"
            }
            "v3_checksum_as_v2" => {
                file.checksum_as_v2 = self.flag(one).is_some_and(|flag| flag.value);
                return;
            }
            "vrrp_notify_priority_changes" => {
                file.priority_changes = self.flag(one).map(|flag| flag.value);
                return;
            }
            _ => return,
        };
        file.places.push((setting.to_owned(), one.keyword.at));
    }

    /// The stock file has 0, which paces nothing.
    fn pacing(&mut self, one: &Statement) -> Option<u32> {
        let read = |text: &str| microseconds(text).filter(|pacing| *pacing <= MAX_PACING_US);
        let pacing = self.value(one, "0 to 1 seconds", read)?.value;
        (pacing != 0).then_some(pacing)
    }
}

pub(super) fn version(text: &str) -> Option<VrrpVersion> {
    match text {
        "2" => Some(VrrpVersion::V2),
        "3" => Some(VrrpVersion::V3),
        _ => None,
    }
}
