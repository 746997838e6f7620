//! Keywords of virtual servers, real servers, their checks, and BFD.

use super::Block::{
    Bfd, BfdCheck, Checker, Dns, FileCheck, Http, Misc, RealServer, Smtp, Udp, Url, VirtualServer,
    VirtualServerGroup,
};
use super::Status::{NoMeaning, NotYet};
use super::{Row, Table};

const NO_LOAD: &str = "no load is balanced";
const NO_CHECK: &str = "no real server is checked";
const NO_BFD: &str = "no BFD session is opened";

pub(super) const TABLE: Table = &[
    (VirtualServerGroup, &[("fwmark", NotYet, NO_LOAD)]),
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
    (
        "ip_family lb_algo lvs_sched lb_kind lvs_method protocol weight persistence_timeout \
         persistence_granularity persistence_engine ops flag-1 flag-2 flag-3 sh-port sh-fallback \
         mh-port mh-fallback",
        NotYet,
        NO_LOAD,
    ),
    (
        "delay_loop warmup retry delay_before_retry connect_timeout alpha inhibit_on_failure \
         virtualhost",
        NotYet,
        NO_CHECK,
    ),
    ("omega quorum hysteresis quorum_up quorum_down", NotYet, "no quorum is counted"),
    (
        "sorry_server sorry_server_inhibit sorry_server_lvs_method",
        NotYet,
        "no load is balanced, not to a sorry server either",
    ),
    ("ha_suspend", NotYet, "only the holder of a VIP would check its real servers"),
    ("smtp_alert", NotYet, "no mail is sent"),
    ("snmp_name", NoMeaning, "there is no SNMP agent"),
    ("hashed", NoMeaning, "keepalived ignores it too"),
    ("real_server", NotYet, NO_LOAD),
];

const REAL_SERVER: &[Row] = &[
    ("weight lvs_method uthreshold lthreshold", NotYet, NO_LOAD),
    (
        "inhibit_on_failure alpha retry delay_before_retry warmup connect_timeout delay_loop \
         virtualhost",
        NotYet,
        NO_CHECK,
    ),
    ("notify_up notify_down", NotYet, "no script is run"),
    ("smtp_alert", NotYet, "no mail is sent"),
    ("snmp_name", NoMeaning, "there is no SNMP agent"),
    (
        "TCP_CHECK HTTP_GET SSL_GET SMTP_CHECK DNS_CHECK MISC_CHECK PING_CHECK UDP_CHECK \
         BFD_CHECK FILE_CHECK",
        NotYet,
        NO_CHECK,
    ),
];

const CHECKER: &[Row] = &[(
    "retry delay_before_retry warmup delay_loop alpha log_all_failures connect_ip connect_port \
     bindto bind_port bind_if connect_timeout fwmark",
    NotYet,
    NO_CHECK,
)];

const HTTP: &[Row] = &[(
    "url virtualhost http_protocol enable_sni sni_name fast_recovery tls_compliant \
         nb_get_retry",
    NotYet,
    NO_CHECK,
)];

const URL: &[Row] = &[
    (
        "path digest status_code virtualhost regex regex_no_match regex_options regex_min_offset \
         regex_max_offset tls_compliant",
        NotYet,
        NO_CHECK,
    ),
    ("regex_stack", NoMeaning, "a detail of PCRE2"),
];

const BFD: &[Row] = &[(
    "neighbor_ip neighbour_ip source_ip min_rx min_tx idle_tx multiplier passive ttl hoplimit \
     max_hops multihop weight vrrp checker",
    NotYet,
    NO_BFD,
)];
