//! What writing, reading and checking promise each other.

mod check;
mod virtual_server;
mod vrrp;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use leasehold_model::{Auth, AuthType, Candidate, Config, Global, Instance, Scope, Vip};
use proptest::prelude::*;

use super::*;

fn any_vip() -> impl Strategy<Value = Vip> {
    let extra = (
        prop::option::of("[a-z]{1,6}[0-9.]{0,3}"),
        prop::option::of(".{0,9}"),
        prop::option::of(any::<Ipv4Addr>()),
        prop::sample::select(vec![Scope::Global, Scope::Site, Scope::Link, Scope::Host]),
    );
    (any::<IpAddr>(), 1..=32u8, extra).prop_map(|(address, prefix, extra)| {
        let (dev, label, broadcast, scope) = extra;
        Vip { address, prefix, dev, label, broadcast, scope }
    })
}

fn any_instance() -> impl Strategy<Value = Instance> {
    let auth = (prop::sample::select(vec![AuthType::Pass, AuthType::Ah]), any::<String>());
    (
        (1..=255u8, "\\PC{1,8}", prop::option::of(1..=254u8), 10..=255_000u32),
        prop::option::of(auth),
        (any::<bool>(), 0..=1_000_000u32),
        prop::collection::vec(any_vip(), 0..4),
        prop::collection::btree_map(".{0,8}", vrrp::any_candidate(), 0..3),
        vrrp::any_rest(),
    )
        .prop_map(|(first, auth, preemption, virtual_ipaddress, directors, rest)| {
            let mut instance = Instance {
                virtual_router_id: first.0,
                interface: first.1,
                priority: first.2,
                advert_int_ms: first.3,
                authentication: auth.map(|(auth_type, auth_pass)| Auth { auth_type, auth_pass }),
                preempt: preemption.0,
                preempt_delay_ms: preemption.1,
                virtual_ipaddress,
                directors,
                ..rest
            };
            canonical::instance(&mut instance);
            instance
        })
}

fn any_config() -> impl Strategy<Value = Config> {
    let ids = prop::collection::btree_map(".{0,8}", any::<String>(), 0..3);
    let instances = prop::collection::btree_map(".{0,8}", any_instance(), 0..4);
    let global = (ids, vrrp::any_global(), virtual_server::any_global());
    let servers = (virtual_server::any_groups(), virtual_server::any_servers());
    (global, instances, vrrp::any_tracked(), servers).prop_map(
        |(global, instances, tracked, (groups, virtual_servers))| {
            let (router_id, vrrp, rest) = global;
            let global = Global {
                router_id,
                dataplane: rest.dataplane,
                lvs_sync_daemon: rest.lvs_sync_daemon,
                lvs_timeouts: rest.lvs_timeouts,
                drain_timeout_ms: rest.drain_timeout_ms,
                ..vrrp
            };
            Config { global, instances, groups, virtual_servers, ..tracked }
        },
    )
}

proptest! {
    /// Also of a configuration that is wrong: an export must be readable to be mended.
    #[test]
    fn what_is_written_is_read_back(config in any_config()) {
        let text = to_toml(&config);
        let reading = read::read("a.toml", &text);
        let told: Vec<_> = reading.diagnostics.iter().collect();
        prop_assert!(told.is_empty(), "{:?}\n{}", told, text);
        prop_assert_eq!(&reading.config, &config, "{}", text);
        prop_assert_eq!(to_toml(&reading.config), text);
        let stored = serde_json::to_string(&config).unwrap();
        prop_assert_eq!(serde_json::from_str::<Config>(&stored).unwrap(), config);
    }

    #[test]
    fn no_text_makes_it_panic(text in "(\\PC|\n|\\[instance\\.a\\]|\\[\\[virtual_server\\]\\]|address = |virtual_ipaddress = \\[|=|\"){0,60}") {
        let (config, diagnostics) = parse_toml("a.toml", &text);
        prop_assert_eq!(config.is_none(), diagnostics.iter().any(Diagnostic::is_error));
    }
}

const SAMPLE: &str = include_str!("../../tests/data/toml/07-virtual-servers/input.toml");

proptest! {
    /// Whatever of a changed file is still accepted means the same when it is written.
    #[test]
    fn what_is_accepted_is_written_and_read_back(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..3usize, "[\"\\[\\]{}=,.:/ 0-9a\n-]{0,2}"), 1..4),
    ) {
        let mut chars: Vec<char> = SAMPLE.chars().collect();
        for (index, cut, insert) in cuts {
            let at = index.index(chars.len());
            let end = (at + cut).min(chars.len());
            chars.splice(at..end, insert.chars());
        }
        let text: String = chars.into_iter().collect();
        let (config, diagnostics) = parse_toml("a.toml", &text);
        prop_assert_eq!(config.is_none(), diagnostics.iter().any(Diagnostic::is_error));
        if let Some(config) = config {
            let written = to_toml(&config);
            prop_assert_eq!(parse_toml("a.toml", &written).0, Some(config), "{}", written);
        }
    }
}

