//! News of a real server, or of a virtual server's quorum, as the thread that checks hands it over.

use std::sync::Arc;

use leasehold_dataplane::checker::{Event, Subject};
use leasehold_model::{Alerts, Epoch};
use serde::Serialize;

use super::news::{Call, Key, Lasting, Letter, News, environment, unix_ms};
use super::queue::Queue;

/// Changes that may wait to be told, some 300 bytes each: two of every real server and every
/// virtual server that there may be, so that a site that goes down as a whole, and comes back, is
/// told.
pub(super) const WAITING: usize = 2 * (65_536 + 16_384);

/// Whatever is known of it where it was seen.
#[derive(Clone, Debug)]
pub(crate) struct ServerChange {
    pub(crate) event: Event,
    /// For people.
    pub(crate) cause: String,
    /// Of the lease that the virtual server is served by here; 0 where it is not.
    pub(crate) epoch: Epoch,
    unix_ms: u64,
}

/// The end of the thread that checks: what it puts in waits for nobody. Dropped, it tells the
/// other end that nothing more comes.
pub(crate) struct Line(Arc<Queue<ServerChange>>);

/// The end of the thread that tells.
pub(crate) type ServerChanges = Arc<Queue<ServerChange>>;

pub(crate) fn line() -> (Line, ServerChanges) {
    let queue = Queue::new("change of a real server", WAITING);
    (Line(queue.clone()), queue)
}

impl Line {
    pub(crate) fn push(&self, change: ServerChange) {
        self.0.push(change);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What a webhook gets.
#[derive(Serialize)]
struct Post<'a> {
    cluster: &'a str,
    node: &'a str,
    kind: &'static str,
    virtual_server: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    real_server: Option<&'a str>,
    state: &'static str,
    epoch: u64,
    cause: &'a str,
    unix_ms: u64,
}

impl ServerChange {
    pub(crate) fn new(event: Event, cause: String, epoch: Epoch) -> Self {
        Self { event, cause, epoch, unix_ms: unix_ms() }
    }

    pub(super) fn news(&self, cluster: &str, node: &str, alerts: &Alerts) -> News {
        let Self { event, cause, epoch, unix_ms } = self;
        let (service, protocol) = &event.server;
        let virtual_server = service.name(*protocol);
        let (kind, real_server) = match event.subject {
            Subject::RealServer(address) => ("RS", Some(address.to_string())),
            Subject::VirtualServer => ("VS", None),
        };
        let state = if event.up { "UP" } else { "DOWN" };
        let post = Post {
            cluster,
            node,
            kind,
            virtual_server: &virtual_server,
            real_server: real_server.as_deref(),
            state,
            epoch: epoch.0,
            cause,
            unix_ms: *unix_ms,
        };
        let json = serde_json::to_string(&post).expect("words and numbers have a form in JSON");
        let mut env = environment([
            ("EPOCH", epoch.0.to_string()),
            ("KIND", kind.to_owned()),
            ("VIRTUAL_SERVER", virtual_server),
            ("STATE", state.to_owned()),
            ("NODE", node.to_owned()),
            ("CLUSTER", cluster.to_owned()),
            ("CAUSE", cause.clone()),
        ]);
        env.extend(real_server.map(|one| ("LEASEHOLD_REAL_SERVER".to_owned(), one)));
        News {
            key: Key::Server(event.server.clone(), event.subject),
            state,
            lasting: if event.is_last() { Lasting::Last } else { Lasting::State },
            line: event.to_string(),
            scripts: self.script().into_iter().collect(),
            env,
            json,
            mail: self.mail(cluster, node, alerts),
            node: node.to_owned(),
        }
    }

    fn script(&self) -> Option<Call> {
        let word = match (self.event.subject, self.event.up) {
            (Subject::RealServer(_), true) => "notify_up",
            (Subject::RealServer(_), false) => "notify_down",
            (Subject::VirtualServer, true) => "quorum_up",
            (Subject::VirtualServer, false) => "quorum_down",
        };
        let script = self.event.script.clone()?;
        Some(Call { word, script, arguments: Vec::new() })
    }

    /// Where nobody says anything, real servers have mail and virtual servers have none, as with
    /// keepalived (`validate_check_config` of `check_data.c`).
    fn mail(&self, cluster: &str, node: &str, alerts: &Alerts) -> Option<Letter> {
        let event = &self.event;
        let unsaid = match event.subject {
            Subject::RealServer(_) => true,
            Subject::VirtualServer => false,
        };
        if !event.smtp_alert.or(alerts.smtp_alert_checker).unwrap_or(unsaid) {
            return None;
        }
        let body = format!(
            "{event} at director {node} of cluster {cluster}.\r\nWhy: {}\r\nEpoch: {}\r\n",
            self.cause, self.epoch.0,
        );
        Some(Letter { subject: event.mail_subject(), body })
    }
}
