//! VRRP, tracking and notification of every form, and what single settings of them are told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use leasehold_model::{
    Adverts, Alerts, Candidate, Config, ForeignMaster, Garp, Global, Instance, Network, Notify,
    ParamMatch, Route, RouteKind, Rule, Scope, SmtpServer, SyncGroup, TrackFile, TrackProcess,
    TrackScript, Tracking, Vmac, VrrpVersion, Weight,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::{canonical, parse_toml};
use super::virtual_server::any_script;

fn any_version() -> impl Strategy<Value = VrrpVersion> {
    select(vec![VrrpVersion::V2, VrrpVersion::V3])
}

fn any_adverts() -> impl Strategy<Value = Adverts> {
    let peers = btree_set(any::<IpAddr>(), 0..4);
    let policy = select(vec![ForeignMaster::Warn, ForeignMaster::Yield]);
    (of(any_version()), of(any::<IpAddr>()), peers, of(1..=255u8), any::<bool>(), policy).prop_map(
        |(version, mcast_dst_ip, peers, unicast_ttl, v3_checksum_as_v2, foreign_master)| Adverts {
            version,
            mcast_dst_ip,
            unicast_peer: peers.into_iter().collect(),
            unicast_ttl,
            v3_checksum_as_v2,
            foreign_master,
        },
    )
}

fn any_garp() -> impl Strategy<Value = Garp> {
    let seconds = || of(0..=86_400u32);
    let count = || of(1..=1000u32);
    (seconds(), count(), seconds(), count(), seconds(), count()).prop_map(|one| Garp {
        master_delay_s: one.0,
        master_repeat: one.1,
        master_refresh_s: one.2,
        master_refresh_repeat: one.3,
        lower_prio_delay_s: one.4,
        lower_prio_repeat: one.5,
    })
}

fn any_vmac() -> impl Strategy<Value = Vmac> {
    (of(".{0,5}"), any::<bool>()).prop_map(|(name, xmit_base)| Vmac { name, xmit_base })
}

/// Canonical where `otherwise` is the weight that is left out.
fn any_weight(most: i16, otherwise: Option<i16>) -> impl Strategy<Value = Weight> {
    (of(-most..=most), any::<bool>()).prop_map(move |(weight, reverse)| {
        let mut one = Weight { weight, reverse };
        if let Some(otherwise) = otherwise {
            canonical::weight(&mut one, otherwise);
        }
        one
    })
}

fn any_tracking() -> impl Strategy<Value = Tracking> {
    let names = ".{0,6}";
    (
        btree_map(names, any_weight(253, Some(0)), 0..3),
        btree_map(names, any_weight(253, None), 0..3),
        btree_map(names, any_weight(254, None), 0..3),
        btree_map(names, any_weight(254, None), 0..3),
    )
        .prop_map(|(interfaces, scripts, processes, files)| Tracking {
            interfaces,
            scripts,
            processes,
            files,
        })
}

fn any_notify() -> impl Strategy<Value = Notify> {
    let scripts = (of(any_script()), of(any_script()), of(any_script()), of(any_script()));
    let more = (of(any_script()), of(any_script()), of(any_script()));
    (scripts, more, of(any::<bool>()), of(any::<bool>())).prop_map(
        |(scripts, more, notify_priority_changes, smtp_alert)| Notify {
            notify: scripts.0,
            notify_master: scripts.1,
            notify_backup: scripts.2,
            notify_fault: scripts.3,
            notify_stop: more.0,
            notify_deleted: more.1,
            notify_master_rx_lower_pri: more.2,
            notify_priority_changes,
            smtp_alert,
        },
    )
}

pub(super) fn any_candidate() -> impl Strategy<Value = Candidate> {
    let interface = of("[a-z]{1,5}[0-9]");
    (of(1..=255u8), interface, of(any::<IpAddr>()), any_notify()).prop_map(
        |(priority, interface, src_ip, notify)| Candidate { priority, interface, src_ip, notify },
    )
}

fn any_network() -> impl Strategy<Value = Network> {
    (any::<IpAddr>(), 0..=32u8).prop_map(|(address, prefix)| Network { address, prefix })
}

fn any_route() -> impl Strategy<Value = Route> {
    let kind = select(vec![
        RouteKind::Unicast,
        RouteKind::Blackhole,
        RouteKind::Unreachable,
        RouteKind::Prohibit,
    ]);
    let scope = select(vec![Scope::Global, Scope::Site, Scope::Link, Scope::Host]);
    let first = (of(any_network()), kind, of(any::<IpAddr>()), of(".{0,5}"), of(any::<IpAddr>()));
    let numbers = (of(1..=u32::MAX), of(any::<u32>()), of(1..=u32::MAX));
    (first, numbers, of(scope), any::<bool>()).prop_map(|(first, numbers, scope, onlink)| {
        let mut route = Route {
            to: first.0,
            kind: first.1,
            via: first.2,
            dev: first.3,
            src: first.4,
            table: numbers.0,
            metric: numbers.1,
            mtu: numbers.2,
            scope,
            onlink,
        };
        canonical::route(&mut route);
        route
    })
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let networks = (of(any_network()), of(any_network()));
    let numbers = (of(any::<u32>()), of(any::<u32>()), 1..=u32::MAX);
    (networks, of(".{0,5}"), of(".{0,5}"), numbers).prop_map(|(networks, iif, oif, numbers)| Rule {
        from: networks.0,
        to: networks.1,
        iif,
        oif,
        fwmark: numbers.0,
        priority: numbers.1,
        table: numbers.2,
    })
}

