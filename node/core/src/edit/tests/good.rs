//! Words, and the document that comes of them.

use leasehold_model::Config;

use super::*;

/// The lines that are new in the document, and those that are gone.
fn difference(before: &Config, after: &Config) -> (Vec<String>, Vec<String>) {
    let lines = |config: &Config| -> Vec<String> {
        let text = document::to_toml(config);
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    let (before, after) = (lines(before), lines(after));
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    (only(&after, &before), only(&before, &after))
}

/// What a line adds to the document of [`BASE`].
fn adds(line: &str, expected: &[&str]) {
    let base = config(BASE);
    let now = edited(&base, line).config;
    assert_eq!(difference(&base, &now).0, expected, "{line}");
}

#[test]
fn virtual_servers_in_ipvsadm_s_words() {
    adds("vs add -t 192.168.1.100:81", &["address = \"192.168.1.100:81\""]);
    adds(
        "vs add -u 192.168.1.100:53 -s rr -o",
        &["address = \"192.168.1.100:53\"", "protocol = \"udp\"", "lb_algo = \"rr\"", "ops = true"],
    );
    adds(
        "vs add --sctp-service 192.168.1.100:99 --scheduler mh -b mh-port,mh-fallback",
        &[
            "address = \"192.168.1.100:99\"",
            "protocol = \"sctp\"",
            "lb_algo = \"mh\"",
            "flags = [\"mh-fallback\", \"mh-port\"]",
        ],
    );
    adds(
        "vs add -t 192.168.1.100 -p -M 255.255.255.0",
        &[
            "address = \"192.168.1.100:0\"",
            "persistence_timeout = 300",
            "persistence_granularity = 24",
        ],
    );
    adds(
        "vs add -f 7 -p 60 instance=VI_1",
        &["fwmark = 7", "instance = \"VI_1\"", "persistence_timeout = 60"],
    );
    adds(
        "vs add -f 7 -6 instance=VI_1",
        &["fwmark = 7", "family = \"inet6\"", "instance = \"VI_1\""],
    );
    adds(
        "vs add -u 192.168.1.100:5060 --pe sip -p 60",
        &[
            "address = \"192.168.1.100:5060\"",
            "protocol = \"udp\"",
            "persistence_timeout = 60",
            "persistence_engine = \"sip\"",
        ],
    );
    adds("vs set 192.168.1.100:80 -i", &["lb_kind = \"TUN\""]);
    adds("vs set -t 192.168.1.100:80 -g", &["lb_kind = \"DR\""]);
    adds("vs set 192.168.1.100:80 -m", &[]);
}

#[test]
fn virtual_servers_by_the_names_that_status_shows() {
    adds("vs add 192.168.1.100:53/udp", &["address = \"192.168.1.100:53\"", "protocol = \"udp\""]);
    adds("vs add 192.168.1.100 53", &["address = \"192.168.1.100:53\""]);
    adds("vs add group web", &["group = \"web\""]);
    adds("vs add web", &["group = \"web\""]);
    adds(
        "vs add fwmark 7 inet6 instance=VI_1",
        &["fwmark = 7", "family = \"inet6\"", "instance = \"VI_1\""],
    );
}

#[test]
fn every_form_of_a_setting() {
    let vs = "vs set 192.168.1.100:80";
    adds(
        &format!("{vs} lb_algo=RR lvs_method=dr quorum=2"),
        &["lb_algo = \"rr\"", "lb_kind = \"DR\"", "quorum = 2"],
    );
    adds(
        &format!("{vs} sorry_server=10.0.0.1:80 sorry_server_inhibit=yes"),
        &["sorry_server = { address = \"10.0.0.1:80\", inhibit = true }"],
    );
    adds(
        &format!("{vs} sorry_server='{{ address = \"10.0.0.1:80\", lb_kind = \"DR\" }}'"),
        &["sorry_server = { address = \"10.0.0.1:80\", lb_kind = \"DR\" }"],
    );
    adds(
        &format!("{vs} damping.flaps=3 damping.window_ms=60000 damping.hold_ms=1000"),
        &["damping = { flaps = 3, window_ms = 60000, hold_ms = 1000 }"],
    );
    adds(
        &format!("{vs} 'quorum_up=/bin/true up' quorum_up.user=nobody"),
        &["quorum_up = { command = \"/bin/true up\", user = \"nobody\" }"],
    );
    adds(
        &format!("{vs} lb_kind.tunnel=gue lb_kind.port=7000"),
        &["lb_kind = { tunnel = \"gue\", port = 7000 }"],
    );
    adds(
        &format!("{vs} -i --tun-type gre --tun-csum"),
        &["lb_kind = { tunnel = \"gre\", checksum = \"csum\" }"],
    );
    adds(
        &format!("{vs} lb_algo=sh flags+=sh-port flags+=sh-fallback"),
        &["lb_algo = \"sh\"", "flags = [\"sh-fallback\", \"sh-port\"]"],
    );
}

#[test]
fn real_servers_in_ipvsadm_s_words() {
    adds(
        "rs add -t 192.168.1.100:80 -r 10.0.0.7 -w 3 -x 100 -y 50",
        &["address = \"10.0.0.7:80\"", "weight = 3", "uthreshold = 100", "lthreshold = 50"],
    );
    adds(
        "rs add 192.168.1.100:80 10.0.0.7:80 -g",
        &["address = \"10.0.0.7:80\"", "lb_kind = \"DR\""],
    );
    adds(
        "rs add 192.168.1.100 80 10.0.0.7:80 -i --tun-type gue --tun-port 6081 --tun-remcsum",
        &[
            "address = \"10.0.0.7:80\"",
            "lb_kind = { tunnel = \"gue\", port = 6081, checksum = \"remcsum\" }",
        ],
    );
    adds("rs set 192.168.1.100:80 10.0.0.8 weight=0", &["weight = 0"]);
    adds("rs set 192.168.1.100:80 10.0.0.8:80 address=10.0.0.6:80", &["address = \"10.0.0.6:80\""]);
}

#[test]
fn checks_in_keepalived_s_words() {
    let add = "rs add 192.168.1.100:80 10.0.0.7:80";
    let with = |words: &str, check: &str| {
        let expected = format!("    {check},");
        let base = config(BASE);
        let now = edited(&base, &format!("{add} {words}")).config;
        let (new, _) = difference(&base, &now);
        assert!(new.contains(&expected), "{words}: {new:?}");
    };
    with(
        "check=TCP_CHECK connect_timeout=3 delay_loop=6 delay_before_retry=3 retry=2",
        "{ type = \"tcp\", delay_loop_ms = 6000, connect_timeout_ms = 3000, retry = 2, \
         delay_before_retry_ms = 3000 }",
    );
    with(
        "check=HTTP_GET status_code=200 path=/ok",
        "{ type = \"http\", url = [{ path = \"/ok\", status_code = [\"200\"] }] }",
    );
    with("check=SSL_GET path=/", "{ type = \"http\", url = [{ path = \"/\" }], tls = true }");
    with("check.type=dns check.record=a", "{ type = \"dns\", record = \"A\" }");
    with(
        "check=misc misc_path=/bin/true misc_timeout=0.5",
        "{ type = \"misc\", script = \"/bin/true\", timeout_ms = 500 }",
    );
    with("check=ping,tcp check.tcp.retry=5", "{ type = \"tcp\", retry = 5 }");
    with("check=tcp,ping check.1.retry=5", "{ type = \"ping\", retry = 5 }");
    with("check='{ type = \"tcp\", rise = 3 }'", "{ type = \"tcp\", rise = 3 }");
    let base = config(BASE);
    let now = edited(&base, "rs set 192.168.1.100:80 10.0.0.9:80 check+=ping").config;
    assert_eq!(now.virtual_servers[0].real_servers[1].checks.len(), 2);
    let now = edited(&now, "rs set 192.168.1.100:80 10.0.0.9:80 check-=tcp").config;
    assert_eq!(now.virtual_servers[0].real_servers[1].checks.len(), 1);
    let now = edited(&now, "rs set 192.168.1.100:80 10.0.0.9:80 check=").config;
    assert!(now.virtual_servers[0].real_servers[1].checks.is_empty());
}

#[test]
fn instances() {
    adds(
        "instance add VI_2 --vip 192.168.1.101/24@eth0 --vip 192.168.1.102/24 --vrid 52 \
         --priority ds1=100,ds2=150 advert_int=2 nopreempt=true auth_type=pass auth_pass=1111",
        &[
            "[instance.VI_2]",
            "virtual_router_id = 52",
            "advert_int_ms = 2000",
            "authentication = { auth_type = \"PASS\", auth_pass = \"1111\" }",
            "preempt = false",
            "    { address = \"192.168.1.101\", prefix = 24 },",
            "    { address = \"192.168.1.102\", prefix = 24 },",
            "[instance.VI_2.director.ds1]",
            "priority = 100",
            "[instance.VI_2.director.ds2]",
        ],
    );
    adds(
        "instance set VI_1 'virtual_ipaddress+=192.168.1.101/24 label eth0:1 brd 192.168.1.255'",
        &["    { address = \"192.168.1.101\", prefix = 24, label = \"eth0:1\", broadcast = \
         \"192.168.1.255\" },"],
    );
    adds(
        "instance set VI_1 director.ds2.priority=9 garp_master_delay=3 unicast_peer=10.0.0.1,10.0.0.2",
        &[
            "unicast_peer = [\"10.0.0.1\", \"10.0.0.2\"]",
            "garp = { master_delay_s = 3 }",
            "[instance.VI_1.director.ds2]",
            "priority = 9",
        ],
    );
    adds(
        "instance set VI_1 track_interface.eth1=-20 'track_interface+=eth2 weight -5 reverse'",
        &["track_interface = { eth1 = -20, eth2 = { weight = -5, reverse = true } }"],
    );
    adds(
        "instance set VI_1 'virtual_routes=default via 192.168.1.254 table 100'",
        &["virtual_routes = [", "    { to = \"default\", via = \"192.168.1.254\", table = 100 },"],
    );
    adds(
        "instance set VI_1 'director.\"ds.3\".priority=7'",
        &["[instance.VI_1.director.\"ds.3\"]", "priority = 7"],
    );
}

#[test]
fn a_route_or_a_rule_goes_however_it_is_written() {
    let routes = "instance set VI_1 'virtual_routes=default via 192.168.1.254 table 100,\
                  10.8.0.0/16 dev eth0' 'virtual_rules=from 192.168.1.100 lookup 100 pref 7'";
    let base = edited(&config(BASE), routes).config;
    let left = |line: &str| {
        let now = edited(&base, line).config.instances.remove("VI_1").unwrap();
        (now.virtual_routes.len(), now.virtual_rules.len())
    };
    let ways = [
        "'virtual_routes-=default via 192.168.1.254 table 100'",
        "'virtual_routes-=0.0.0.0/0 table 100 via 192.168.1.254'",
        "'virtual_routes-={ table = 100, via = \"192.168.1.254\", to = \"default\" }'",
        "'virtual_routes-=10.8.0.0/16 dev eth0'",
    ];
    for way in ways {
        assert_eq!(left(&format!("instance set VI_1 {way}")), (1, 1), "{way}");
    }
    let rule = "instance set VI_1 'virtual_rules-=priority 7 from 192.168.1.100/32 table 100'";
    assert_eq!(left(rule), (2, 0));
    // What differs in anything is another.
    let other = "instance set VI_1 'virtual_routes-=default via 192.168.1.254 table 101'";
    assert_eq!(
        refused(&base, other),
        "virtual_routes-=default via 192.168.1.254 table 101: default via 192.168.1.254 table 101 \
         is not in virtual_routes"
    );
    // Nor is one with a word that says nothing.
    let typo =
        "instance set VI_1 'virtual_routes-={ to = \"10.8.0.0/16\", dev = \"eth0\", vai = 1 }'";
    assert!(refused(&base, typo).contains("is not in virtual_routes"));
    let none = "instance set VI_1 'virtual_routes-=nowhere'";
    assert!(refused(&base, none).ends_with("nowhere is not in virtual_routes"));
}

#[test]
fn what_is_taken_away() {
    let base = config(BASE);
    let gone = |line: &str| {
        let now = edited(&base, line).config;
        difference(&base, &now).1
    };
    assert_eq!(
        gone("instance set VI_1 director.ds1.priority="),
        ["[instance.VI_1.director.ds1]", "priority = 150"]
    );
    let more = edited(&base, "instance set VI_1 virtual_ipaddress+=192.168.1.9").config;
    assert_eq!(more.instances["VI_1"].virtual_ipaddress.len(), 2);
    assert_eq!(edited(&more, "instance set VI_1 virtual_ipaddress-=192.168.1.9").config, base);
    assert_eq!(gone("rs rm 192.168.1.100:80 10.0.0.8"), ["address = \"10.0.0.8:80\""]);
    let now = edited(&base, "vs rm -t 192.168.1.100:80");
    assert!(now.config.virtual_servers.is_empty());
    assert_eq!(now.done, "192.168.1.100:80 is removed");
    let now = edited(&now.config, "instance rm VI_1").config;
    assert!(now.instances.is_empty());
}

/// What stays when the last setting of a table goes, where being there says something.
#[test]
fn what_is_left_of_a_table() {
    let base = config(BASE);
    let kept = |first: &str, then: &str| {
        let with = edited(&base, first).config;
        difference(&base, &edited(&with, then).config).0
    };
    assert_eq!(
        kept(
            "instance set VI_1 track_interface.eth1=-20",
            "instance set VI_1 track_interface.eth1.weight="
        ),
        ["track_interface = { eth1 = {} }"]
    );
    let rs = "rs set 192.168.1.100:80 10.0.0.8:80";
    let tls = kept(
        &format!(
            "{rs} 'check={{ type = \"http\", tls = {{ sni = true }}, url = [{{ path = \"/\" }}] }}'"
        ),
        &format!("{rs} check.tls.sni="),
    );
    assert!(tls.iter().any(|line| line.contains("tls = true")), "{tls:?}");
    let udp = kept(
        &format!("{rs} 'check={{ type = \"udp\", reply = {{ begins = \"aa\" }} }}'"),
        &format!("{rs} check.reply.begins="),
    );
    assert!(udp.iter().any(|line| line.contains("reply = \"\"")), "{udp:?}");
    let vs = "vs set 192.168.1.100:80";
    assert_eq!(
        kept(&format!("{vs} lb_kind=DR"), &format!("{vs} lb_kind.port=")),
        ["lb_kind = \"DR\""]
    );
    assert_eq!(
        kept(&format!("{vs} lb_kind.tunnel=gue"), &format!("{vs} lb_kind.tunnel=")),
        ["lb_kind = \"TUN\""]
    );
}

#[test]
fn what_is_global() {
    adds(
        "global set router_id.ds1=LVS_1 notification_email=a@b.c,d@e.f vrrp_garp_interval=0.01",
        &[
            "[global]",
            "garp_interval_us = 10000",
            "[global.alerts]",
            "notification_email = [\"a@b.c\", \"d@e.f\"]",
            "[global.router_id]",
            "ds1 = \"LVS_1\"",
        ],
    );
}

#[test]
fn nothing_else_changes() {
    let base = config(BASE);
    for line in ["vs add 192.168.1.100:81", "rs add 192.168.1.100:80 10.0.0.7:80"] {
        let now = edited(&base, line).config;
        assert_eq!(difference(&base, &now).1, [""; 0], "{line}");
        assert_eq!(now.virtual_servers.last().unwrap().service, {
            let mut all: Vec<_> =
                now.virtual_servers.iter().map(|one| one.service.clone()).collect();
            all.sort();
            all.pop().unwrap()
        });
    }
}

/// What importing each site's files gives, by commands alone.
#[test]
fn sites_from_nothing() {
    let tunnels = [
        "instance add VI_1 --vrid 51 --vip 192.168.1.184@eth1 --priority ds1=150,ds2=100",
        "vs add -t 192.168.1.184:80 -s wrr -i",
        "rs add -t 192.168.1.184:80 -r 192.168.56.183:80 check=tcp connect_timeout=3 \
         delay_before_retry=3 delay_loop=6",
        "rs add 192.168.1.184:80 192.168.56.184 check=TCP_CHECK connect_timeout=3 \
         delay_before_retry=3 delay_loop=6",
        "rs add 192.168.1.184:80 192.168.1.183:80 check.type=tcp check.connect_timeout_ms=3000 \
         check.delay_before_retry_ms=3000 check.delay_loop_ms=6000",
    ];
    let direct = [
        "instance add VI_1 virtual_router_id=51 interface=eth0 priority=100 \
         virtual_ipaddress=192.168.188.120",
        "vs add 192.168.188.120 80 lb_algo=wlc lb_kind=DR persistence_timeout=0 protocol=TCP",
        "rs add 192.168.188.120:80 192.168.188.107:80 -w 100 check=tcp connect_timeout=10 \
         delay_before_retry=3 delay_loop=5",
        "rs add 192.168.188.120:80 192.168.188.110:80 weight=100 check=tcp connect_timeout=10 \
         delay_before_retry=3 delay_loop=5",
    ];
    let imported = [
        include_str!("../../../tests/data/keepalived/22-tunnels/expected.toml"),
        include_str!("../../../tests/data/keepalived/23-a-retry-that-does-not-count/expected.toml"),
    ];
    for (lines, imported) in [&tunnels[..], &direct[..]].into_iter().zip(imported) {
        let built = lines.iter().fold(Config::default(), |now, line| edited(&now, line).config);
        assert_eq!(document::to_toml(&built), document::to_toml(&config(imported)));
    }
}

/// Only what is new is warned of, and of its word.
#[test]
fn warnings() {
    let base = config(BASE);
    let long = edited(&base, "instance set VI_1 auth_type=PASS auth_pass=123456789");
    assert_eq!(long.warnings, ["auth_pass=123456789: only the first 8 bytes of auth_pass count"]);
    let again = edited(&long.config, "instance set VI_1 --priority ds2=7");
    assert_eq!(again.warnings, [""; 0]);
}
