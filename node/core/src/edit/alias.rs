//! keepalived's keywords for settings that the document calls otherwise, or counts otherwise.

use super::Noun;

/// What becomes of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Same,
    /// Seconds, with a fraction where there is one, to milliseconds.
    Milliseconds,
    /// The same to microseconds.
    Microseconds,
    /// True is false.
    Not,
}

type Row = (&'static str, &'static str, Change);

use Change::{Microseconds, Milliseconds, Not, Same};

const SERVER: &[Row] = &[
    ("lvs_sched", "lb_algo", Same),
    ("lvs_method", "lb_kind", Same),
    ("ip_family", "family", Same),
    ("sorry_server_inhibit", "sorry_server.inhibit", Same),
    ("sorry_server_lvs_method", "sorry_server.lb_kind", Same),
];

const REAL: &[Row] = &[
    ("lvs_method", "lb_kind", Same),
    ("connect_timeout", "check.connect_timeout_ms", Milliseconds),
    ("delay_loop", "check.delay_loop_ms", Milliseconds),
    ("delay_before_retry", "check.delay_before_retry_ms", Milliseconds),
    ("warmup", "check.warmup_ms", Milliseconds),
    ("retry", "check.retry", Same),
    ("bindto", "check.bindto", Same),
    ("bind_port", "check.bind_port", Same),
    ("bind_if", "check.bind_if", Same),
    ("fwmark", "check.fwmark", Same),
    ("log_all_failures", "check.log_all_failures", Same),
    ("helo_name", "check.helo_name", Same),
    ("path", "check.url.path", Same),
    ("status_code", "check.url.status_code", Same),
    ("digest", "check.url.digest", Same),
    ("http_protocol", "check.version", Same),
    ("misc_path", "check.script", Same),
    ("misc_timeout", "check.timeout_ms", Milliseconds),
    ("misc_dynamic", "check.dynamic", Same),
    ("payload", "check.payload", Same),
];

const INSTANCE: &[Row] = &[
    ("advert_int", "advert_int_ms", Milliseconds),
    ("preempt_delay", "preempt_delay_ms", Milliseconds),
    ("nopreempt", "preempt", Not),
    ("auth_type", "authentication.auth_type", Same),
    ("auth_pass", "authentication.auth_pass", Same),
    ("garp_master_delay", "garp.master_delay_s", Same),
    ("garp_master_repeat", "garp.master_repeat", Same),
    ("garp_master_refresh", "garp.master_refresh_s", Same),
    ("garp_master_refresh_repeat", "garp.master_refresh_repeat", Same),
    ("garp_lower_prio_delay", "garp.lower_prio_delay_s", Same),
    ("garp_lower_prio_repeat", "garp.lower_prio_repeat", Same),
    ("vmac_xmit_base", "use_vmac.xmit_base", Same),
];

const GLOBAL: &[Row] = &[
    ("vrrp_garp_interval", "garp_interval_us", Microseconds),
    ("vrrp_gna_interval", "gna_interval_us", Microseconds),
    ("vrrp_garp_master_delay", "garp.master_delay_s", Same),
    ("vrrp_garp_master_repeat", "garp.master_repeat", Same),
    ("vrrp_garp_master_refresh", "garp.master_refresh_s", Same),
    ("vrrp_garp_master_refresh_repeat", "garp.master_refresh_repeat", Same),
    ("vrrp_garp_lower_prio_delay", "garp.lower_prio_delay_s", Same),
    ("vrrp_garp_lower_prio_repeat", "garp.lower_prio_repeat", Same),
    ("notification_email", "alerts.notification_email", Same),
    ("notification_email_from", "alerts.notification_email_from", Same),
    ("smtp_server", "alerts.smtp_server", Same),
    ("smtp_connect_timeout", "alerts.smtp_connect_timeout_ms", Milliseconds),
    ("smtp_helo_name", "alerts.smtp_helo_name", Same),
    ("smtp_alert", "alerts.smtp_alert", Same),
    ("smtp_alert_vrrp", "alerts.smtp_alert", Same),
    ("smtp_alert_checker", "alerts.smtp_alert_checker", Same),
    ("no_email_faults", "alerts.no_email_faults", Same),
    ("script_user", "alerts.script_user", Same),
    ("notify_fifo", "alerts.notify_fifo", Same),
    ("notify_fifo_script", "alerts.notify_fifo_script", Same),
    ("vrrp_notify_fifo", "alerts.vrrp_notify_fifo", Same),
    ("vrrp_notify_fifo_script", "alerts.vrrp_notify_fifo_script", Same),
    ("lvs_notify_fifo", "alerts.lvs_notify_fifo", Same),
    ("lvs_notify_fifo_script", "alerts.lvs_notify_fifo_script", Same),
];

