//! Keywords outside any block and in `global_defs`.

use super::Block::{GarpGroup, GlobalDefs, Root, Ssl, TrackGroup};
use super::Status::{NoMeaning, NotYet, Served};
use super::{Row, Table};

pub(super) const TABLE: Table = &[
    (Root, ROOT),
    (GarpGroup, GARP_GROUP),
    (TrackGroup, TRACK_GROUP),
    (Ssl, SSL),
    (GlobalDefs, IDENTITY_AND_SCRIPTS),
    (GlobalDefs, VRRP_DEFAULTS),
    (GlobalDefs, MACHINERY),
];

const ROOT: &[Row] = &[
    ("global_defs", Served, "see the table of its own keywords"),
    ("vrrp_instance", Served, "an instance; see the table of its own keywords"),
    ("include", Served, "relative to the directory of the file it stands in"),
    (
        "includer includem includew includeb includea",
        Served,
        "like include; a file that can't be had is an error with any of them",
    ),
    ("vrrp_sync_group", NotYet, "its instances move each on their own"),
    ("vrrp_script", NotYet, "no script is run and no priority follows one"),
    ("vrrp_track_process", NotYet, "no process is watched and no priority follows one"),
    ("track_file vrrp_track_file", NotYet, "no file is watched and no priority follows one"),
    (
        "virtual_server",
        Served,
        "the holder of its address serves it; real servers must be the same in every file",
    ),
    ("virtual_server_group", Served, "the same entries in every file"),
    ("bfd_instance", NotYet, "no BFD session is opened"),
    ("static_ipaddress", NotYet, "give the addresses to the system's network configuration"),
    ("static_routes", NotYet, "give the routes to the system's network configuration"),
    ("static_rules", NotYet, "give the rules to the system's network configuration"),
    ("track_group", NotYet, "no static item is watched"),
    ("garp_group", NotYet, "announcements are not paced"),
    ("SSL", NotYet, "no TLS check is made"),
    ("net_namespace net_namespace_ipvs", NotYet, "start the daemon inside the namespace"),
    ("interface_up_down_delays", NotYet, "a link counts as soon as it changes"),
    ("linkbeat_use_polling linkbeat_interfaces", NoMeaning, "the kernel reports every link change"),
    ("namespace_with_ipsets", NoMeaning, "no ipsets are used"),
    ("use_pid_dir", NoMeaning, "one data directory per daemon; no pid files"),
    ("instance", NoMeaning, "one data directory per daemon tells them apart"),
    ("child_wait_time", NoMeaning, "there are no child processes to wait for"),
];

const GARP_GROUP: &[Row] =
    &[("garp_interval gna_interval interface interfaces", NotYet, "announcements are not paced")];

const TRACK_GROUP: &[Row] = &[("group", NotYet, "no static item is watched")];

const SSL: &[Row] = &[("password ca certificate key", NotYet, "no TLS check is made")];

const IDENTITY_AND_SCRIPTS: &[Row] = &[
    ("router_id", Served, "the node's name for humans, kept per director"),
    ("vrrp_mcast_group4", Served, "where IPv4 adverts go"),
    ("vrrp_version", NotYet, "2, unless advert_int has a fraction or the VIPs are IPv6: then 3"),
    (
        "notification_email notification_email_from smtp_server smtp_helo_name \
         smtp_connect_timeout smtp_alert smtp_alert_vrrp smtp_alert_checker no_email_faults \
         no_checker_emails",
        NotYet,
        "no mail is sent",
    ),
    ("checker_log_all_failures", NotYet, "which failures are logged can't be chosen"),
    ("rs_init_notifies", NotYet, "no script is run"),
    (
        "startup_script shutdown_script startup_script_timeout shutdown_script_timeout",
        NotYet,
        "use ExecStartPre= and ExecStopPost= of the systemd unit",
    ),
    ("script_user", NotYet, "no script is run"),
    ("enable_script_security", NotYet, "no script is run; when they are, it will always be on"),
    ("use_symlink_paths set_supplementary_groups", NoMeaning, "no script is run"),
    (
        "notify_fifo notify_fifo_script vrrp_notify_fifo vrrp_notify_fifo_script lvs_notify_fifo \
         lvs_notify_fifo_script vrrp_notify_priority_changes fifo_write_vrrp_states_on_reload",
        NotYet,
        "nothing is notified; `leasehold status --watch` follows every change",
    ),
    (
        "process_names process_name vrrp_process_name checker_process_name lvs_process_name \
         bfd_process_name",
        NoMeaning,
        "one process, called leasehold",
    ),
];

