//! Commands that are refused, each with its whole message.

use super::*;

/// Whatever the configuration.
const NO_COMMAND: &[(&str, &str)] = &[
    ("vs add", "name the virtual server: ADDRESS:PORT[/udp|/sctp], fwmark N or group NAME"),
    ("vs set 192.168.1.100:80", "nothing is said that it should set: KEY=VALUE"),
    (
        "vs add 10.0.0.1:80 lb_aglo=rr",
        "lb_aglo=rr: lb_aglo is no setting of a virtual server: did you mean lb_algo?",
    ),
    (
        "vs set 192.168.1.100:80 sorry_server.inhibt=true",
        "sorry_server.inhibt=true: inhibt is no setting of a sorry server: did you mean inhibit?",
    ),
    (
        "vs add -t 10.0.0.1:80 -u 10.0.0.1:80",
        "-t 10.0.0.1:80 and -u 10.0.0.1:80 name two virtual servers",
    ),
    (
        "vs add -t 10.0.0.1:80 10.0.0.2:80",
        "-t 10.0.0.1:80 and 10.0.0.2:80 name two virtual servers",
    ),
    ("vs add -t 10.0.0.1:80 -6", "-6 is for a mark: -f MARK"),
    ("vs add 10.0.0.1:80 -s rr lb_algo=wrr", "-s rr and lb_algo=wrr set the same"),
    ("vs add 10.0.0.1:80 -g -m", "-g and -m set the same"),
    ("vs rm 10.0.0.1:80 quorum=2", "quorum=2: what is removed has no settings"),
    (
        "vs set 192.168.1.100:80 delay_loop=6",
        "delay_loop=6: each real server's checks have their own: `leasehold rs set VS RS ...`",
    ),
    (
        "rs set 192.168.1.100:80 10.0.0.9:80 delay_loop=soon",
        "delay_loop=soon: seconds, such as 3 or 0.5",
    ),
    (
        "rs add 10.0.0.8:80",
        "name the virtual server before the real server: ADDRESS:PORT[/udp|/sctp], fwmark N or group NAME",
    ),
    (
        "rs set 192.168.1.100:80 10.0.0.8:80 weight.x=1",
        "weight.x=1: weight has no settings of its own",
    ),
    (
        "instance add VI_2 VI_3",
        "VI_3 is one name too many: an instance has one, and a setting is KEY=VALUE",
    ),
    (
        "instance set VI_1 --priority ds1=150,ds2",
        "--priority ds1=150,ds2: \"ds2\" is no DIRECTOR=PRIORITY, as in ds1=150,ds2=100",
    ),
    (
        "instance set VI_1 state=MASTER",
        "state=MASTER: it has no meaning here: the director of the highest priority holds it first",
    ),
    ("global set ds1", "ds1 is no KEY=VALUE"),
];