/// Types of checks, as keepalived calls their blocks.
pub(super) const CHECKS: [(&str, &str); 7] = [
    ("tcp_check", "tcp"),
    ("http_get", "http"),
    ("smtp_check", "smtp"),
    ("dns_check", "dns"),
    ("udp_check", "udp"),
    ("ping_check", "ping"),
    ("misc_check", "misc"),
];

pub(super) fn rows(noun: Noun) -> &'static [Row] {
    match noun {
        Noun::VirtualServer => SERVER,
        Noun::RealServer => REAL,
        Noun::Instance => INSTANCE,
        Noun::Global => GLOBAL,
    }
}

/// Where a keyword belongs that is no setting of this.
pub(super) fn elsewhere(noun: Noun, word: &str) -> Option<&'static str> {
    match (noun, word) {
        (
            Noun::VirtualServer,
            "delay_loop" | "retry" | "delay_before_retry" | "warmup" | "connect_timeout" | "check",
        ) => Some("each real server's checks have their own: `leasehold rs set VS RS ...`"),
        (Noun::VirtualServer, "weight" | "uthreshold" | "lthreshold") => {
            Some("each real server has its own: `leasehold rs set VS RS ...`")
        }
        (Noun::RealServer, "lb_algo" | "scheduler" | "persistence_timeout" | "quorum") => {
            Some("it is the virtual server's: `leasehold vs set VS ...`")
        }
        (Noun::Instance, "state") => {
            Some("it has no meaning here: the director of the highest priority holds it first")
        }
        (Noun::Instance, "mcast_src_ip" | "unicast_src_ip") => {
            Some("each director has its own: director.NAME.src_ip=ADDRESS")
        }
        (Noun::Instance, "router_id") => {
            Some("it is the cluster's: `leasehold global set router_id.DIRECTOR=ID`")
        }
        (Noun::VirtualServer | Noun::RealServer | Noun::Instance | Noun::Global, _) => None,
    }
}

impl Change {
    /// # Errors
    /// What the value should have been.
    pub(super) fn of(self, value: &str) -> Result<String, &'static str> {
        match self {
            Self::Same => Ok(value.to_owned()),
            Self::Milliseconds => fraction(value, 3).ok_or("seconds, such as 3 or 0.5"),
            Self::Microseconds => fraction(value, 6).ok_or("seconds, such as 0.01"),
            Self::Not => match value {
                "true" | "yes" | "on" => Ok("false".to_owned()),
                "false" | "no" | "off" => Ok("true".to_owned()),
                _ => Err("true or false"),
            },
        }
    }
}

/// `1.5` with three digits is 1500.
fn fraction(text: &str, digits: usize) -> Option<String> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !number(whole) || !number(part) || part.len() > digits {
        return None;
    }
    let all = format!("{whole}{part:0<digits$}");
    let trimmed = all.trim_start_matches('0');
    Some(if trimmed.is_empty() { "0".to_owned() } else { trimmed.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_what_the_document_counts() {
        let of = |text| Change::Milliseconds.of(text);
        assert_eq!(of("3"), Ok("3000".to_owned()));
        assert_eq!(of("0.5"), Ok("500".to_owned()));
        assert_eq!(of("1.25"), Ok("1250".to_owned()));
        assert_eq!(of("0"), Ok("0".to_owned()));
        assert_eq!(Change::Microseconds.of("0.01"), Ok("10000".to_owned()));
        for bad in ["", "x", "-1", "0.1234", "1.2.3", ".5"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