fn small() -> Config {
    let vip = Vip {
        address: [10, 0, 0, 1].into(),
        prefix: 24,
        dev: None,
        label: None,
        broadcast: None,
        scope: Scope::Global,
    };
    let instance =
        Instance { priority: Some(100), virtual_ipaddress: vec![vip], ..Instance::new(51, "eth0") };
    Config { instances: [("web".to_owned(), instance)].into(), ..Config::default() }
}

fn messages(change: impl FnOnce(&mut Config)) -> Vec<String> {
    let mut config = small();
    change(&mut config);
    validate(&config).iter().map(ToString::to_string).collect()
}

#[test]
fn a_small_configuration_has_no_fault() {
    assert_eq!(messages(|_| {}), Vec::<String>::new());
}

#[test]
fn a_fault_of_a_configuration_without_a_file_names_the_value() {
    let told = messages(|config| config.instances.get_mut("web").unwrap().virtual_router_id = 0);
    assert_eq!(
        told,
        ["error: instance.web.virtual_router_id: virtual_router_id 0 is out of range\n  \
          hint: 1 to 255 (RFC 9568, 5.2.3)"]
    );
}

#[test]
fn the_same_number_on_one_wire_is_refused_and_on_two_is_not() {
    let second = |interface: &str, own: Option<&str>, address: IpAddr| {
        let interface = interface.to_owned();
        let own = own.map(str::to_owned);
        move |config: &mut Config| {
            let mut twin = config.instances["web"].clone();
            twin.interface = interface;
            twin.virtual_ipaddress[0].address = address;
            twin.virtual_ipaddress[0].prefix = 32;
            if own.is_some() {
                let one = Candidate { interface: own, ..Candidate::default() };
                twin.directors.insert("ds1".to_owned(), one);
            }
            config.instances.insert("zweit".to_owned(), twin);
        }
    };
    let other = IpAddr::from([10, 0, 0, 2]);
    assert_eq!(messages(second("eth0", None, other)).len(), 1);
    assert_eq!(messages(second("eth1", None, other)).len(), 0);
    assert_eq!(messages(second("eth1", Some("eth0"), other)).len(), 1);
    let v6 = messages(second("eth0", None, "fd00::1".parse().unwrap()));
    assert_eq!(v6, Vec::<String>::new(), "the families have numbers of their own");
}

#[test]
fn limits_are_named() {
    let told = messages(|config| {
        let one = config.instances["web"].clone();
        for number in 0..MAX_INSTANCES {
            let mut one = one.clone();
            let bytes = u32::try_from(number).unwrap() + (11 << 24);
            one.virtual_ipaddress[0].address = IpAddr::from(bytes.to_be_bytes());
            one.interface = format!("eth{}", number + 1);
            config.instances.insert(format!("i{number}"), one);
        }
    });
    assert_eq!(told, ["error: instance.i0: 4097 instances: 4096 is the limit"]);
}

#[test]
fn a_name_that_no_line_would_hold_is_refused_and_is_not_repeated_whole() {
    let name = "long".repeat(300_000);
    let told = messages(|config| {
        let one = config.instances.remove("web").unwrap();
        config.instances.insert(name.clone(), one);
    });
    let shown = "long".repeat(16);
    assert_eq!(
        told,
        [format!("error: instance.{shown}...: a name of 1200000 bytes: 255 is the limit")]
    );
    let told = messages(|config| {
        let one = config.instances.remove("web").unwrap();
        config.instances.insert("a".repeat(64), one);
    });
    assert_eq!(told, Vec::<String>::new());
}

#[test]
fn unknown_directors_are_warned_of_once_each() {
    let mut config = small();
    config.global.router_id.insert("gone".to_owned(), "a".to_owned());
    let instance = config.instances.get_mut("web").unwrap();
    for name in ["ds1", "gone"] {
        instance.directors.insert(name.to_owned(), Candidate::default());
    }
    let known = BTreeSet::from(["ds1".to_owned(), "ds2".to_owned()]);
    let told: Vec<String> =
        check_directors(&config, &known).iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["warning: no member is called gone (named by instance web and 1 more)\n  \
          hint: members are: ds1, ds2"]
    );
}