/// Of [`BASE`].
const NO_CONFIGURATION: &[(&str, &str)] = &[
    (
        "vs set 192.168.1.100:80 lb_kind.port=7000",
        "lb_kind.port=7000: NAT has no tunnel: lb_kind.tunnel=... comes before it",
    ),
    (
        "rs set 192.168.1.100:80 10.0.0.9:80 check+=tcp check.tcp.retry=5",
        "check.tcp.retry=5: tcp is there 2 times: say check.0.retry or check.1.retry",
    ),
    ("vs add 192.168.1.100:80", "192.168.1.100:80 is there already: `leasehold vs set` changes it"),
    ("vs add 192.168.1.100", "192.168.1.100: the port is missing: 192.168.1.100:80"),
    (
        "vs add 192.168.1.100:80/upd",
        "192.168.1.100:80/upd: a virtual server is ADDRESS:PORT, with /udp or /sctp behind, fwmark N, or group NAME",
    ),
    (
        "vs add 192.168.1.100:81 -s rrr",
        "-s rrr: \"rrr\" is no lb_algo; one of rr, wrr, lc, wlc, lblc, lblcr, sh, mh, dh, fo, ovf, sed, nq, twos",
    ),
    (
        "vs add 192.168.1.100:81 -p -M 255.0.255.0",
        "-M 255.0.255.0: \"255.0.255.0\" is no netmask; for example 24 or \"255.255.255.0\"",
    ),
    (
        "vs set 192.168.1.100:80 lb_kind=TUNL",
        "lb_kind=TUNL: \"TUNL\" is no lb_kind; one of NAT, DR, TUN",
    ),
    (
        "vs set 192.168.1.100:80 -o",
        "-o: ops is for UDP, and the service is tcp; remove it, or protocol = \"udp\"",
    ),
    (
        "vs set 192.168.1.100:80 quorum=0",
        "quorum=0: quorum 0 is out of range; a whole number from 1 to 4294967295",
    ),
    (
        "vs set 192.168.1.100:80 quorum=many",
        "quorum=many: quorum is a whole number from 1 to 4294967295, not a TOML string",
    ),
    (
        "vs set 192.168.1.100:80 damping.flaps=3",
        "damping.flaps=3: window_ms is missing\ndamping.flaps=3: hold_ms is missing",
    ),
    (
        "vs set 192.168.1.100:80 damping=3",
        "damping=3: damping has several settings: give each, as in NAME.flaps=VALUE, or TOML in braces",
    ),
    (
        "vs set 192.168.1.101:80 quorum=1",
        "no virtual server is called 192.168.1.101:80; the nearest is 192.168.1.100:80",
    ),
    ("vs rm fwmark 7", "no virtual server is called fwmark 7; the nearest is 192.168.1.100:80"),
    (
        "rs add 192.168.1.100:80 10.0.0.8",
        "10.0.0.8:80 is a real server of 192.168.1.100:80 already: `leasehold rs set` changes it",
    ),
    (
        "rs add 192.168.1.100:80 rs1:80",
        "rs1:80: a real server is ADDRESS:PORT, for example 10.0.0.8:80 or [fd00::8]:80",
    ),
    (
        "rs add 192.168.1.100:80 10.0.0.7:80 -w 70000",
        "-w 70000: weight 70000 is out of range; a whole number from 0 to 65535",
    ),
    ("rs add 192.168.1.100:80 10.0.0.7:80 check=http", "check=http: url is missing"),
    (
        "rs add 192.168.1.100:80 10.0.0.7:80 check.retry=3",
        "check.retry=3: there is no check yet: check.type=... or check=... adds one",
    ),
    (
        "rs add 192.168.1.100:80 10.0.0.7:80 -g --tun-type gre",
        "--tun-type gre: DR has no tunnel: only TUN has one",
    ),
    (
        "rs add 192.168.1.100:80 10.0.0.7:81 -g",
        "10.0.0.7:81: port 81 is not the service's port 80; DR can't change the port; only NAT can",
    ),
    (
        "rs rm 192.168.1.100:80 10.0.0.7:80",
        "10.0.0.7:80 is no real server of 192.168.1.100:80; the nearest is 10.0.0.8:80",
    ),
    ("instance add VI_1 --vrid 51", "VI_1 is there already: `leasehold instance set` changes it"),
    ("instance add VI_2 --vip 192.168.1.9/24@eth0", "VI_2: virtual_router_id is missing"),
    (
        "instance add VI_2 --vrid 52 --vip 192.168.1.100/24@eth0",
        "--vip 192.168.1.100/24@eth0: 192.168.1.100 is given in VI_1 already; an address belongs to one instance, once",
    ),
    (
        "instance add AA --vrid 52 --vip 192.168.1.100/24@eth0",
        "--vip 192.168.1.100/24@eth0: instance.VI_1.virtual_ipaddress.0: 192.168.1.100 is given in AA already; an address belongs to one instance, once",
    ),
    ("instance set VI_1 interface=", "interface=: interface is missing"),
    (
        "instance set VI_1 virtual_ipaddress-=192.168.1.99",
        "virtual_ipaddress-=192.168.1.99: 192.168.1.99 is not in virtual_ipaddress",
    ),
    (
        "instance set VI_1 --priority 255",
        "--priority 255: priority 255 is out of range; a whole number from 1 to 254",
    ),
    ("instance set VI_9 --priority 1", "no instance is called VI_9; configured: VI_1"),
    (
        "global set alerts.smtp_connect_timeout_ms=0",
        "alerts.smtp_connect_timeout_ms=0: smtp_connect_timeout_ms 0 is out of range; a whole number from 1 to 3600000",
    ),
];

/// Those that are refused otherwise than they should be.
fn otherwise(all: &[(&str, &str)], prefix: &str) -> Vec<(String, String)> {
    let base = config(BASE);
    let said = all.iter().map(|(line, message)| {
        (format!("{line}: {prefix}{message}"), format!("{line}: {}", refused(&base, line)))
    });
    said.filter(|(expected, is)| expected != is).collect()
}

#[test]
fn words_that_make_no_command() {
    assert_eq!(otherwise(NO_COMMAND, "usage: "), []);
}

#[test]
fn changes_that_make_no_configuration() {
    assert_eq!(otherwise(NO_CONFIGURATION, ""), []);
}