/// An instance of which only what this file is about matters.
pub(super) fn any_rest() -> impl Strategy<Value = Instance> {
    let routing = (vec(any_route(), 0..3), vec(any_rule(), 0..3));
    let excluded = vec(super::any_vip(), 0..3);
    let sending = (any_adverts(), any_garp(), of(any_vmac()));
    (excluded, routing, sending, any_tracking(), any::<bool>(), any_notify()).prop_map(
        |(excluded, routing, sending, tracking, dont_track_primary, notify)| Instance {
            virtual_ipaddress_excluded: excluded,
            virtual_routes: routing.0,
            virtual_rules: routing.1,
            adverts: sending.0,
            garp: sending.1,
            use_vmac: sending.2,
            tracking,
            dont_track_primary,
            notify,
            ..Instance::new(1, "eth0")
        },
    )
}

fn any_track_script() -> impl Strategy<Value = TrackScript> {
    let times = (1..=86_400_000u32, of(1..=86_400_000u32));
    let counts = (1..=1_000_000u32, 1..=1_000_000u32, any::<bool>());
    (any_script(), times, any_weight(253, None), counts).prop_map(
        |(script, times, weight, counts)| {
            let mut one = TrackScript {
                script,
                interval_ms: times.0,
                timeout_ms: times.1,
                weight,
                rise: counts.0,
                fall: counts.1,
                init_fail: counts.2,
            };
            canonical::track_script(&mut one);
            one
        },
    )
}

fn any_track_process() -> impl Strategy<Value = TrackProcess> {
    let matches = select(vec![ParamMatch::Exact, ParamMatch::Initial, ParamMatch::Partial]);
    let counts = (0..=65_535u32, of(0..=65_535u32));
    let delays = (0..=86_400_000u32, 0..=86_400_000u32);
    let first = (any::<String>(), matches, any::<bool>());
    (first, any_weight(254, Some(0)), counts, delays).prop_map(|(first, weight, counts, delays)| {
        TrackProcess {
            process: first.0,
            param_match: first.1,
            full_command: first.2,
            weight,
            quorum: counts.0,
            quorum_max: counts.1,
            fork_delay_ms: delays.0,
            terminate_delay_ms: delays.1,
        }
    })
}

fn any_track_file() -> impl Strategy<Value = TrackFile> {
    (any::<String>(), any_weight(254, Some(1)), of(any::<i32>()), any::<bool>())
        .prop_map(|(file, weight, init, overwrite)| TrackFile { file, weight, init, overwrite })
}

fn any_sync_group() -> impl Strategy<Value = SyncGroup> {
    (btree_set(".{0,6}", 0..4), any_tracking(), any_notify()).prop_map(
        |(members, tracking, notify)| SyncGroup {
            members: members.into_iter().collect(),
            tracking,
            notify,
        },
    )
}

/// A configuration with what instances track and with their groups.
pub(super) fn any_tracked() -> impl Strategy<Value = Config> {
    let names = ".{0,6}";
    (
        btree_map(names, any_sync_group(), 0..3),
        btree_map(names, any_track_script(), 0..3),
        btree_map(names, any_track_process(), 0..3),
        btree_map(names, any_track_file(), 0..3),
    )
        .prop_map(|(sync_groups, scripts, processes, files)| Config {
            sync_groups,
            scripts,
            processes,
            files,
            ..Config::default()
        })
}

fn any_smtp_server() -> impl Strategy<Value = SmtpServer> {
    let host =
        prop_oneof!["[a-z]{1,5}(\\.[a-z]{1,3})?", any::<IpAddr>().prop_map(|one| one.to_string())];
    (host, prop_oneof![Just(25), 1..=u16::MAX])
        .prop_map(|(host, port)| SmtpServer::new(&host, port))
}

