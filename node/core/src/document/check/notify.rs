//! What scripts, mail and webhooks must fulfil.

use leasehold_model::{Alerts, Config, Notify, Script};

use super::Check;
use crate::document::mail;
use crate::words;

impl Check {
    pub(super) fn notify(&mut self, config: &Config, notify: &Notify) {
        for (name, script) in notify.scripts() {
            if let Some(script) = script {
                self.at(name, |check| check.program(script));
            }
        }
        self.alert(config, notify.smtp_alert);
    }

    pub(super) fn no_mail(&mut self, what: &str) {
        self.warn(
            format!("{what}: no mail is sent without notification_email and smtp_server"),
            "both belong in [global.alerts]",
        );
    }

    pub(super) fn alerts(&mut self, alerts: &Alerts) {
        for address in &alerts.notification_email {
            self.at_path(&["notification_email", address], |check| check.mail_address(address));
        }
        if let Some(address) = &alerts.notification_email_from {
            self.at("notification_email_from", |check| check.mail_address(address));
        }
        let (to, by) = (!alerts.notification_email.is_empty(), alerts.smtp_server.is_some());
        let half = match (to, by) {
            (true, false) => Some("notification_email"),
            (false, true) => Some("smtp_server"),
            (true, true) => None,
            (false, false) if alerts.smtp_alert => Some("smtp_alert"),
            (false, false) => {
                (alerts.smtp_alert_checker == Some(true)).then_some("smtp_alert_checker")
            }
        };
        if let Some(half) = half {
            self.at(half, |check| check.no_mail(&format!("{half} alone has no effect")));
        }
        for url in &alerts.webhook {
            self.at_path(&["webhook", url], |check| check.webhook(url));
        }
        self.pipes(alerts);
        for (name, user) in
            [("script_user", &alerts.script_user), ("script_group", &alerts.script_group)]
        {
            if let Some(user) = user {
                self.at(name, |check| check.user(name, user));
            }
        }
    }

    fn pipes(&mut self, alerts: &Alerts) {
        let pipes = [
            (("notify_fifo", &alerts.notify_fifo), &alerts.notify_fifo_script),
            (("vrrp_notify_fifo", &alerts.vrrp_notify_fifo), &alerts.vrrp_notify_fifo_script),
            (("lvs_notify_fifo", &alerts.lvs_notify_fifo), &alerts.lvs_notify_fifo_script),
        ];
        if alerts.vrrp_notify_fifo.is_some()
            && alerts.vrrp_notify_fifo == alerts.lvs_notify_fifo
            && alerts.vrrp_notify_fifo_script.is_some()
            && alerts.lvs_notify_fifo_script.is_some()
        {
            self.at("lvs_notify_fifo_script", |check| {
                let message = "the pipe is vrrp_notify_fifo too, which has a reader already";
                check.error(message, "two readers of one pipe have half of its lines each");
            });
        }
        for ((name, path), script) in pipes {
            if let Some(path) = path {
                self.at(name, |check| {
                    check.absolute(name, path);
                    // Those of two kinds may be one; what has all changes is not told twice.
                    if name != "notify_fifo" && Some(path) == alerts.notify_fifo.as_ref() {
                        let message = format!("{path} is notify_fifo already");
                        check.error(message, "notify_fifo has all changes: remove this one");
                    }
                });
            }
            if let Some(script) = script {
                let of_script = format!("{name}_script");
                self.at(&of_script, |check| {
                    check.program(script);
                    if path.is_none() {
                        check.warn(format!("{of_script} has no effect without {name}"), "");
                    }
                });
            }
        }
    }

    fn mail_address(&mut self, address: &str) {
        if !mail::is_address(address) {
            self.error(format!("{address:?} is no mail address"), "for example ops@example.org");
        }
    }

    fn webhook(&mut self, url: &str) {
        let hint = "for example http://127.0.0.1:8080/leasehold";
        let odd = |c: char| c.is_whitespace() || c.is_control();
        if url.starts_with("https://") {
            let message = format!("{url} is https, which is not served");
            self.error(message, "http://, to a relay on this network that speaks TLS");
        } else if url.strip_prefix("http://").is_none_or(|rest| rest.is_empty()) {
            self.error(format!("{url:?} is no http:// URL"), hint);
        } else if url.contains(odd) {
            self.error(format!("{url:?} has a space in it"), hint);
        }
    }

    pub(super) fn program(&mut self, script: &Script) {
        self.command(&script.command);
        self.users(script);
    }

    pub(super) fn users(&mut self, script: &Script) {
        if script.user.is_none() && script.group.is_some() {
            self.at("group", |check| check.error("a group without a user", "give the user too"));
        }
        for (name, value) in [("user", &script.user), ("group", &script.group)] {
            if let Some(value) = value {
                self.at(name, |check| check.user(name, value));
            }
        }
    }

    fn user(&mut self, what: &str, name: &str) {
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == ':') {
            self.error(format!("{name:?} can't be a {what}"), "a name that the directors know");
        }
    }

    /// A program that PATH would find may be another on each director.
    pub(super) fn command(&mut self, command: &str) {
        let words = match words::split(command) {
            Ok(words) => words,
            Err(error) => return self.error(error.to_string(), "the path of a program"),
        };
        let program = &words[0];
        if program.starts_with('/') {
            return;
        }
        if program.contains('/') {
            let message = format!("{program} is a relative path");
            self.error(message, "write the whole path, from / on");
        } else {
            self.warn(
                format!("{program} is looked for in PATH, on each director"),
                "write the whole path, from / on",
            );
        }
    }

    pub(super) fn absolute(&mut self, what: &str, path: &str) {
        if !path.starts_with('/') {
            self.error(format!("{what} {path:?} is no absolute path"), "write it from / on");
        }
    }
}

pub(super) fn can_mail(alerts: &Alerts) -> bool {
    !alerts.notification_email.is_empty() && alerts.smtp_server.is_some()
}
