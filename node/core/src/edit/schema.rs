//! Every setting that a command line may give, and how its text becomes a value of the document.

/// A setting of a table.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// What a setting holds, as far as its text has to be known to be written down. Whether the value
/// is a good one is for the document to say.
#[derive(Debug)]
pub(super) enum Kind {
    Plain(Plain),
    List(&'static Kind),
    Table(&'static Table),
    /// A list of tables.
    Tables(&'static Table),
    /// Tables by names that the user chooses.
    Map(&'static Kind),
}

/// What has no settings of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plain {
    Truth,
    Number,
    Text,
    /// A word of the document in capitals.
    Upper,
    /// A word of the document in small letters.
    Lower,
    /// A number where it is one: a prefix length or a netmask.
    NumberOrText,
    /// True, false or a text.
    TruthOrText,
    /// A route or a rule of an instance: words, or a table that says the same.
    Line,
}

#[derive(Debug)]
pub(super) struct Table {
    /// What one is called in a message.
    pub(super) noun: &'static str,
    pub(super) keys: &'static [Key],
    pub(super) short: Short,
}

/// What a table may be written as where it says one thing only.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Short {
    Never,
    /// The document takes the value of this setting for the table.
    Value(&'static str),
    /// The same, and a table that says nothing says something too.
    ValueOrEmpty(&'static str),
    /// The document takes `true` for a table that says nothing.
    Truth,
    /// The document takes words; `TUN` is a table that says this.
    Forward,
    /// Only the command line knows it: a value of this setting.
    Own(&'static str),
    /// `10.0.0.1/24@eth0`, or keepalived's words.
    Vip,
    /// keepalived's `eth1 weight -20 reverse`.
    Weight,
}

const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind }
}

const TRUTH: Kind = Kind::Plain(Plain::Truth);
const NUMBER: Kind = Kind::Plain(Plain::Number);
const TEXT: Kind = Kind::Plain(Plain::Text);
const UPPER: Kind = Kind::Plain(Plain::Upper);
const LOWER: Kind = Kind::Plain(Plain::Lower);
const NUMBER_OR_TEXT: Kind = Kind::Plain(Plain::NumberOrText);
const TRUTH_OR_TEXT: Kind = Kind::Plain(Plain::TruthOrText);
const LINE: Kind = Kind::Plain(Plain::Line);

const TEXTS: Kind = Kind::List(&TEXT);

const SCRIPT: Kind = Kind::Table(&Table {
    noun: "a script",
    keys: &[key("command", TEXT), key("user", TEXT), key("group", TEXT)],
    short: Short::Value("command"),
});

const FORWARD: Kind = Kind::Table(&Table {
    noun: "a tunnel",
    keys: &[key("tunnel", LOWER), key("port", NUMBER), key("checksum", LOWER)],
    short: Short::Forward,
});

const WEIGHTS: Kind = Kind::Map(&Kind::Table(&Table {
    noun: "what is tracked",
    keys: &[key("weight", NUMBER), key("reverse", TRUTH)],
    short: Short::Weight,
}));

const GARP: Kind = Kind::Table(&Table {
    noun: "garp",
    keys: &[
        key("master_delay_s", NUMBER),
        key("master_repeat", NUMBER),
        key("master_refresh_s", NUMBER),
        key("master_refresh_repeat", NUMBER),
        key("lower_prio_delay_s", NUMBER),
        key("lower_prio_repeat", NUMBER),
    ],
    short: Short::Never,
});

pub(super) const SERVER: Table = Table {
    noun: "a virtual server",
    keys: &[
        key("address", TEXT),
        key("fwmark", NUMBER),
        key("family", LOWER),
        key("group", TEXT),
        key("protocol", LOWER),
        key("instance", TEXT),
        key("lb_algo", LOWER),
        key("lb_kind", FORWARD),
        key("flags", Kind::List(&LOWER)),
        key("ops", TRUTH),
        key("persistence_timeout", NUMBER),
        key("persistence_granularity", NUMBER_OR_TEXT),
        key("persistence_engine", TEXT),
        key("virtualhost", TEXT),
        key("alpha", TRUTH),
        key("omega", TRUTH),
        key("inhibit_on_failure", TRUTH),
        key("quorum", NUMBER),
        key("hysteresis", NUMBER),
        key("quorum_up", SCRIPT),
        key("quorum_down", SCRIPT),
        key("ha_suspend", TRUTH),
        key("smtp_alert", TRUTH),
        key("damping", DAMPING),
        key("sorry_server", SORRY),
        key("real_server", Kind::Tables(&REAL)),
    ],
    short: Short::Never,
};

const DAMPING: Kind = Kind::Table(&Table {
    noun: "damping",
    keys: &[key("flaps", NUMBER), key("window_ms", NUMBER), key("hold_ms", NUMBER)],
    short: Short::Never,
});

const SORRY: Kind = Kind::Table(&Table {
    noun: "a sorry server",
    keys: &[key("address", TEXT), key("lb_kind", FORWARD), key("inhibit", TRUTH)],
    short: Short::Value("address"),
});

pub(super) const REAL: Table = Table {
    noun: "a real server",
    keys: &[
        key("address", TEXT),
        key("weight", NUMBER),
        key("lb_kind", FORWARD),
        key("uthreshold", NUMBER),
        key("lthreshold", NUMBER),
        key("inhibit_on_failure", TRUTH),
        key("alpha", TRUTH),
        key("virtualhost", TEXT),
        key("notify_up", SCRIPT),
        key("notify_down", SCRIPT),
        key("smtp_alert", TRUTH),
        key("check", Kind::Tables(&CHECK)),
    ],
    short: Short::Own("address"),
};

/// Of every type: which type has which is for the document to say.
const CHECK: Table = Table {
    noun: "a check",
    keys: &[
        key("type", LOWER),
        key("url", Kind::Tables(&URL)),
        key("version", TEXT),
        key("tls", TLS),
        key("helo_name", TEXT),
        key("host", Kind::Tables(&HOST)),
        key("record", UPPER),
        key("name", TEXT),
        key("payload", TEXT),
        key("reply", REPLY),
        key("script", SCRIPT),
        key("timeout_ms", NUMBER),
        key("dynamic", TRUTH),
        key("track_file", TEXT),
        key("weight", NUMBER),
        key("reverse", TRUTH),
        key("connect", TEXT),
        key("bindto", TEXT),
        key("bind_port", NUMBER),
        key("bind_if", TEXT),
        key("fwmark", NUMBER),
        key("connect_timeout_ms", NUMBER),
        key("delay_loop_ms", NUMBER),
        key("retry", NUMBER),
        key("delay_before_retry_ms", NUMBER),
        key("warmup_ms", NUMBER),
        key("rise", NUMBER),
        key("alpha", TRUTH),
        key("log_all_failures", TRUTH),
    ],
    short: Short::Own("type"),
};

const URL: Table = Table {
    noun: "a url",
    keys: &[
        key("path", TEXT),
        key("status_code", TEXTS),
        key("virtualhost", TEXT),
        key("digest", TEXT),
        key("regex", TEXT),
        key("no_match", TRUTH),
        key("min_offset", NUMBER),
        key("max_offset", NUMBER),
    ],
    short: Short::Own("path"),
};

const TLS: Kind = Kind::Table(&Table {
    noun: "tls",
    keys: &[key("sni", TRUTH_OR_TEXT), key("trust", TEXT)],
    short: Short::Truth,
});

const HOST: Table = Table {
    noun: "a host",
    keys: &[
        key("connect", TEXT),
        key("bindto", TEXT),
        key("bind_port", NUMBER),
        key("bind_if", TEXT),
        key("fwmark", NUMBER),
    ],
    short: Short::Own("connect"),
};

const REPLY: Kind = Kind::Table(&Table {
    noun: "a reply",
    keys: &[key("begins", TEXT), key("min_length", NUMBER), key("max_length", NUMBER)],
    short: Short::ValueOrEmpty("begins"),
});

/// The settings of a table that also says who is told of changes.
macro_rules! with_notify {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            key("notify", SCRIPT),
            key("notify_master", SCRIPT),
            key("notify_backup", SCRIPT),
            key("notify_fault", SCRIPT),
            key("notify_stop", SCRIPT),
            key("notify_deleted", SCRIPT),
            key("notify_master_rx_lower_pri", SCRIPT),
            key("notify_priority_changes", TRUTH),
            key("smtp_alert", TRUTH),
        ]
    };
}

pub(super) const INSTANCE: Table = Table {
    noun: "an instance",
    keys: with_notify![
        key("virtual_router_id", NUMBER),
        key("interface", TEXT),
        key("priority", NUMBER),
        key("advert_int_ms", NUMBER),
        key("authentication", AUTHENTICATION),
        key("preempt", TRUTH),
        key("preempt_delay_ms", NUMBER),
        key("virtual_ipaddress", Kind::Tables(&VIP)),
        key("virtual_ipaddress_excluded", Kind::Tables(&VIP)),
        key("virtual_routes", Kind::List(&LINE)),
        key("virtual_rules", Kind::List(&LINE)),
        key("garp", GARP),
        key("use_vmac", VMAC),
        key("dont_track_primary", TRUTH),
        key("version", NUMBER),
        key("mcast_dst_ip", TEXT),
        key("unicast_peer", TEXTS),
        key("unicast_ttl", NUMBER),
        key("v3_checksum_as_v2", TRUTH),
        key("foreign_master", LOWER),
        key("track_interface", WEIGHTS),
        key("track_script", WEIGHTS),
        key("track_process", WEIGHTS),
        key("track_file", WEIGHTS),
        key("director", Kind::Map(&Kind::Table(&DIRECTOR))),
    ],
    short: Short::Never,
};

const AUTHENTICATION: Kind = Kind::Table(&Table {
    noun: "authentication",
    keys: &[key("auth_type", UPPER), key("auth_pass", TEXT)],
    short: Short::Never,
});

const VIP: Table = Table {
    noun: "a virtual address",
    keys: &[
        key("address", TEXT),
        key("prefix", NUMBER),
        key("dev", TEXT),
        key("label", TEXT),
        key("broadcast", TEXT),
        key("scope", LOWER),
    ],
    short: Short::Vip,
};

const VMAC: Kind = Kind::Table(&Table {
    noun: "use_vmac",
    keys: &[key("name", TEXT), key("xmit_base", TRUTH)],
    short: Short::Truth,
});

const DIRECTOR: Table = Table {
    noun: "a director",
    keys: with_notify![key("priority", NUMBER), key("interface", TEXT), key("src_ip", TEXT)],
    short: Short::Never,
};

pub(super) const GLOBAL: Table = Table {
    noun: "[global]",
    keys: &[
        key("vrrp_mcast_group4", TEXT),
        key("vrrp_mcast_group6", TEXT),
        key("vrrp_version", NUMBER),
        key("garp", GARP),
        key("garp_interval_us", NUMBER),
        key("gna_interval_us", NUMBER),
        key("alerts", ALERTS),
        key("dataplane", LOWER),
        key("drain_timeout_ms", NUMBER),
        key("lvs_timeouts", TIMEOUTS),
        key("lvs_sync_daemon", SYNC_DAEMON),
        key("router_id", Kind::Map(&TEXT)),
    ],
    short: Short::Never,
};

const ALERTS: Kind = Kind::Table(&Table {
    noun: "[global.alerts]",
    keys: &[
        key("script_user", TEXT),
        key("script_group", TEXT),
        key("notify_fifo", TEXT),
        key("notify_fifo_script", SCRIPT),
        key("vrrp_notify_fifo", TEXT),
        key("vrrp_notify_fifo_script", SCRIPT),
        key("lvs_notify_fifo", TEXT),
        key("lvs_notify_fifo_script", SCRIPT),
        key("notification_email", TEXTS),
        key("notification_email_from", TEXT),
        key("smtp_server", TEXT),
        key("smtp_connect_timeout_ms", NUMBER),
        key("smtp_helo_name", TEXT),
        key("smtp_alert", TRUTH),
        key("smtp_alert_checker", TRUTH),
        key("no_email_faults", TRUTH),
        key("webhook", TEXTS),
    ],
    short: Short::Never,
});

const TIMEOUTS: Kind = Kind::Table(&Table {
    noun: "lvs_timeouts",
    keys: &[key("tcp", NUMBER), key("tcpfin", NUMBER), key("udp", NUMBER)],
    short: Short::Never,
});

const SYNC_DAEMON: Kind = Kind::Table(&Table {
    noun: "lvs_sync_daemon",
    keys: &[
        key("interface", TEXT),
        key("instance", TEXT),
        key("id", NUMBER),
        key("maxlen", NUMBER),
        key("port", NUMBER),
        key("ttl", NUMBER),
        key("group", TEXT),
    ],
    short: Short::Own("interface"),
});

impl Table {
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.name).collect()
    }
}