const VRRP_DEFAULTS: &[Row] = &[
    ("vrrp_mcast_group6", NotYet, "IPv6 adverts go to ff02::12"),
    (
        "vrrp_garp_master_delay vrrp_garp_master_repeat vrrp_garp_master_refresh \
         vrrp_garp_master_refresh_repeat vrrp_garp_lower_prio_delay vrrp_garp_lower_prio_repeat \
         vrrp_min_garp vrrp_garp_extra_if vrrp_vmac_garp_intvl",
        NotYet,
        "announcements follow a plan of their own",
    ),
    ("vrrp_garp_interval vrrp_gna_interval", NotYet, "announcements are not paced"),
    (
        "vrrp_down_timer_adverts",
        NoMeaning,
        "the lease's ttl decides when a holder is over, not adverts missed",
    ),
    (
        "vrrp_lower_prio_no_advert vrrp_higher_prio_send_advert vrrp_owner_ignore_adverts",
        NoMeaning,
        "adverts inform; the lease decides who holds the VIP",
    ),
    ("vrrp_strict", NoMeaning, "no packet filter is set up and no setting is refused for it"),
    (
        "vrrp_skip_check_adv_addr vrrp_check_unicast_src",
        NoMeaning,
        "adverts of others decide nothing, so they need no check",
    ),
    ("v3_checksum_as_v2", NotYet, "VRRPv3 checksums cover the pseudo-header (RFC 9568, 5.2.8)"),
    (
        "vrrp_startup_delay vrrp_delay_after_boot",
        NotYet,
        "a director takes part as soon as it has joined its group",
    ),
    ("log_unknown_vrids", NotYet, "adverts of other routers are not logged"),
    ("default_interface", NoMeaning, "every address names its interface or has its instance's"),
    ("dynamic_interfaces", NoMeaning, "interfaces may always come and go"),
    ("disable_local_igmp", NoMeaning, "no system-wide setting is changed"),
    ("vmac_prefix vmac_addr_prefix", NotYet, "no virtual MAC is used"),
    (
        "lvs_sync_daemon",
        Served,
        "without id, the number is the virtual_router_id of its instance; the same in every file",
    ),
    ("lvs_timeouts", Served, "0 leaves a timeout as it is; the same in every file"),
    (
        "lvs_flush lvs_flush_on_stop lvs_flush_onstop",
        NoMeaning,
        "services that others made are never touched, and own ones are compared one by one",
    ),
];

const MACHINERY: &[Row] = &[
    (
        "nftables nftables_priority nftables_counters nftables_ifindex vrrp_iptables vrrp_ipsets",
        NoMeaning,
        "the fence is a BPF program; no packet filter rule is made",
    ),
    (
        "nftables_ipvs nftables_ipvs_priority nftables_ipvs_start_fwmark",
        NotYet,
        "each address of a group is a service of its own",
    ),
    ("vrrp_priority checker_priority bfd_priority", NoMeaning, "use Nice= of the systemd unit"),
    ("vrrp_no_swap checker_no_swap bfd_no_swap", NoMeaning, "a late page can't open the fence"),
    (
        "vrrp_rt_priority checker_rt_priority bfd_rt_priority max_auto_priority \
         min_auto_priority_delay",
        NoMeaning,
        "a late timer can't open the fence; use CPUSchedulingPolicy= of the systemd unit",
    ),
    (
        "vrrp_cpu_affinity checker_cpu_affinity bfd_cpu_affinity",
        NoMeaning,
        "use CPUAffinity= of the systemd unit",
    ),
    (
        "vrrp_rlimit_rttime checker_rlimit_rttime bfd_rlimit_rttime vrrp_rlimit_rtime \
         checker_rlimit_rtime bfd_rlimit_rtime",
        NoMeaning,
        "a limit that kills a busy daemon takes its VIPs away",
    ),
    (
        "vrrp_netlink_cmd_rcv_bufs vrrp_netlink_cmd_rcv_bufs_force \
         vrrp_netlink_monitor_rcv_bufs vrrp_netlink_monitor_rcv_bufs_force \
         lvs_netlink_cmd_rcv_bufs lvs_netlink_cmd_rcv_bufs_force \
         lvs_netlink_monitor_rcv_bufs lvs_netlink_monitor_rcv_bufs_force \
         process_monitor_rcv_bufs process_monitor_rcv_bufs_force vrrp_rx_bufs_policy \
         vrrp_rx_bufs_multiplier",
        NoMeaning,
        "an overrun is noticed and the kernel read again, whatever the buffers' size",
    ),
    (
        "snmp_socket enable_snmp_vrrp enable_snmp_keepalived enable_snmp_checker \
         enable_snmp_rfc enable_snmp_rfcv2 enable_snmp_rfcv3 enable_traps \
         snmp_vs_stats_update_interval snmp_rs_stats_update_interval",
        NoMeaning,
        "there is no SNMP agent",
    ),
    (
        "enable_dbus dbus_service_name dbus_no_interface_name",
        NoMeaning,
        "the API is gRPC and the command line, not D-Bus",
    ),
    ("umask", NoMeaning, "use UMask= of the systemd unit"),
    ("random_seed", NoMeaning, "a configuration with random values is refused"),
    (
        "reload_check_config reload_time_file reload_repeat reload_file",
        NoMeaning,
        "`leasehold apply` checks first and changes every node in one step",
    ),
    ("include_check", NoMeaning, "an include that can't be had is always an error"),
    ("config_save_dir tmp_config_directory", NoMeaning, "`leasehold history` has every revision"),
    (
        "data_use_instance json_version state_dump_file stats_dump_file json_dump_file \
         state_dump_file_location stats_dump_file_location json_dump_file_location",
        NoMeaning,
        "`leasehold status --json` says it without a file",
    ),
    ("iproute_usr_dir iproute_etc_dir", NoMeaning, "names of routing tables are not used"),
];
