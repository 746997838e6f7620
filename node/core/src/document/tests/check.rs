//! Checks of every kind, and what single settings of them are told.

use std::net::IpAddr;

use leasehold_model::{
    Check, CheckKind, Digest, DnsCheck, FileCheck, HttpCheck, MiscCheck, Pattern, SmtpCheck,
    SmtpHost, Sni, Source, TlsCheck, Trust, UdpCheck, UdpReply, Url, Weight,
};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::virtual_server::{any_address, any_script};
use crate::document::checks;

fn any_digest() -> impl Strategy<Value = Digest> {
    prop_oneof![any::<[u8; 16]>().prop_map(Digest::Md5), any::<[u8; 32]>().prop_map(Digest::Sha256)]
}

fn any_pattern() -> impl Strategy<Value = Pattern> {
    (any::<String>(), any::<bool>(), 0..3u32, any::<u32>()).prop_map(
        |(regex, no_match, min_offset, max_offset)| Pattern {
            regex,
            no_match,
            min_offset,
            max_offset,
        },
    )
}

fn any_url() -> impl Strategy<Value = Url> {
    let code = (100..=999u16, 100..=999u16).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let codes = prop::collection::vec(code, 0..3);
    (any::<String>(), codes, of(".{0,5}"), of(any_digest()), of(any_pattern())).prop_map(
        |(path, status_code, virtualhost, digest, regex)| Url {
            path,
            status_code,
            virtualhost,
            digest,
            regex,
        },
    )
}

fn any_http() -> impl Strategy<Value = HttpCheck> {
    let sni =
        prop_oneof![Just(Sni::Off), Just(Sni::Virtualhost), any::<String>().prop_map(Sni::Name)];
    let trust = prop_oneof![Just(Trust::Any), Just(Trust::System), "/.{0,5}".prop_map(Trust::File)];
    let tls = (sni, trust).prop_map(|(sni, trust)| TlsCheck { sni, trust });
    let version = select(checks::VERSIONS.map(|(_, version)| version).to_vec());
    (prop::collection::vec(any_url(), 0..3), version, of(tls))
        .prop_map(|(urls, version, tls)| HttpCheck { urls, version, tls })
}

fn any_source() -> impl Strategy<Value = Source> {
    (of(any::<IpAddr>()), of(1..=u16::MAX), of(".{0,5}"), of(any::<u32>())).prop_map(
        |(bindto, bind_port, bind_if, fwmark)| Source { bindto, bind_port, bind_if, fwmark },
    )
}

fn any_smtp() -> impl Strategy<Value = SmtpCheck> {
    let host =
        (any_address(), any_source()).prop_map(|(connect, source)| SmtpHost { connect, source });
    (any::<String>(), prop::collection::vec(host, 0..3))
        .prop_map(|(helo_name, hosts)| SmtpCheck { helo_name, hosts })
}

fn any_udp() -> impl Strategy<Value = UdpCheck> {
    let nibble = of(0..=15u8);
    let byte = (nibble.clone(), nibble).prop_map(|(high, low)| [high, low]);
    let begins = prop::collection::vec(byte, 0..3).prop_map(|bytes| bytes.concat());
    let length = || prop_oneof![Just(0), Just(255), 0..=checks::MAX_DATAGRAM];
    let reply = (begins, length(), length())
        .prop_map(|(begins, min_length, max_length)| UdpReply { begins, min_length, max_length });
    (prop::collection::vec(any::<u8>(), 0..4), of(reply))
        .prop_map(|(payload, reply)| UdpCheck { payload, reply })
}

fn any_kind() -> impl Strategy<Value = CheckKind> {
    let record = select(checks::RECORDS.map(|(_, record)| record).to_vec());
    let dns = (record, any::<String>()).prop_map(|(record, name)| DnsCheck { record, name });
    let misc = (any_script(), of(1..=86_400_000u32), any::<bool>())
        .prop_map(|(script, timeout_ms, dynamic)| MiscCheck { script, timeout_ms, dynamic });
    let weight = (of(-32_767..=32_767i16), any::<bool>())
        .prop_map(|(weight, reverse)| Weight { weight, reverse });
    let file =
        (any::<String>(), weight).prop_map(|(track_file, weight)| FileCheck { track_file, weight });
    prop_oneof![
        Just(CheckKind::Tcp),
        any_http().prop_map(CheckKind::Http),
        any_smtp().prop_map(CheckKind::Smtp),
        dns.prop_map(CheckKind::Dns),
        any_udp().prop_map(CheckKind::Udp),
        Just(CheckKind::Ping),
        misc.prop_map(CheckKind::Misc),
        file.prop_map(CheckKind::File),
    ]
}

pub(super) fn any_check() -> impl Strategy<Value = Check> {
    let every = prop_oneof![Just(60_000), 10..=86_400_000u32];
    let times = (every, 1..=3_600_000u32, 0..=9u32, 0..=9000u32, of(0..=86_400_000u32));
    let rest = (1..=3u32, any::<bool>(), any::<bool>());
    (any_kind(), of(any_address()), any_source(), times, rest).prop_map(
        |(kind, connect, source, times, rest)| Check {
            kind,
            connect,
            source,
            delay_loop_ms: times.0,
            connect_timeout_ms: times.1,
            retry: times.2,
            delay_before_retry_ms: times.3,
            warmup_ms: times.4,
            rise: rest.0,
            alpha: rest.1,
            log_all_failures: rest.2,
        },
    )
}

