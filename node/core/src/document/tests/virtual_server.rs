//! Virtual servers of every form, and what single settings of them are told.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use leasehold_model::{
    Damping, Dataplane, Family, Forward, Fwmark, Global, GroupEntry, LvsTimeouts, Persistence,
    Protocol, RealServer, Scheduler, SchedulerFlags, Script, Service, SorryServer, SyncDaemon,
    Tunnel, TunnelChecksum, TunnelKind, VirtualServer, VirtualServerGroup,
};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::canonical;
use super::super::check::check_backend;
use super::check::any_check;
use super::small;

pub(super) fn any_address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

fn any_family() -> impl Strategy<Value = Family> {
    select(vec![Family::Inet, Family::Inet6])
}

fn any_mark() -> impl Strategy<Value = Fwmark> {
    (1..=u32::MAX, any_family()).prop_map(|(mark, family)| Fwmark { mark, family })
}

fn any_kind() -> impl Strategy<Value = Forward> {
    let gue = (1..=u16::MAX).prop_map(|port| TunnelKind::Gue { port });
    let kind = prop_oneof![Just(TunnelKind::Ipip), Just(TunnelKind::Gre), gue];
    let checksums = vec![TunnelChecksum::Nocsum, TunnelChecksum::Csum, TunnelChecksum::Remcsum];
    let tunnel = (kind, select(checksums)).prop_map(|(kind, checksum)| Tunnel { kind, checksum });
    prop_oneof![Just(Forward::Nat), Just(Forward::Dr), tunnel.prop_map(Forward::Tun)]
}

pub(super) fn any_script() -> impl Strategy<Value = Script> {
    (any::<String>(), of(".{0,4}"), of(".{0,4}")).prop_map(|(command, user, group)| Script {
        command,
        user,
        group,
    })
}

fn any_real() -> impl Strategy<Value = RealServer> {
    let numbers = (any::<u16>(), 0..3u32, 0..3u32, any::<bool>(), any::<bool>());
    let texts = (of(".{0,5}"), of(any_script()), of(any_script()), of(any::<bool>()));
    let checks = prop::collection::vec(any_check(), 0..3);
    (any_address(), of(any_kind()), numbers, texts, checks).prop_map(
        |(address, lb_kind, numbers, texts, checks)| RealServer {
            address,
            weight: numbers.0,
            lb_kind,
            uthreshold: numbers.1,
            lthreshold: numbers.2,
            inhibit_on_failure: numbers.3,
            alpha: numbers.4,
            virtualhost: texts.0,
            notify_up: texts.1,
            notify_down: texts.2,
            smtp_alert: texts.3,
            checks,
        },
    )
}

fn any_server() -> impl Strategy<Value = VirtualServer> {
    let service = prop_oneof![
        any_address().prop_map(Service::Address),
        any_mark().prop_map(Service::Fwmark),
        ".{0,5}".prop_map(Service::Group),
    ];
    let first = (service, select(Protocol::ALL.to_vec()), of(".{0,5}"));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>())
        .prop_map(|(flag_1, flag_2, flag_3)| SchedulerFlags { flag_1, flag_2, flag_3 });
    let persistence = (1..=2_147_483u32, of(1..=128u8), of(select(vec!["sip", "x"])));
    let persistence = persistence.prop_map(|(timeout_s, granularity, engine)| Persistence {
        timeout_s,
        granularity,
        engine: engine.map(str::to_owned),
    });
    let second = (select(Scheduler::ALL.to_vec()), any_kind(), flags, of(persistence));
    let switches = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), of(".{0,5}"));
    let damping = (1..=1000u32, 1..=86_400_000u32, 1..=86_400_000u32)
        .prop_map(|(flaps, window_ms, hold_ms)| Damping { flaps, window_ms, hold_ms });
    let health = (any::<bool>(), of(any::<bool>()), of(damping));
    let quorum = (1..=u32::MAX, any::<u32>(), of(any_script()), of(any_script()));
    let sorry = (any_address(), of(any_kind()), any::<bool>());
    let sorry =
        sorry.prop_map(|(address, lb_kind, inhibit)| SorryServer { address, lb_kind, inhibit });
    let reals = prop::collection::vec(any_real(), 0..3);
    (first, second, switches, quorum, health, of(sorry), reals).prop_map(
        |(first, second, switches, quorum, health, sorry_server, real_servers)| {
            let mut server = VirtualServer {
                service: first.0,
                protocol: first.1,
                instance: first.2,
                lb_algo: second.0,
                lb_kind: second.1,
                flags: second.2,
                ops: switches.0,
                persistence: second.3,
                virtualhost: switches.4,
                alpha: switches.1,
                omega: switches.2,
                inhibit_on_failure: switches.3,
                quorum: quorum.0,
                hysteresis: quorum.1,
                quorum_up: quorum.2,
                quorum_down: quorum.3,
                ha_suspend: health.0,
                smtp_alert: health.1,
                damping: health.2,
                sorry_server,
                real_servers,
            };
            canonical::virtual_server(&mut server);
            server
        },
    )
}

