//! Keywords of VRRP instances, sync groups and what they track.

use super::Block::{
    AuthHmac, Authentication, Instance, Script, SyncGroup, TrackFile, TrackProcess, VirtualAddress,
    VirtualRoute, VirtualRule,
};
use super::Status::{NoMeaning, NotYet, Served};
use super::{Row, Table};

pub(super) const TABLE: Table = &[
    (Instance, INSTANCE),
    (Instance, INSTANCE_TRACKING),
    (Authentication, AUTHENTICATION),
    (AuthHmac, AUTH_HMAC),
    (VirtualAddress, VIRTUAL_ADDRESS),
    (VirtualRoute, VIRTUAL_ROUTE),
    (VirtualRule, VIRTUAL_RULE),
    (SyncGroup, SYNC_GROUP),
    (Script, SCRIPT),
    (TrackProcess, TRACK_PROCESS),
    (TrackFile, TRACK_FILE),
];

const INSTANCE: &[Row] = &[
    (
        "state",
        Served,
        "decides nothing but whether nopreempt counts (it needs BACKUP) and the default priority \
         (255 with MASTER)",
    ),
    ("interface", Served, "may differ from director to director"),
    ("virtual_router_id", Served, "1 to 255, the same on every director"),
    ("priority", Served, "1 to 255; 100 where it is left out"),
    (
        "advert_int",
        Served,
        "0.01 to 40.95 with VRRPv3, whole seconds up to 255 with VRRPv2; a fraction means VRRPv3",
    ),
    (
        "version",
        NotYet,
        "adverts are VRRPv2, unless advert_int has a fraction or the VIPs are IPv6: then VRRPv3",
    ),
    ("authentication", Served, "VRRPv2 only; the same on every director"),
    ("virtual_ipaddress", Served, "the same on every director"),
    ("preempt", Served, "the default"),
    ("nopreempt", Served, "only with state BACKUP, as in keepalived"),
    ("preempt_delay", Served, "0 to 1000 seconds"),
    ("virtual_ipaddress_excluded", NotYet, "these addresses are not set up"),
    ("no_virtual_ipaddress", NoMeaning, "an instance without an address is an error"),
    ("virtual_routes", NotYet, "no routes are set up"),
    ("virtual_rules", NotYet, "no rules are set up"),
    ("promote_secondaries", NotYet, "set net.ipv4.conf.IF.promote_secondaries=1 yourself"),
    ("accept", NoMeaning, "the holder always answers for its VIPs"),
    ("no_accept", NotYet, "the holder answers for its VIPs"),
    ("vrf", NotYet, "adverts go out of the instance's interface"),
    ("down_timer_adverts", NoMeaning, "the lease's ttl decides when a holder is over"),
    ("mcast_src_ip", NotYet, "adverts come from the interface's first address"),
    ("mcast_dst_ip", NotYet, "adverts go to the multicast group"),
    (
        "unicast_src_ip unicast_peer unicast_ttl unicast_fault_no_peer check_unicast_src",
        NotYet,
        "adverts go to the multicast group; the directors themselves agree over unicast TLS, so \
         none has to arrive",
    ),
    (
        "use_vmac use_vmac_addr vmac_xmit_base use_ipvlan",
        NotYet,
        "VIPs have the MAC address of the holder's interface",
    ),
    ("auth_hmac", NotYet, "adverts are not signed; the lease, not the advert, is what counts"),
    (
        "skip_check_adv_addr lower_prio_no_advert higher_prio_send_advert owner_ignore_adverts",
        NoMeaning,
        "adverts inform; the lease decides who holds the VIP",
    ),
    ("strict_mode", NoMeaning, "no packet filter is set up and no setting is refused for it"),
    ("v3_checksum_as_v2", NotYet, "VRRPv3 checksums cover the pseudo-header (RFC 9568, 5.2.8)"),
    ("old_unicast_checksum", NoMeaning, "for peers older than keepalived 1.3"),
    ("native_ipv6", NoMeaning, "keepalived ignores it too"),
    (
        "garp_master_delay garp_master_repeat garp_master_refresh garp_master_refresh_repeat \
         garp_lower_prio_delay garp_lower_prio_repeat garp_extra_if vmac_garp_intvl",
        NotYet,
        "announcements follow a plan of their own",
    ),
    (
        "timer_expired_backup thread_timer_expired",
        NoMeaning,
        "always on: a director that wakes too late finds its lease over",
    ),
    (
        "notify_master notify_backup notify_fault notify_stop notify_deleted notify \
         notify_master_rx_lower_pri notify_priority_changes",
        NotYet,
        "no script is run; `leasehold status --watch` follows every change",
    ),
    ("smtp_alert", NotYet, "no mail is sent"),
    ("lvs_sync_daemon_interface", NotYet, "write lvs_sync_daemon in global_defs"),
    ("linkbeat_use_polling", NoMeaning, "the kernel reports every link change"),
    ("kernel_rx_buf_size", NoMeaning, "buffers are sized by the kernel"),
    ("debug", NoMeaning, "keepalived ignores it too"),
];

