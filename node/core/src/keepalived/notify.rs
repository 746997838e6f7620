//! Scripts that are told of changes, and the cluster's mail.

use leasehold_model::{Alerts, Notify, Script, SmtpServer};

use super::lex::{Pos, Word};
use super::lower::{File, Lower};
use super::parse::Statement;
use super::statement::{number, timer};
use crate::document::mail;

/// As in TOML.
const MAX_SMTP_TIMEOUT_MS: u32 = 3_600_000;

/// Who mails, as `global_defs` has it so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mailing {
    all: Option<bool>,
    vrrp: Option<bool>,
    checks: Option<bool>,
}

impl Lower<'_> {
    /// Reads a notification of an instance or a group; other lines are left alone.
    pub(super) fn notify_line(
        &mut self,
        one: &Statement,
        notify: &mut Notify,
        places: &mut Vec<(String, Pos)>,
    ) {
        let name = one.keyword.text.as_str();
        let slot = match name {
            "notify" => &mut notify.notify,
            "notify_master" => &mut notify.notify_master,
            "notify_backup" => &mut notify.notify_backup,
            "notify_fault" => &mut notify.notify_fault,
            "notify_stop" => &mut notify.notify_stop,
            "notify_deleted" => &mut notify.notify_deleted,
            "notify_master_rx_lower_pri" => &mut notify.notify_master_rx_lower_pri,
            "notify_priority_changes" | "smtp_alert" => {
                let flag = self.flag(one).map(|flag| flag.value);
                match name {
                    "smtp_alert" => notify.smtp_alert = flag,
                    _ => notify.notify_priority_changes = flag,
                }
                return places.push((name.to_owned(), one.keyword.at));
            }
            _ => return,
        };
        *slot = self.notify_script(one);
        places.push((name.to_owned(), one.keyword.at));
    }

    /// A command, in quotes where it has arguments, and who runs it.
    pub(super) fn notify_script(&mut self, one: &Statement) -> Option<Script> {
        let [command, who @ ..] = one.arguments.as_slice() else { return self.script(one) };
        let plain = !command.quoted && !command.unescaped().contains(' ');
        if who.is_empty() || who.len() > 2 || !plain {
            return self.script(one);
        }
        self.no_block(one);
        let message = format!("{} is the user that runs {}", who[0].text, command.text);
        let hint = "quotes around a command and its arguments make them one";
        self.report.warn(who[0].at, message, hint);
        Some(Script {
            command: command.unescaped(),
            user: Some(who[0].text.clone()),
            group: who.get(1).map(|word| word.text.clone()),
        })
    }

    /// Reads a line of `global_defs` that is about scripts or mail; others are left alone.
    pub(super) fn alert_line(
        &mut self,
        one: &Statement,
        alerts: &mut Alerts,
        places: &mut Vec<(String, Pos)>,
    ) {
        let setting = match one.keyword.text.as_str() {
            "notification_email" => {
                self.recipients(one, alerts, places);
                "notification_email"
            }
            "notification_email_from" => {
                let word = self.argument(one).filter(|word| self.can_be_mailed(word));
                alerts.notification_email_from = word.map(|word| word.text.clone());
                "notification_email_from"
            }
            "smtp_server" => {
                alerts.smtp_server = self.smtp_server(one);
                "smtp_server"
            }
            "smtp_connect_timeout" => {
                let read = timer(1, MAX_SMTP_TIMEOUT_MS);
                let timeout = self.value(one, "0.001 to 3600 seconds", read);
                alerts.smtp_connect_timeout_ms = timeout.map(|timeout| timeout.value);
                "smtp_connect_timeout_ms"
            }
            "smtp_helo_name" => {
                alerts.smtp_helo_name = self.text(one);
                "smtp_helo_name"
            }
            "no_email_faults" => {
                alerts.no_email_faults = self.flag(one).is_some_and(|flag| flag.value);
                "no_email_faults"
            }
            "script_user" => {
                if let Some((user, group)) = self.user(one) {
                    (alerts.script_user, alerts.script_group) = (Some(user), group);
                }
                "script_user"
            }
            "notify_fifo" => {
                alerts.notify_fifo = self.text(one);
                "notify_fifo"
            }
            "notify_fifo_script" => {
                alerts.notify_fifo_script = self.notify_script(one);
                "notify_fifo_script"
            }
            "vrrp_notify_fifo" => {
                alerts.vrrp_notify_fifo = self.text(one);
                "vrrp_notify_fifo"
            }
            "vrrp_notify_fifo_script" => {
                alerts.vrrp_notify_fifo_script = self.notify_script(one);
                "vrrp_notify_fifo_script"
            }
            "lvs_notify_fifo" => {
                alerts.lvs_notify_fifo = self.text(one);
                "lvs_notify_fifo"
            }
            "lvs_notify_fifo_script" => {
                alerts.lvs_notify_fifo_script = self.notify_script(one);
                "lvs_notify_fifo_script"
            }
            _ => return,
        };
        places.push((setting.to_owned(), one.keyword.at));
    }

    /// Reads a line of `global_defs` that says who mails; others are left alone. The narrower word
    /// counts, wherever it stands (`vrrp_complete_instance` of `vrrp.c`, `validate_check_config` of
    /// `check_data.c`).
    pub(super) fn mailing_line(&mut self, one: &Statement, file: &mut File) {
        let name = one.keyword.text.as_str();
        let (slot, settings): (_, &[&str]) = match name {
            "smtp_alert" => (&mut file.mailing.all, &["smtp_alert", "smtp_alert_checker"]),
            "smtp_alert_vrrp" => (&mut file.mailing.vrrp, &["smtp_alert"]),
            "smtp_alert_checker" => (&mut file.mailing.checks, &["smtp_alert_checker"]),
            _ => return,
        };
        *slot = self.flag(one).map(|flag| flag.value);
        let Mailing { all, vrrp, checks } = file.mailing;
        file.global.alerts.smtp_alert = vrrp.or(all).unwrap_or(false);
        file.global.alerts.smtp_alert_checker = checks.or(all);
        let places = settings.iter().map(|setting| ((*setting).to_owned(), one.keyword.at));
        file.places.extend(places);
    }

    /// Two pipes may have one path in keepalived: it ignores the narrower one where `notify_fifo`
    /// has its path; where the other two share one, it starts the reader of VRRP alone
    /// (`init_global_data` of `global_data.c`).
    pub(super) fn pipes_of_one_path(&mut self, file: &mut File) {
        let places = file.places.clone();
        let place = |name: &str| {
            let found = places.iter().find(|(setting, _)| setting == name);
            found.map_or(file.at, |(_, at)| *at)
        };
        let Alerts {
            notify_fifo: all,
            vrrp_notify_fifo: vrrp,
            vrrp_notify_fifo_script: vrrp_script,
            lvs_notify_fifo: lvs,
            lvs_notify_fifo_script: lvs_script,
            ..
        } = &mut file.global.alerts;
        let narrower = [
            ("vrrp_notify_fifo", &mut *vrrp, &mut *vrrp_script),
            ("lvs_notify_fifo", &mut *lvs, &mut *lvs_script),
        ];
        for (name, path, script) in narrower {
            if path.is_some() && path == all {
                (*path, *script) = (None, None);
                let message = format!("{name} has the path of notify_fifo, and is left out");
                let hint = "notify_fifo has all changes; keepalived ignores this one too";
                self.report.warn(place(name), message, hint);
            }
        }
        if vrrp.is_some() && vrrp == lvs && vrrp_script.is_some() && lvs_script.is_some() {
            *lvs_script = None;
            let message = "lvs_notify_fifo_script is left out: its pipe has a reader already";
            let hint = "two readers of one pipe have half of its lines each";
            self.report.warn(place("lvs_notify_fifo_script"), message, hint);
        }
    }

    fn recipients(
        &mut self,
        one: &Statement,
        alerts: &mut Alerts,
        places: &mut Vec<(String, Pos)>,
    ) {
        for line in self.block(one).unwrap_or_default() {
            for word in std::iter::once(&line.keyword).chain(&line.arguments) {
                if self.can_be_mailed(word) {
                    places.push((format!("notification_email.{}", word.text), word.at));
                    alerts.notification_email.push(word.text.clone());
                }
            }
        }
        alerts.notification_email.sort();
        alerts.notification_email.dedup();
    }

    /// keepalived hands its relay whatever is written, also a name alone, as its own samples have
    /// it. Mail that can't be sent is no reason to take a whole configuration from anybody.
    fn can_be_mailed(&mut self, word: &Word) -> bool {
        let can = mail::is_address(&word.text);
        if !can {
            let message = format!("{:?} is no mail address, and is left out", word.text);
            self.report.warn(word.at, message, "with a domain, for example ops@example.org");
        }
        can
    }

    fn text(&mut self, one: &Statement) -> Option<String> {
        self.argument(one).map(|word| word.text.clone())
    }

    /// `smtp_server HOST [PORT]`.
    fn smtp_server(&mut self, one: &Statement) -> Option<SmtpServer> {
        self.no_block(one);
        let mut words = one.arguments.iter();
        let Some(host) = words.next() else {
            self.report.error(one.keyword.at, "smtp_server has no value", "a host, and a port");
            return None;
        };
        let port = match words.next() {
            Some(word) => self.after(host, Some(word), "a port", number(1, u16::MAX))?,
            None => SmtpServer::PORT,
        };
        let server = SmtpServer::new(&host.text, port);
        if matches!(&server, SmtpServer::Name { host, .. } if !mail::is_host(host)) {
            let message = format!("smtp_server {:?} is no host", host.text);
            self.report.error(host.at, message, "a name or an address, and a port");
            return None;
        }
        Some(server)
    }
}