fn any_alerts() -> impl Strategy<Value = Alerts> {
    let text = || of(".{0,5}");
    let set = || btree_set(".{0,5}", 0..3);
    let first = (text(), text(), text(), of(any_script()), set(), text());
    let mail = (of(any_smtp_server()), of(1..=3_600_000u32), text());
    let pipes = (text(), of(any_script()), text(), of(any_script()));
    let mails = (any::<bool>(), of(any::<bool>()), any::<bool>());
    (first, mail, pipes, mails, set()).prop_map(
        |(first, mail, pipes, (smtp_alert, smtp_alert_checker, no_email_faults), webhook)| Alerts {
            script_user: first.0,
            script_group: first.1,
            notify_fifo: first.2,
            notify_fifo_script: first.3,
            vrrp_notify_fifo: pipes.0,
            vrrp_notify_fifo_script: pipes.1,
            lvs_notify_fifo: pipes.2,
            lvs_notify_fifo_script: pipes.3,
            notification_email: first.4.into_iter().collect(),
            notification_email_from: first.5,
            smtp_server: mail.0,
            smtp_connect_timeout_ms: mail.1,
            smtp_helo_name: mail.2,
            smtp_alert,
            smtp_alert_checker,
            no_email_faults,
            webhook: webhook.into_iter().collect(),
        },
    )
}

/// `[global]` of which only what this file is about matters.
pub(super) fn any_global() -> impl Strategy<Value = Global> {
    let groups = (of(any::<Ipv4Addr>()), of(any::<Ipv6Addr>()));
    let pacing = (of(1..=1_000_000u32), of(1..=1_000_000u32));
    (groups, of(any_version()), any_garp(), pacing, any_alerts()).prop_map(
        |(groups, vrrp_version, garp, pacing, alerts)| {
            let mut global = Global {
                vrrp_mcast_group4: groups.0,
                vrrp_mcast_group6: groups.1,
                vrrp_version,
                garp,
                garp_interval_us: pacing.0,
                gna_interval_us: pacing.1,
                alerts,
                ..Global::default()
            };
            canonical::global(&mut global);
            global
        },
    )
}

#[test]
fn what_a_director_runs_is_its_own_before_the_instances() {
    let text = "[instance.a]\nvirtual_router_id = 1\ninterface = \"eth0\"\n\
        virtual_ipaddress = [\"10.0.0.1/24\"]\nnotify_master = \"/up\"\nnotify_backup = \"/down\"\n\
        [instance.a.director.ds1]\nnotify_master = \"/own\"\nnotify_backup = \"/down\"\n";
    let (config, told) = parse_toml("a.toml", text);
    assert_eq!(told, vec![]);
    let instance = &config.unwrap().instances["a"];
    let command = |script: Option<leasehold_model::Script>| script.map(|one| one.command);
    let at = |director: &str| {
        let notify = instance.notify_at(director);
        (command(notify.notify_master).unwrap(), command(notify.notify_backup).unwrap())
    };
    assert_eq!(at("ds1"), ("/own".to_owned(), "/down".to_owned()));
    assert_eq!(at("ds2"), ("/up".to_owned(), "/down".to_owned()));
    let own = &instance.directors["ds1"].notify;
    assert_eq!(own.notify_backup, None, "what is said twice is left out");
}

#[test]
fn what_means_the_same_reads_the_same() {
    let read = |more: &str, global: &str| {
        let text = format!(
            "{global}\n[instance.a]\nvirtual_router_id = 1\ninterface = \"eth0\"\n\
             virtual_ipaddress = [\"10.0.0.1/24\"]\n{more}\n"
        );
        let (config, told) = parse_toml("a.toml", &text);
        config.unwrap_or_else(|| panic!("{text}: {told:?}"))
    };
    let same = [
        ("unicast_peer = [\"10.0.0.8\"]\nunicast_ttl = 255", "unicast_peer = [\"10.0.0.8\"]"),
        ("use_vmac = { name = \"vrrp.1\" }", "use_vmac = true"),
        ("use_vmac = false", ""),
        ("track_interface = { eth1 = 0 }", "track_interface = { eth1 = {} }"),
        (
            "virtual_routes = [\"0.0.0.0/0 via 10.0.0.9\"]",
            "virtual_routes = [\"default via 10.0.0.9\"]",
        ),
        (
            "virtual_rules = [\"from 10.0.0.1 table main\"]",
            "virtual_rules = [{ from = \"10.0.0.1/32\", table = 254 }]",
        ),
        ("notify = { command = \"/any\" }", "notify = \"/any\""),
        ("foreign_master = \"warn\"", ""),
    ];
    for (one, other) in same {
        assert_eq!(read(one, ""), read(other, ""), "{one}");
    }
    let globals = [
        ("[global]\nvrrp_version = 2\ngarp_interval_us = 0", ""),
        ("[global.alerts]\nsmtp_connect_timeout_ms = 30000", ""),
        (
            "[script.s]\nscript = \"/s\"\ntimeout_ms = 1000\nweight = 0",
            "[script.s]\nscript = \"/s\"",
        ),
        ("[file.f]\nfile = \"/f\"\nweight = 1", "[file.f]\nfile = \"/f\""),
    ];
    for (one, other) in globals {
        assert_eq!(read("", one), read("", other), "{one}");
    }
}
