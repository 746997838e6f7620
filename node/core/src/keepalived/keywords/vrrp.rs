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
        Served,
        "2 or 3; IPv6 is always 3, and at version 2 a fraction in advert_int is rounded",
    ),
    ("authentication", Served, "VRRPv2 only; the same on every director"),
    ("virtual_ipaddress", Served, "the same on every director"),
    ("preempt", Served, "the default"),
    ("nopreempt", Served, "only with state BACKUP, as in keepalived"),
    ("preempt_delay", Served, "0 to 1000 seconds"),
    (
        "virtual_ipaddress_excluded",
        Served,
        "addresses of either family that adverts do not list; the same on every director",
    ),
    ("no_virtual_ipaddress", NoMeaning, "an instance without an address is an error"),
    ("virtual_routes", Served, "see the table of their words; the same on every director"),
    ("virtual_rules", Served, "see the table of their words; the same on every director"),
    ("promote_secondaries", NotYet, "set net.ipv4.conf.IF.promote_secondaries=1 yourself"),
    ("accept", NoMeaning, "the holder always answers for its VIPs"),
    ("no_accept", NotYet, "the holder answers for its VIPs"),
    ("vrf", NotYet, "adverts go out of the instance's interface"),
    ("down_timer_adverts", NoMeaning, "the lease's ttl decides when a holder is over"),
    (
        "mcast_src_ip unicast_src_ip",
        Served,
        "the src_ip of the director whose file it is; a file for all directors can't say it",
    ),
    ("mcast_dst_ip", Served, "the same on every director"),
    (
        "unicast_peer",
        Served,
        "the peers and unicast_src_ip of every file make one list; a director sends to all but itself",
    ),
    ("unicast_ttl", Served, "1 to 255"),
    ("unicast_fault_no_peer", NoMeaning, "without a peer adverts are multicast"),
    (
        "check_unicast_src",
        NoMeaning,
        "always so: with unicast_peer only adverts of a listed peer are heard",
    ),
    (
        "use_vmac",
        Served,
        "a macvlan with the address 00:00:5e:00:01:VRID, or :02: for IPv6; the name is called \
         vrrp.VRID or vrrp6.VRID where none is given",
    ),
    ("vmac_xmit_base", Served, "adverts leave by the interface below; unicast needs it"),
    ("use_vmac_addr", NotYet, "VIPs on other interfaces have the MAC address of theirs"),
    ("use_ipvlan", NotYet, "VIPs have the MAC address of the holder's interface"),
    ("auth_hmac", NotYet, "adverts are not signed; the lease, not the advert, is what counts"),
    (
        "skip_check_adv_addr lower_prio_no_advert higher_prio_send_advert owner_ignore_adverts",
        NoMeaning,
        "adverts inform; the lease decides who holds the VIP",
    ),
    (
        "strict_mode",
        NoMeaning,
        "no packet filter is set up and no setting is refused: the VIP answers, where keepalived \
         drops packets to it",
    ),
    ("v3_checksum_as_v2", Served, "of VRRPv3 over IPv4"),
    ("old_unicast_checksum", NoMeaning, "for peers older than keepalived 1.3"),
    ("native_ipv6", NoMeaning, "keepalived ignores it too"),
    (
        "garp_master_delay garp_master_refresh garp_lower_prio_delay",
        Served,
        "0 to 86400 seconds; global_defs says it where the instance does not",
    ),
    (
        "garp_master_repeat garp_master_refresh_repeat garp_lower_prio_repeat",
        Served,
        "up to 1000; global_defs says it where the instance does not",
    ),
    ("garp_extra_if vmac_garp_intvl", NotYet, "announcements leave by the VIP's interface alone"),
    (
        "timer_expired_backup thread_timer_expired",
        NoMeaning,
        "always on: a director that wakes too late finds its lease over",
    ),
    (
        "notify_master notify_backup notify_fault notify_stop notify_deleted notify \
         notify_master_rx_lower_pri",
        Served,
        "a command, in quotes where it has arguments, and after it a user and a group; each \
         director runs what its file says",
    ),
    ("notify_priority_changes", Served, "changes of the priority are told too"),
    ("smtp_alert", Served, "global_defs says it where the instance does not"),
    ("lvs_sync_daemon_interface", NotYet, "write lvs_sync_daemon in global_defs"),
    ("linkbeat_use_polling", NoMeaning, "the kernel reports every link change"),
    ("kernel_rx_buf_size", NoMeaning, "buffers are sized by the kernel"),
    ("debug", NoMeaning, "keepalived ignores it too"),
];

