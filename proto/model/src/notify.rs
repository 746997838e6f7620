//! Who is told of an instance's changes, and how.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::virtual_server::Script;

/// What an instance or a sync group runs when its state changes at a director.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notify {
    /// On every change, after the one for that state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<Script>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_master: Option<Script>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_backup: Option<Script>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_fault: Option<Script>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_stop: Option<Script>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_deleted: Option<Script>,
    /// While it is held, an advert of lower priority came from outside the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_master_rx_lower_pri: Option<Script>,
    /// Also changes of the priority are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_priority_changes: Option<bool>,
    /// Absent: as the cluster's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp_alert: Option<bool>,
}

/// A script, and the word that names it.
type Named<T> = (&'static str, T);

impl Notify {
    /// Every script's place.
    #[must_use]
    pub fn scripts(&self) -> [Named<&Option<Script>>; 7] {
        [
            ("notify", &self.notify),
            ("notify_master", &self.notify_master),
            ("notify_backup", &self.notify_backup),
            ("notify_fault", &self.notify_fault),
            ("notify_stop", &self.notify_stop),
            ("notify_deleted", &self.notify_deleted),
            ("notify_master_rx_lower_pri", &self.notify_master_rx_lower_pri),
        ]
    }

    /// The same, in the same order, to be changed.
    pub fn scripts_mut(&mut self) -> [&mut Option<Script>; 7] {
        [
            &mut self.notify,
            &mut self.notify_master,
            &mut self.notify_backup,
            &mut self.notify_fault,
            &mut self.notify_stop,
            &mut self.notify_deleted,
            &mut self.notify_master_rx_lower_pri,
        ]
    }

    /// What it says, and where it says nothing, what `other` says.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        for (own, (_, other)) in self.scripts_mut().into_iter().zip(other.scripts()) {
            if own.is_none() {
                own.clone_from(other);
            }
        }
        self.notify_priority_changes =
            self.notify_priority_changes.or(other.notify_priority_changes);
        self.smtp_alert = self.smtp_alert.or(other.smtp_alert);
        self
    }
}

/// The cluster's own ways to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Alerts {
    /// Who scripts run as. Absent: `keepalived_script`, or else nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script_user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script_group: Option<String>,
    /// A named pipe that every change is written to, one line each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_fifo: Option<String>,
    /// Started with the pipe's path as its last argument.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_fifo_script: Option<Script>,
    /// The same, of instances and groups alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vrrp_notify_fifo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vrrp_notify_fifo_script: Option<Script>,
    /// The same, of real servers and quorums alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lvs_notify_fifo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lvs_notify_fifo_script: Option<Script>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notification_email: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_email_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp_server: Option<SmtpServer>,
    /// Absent: 30000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp_connect_timeout_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp_helo_name: Option<String>,
    /// What instances and groups do that say nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub smtp_alert: bool,
    /// What real servers and virtual servers do that say nothing. Absent: mail of real servers, and
    /// none of virtual servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp_alert_checker: Option<bool>,
    /// Not those of a fault.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_email_faults: bool,
    /// Each gets a POST of every change, in JSON.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub webhook: Vec<String>,
}

/// A mail relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmtpServer {
    Address(SocketAddr),
    Name { host: String, port: u16 },
}

impl SmtpServer {
    /// SMTP's own (RFC 5321, 4.5.4.2).
    pub const PORT: u16 = 25;

    #[must_use]
    pub fn new(host: &str, port: u16) -> Self {
        match host.parse::<IpAddr>() {
            Ok(address) => Self::Address(SocketAddr::new(address, port)),
            Err(_) => Self::Name { host: host.to_owned(), port },
        }
    }
}
