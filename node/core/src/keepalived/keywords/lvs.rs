//! Keywords of virtual servers, real servers, their checks, and BFD.

use super::Block::{
    Bfd, BfdCheck, Checker, Dns, FileCheck, Http, Misc, RealServer, Smtp, Udp, Url, VirtualServer,
    VirtualServerGroup,
};
use super::Status::{NoMeaning, NotYet, Served};
use super::{Row, Table};

const NO_CHECK: &str = "the real server is not checked by it, and is up if nothing else checks it";
const NO_BFD: &str = "no BFD session is opened";
const INHERITED: &str = "for the checks within; what stands further in counts";

pub(super) const TABLE: Table = &[
    (
        VirtualServerGroup,
        &[("fwmark", Served, "with inet or inet6; other lines are addresses, ranges and networks")],
    ),
    (VirtualServer, VIRTUAL_SERVER),
    (RealServer, REAL_SERVER),
    (Checker, CHECKER),
    (Http, HTTP),
    (Url, URL),
    (Smtp, SMTP),
    (Dns, DNS),
    (Misc, MISC),
    (Udp, UDP),
    (BfdCheck, &[("name alpha", NotYet, NO_CHECK)]),
    (FileCheck, FILE_CHECK),
    (Bfd, BFD),
];

const VIRTUAL_SERVER: &[Row] = &[
    ("ip_family", Served, "for fwmark; otherwise that of the first real server, as in keepalived"),
    ("lb_algo lvs_sched", Served, "wlc where it is left out; needs a kernel that has it"),
    (
        "lb_kind lvs_method",
        Served,
        "NAT where it is left out; DR, TUN with type ipip, gue port N or gre, nocsum, csum, remcsum",
    ),
    ("protocol", Served, "UDP where it is left out, as in keepalived, with a warning"),
    ("weight", Served, "for real servers that give none"),
    ("persistence_timeout", Served, "360 without a value; 0 is none"),
    (
        "persistence_granularity",
        Served,
        "a netmask or a prefix length; alone it means persistence_timeout 360, as in keepalived",
    ),
    ("persistence_engine", Served, "sip"),
    ("ops", Served, "UDP only"),
    (
        "sh-port sh-fallback mh-port mh-fallback",
        Served,
        "above or below lb_algo; keepalived ignores them above it",
    ),
    ("flag-1 flag-2 flag-3", Served, "what they mean is the scheduler's"),
    ("delay_loop", Served, "60 seconds where it is left out; for the checks within"),
    ("retry delay_before_retry connect_timeout warmup", Served, INHERITED),
    ("alpha inhibit_on_failure", Served, "for real servers that do not say"),
    ("virtualhost", Served, "for checks that name none"),
    (
        "omega",
        Served,
        "scripts, pipes and mails only where it is served; all of it goes down where it is given \
         up, not only at the stop",
    ),
    ("quorum", Served, "1 where it is left out"),
    ("hysteresis", Served, "made less than the quorum, as in keepalived"),
    ("quorum_up quorum_down", Served, "run by every director; with omega by the holder alone"),
    ("sorry_server", Served, "without a port, the service's"),
    ("sorry_server_inhibit sorry_server_lvs_method", Served, "above or below sorry_server"),
    (
        "ha_suspend",
        Served,
        "checks pause where the VIP is not held; with a group, while none of its addresses is",
    ),
    (
        "smtp_alert",
        Served,
        "smtp_alert_checker's or smtp_alert's where it is left out, or else off",
    ),
    ("snmp_name", NoMeaning, "there is no SNMP agent"),
    ("hashed", NoMeaning, "keepalived ignores it too"),
    ("real_server", Served, "without a port, the service's; with DR and TUN always the service's"),
];

const REAL_SERVER: &[Row] = &[
    ("weight", Served, "0 to 65535; 1 where it is left out"),
    ("lvs_method", Served, "the virtual server's where it is left out"),
    ("uthreshold lthreshold", Served, "lthreshold is not above uthreshold"),
    ("inhibit_on_failure alpha", Served, "off says otherwise than the virtual server"),
    ("retry delay_before_retry connect_timeout delay_loop warmup", Served, INHERITED),
    ("virtualhost", Served, "for checks that name none"),
    ("notify_up notify_down", Served, "run by every director; with omega by the holder alone"),
    ("smtp_alert", Served, "smtp_alert_checker's or smtp_alert's where it is left out, or else on"),
    ("snmp_name", NoMeaning, "there is no SNMP agent"),
    (
        "TCP_CHECK HTTP_GET SSL_GET SMTP_CHECK DNS_CHECK MISC_CHECK PING_CHECK UDP_CHECK FILE_CHECK",
        Served,
        "every check must pass",
    ),
    ("BFD_CHECK", NotYet, NO_CHECK),
];