/// The one check of a real server of 10.0.0.9:80, written so, and what was said of it.
fn read(check: &str) -> (Option<Check>, Vec<String>) {
    let text = format!(
        "file.drain = {{ file = \"/run/drain\" }}\n\
         instance.a = {{ virtual_router_id = 1, interface = \"e\", virtual_ipaddress = [\"10.0.0.1\"] }}\n\
         [[virtual_server]]\naddress = \"10.0.0.1:80\"\n[[virtual_server.real_server]]\n\
         address = \"10.0.0.9:80\"\ncheck = [{{ {check} }}]"
    );
    let (config, told) = super::parse_toml("a.toml", &text);
    let told = told.iter().map(|one| one.message.clone());
    let mut config = config;
    let check = config.as_mut().and_then(|config| {
        let server = config.virtual_servers.first_mut()?;
        server.real_servers.first_mut()?.checks.pop()
    });
    (check, told.filter(|line| !line.starts_with("nothing tracks")).collect())
}

/// keepalived's: check_api.c, check_http.c, check_dns.c, check_misc.c.
#[test]
fn what_is_left_out_is_as_in_keepalived() {
    let cases = [
        ("type = \"tcp\"", 1, 1_000),
        ("type = \"http\", url = [{ path = \"/\" }]", 1, 3_000),
        ("type = \"smtp\"", 1, 1_000),
        ("type = \"dns\"", 3, 60_000),
        ("type = \"dns\", delay_loop_ms = 5000", 3, 5_000),
        ("type = \"udp\"", 1, 1_000),
        ("type = \"ping\"", 1, 1_000),
        ("type = \"misc\", script = \"/bin/true\"", 0, 1_000),
        ("type = \"file\", track_file = \"drain\"", 0, 1_000),
    ];
    for (text, retry, wait) in cases {
        let (check, told) = read(text);
        let check = check.unwrap_or_else(|| panic!("{text}: {told:?}"));
        assert_eq!(told, Vec::<String>::new(), "{text}");
        assert_eq!((check.retry, check.delay_before_retry_ms), (retry, wait), "{text}");
        assert_eq!((check.connect_timeout_ms, check.rise, check.alpha), (5_000, 1, false));
        assert_eq!((check.warmup_ms, check.connect), (None, None), "{text}");
    }
}

#[test]
fn what_means_the_same_reads_the_same() {
    let pairs = [
        ("type = \"tcp\", fwmark = 0, warmup_ms = 60000", "type = \"tcp\""),
        ("type = \"ping\", connect = \"10.0.0.9\"", "type = \"ping\""),
        ("type = \"dns\", name = \"example.org.\"", "type = \"dns\", name = \"example.org\""),
        ("type = \"dns\", name = \"\", record = \"SOA\"", "type = \"dns\""),
        (
            "type = \"smtp\", host = [{ connect = \"10.0.0.9:80\", bind_port = 9 }]",
            "type = \"smtp\", bind_port = 9",
        ),
        ("type = \"udp\", reply = { }", "type = \"udp\", reply = \"\""),
        ("type = \"udp\", payload = \"0A 1b\"", "type = \"udp\", payload = \"0a1B\""),
        (
            "type = \"misc\", script = { command = \"/bin/x\" }, timeout_ms = 60000",
            "type = \"misc\", script = \"/bin/x\"",
        ),
        (
            "type = \"http\", tls = { trust = \"any\", sni = false }, url = [{ path = \"/\" }]",
            "type = \"http\", tls = true, url = [{ path = \"/\" }]",
        ),
        (
            "type = \"http\", tls = false, version = \"1.0\", url = [{ path = \"/\" }]",
            "type = \"http\", url = [{ path = \"/\" }]",
        ),
    ];
    for (one, other) in pairs {
        let (read_one, told) = read(one);
        assert!(read_one.is_some(), "{one}: {told:?}");
        assert_eq!(read_one, read(other).0, "{one}");
    }
    assert_ne!(read("type = \"udp\"").0, read("type = \"udp\", reply = \"\"").0);
}

#[test]
fn a_check_that_sends_nothing_has_nowhere_to_send_it() {
    for setting in ["connect = \"10.0.0.8:80\"", "bindto = \"10.0.0.2\"", "connect_timeout_ms = 9"]
    {
        for kind in ["\"misc\", script = \"/bin/x\"", "\"file\", track_file = \"drain\""] {
            let (check, told) = read(&format!("type = {kind}, {setting}"));
            assert!(check.is_none() && told.len() == 1, "{setting}: {told:?}");
        }
    }
    let (check, told) = read("type = \"ping\", bind_port = 9");
    assert!(check.is_none() && told[0].contains("no setting of a ping check"), "{told:?}");
}

#[test]
fn only_what_has_a_port_takes_one() {
    let port_0 = |check: &str| {
        let text = format!(
            "instance.a = {{ virtual_router_id = 1, interface = \"e\", virtual_ipaddress = [\"10.0.0.1\"] }}\n\
             file.drain = {{ file = \"/run/drain\" }}\n\
             [[virtual_server]]\nfwmark = 7\ninstance = \"a\"\n[[virtual_server.real_server]]\n\
             address = \"10.0.0.9:0\"\ncheck = [{{ {check} }}]"
        );
        super::parse_toml("a.toml", &text).0.is_some()
    };
    for good in [
        "type = \"ping\"",
        "type = \"misc\", script = \"/bin/x\"",
        "type = \"file\", track_file = \"drain\"",
        "type = \"tcp\", connect = \"10.0.0.9:80\"",
        "type = \"smtp\", host = [{ connect = \"10.0.0.9:25\" }, { connect = \"10.0.0.9:26\" }]",
    ] {
        assert!(port_0(good), "{good}");
    }
    for bad in ["tcp", "smtp", "dns", "udp"] {
        assert!(!port_0(&format!("type = \"{bad}\"")), "{bad}");
    }
    assert!(!port_0("type = \"http\", url = [{ path = \"/\" }]"));
}
