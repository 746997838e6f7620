//! No text, however broken, makes the importer panic, hang or drop something in silence.

use leasehold_node_core::document;
use leasehold_node_core::keepalived::{self, NoIncludes, Source};
use proptest::prelude::*;

const SAMPLE: &str = "\
global_defs {
    router_id a # comment
    notification_email {
        root@localhost
    }
    smtp_server 127.0.0.1 25
    script_user nobody
    vrrp_garp_interval 0.01
}
vrrp_script chk {
    script \"/bin/check it\"
    interval 2
    weight -5
}
vrrp_track_process proxy {
    process haproxy
}
track_file drain {
    file /run/drain
    init_file 0
}
vrrp_sync_group both {
    group {
        VI_1
        VI_2
    }
    notify_master \"/bin/up it\" nobody
}
vrrp_instance VI_2 {
    interface eth1
    virtual_router_id 52
    version 3
    unicast_src_ip 10.0.1.1
    unicast_peer { 10.0.1.2
    }
    use_vmac web
    vmac_xmit_base
    virtual_ipaddress { 10.0.1.9
    }
    virtual_ipaddress_excluded { fd00::9/64
    }
}
$X=10.0.0
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority 100
    advert_int 1.5
    authentication { auth_type PASS
        auth_pass \"a b\"
    }
    track_script { chk weight -2 reverse }
    track_interface { eth2 }
    track_process { proxy }
    track_file { drain weight 2 }
    garp_master_delay 3
    virtual_routes {
        10.8.0.0/16 via 10.0.0.9 metric 5
        blackhole 10.9.0.0/16
    }
    virtual_rules {
        from 10.0.0.1 table 100
    }
    notify_fault \"/bin/down it\"
    virtual_ipaddress {
        ${X}.1/24 dev eth0 label eth0:1 brd +
        ~SEQ(N, 2, 4) ${X}.${N}/24
    }
}
virtual_server_group web {
    10.0.0.2-3 80
    fwmark 7
}
virtual_server group web {
    lb_algo sh
    sh-port
    protocol TCP
    real_server 10.0.0.9 8080 {
        weight 1
    }
}
virtual_server 10.0.0.2 443 {
    protocol TCP
    lb_kind TUN type gue port 6080
    persistence_timeout 50
    quorum_up \"/bin/true it\" nobody
    sorry_server 10.0.0.8 443
    real_server 10.0.0.9 443 {
        weight 1
        HTTP_GET {
            url {
                path /
                status_code 200-299
            }
            connect_port 80
        }
        TCP_CHECK {
            retry 3
        }
        SSL_GET {
            enable_sni
            url {
                path /
                digest 0123456789abcdef0123456789abcdef
                regex \"a\\\\d$\"
                regex_options caseless
                regex_max_offset 9
            }
        }
        SMTP_CHECK {
            helo_name here
            host {
                connect_ip 10.0.0.7
            }
        }
        DNS_CHECK {
            type A
            name a.b
        }
        UDP_CHECK {
            payload 0a b
            require_reply 0X
            max_reply_length 9
        }
        PING_CHECK {
            bindto 10.0.0.6
        }
        MISC_CHECK {
            misc_path \"/bin/check it\"
            misc_timeout 3
            user nobody
        }
        FILE_CHECK {
            track_file drain
            weight -2 reverse
        }
    }
}
";

fn import(text: &str) -> (bool, Vec<String>) {
    let source = Source { node: Some("ds1"), file: "a.conf", text };
    let (config, diagnostics) = keepalived::to_config(&[source], &NoIncludes);
    if let Some(config) = &config {
        // Whatever is imported can be exported and applied.
        let written = document::to_toml(config);
        let (again, told) = document::parse_toml("a.toml", &written);
        assert_eq!(again.as_ref(), Some(config), "{written}\n{told:?}");
    }
    (config.is_some(), diagnostics.iter().map(ToString::to_string).collect())
}

#[test]
fn the_sample_is_good() {
    let (good, told) = import(SAMPLE);
    assert!(good, "{told:?}");
}

/// A brace that is lost is always noticed, whichever it is.
#[test]
fn every_lost_brace_is_an_error() {
    let stripped: Vec<usize> = SAMPLE
        .match_indices(['{', '}'])
        .map(|(index, _)| index)
        .filter(|index| !is_parameter(*index))
        .collect();
    assert!(stripped.len() >= 26);
    for index in stripped {
        let mut text = SAMPLE.to_owned();
        text.remove(index);
        let (good, told) = import(&text);
        assert!(!good, "without the brace at {index}:\n{text}\n{told:?}");
    }
}

fn is_parameter(index: usize) -> bool {
    let before = SAMPLE[..index].rfind("${");
    before.is_some_and(|start| !SAMPLE[start..index].contains('}'))
        || SAMPLE[..index].ends_with('$')
}

/// A word that nobody knows is always told, wherever it stands in what is served.
#[test]
fn no_unknown_word_is_dropped_in_silence() {
    let lines: Vec<&str> = SAMPLE.lines().collect();
    for index in 0..=lines.len() {
        let mut changed = lines.clone();
        changed.insert(index, "unheard_of 1");
        let (_, told) = import(&changed.join("\n"));
        let mentioned = told.iter().any(|line| line.contains("unheard_of"));
        assert!(mentioned, "line {}: {told:?}", index + 1);
    }
}

