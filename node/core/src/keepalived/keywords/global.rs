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
    ("vrrp_sync_group", Served, "instances that one lease covers; the same in every file"),
    ("vrrp_script", Served, "the same in every file that has it"),
    ("vrrp_track_process", Served, "the same in every file that has it"),
    ("track_file vrrp_track_file", Served, "the same in every file that has it"),
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
    ("SSL", NotYet, "SSL_GET shows no certificate of its own, and trusts any, as keepalived does"),
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

const SSL: &[Row] = &[
    (
        "ca",
        NoMeaning,
        "keepalived trusts any certificate with it, too; in TOML, tls.trust says whom",
    ),
    ("password certificate key", NotYet, "SSL_GET shows no certificate of its own"),
];

const IDENTITY_AND_SCRIPTS: &[Row] = &[
    ("router_id", Served, "the node's name for humans, kept per director"),
    ("vrrp_mcast_group4", Served, "where IPv4 adverts go"),
    ("vrrp_version", Served, "2 or 3, of instances that name none"),
    (
        "notification_email notification_email_from smtp_server smtp_helo_name",
        Served,
        "the same in every file",
    ),
    ("smtp_connect_timeout", Served, "0.001 to 3600 seconds"),
    ("smtp_alert", Served, "of all that says nothing"),
    ("smtp_alert_vrrp", Served, "of instances and groups that say nothing; before smtp_alert"),
    ("no_email_faults", Served, "no mail of a fault"),
    (
        "smtp_alert_checker",
        Served,
        "of virtual servers and real servers that say nothing; before smtp_alert",
    ),
    ("no_checker_emails", NoMeaning, "mail is of real servers that come or go, not of each check"),
    ("checker_log_all_failures", Served, "of every check that says nothing"),
    ("rs_init_notifies", NotYet, "no script is run"),
    (
        "startup_script shutdown_script startup_script_timeout shutdown_script_timeout",
        NotYet,
        "use ExecStartPre= and ExecStopPost= of the systemd unit",
    ),
    (
        "script_user",
        Served,
        "a user and a group, the same in every file; keepalived_script, or else nobody, where none \
         is given: never root by default",
    ),
    ("enable_script_security", Served, "always on"),
    ("use_symlink_paths", NoMeaning, "a link is followed, and what it leads to is checked"),
    ("set_supplementary_groups", NotYet, "scripts have one group"),
    ("notify_fifo", Served, "a pipe that all changes are written to"),
    ("vrrp_notify_fifo", Served, "a pipe for changes of instances and groups"),
    (
        "lvs_notify_fifo",
        Served,
        "a pipe for changes of real servers and quorums; a line ends with its newline, without the \
         NUL that keepalived writes after it",
    ),
    (
        "notify_fifo_script vrrp_notify_fifo_script lvs_notify_fifo_script",
        Served,
        "gets the pipe's path as last argument; of two for one pipe, that of VRRP counts",
    ),
    ("vrrp_notify_priority_changes", Served, "of instances and groups that say nothing"),
    (
        "fifo_write_vrrp_states_on_reload",
        NoMeaning,
        "a change of the configuration restarts nothing, so no state is to be told again",
    ),
    (
        "process_names process_name vrrp_process_name checker_process_name lvs_process_name \
         bfd_process_name",
        NoMeaning,
        "one process, called leasehold",
    ),
];

const VRRP_DEFAULTS: &[Row] = &[
    ("vrrp_mcast_group6", Served, "where IPv6 adverts go; ff02::12 where none is given"),
    (
        "vrrp_garp_master_delay vrrp_garp_master_refresh vrrp_garp_lower_prio_delay",
        Served,
        "0 to 86400 seconds, of instances that say nothing",
    ),
    (
        "vrrp_garp_master_repeat vrrp_garp_master_refresh_repeat vrrp_garp_lower_prio_repeat",
        Served,
        "up to 1000, of instances that say nothing",
    ),
    ("vrrp_min_garp", Served, "one announcement and no second burst"),
    (
        "vrrp_garp_extra_if vrrp_vmac_garp_intvl",
        NotYet,
        "announcements leave by the VIP's interface alone",
    ),
    ("vrrp_garp_interval vrrp_gna_interval", Served, "0 to 1 second; 0 paces nothing"),
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
    (
        "vrrp_strict",
        NoMeaning,
        "no packet filter is set up and no setting is refused: the VIP answers, where keepalived \
         drops packets to it, and authentication, unicast_peer and preempt_delay count, where \
         keepalived refuses them",
    ),
    (
        "vrrp_skip_check_adv_addr",
        NoMeaning,
        "other addresses in an advert are counted as address_list, and the advert is heard",
    ),
    (
        "vrrp_check_unicast_src",
        NoMeaning,
        "always so: with unicast_peer only adverts of a listed peer are heard",
    ),
    ("v3_checksum_as_v2", Served, "of every instance with VRRPv3 over IPv4 that says nothing"),
    (
        "vrrp_startup_delay vrrp_delay_after_boot",
        NotYet,
        "a director takes part as soon as it has joined its group",
    ),
    ("log_unknown_vrids", NotYet, "adverts of other routers are not logged"),
    ("default_interface", NoMeaning, "every address names its interface or has its instance's"),
    ("dynamic_interfaces", NoMeaning, "interfaces may always come and go"),
    ("disable_local_igmp", NoMeaning, "no system-wide setting is changed"),
    ("vmac_prefix vmac_addr_prefix", NotYet, "use_vmac NAME names one"),
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