const CHECKER: &[Row] = &[
    (
        "retry",
        Served,
        "1 where it is left out, 3 in DNS_CHECK, 0 in MISC_CHECK; not before the first answer, \
         as in keepalived",
    ),
    (
        "delay_before_retry",
        Served,
        "1 second where it is left out, 3 in HTTP_GET and SSL_GET, delay_loop in DNS_CHECK",
    ),
    ("connect_timeout", Served, "5 seconds where it is left out"),
    ("delay_loop", Served, "60 seconds where it is left out"),
    ("connect_ip connect_port", Served, "the real server's where they are left out"),
    ("alpha", Served, "of this check; the real server's where it is left out"),
    ("warmup", Served, "the first check comes at a random time within it; delay_loop's"),
    ("log_all_failures", Served, "each failure is logged, not only those that change something"),
    ("bindto", Served, "an address that every director has"),
    ("bind_port bind_if fwmark", Served, "of what the check sends"),
];

const HTTP: &[Row] = &[
    ("url", Served, "one or more; each is asked in every check, and must be answered as it should"),
    ("virtualhost", Served, "for pages that name none"),
    ("nb_get_retry", Served, "as retry; elsewhere it has no effect, as in keepalived 2"),
    ("http_protocol", Served, "1.0, 1.0C, 1.1; also 2, which keepalived has not"),
    ("enable_sni sni_name", Served, "SSL_GET; sni_name alone is enable_sni, as in keepalived"),
    ("tls_compliant", NoMeaning, "how a connection is closed changes no answer"),
    ("fast_recovery", NoMeaning, "every url is asked in each check: there is no delay between two"),
];

const URL: &[Row] = &[
    ("path", Served, "a url without one is ignored, as in keepalived"),
    ("status_code", Served, "codes and ranges; 200-299 where it is left out"),
    ("virtualhost", Served, "the check's, real server's or virtual server's where it is left out"),
    ("digest", Served, "MD5 of the body, as genhash prints it"),
    (
        "regex",
        Served,
        "matched in linear time: look-around and backreferences are refused; escapes are taken \
         once before, as in keepalived",
    ),
    ("regex_no_match", Served, "the page is good where it does not match"),
    (
        "regex_options",
        Served,
        "caseless, multiline, dotall, extended, ungreedy, dollar_endonly, utf and ucp; firstline, \
         alt_bsux and allow_empty_class are refused, and the others change nothing",
    ),
    ("regex_min_offset", Served, "a match begins at this byte or later"),
    ("regex_max_offset", Served, "a match begins at this byte at last"),
    ("tls_compliant", NoMeaning, "how a connection is closed changes no answer"),
    ("regex_stack", NoMeaning, "a detail of PCRE2"),
];

const SMTP: &[Row] = &[
    ("helo_name", Served, "smtpchecker.keepalived.org where it is left out"),
    (
        "host",
        Served,
        "connect_ip, connect_port, bindto, bind_port, bind_if, fwmark; all must answer",
    ),
];

const DNS: &[Row] = &[
    ("type", Served, "A, NS, CNAME, SOA, MX, TXT, AAAA, RRSIG, DNSKEY; SOA where it is left out"),
    ("name", Served, "the root where it is left out"),
];

const MISC: &[Row] = &[
    ("misc_path", Served, "a check without one is ignored, as in keepalived"),
    ("misc_timeout", Served, "the virtual server's delay_loop where it is left out"),
    ("misc_dynamic", Served, "an exit status of 2 to 255 sets the weight to itself less 2"),
    ("user", Served, "and a group; script_user's where it is left out"),
];

const UDP: &[Row] = &[
    ("payload", Served, "hexadecimal, also single digits"),
    ("require_reply", Served, "hexadecimal, X for any digit; alone it means any reply"),
    ("min_reply_length", Served, "0 where it is left out"),
    ("max_reply_length", Served, "255 where it is left out; above 65507 is 65507"),
];

const FILE_CHECK: &[Row] = &[
    ("track_file", Served, "a check without one is ignored, as in keepalived"),
    ("weight", Served, "-32767 to 32767, and reverse; the file's own where it is left out"),
];

const BFD: &[Row] = &[(
    "neighbor_ip neighbour_ip source_ip min_rx min_tx idle_tx multiplier passive ttl hoplimit \
     max_hops multihop weight vrrp checker",
    NotYet,
    NO_BFD,
)];