pub(super) fn any_servers() -> impl Strategy<Value = Vec<VirtualServer>> {
    prop::collection::vec(any_server(), 0..4).prop_map(|mut servers| {
        servers.sort_by_key(VirtualServer::key);
        servers.dedup_by_key(|server| server.key());
        servers
    })
}

pub(super) fn any_groups() -> impl Strategy<Value = BTreeMap<String, VirtualServerGroup>> {
    // Both ends are of one family, as an IPv4 address and an IPv6 one can't be written together.
    let range =
        (any::<IpAddr>(), any::<[u8; 16]>(), any::<u16>()).prop_map(|(first, end, port)| {
            let last = match first {
                IpAddr::V4(_) => IpAddr::from([end[0], end[1], end[2], end[3]]),
                IpAddr::V6(_) => IpAddr::from(end),
            };
            GroupEntry::Range { first, last, port }
        });
    let entry = prop_oneof![range, any_mark().prop_map(GroupEntry::Fwmark)];
    let group =
        prop::collection::vec(entry, 0..4).prop_map(|entries| VirtualServerGroup { entries });
    prop::collection::btree_map(".{0,5}", group, 0..3)
}

pub(super) fn any_global() -> impl Strategy<Value = Global> {
    let dataplane = select(vec![Dataplane::Auto, Dataplane::Ipvs, Dataplane::Nftables]);
    let seconds = || of(1..=2_147_483u32);
    let timeouts = (seconds(), seconds(), seconds())
        .prop_map(|(tcp, tcpfin, udp)| LvsTimeouts { tcp, tcpfin, udp })
        .prop_filter("nothing is no setting", |one| *one != LvsTimeouts::default());
    let numbers = (any::<u8>(), of(1..=65507u16), of(1..=u16::MAX), of(1..=u8::MAX));
    let daemon = (any::<String>(), of(".{0,5}"), numbers, of(any::<IpAddr>())).prop_map(
        |(interface, instance, numbers, group)| SyncDaemon {
            interface,
            instance,
            id: numbers.0,
            maxlen: numbers.1,
            port: numbers.2,
            ttl: numbers.3,
            group,
        },
    );
    (dataplane, of(daemon), of(timeouts), of(0..=86_400_000u32)).prop_map(
        |(dataplane, lvs_sync_daemon, lvs_timeouts, drain_timeout_ms)| Global {
            dataplane,
            lvs_sync_daemon,
            lvs_timeouts,
            drain_timeout_ms,
            ..Global::default()
        },
    )
}

fn read(text: &str) -> VirtualServer {
    let instance = "instance.a = { virtual_router_id = 1, interface = \"e\", virtual_ipaddress = [\"10.0.0.1\"] }\n";
    let (config, told) =
        super::parse_toml("a.toml", &format!("{instance}[[virtual_server]]\n{text}"));
    let mut config = config.unwrap_or_else(|| panic!("{told:?}"));
    config.virtual_servers.remove(0)
}

