//! Keywords of virtual servers, real servers, their checks, and BFD.

use super::Block::{
    Bfd, BfdCheck, Checker, Dns, FileCheck, Http, Misc, RealServer, Smtp, Udp, Url, VirtualServer,
    VirtualServerGroup,
};
use super::Status::{NoMeaning, NotYet, Served};
use super::{Row, Table};

const NO_CHECK: &str = "the real server is not checked by it, and is up if nothing else checks it";
const NO_SCRIPT: &str = "kept in the configuration; no script is run";
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
    (Smtp, &[("helo_name host", NotYet, NO_CHECK)]),
    (Dns, &[("type name", NotYet, NO_CHECK)]),
    (Misc, &[("misc_path misc_timeout misc_dynamic user", NotYet, NO_CHECK)]),
    (Udp, &[("payload require_reply min_reply_length max_reply_length", NotYet, NO_CHECK)]),
    (BfdCheck, &[("name", NotYet, NO_CHECK)]),
    (FileCheck, &[("track_file weight", NotYet, NO_CHECK)]),
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
    ("retry delay_before_retry connect_timeout", Served, INHERITED),
    ("warmup", NotYet, "when the first check is made can't be chosen"),
    ("alpha inhibit_on_failure", Served, "for real servers that do not say"),
    ("virtualhost", Served, "for checks that name none"),
    ("omega", NotYet, NO_SCRIPT),
    ("quorum", Served, "1 where it is left out"),
    ("hysteresis", Served, "made less than the quorum, as in keepalived"),
    ("quorum_up quorum_down", NotYet, NO_SCRIPT),
    ("sorry_server", Served, "without a port, the service's"),
    ("sorry_server_inhibit sorry_server_lvs_method", Served, "above or below sorry_server"),
    ("ha_suspend", NotYet, "when checks pause can't be chosen"),
    ("smtp_alert", NotYet, "no mail is sent"),
    ("snmp_name", NoMeaning, "there is no SNMP agent"),
    ("hashed", NoMeaning, "keepalived ignores it too"),
    ("real_server", Served, "without a port, the service's; with DR and TUN always the service's"),
];

const REAL_SERVER: &[Row] = &[
    ("weight", Served, "0 to 65535; 1 where it is left out"),
    ("lvs_method", Served, "the virtual server's where it is left out"),
    ("uthreshold lthreshold", Served, "lthreshold is not above uthreshold"),
    ("inhibit_on_failure alpha", Served, "off says otherwise than the virtual server"),
    ("retry delay_before_retry connect_timeout delay_loop", Served, INHERITED),
    ("warmup", NotYet, "when the first check is made can't be chosen"),
    ("virtualhost", Served, "for checks that name none"),
    ("notify_up notify_down", NotYet, NO_SCRIPT),
    ("smtp_alert", NotYet, "no mail is sent"),
    ("snmp_name", NoMeaning, "there is no SNMP agent"),
    ("TCP_CHECK HTTP_GET", Served, "every check must pass"),
    (
        "SSL_GET SMTP_CHECK DNS_CHECK MISC_CHECK PING_CHECK UDP_CHECK BFD_CHECK FILE_CHECK",
        NotYet,
        NO_CHECK,
    ),
];

const CHECKER: &[Row] = &[
    ("retry", Served, "1 where it is left out"),
    ("delay_before_retry", Served, "1 second where it is left out, 3 in HTTP_GET"),
    ("connect_timeout", Served, "5 seconds where it is left out"),
    ("delay_loop", Served, "60 seconds where it is left out"),
    ("connect_ip connect_port", Served, "the real server's where they are left out"),
    ("alpha", Served, "counts for every check of the real server"),
    ("warmup", NotYet, "when the first check is made can't be chosen"),
    ("log_all_failures", NotYet, "which failures are logged can't be chosen"),
    ("bindto bind_port bind_if fwmark", NotYet, "checks go out as the routes say"),
];

const HTTP: &[Row] = &[
    ("url", Served, "one or more; every page must be answered as it should be"),
    ("virtualhost", Served, "for pages that name none"),
    ("nb_get_retry", Served, "as retry; in TCP_CHECK it has no effect, as in keepalived 2"),
    ("http_protocol", NotYet, "the version of HTTP can't be chosen"),
    ("enable_sni sni_name tls_compliant", NotYet, "no TLS check is made"),
    ("fast_recovery", NotYet, "how fast several pages are asked for can't be chosen"),
];

const URL: &[Row] = &[
    ("path", Served, "a url without one is ignored, as in keepalived"),
    ("status_code", Served, "codes and ranges; 200-299 where it is left out"),
    ("virtualhost", Served, "the check's, real server's or virtual server's where it is left out"),
    ("digest", NotYet, "the status code counts, not what the page says"),
    (
        "regex regex_no_match regex_options regex_min_offset regex_max_offset",
        NotYet,
        "the status code counts, not what the page says",
    ),
    ("tls_compliant", NotYet, "no TLS check is made"),
    ("regex_stack", NoMeaning, "a detail of PCRE2"),
];

const BFD: &[Row] = &[(
    "neighbor_ip neighbour_ip source_ip min_rx min_tx idle_tx multiplier passive ttl hoplimit \
     max_hops multihop weight vrrp checker",
    NotYet,
    NO_BFD,
)];