const INSTANCE_TRACKING: &[Row] = &[
    (
        "track_interface track_script",
        Served,
        "NAME [weight -253 to 253 [reverse]]; without a weight, or with 0, a failure is a fault; the \
         same on every director",
    ),
    (
        "track_file track_process",
        Served,
        "NAME [weight -254 to 254 [reverse]]; without a weight, its own; the same on every director",
    ),
    ("track_bfd", NotYet, "no BFD session is watched and the priority follows none"),
    ("dont_track_primary", Served, "the instance's own interface may be down"),
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

const VIRTUAL_ROUTE: &[Row] = &[
    (
        "to inet inet6 via gw dev oif src table metric priority preference scope type mtu onlink unicast blackhole \
         unreachable prohibit",
        Served,
        "as `ip route` has them; a table by its number, or main, local and default",
    ),
    (
        "or from as nexthop nhid encap vrf tos dsfield local broadcast multicast throw nat anycast xresolve \
         prefix",
        NotYet,
        "this route is not set up",
    ),
    (
        "proto protocol hoplimit advmss rtt rttvar reordering window cwnd ssthresh realms rto_min \
         initcwnd initrwnd quickack congctl features add append prepend pref expires ttl-propagate \
         fastopen_no_cookie no_track track_group weight",
        NotYet,
        "the route is set up without it",
    ),
];

const VIRTUAL_RULE: &[Row] = &[
    (
        "inet inet6 from to iif dev oif fwmark priority order preference pref table lookup",
        Served,
        "as `ip rule` has them; a table by its number, or main, local and default",
    ),
    (
        "not tos dsfield goto nop type realms suppress_prefixlength suppress_ifgroup tunnel-id \
         uidrange l3mdev ipproto sport dport",
        NotYet,
        "this rule is not set up",
    ),
    ("proto protocol no_track track_group", NotYet, "the rule is set up without it"),
];

const SYNC_GROUP: &[Row] = &[
    ("group", Served, "names of instances, which move together: one lease covers them"),
    ("sync_group_tracking_weight", Served, "always on: weights count in a group without it too"),
    (
        "track_interface track_script track_file track_process",
        Served,
        "of every instance in it; otherwise as in vrrp_instance",
    ),
    ("track_bfd", NotYet, "no BFD session is watched and the priority follows none"),
    (
        "notify_master notify_backup notify_fault notify_stop notify notify_priority_changes",
        Served,
        "once for the group; the same on every director",
    ),
    ("smtp_alert", Served, "global_defs says it where the group does not"),
    ("global_tracking", NoMeaning, "keepalived ignores it too"),
];

const SCRIPT: &[Row] = &[
    (
        "script",
        Served,
        "well while it exits with 0; in quotes where it has arguments, and with its whole path",
    ),
    (
        "interval timeout",
        Served,
        "0.001 to 86400 seconds; the timeout is the interval where none is given",
    ),
    ("weight", Served, "-253 to 253 [reverse], where a track_script gives none; 0 is a fault"),
    ("rise fall", Served, "results in a row that count; 1 where none is given"),
    ("user", Served, "a user and a group; script_user where none is given"),
    ("init_fail", Served, "not well before its first result"),
];

const TRACK_PROCESS: &[Row] = &[
    ("process", Served, "a name or a path, and its parameters"),
    ("param_match", Served, "initial or partial; each parameter must be the same without"),
    ("full_command", Served, "the command line is compared, not the name that the kernel has"),
    ("weight", Served, "-254 to 254 [reverse], where a track_process gives none; 0 is a fault"),
    ("quorum quorum_max", Served, "how many are enough, and too many"),
    ("delay terminate_delay fork_delay", Served, "0 to 86400 seconds"),
];

const TRACK_FILE: &[Row] = &[
    ("file", Served, "a number, which times the weight is added to the priority"),
    (
        "weight",
        Served,
        "-254 to 254 [reverse], where a track_file gives none; 1 where neither does",
    ),
    ("init_file", Served, "[VALUE] [overwrite]: written where there is none; 0 without a value"),
];
