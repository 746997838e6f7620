//! Who is told of changes: the scripts of instances and groups, and `[global.alerts]`.

use leasehold_model::{Alerts, Notify};

use super::{At, Reader};
use crate::document::mail;

pub(super) const NOTIFY: [&str; 9] = [
    "notify",
    "notify_master",
    "notify_backup",
    "notify_fault",
    "notify_stop",
    "notify_deleted",
    "notify_master_rx_lower_pri",
    "notify_priority_changes",
    "smtp_alert",
];

const ALERTS: [&str; 17] = [
    "script_user",
    "script_group",
    "notify_fifo",
    "notify_fifo_script",
    "vrrp_notify_fifo",
    "vrrp_notify_fifo_script",
    "lvs_notify_fifo",
    "lvs_notify_fifo_script",
    "notification_email",
    "notification_email_from",
    "smtp_server",
    "smtp_connect_timeout_ms",
    "smtp_helo_name",
    "smtp_alert",
    "smtp_alert_checker",
    "no_email_faults",
    "webhook",
];

/// An hour, and far above what any relay needs.
const MAX_SMTP_TIMEOUT_MS: i64 = 3_600_000;

impl Reader<'_> {
    pub(super) fn notify(&mut self, at: &At<'_, '_>) -> Notify {
        Notify {
            notify: self.script(at, "notify"),
            notify_master: self.script(at, "notify_master"),
            notify_backup: self.script(at, "notify_backup"),
            notify_fault: self.script(at, "notify_fault"),
            notify_stop: self.script(at, "notify_stop"),
            notify_deleted: self.script(at, "notify_deleted"),
            notify_master_rx_lower_pri: self.script(at, "notify_master_rx_lower_pri"),
            notify_priority_changes: self.boolean(at, "notify_priority_changes"),
            smtp_alert: self.boolean(at, "smtp_alert"),
        }
    }

    pub(super) fn alerts(&mut self, at: &At<'_, '_>) -> Alerts {
        let Some(at) = self.table(at, "alerts") else { return Alerts::default() };
        self.known(&at, "[global.alerts]", &ALERTS);
        let own = |text: &str| Some(text.to_owned());
        let mut alerts = Alerts {
            script_user: self.owned(&at, "script_user"),
            script_group: self.owned(&at, "script_group"),
            notify_fifo: self.owned(&at, "notify_fifo"),
            notify_fifo_script: self.script(&at, "notify_fifo_script"),
            vrrp_notify_fifo: self.owned(&at, "vrrp_notify_fifo"),
            vrrp_notify_fifo_script: self.script(&at, "vrrp_notify_fifo_script"),
            lvs_notify_fifo: self.owned(&at, "lvs_notify_fifo"),
            lvs_notify_fifo_script: self.script(&at, "lvs_notify_fifo_script"),
            notification_email: self.words(&at, "notification_email", "an address", own),
            notification_email_from: self.owned(&at, "notification_email_from"),
            smtp_server: None,
            smtp_connect_timeout_ms: self.integer(
                &at,
                "smtp_connect_timeout_ms",
                1..=MAX_SMTP_TIMEOUT_MS,
            ),
            smtp_helo_name: self.owned(&at, "smtp_helo_name"),
            smtp_alert: self.boolean(&at, "smtp_alert").unwrap_or(false),
            smtp_alert_checker: self.boolean(&at, "smtp_alert_checker"),
            no_email_faults: self.boolean(&at, "no_email_faults").unwrap_or(false),
            webhook: self.words(&at, "webhook", "a URL", own),
        };
        if let Some(text) = self.string(&at, "smtp_server") {
            alerts.smtp_server = mail::server(text);
            if alerts.smtp_server.is_none() {
                let span = at.get("smtp_server").map_or(0..0, toml::Spanned::span);
                let message = format!("{text:?} is no mail relay");
                let hint = "HOST or HOST:PORT, such as \"mail.example.org:25\" or \"[fd00::1]:25\"";
                self.unread(&at.path_to("smtp_server"), &span, message, hint);
            }
        }
        alerts
    }
}