const INSTANCE_TRACKING: &[Row] = &[
    (
        "track_interface",
        NotYet,
        "only the instance's own interface and those of its VIPs are watched",
    ),
    ("track_script", NotYet, "no script is run and the priority follows none"),
    ("track_file", NotYet, "no file is watched and the priority follows none"),
    ("track_process", NotYet, "no process is watched and the priority follows none"),
    ("track_bfd", NotYet, "no BFD session is watched and the priority follows none"),
    ("dont_track_primary", NotYet, "the instance's own interface is watched"),
    ("track_src_ip", NotYet, "the source address of adverts is not watched"),
];

const AUTHENTICATION: &[Row] = &[
    ("auth_type", Served, "PASS or AH"),
    ("auth_pass", Served, "only the first 8 bytes go on the wire"),
];

const AUTH_HMAC: &[Row] = &[(
    "key active_key time_window anti_replay mode",
    NotYet,
    "adverts are not signed; the lease, not the advert, is what counts",
)];

const VIRTUAL_ADDRESS: &[Row] = &[
    ("brd dev label scope", Served, "as `ip address add` has them"),
    ("use_vmac", NotYet, "the VIP has the MAC address of the holder's interface"),
    ("peer", NotYet, "no point-to-point address is set up"),
    (
        "home -nodad mngtmpaddr noprefixroute autojoin",
        NotYet,
        "the address has no such flag; IPv6 VIPs are always added without address detection",
    ),
    ("preferred_lft", NotYet, "lifetimes follow the lease"),
    ("no_track track_group", NotYet, "the VIP's interface is watched"),
];

const VIRTUAL_ROUTE: &[Row] = &[(
    "via dev table metric scope src tos dsfield proto type mtu hoplimit advmss rtt rttvar \
     reordering window cwnd ssthresh realms rto_min initcwnd initrwnd quickack congctl features \
     vrf nexthop weight onlink encap or append pref expires ttl-propagate fastopen_no_cookie \
     no_track track_group",
    NotYet,
    "no routes are set up",
)];

const VIRTUAL_RULE: &[Row] = &[(
    "from to iif oif fwmark tos dsfield priority order preference table lookup goto nop type \
     realms suppress_prefixlength suppress_ifgroup tunnel-id uidrange l3mdev ipproto sport dport \
     protocol not no_track track_group",
    NotYet,
    "no rules are set up",
)];

const SYNC_GROUP: &[Row] = &[
    ("group sync_group_tracking_weight", NotYet, "its instances move each on their own"),
    (
        "track_interface track_script track_file track_process track_bfd",
        NotYet,
        "nothing is watched for a group",
    ),
    (
        "notify_master notify_backup notify_fault notify_stop notify notify_priority_changes",
        NotYet,
        "no script is run",
    ),
    ("smtp_alert", NotYet, "no mail is sent"),
    ("global_tracking", NoMeaning, "keepalived ignores it too"),
];

const SCRIPT: &[Row] = &[(
    "script interval timeout weight rise fall user init_fail",
    NotYet,
    "no script is run and no priority follows one",
)];

const TRACK_PROCESS: &[Row] = &[(
    "process param_match weight quorum quorum_max delay terminate_delay fork_delay full_command",
    NotYet,
    "no process is watched and no priority follows one",
)];

const TRACK_FILE: &[Row] =
    &[("file weight init_file", NotYet, "no file is watched and no priority follows one")];