#[test]
fn definitions_that_multiply_come_to_an_end() {
    let mut text = String::from("$A0=x\n");
    for level in 1..60 {
        let below = level - 1;
        text += &format!("$A{level}= \\\n$A{below} \\\n$A{below}\n");
    }
    text += "$A59\n";
    let wide = "~SEQ(A,1,60000) ~SEQ(B,1,60000) ~SEQ(C,1,60000) x ${A}${B}\n";
    let silent = "~SEQ(A,1,60000) ~SEQ(B,1,60000) $C=1\n";
    for text in [text.as_str(), wide, silent] {
        let (good, _) = import(text);
        assert!(!good);
    }
}

/// Each is refused where it stands, or told in a part, and none takes long.
#[test]
fn what_is_far_too_much_is_refused_with_its_place() {
    let cases = [
        ("~SEQ(A,1,60000) ~SEQ(B,1,60000) $C=1\n".to_owned(), "expands without end"),
        ("~SEQ(A,1,60000) ~SEQ(B,1,60000) x ${A}${B}\n".to_owned(), "more than 6291456 char"),
        ("a ".repeat(1_600_000), "more than 1572864 words"),
        ("\n".repeat(3_000_000), "expands without end"),
        (format!("{}{}", "a".repeat(500_000), "\0".repeat(500_000)), "a NUL byte"),
        (format!("{}\n", "${".repeat(200_000)), "unknown keyword"),
        ("~SEQ(A,1,5000) vrrp_instance V${A} x\n".to_owned(), "has no { }"),
        ("$A=aaaaaaaaaaaaaaaaaaaaaaaa\n$A=${A}${A}${A}\n~SEQ(I,1,70000) $A\n".to_owned(), ""),
        (format!("~LST({{{}}}, {})\n", "A,".repeat(100), "1,".repeat(100)), "is no generator"),
    ];
    for (text, expected) in cases {
        let (good, told) = import(&text);
        let found = told.iter().find(|one| one.contains(expected));
        let placed = |one: &&String| one.contains(".conf:") && !one.contains(":0:0");
        assert!(found.as_ref().is_some_and(placed), "{expected}: {:?}", told.first());
        assert!(!good || told.iter().all(|one| !one.contains("error")), "{expected}");
    }
}

#[test]
fn of_many_diagnostics_some_are_told() {
    let (_, told) = import("~SEQ(A,1,5000) keyword${A}\n");
    let more = told.iter().filter(|one| one.contains("more than 1000 warnings")).count();
    assert_eq!((more, told.len() < 1100), (1, true), "{}", told.len());
    let text = "[instance.a]\n".to_owned()
        + &(0..5000).map(|index| format!("setting{index} = 1\n")).collect::<String>();
    let (config, told) = document::parse_toml("a.toml", &text);
    assert!(config.is_none() && told.len() < 1100, "{}", told.len());
    let text = " ".repeat((16 << 20) + 1);
    let (config, told) = document::parse_toml("a.toml", &text);
    assert!(config.is_none() && told[0].to_string().starts_with("a.toml:1:1: error: "), "{told:?}");
}

#[test]
fn parentheses_in_any_order_are_an_error() {
    for text in ["~SEQ) (", "~SEQ)(", "~SEQ(", "~SEQ)", "~LST()", "~SEQ(N, 1, 2"] {
        let (good, told) = import(text);
        assert!(!good && !told.is_empty(), "{text}");
    }
}

#[test]
fn deep_nesting_is_an_error() {
    let (good, _) = import(&"a {\n".repeat(100_000));
    assert!(!good);
    let (good, _) = import(&"{".repeat(100_000));
    assert!(!good);
}

proptest! {
    #![proptest_config(ProptestConfig { timeout: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        import(&text);
    }

    #[test]
    fn no_mutation_makes_it_panic(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), "[\\{\\}()\"'$@~#!\\\\\n\0 a0.]{0,3}"), 1..6),
    ) {
        let mut chars: Vec<char> = SAMPLE.chars().collect();
        for (index, insert) in cuts {
            let at = index.index(chars.len());
            chars.splice(at..=at, insert.chars());
        }
        let text: String = chars.into_iter().collect();
        import(&text);
    }
}

#[test]
fn many_virtual_servers_are_read_in_reasonable_time() {
    let mut text = String::new();
    for group in 0..64u32 {
        text +=
            &format!("vrrp_instance VI_{group} {{\n interface eth{group}\n virtual_router_id 1\n");
        text += &format!(" virtual_ipaddress {{\n 10.0.{group}.1\n }}\n}}\n");
        for port in 1..=128 {
            text += &format!("virtual_server 10.0.{group}.1 {port} {{\n protocol TCP\n");
            for real in 1..=8 {
                text += &format!(" real_server 10.1.0.{real} 80 {{\n TCP_CHECK {{\n }}\n }}\n");
            }
            text += "}\n";
        }
    }
    let (good, told) = import(&text);
    assert!(good, "{:?}", told.first());
}

#[test]
fn a_range_of_all_addresses_is_refused() {
    let (good, told) =
        import("virtual_server_group a {\n ::/0 80\n}\nvirtual_server group a {\n}\n");
    assert!(!good && told.iter().any(|line| line.contains("is the limit")), "{told:?}");
}

#[test]
fn a_large_configuration_is_read_in_reasonable_time() {
    // 4096 instances is the limit; their VIPs differ and their numbers repeat per interface.
    let mut text = String::new();
    for index in 0..4096u32 {
        let [_, _, high, low] = index.to_be_bytes();
        text += &format!(
            "vrrp_instance VI_{index} {{\n interface eth{}\n virtual_router_id {}\n \
             virtual_ipaddress {{\n 10.1.{high}.{low}/24\n }}\n}}\n",
            index / 255,
            index % 255 + 1
        );
    }
    let (good, told) = import(&text);
    assert!(good, "{:?}", told.first());
}