#[test]
fn what_means_the_same_reads_the_same() {
    let pairs = [
        (
            "address = \"10.0.0.1:80\"\nlb_kind = { tunnel = \"ipip\" }",
            "lb_kind = \"TUN\"\naddress = \"10.0.0.1:80\"",
        ),
        ("fwmark = 7\nprotocol = \"udp\"", "fwmark = 7"),
        (
            "address = \"10.0.0.1:80\"\npersistence_timeout = 5\npersistence_granularity = \"255.255.255.255\"",
            "address = \"10.0.0.1:80\"\npersistence_timeout = 5",
        ),
        ("address = \"10.0.0.1:80\"\npersistence_timeout = 0", "address = \"10.0.0.1:80\""),
        (
            "address = \"10.0.0.1:80\"\nlb_kind = \"DR\"\n[[virtual_server.real_server]]\naddress = \"10.0.0.9:80\"\nlb_kind = \"DR\"\ncheck = [{ type = \"tcp\", connect = \"10.0.0.9:80\" }]",
            "address = \"10.0.0.1:80\"\nlb_kind = \"DR\"\nreal_server = [{ address = \"10.0.0.9:80\", check = [{ type = \"tcp\", retry = 1 }] }]",
        ),
    ];
    for (one, other) in pairs {
        assert_eq!(read(one), read(other), "{one}");
    }
    let url = |codes: &str| {
        let server = read(&format!(
            "address = \"10.0.0.1:80\"\n[[virtual_server.real_server]]\naddress = \"10.0.0.9:80\"\ncheck = [{{ type = \"http\", url = [{{ path = \"/\", status_code = {codes} }}] }}]"
        ));
        server.real_servers[0].checks[0].clone()
    };
    assert_eq!(url("[\"201\", \"200\", \"202-299\"]"), url("[]"));
    assert_ne!(url("[\"200\"]"), url("[]"));
}

/// What one kernel can't serve is told also when the file leaves the choice to each director.
#[test]
fn a_dataplane_is_checked_when_asked_for() {
    let mut config = small();
    let mut server =
        VirtualServer::new(Service::Address(([10, 0, 0, 1], 80).into()), Protocol::Tcp);
    server.real_servers.push(RealServer::new(([10, 0, 0, 9], 80).into()));
    config.virtual_servers.push(server);
    assert_eq!(super::validate(&config), vec![]);
    assert_eq!(check_backend(&config, Dataplane::Ipvs), vec![]);
    let told = check_backend(&config, Dataplane::Nftables);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        told[0].to_string(),
        "error: virtual_server 10.0.0.1 80 tcp, lb_algo: nftables can't serve it: wlc counts \
         connections; it has rr, wrr and sh\n  hint: dataplane = \"ipvs\" on directors whose kernel \
         has IPVS"
    );
    config.virtual_servers[0].lb_algo = Scheduler::Wrr;
    assert_eq!(check_backend(&config, Dataplane::Nftables), vec![]);
}

#[test]
fn what_would_be_too_much_is_refused_before_it_is_written_out() {
    let mut config = small();
    let mut group = VirtualServerGroup::default();
    let (first, last) = ("::".parse().unwrap(), "ffff::".parse().unwrap());
    for port in 0..900 {
        group.entries.push(GroupEntry::Range { first, last, port });
    }
    config.groups.insert("all".to_owned(), group);
    config
        .virtual_servers
        .push(VirtualServer::new(Service::Group("all".to_owned()), Protocol::Tcp));
    let told = super::validate(&config);
    assert_eq!(told.iter().filter(|one| one.message.contains("1024 is the limit")).count(), 900);
    assert_eq!(told.iter().filter(|one| one.message.contains("16384 is the limit")).count(), 1);
}
