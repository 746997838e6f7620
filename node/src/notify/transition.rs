//! News of an instance or a sync group: a transition, with all that anyone is told along with it.

use std::net::IpAddr;

use leasehold_model::{Alerts, Config, Instance, Notify};
use leasehold_node_core::notify::{Kind, State, Transition};
use leasehold_raft::state::State as Cluster;
use serde::Serialize;

use super::news::{Call, Key, Lasting, Letter, News, environment};

#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) transition: Transition,
    pub(super) cluster: String,
    /// This director's name.
    pub(super) node: String,
    pub(super) vips: Vec<IpAddr>,
    pub(super) unix_ms: u64,
    /// Who is told, as the instance or the group says.
    pub(super) notify: Notify,
    /// It is in the configuration no more.
    pub(super) gone: bool,
}

/// What a webhook gets.
#[derive(Serialize)]
struct Post<'a> {
    cluster: &'a str,
    node: &'a str,
    kind: &'static str,
    name: &'a str,
    state: &'static str,
    priority: u8,
    epoch: u64,
    vips: &'a [IpAddr],
    cause: &'a str,
    unix_ms: u64,
}

impl Change {
    /// `before` is the configuration that came before that of `state`.
    pub(super) fn new(
        transition: Transition,
        state: &Cluster,
        before: &Config,
        node: &str,
        unix_ms: u64,
    ) -> Self {
        let now = described(&state.config, &transition, node);
        let gone = now.is_none();
        let (notify, vips) =
            now.or_else(|| described(before, &transition, node)).unwrap_or_default();
        let (cluster, node) = (state.cluster.clone(), node.to_owned());
        Self { transition, cluster, node, vips, unix_ms, notify, gone }
    }

    pub(super) fn news(&self, alerts: &Alerts) -> News {
        let Transition { kind, name, state, .. } = &self.transition;
        let lasting = match (self.gone, is_state(*state)) {
            (true, _) => Lasting::Last,
            (false, true) => Lasting::State,
            (false, false) => Lasting::Moment,
        };
        News {
            key: match kind {
                Kind::Instance => Key::Instance(name.clone()),
                Kind::Group => Key::Group(name.clone()),
            },
            state: state.word(),
            lasting,
            line: self.transition.to_string(),
            scripts: self.scripts(),
            env: self.env(),
            json: self.json(),
            mail: self.mail(alerts),
            node: self.node.clone(),
        }
    }

    /// First the one for the state, then the one for all of them.
    fn scripts(&self) -> Vec<Call> {
        let (notify, transition) = (&self.notify, &self.transition);
        let own = match transition.state {
            State::Master => Some(("notify_master", &notify.notify_master)),
            State::Backup => Some(("notify_backup", &notify.notify_backup)),
            State::Fault => Some(("notify_fault", &notify.notify_fault)),
            State::Stop => Some(("notify_stop", &notify.notify_stop)),
            State::Deleted => Some(("notify_deleted", &notify.notify_deleted)),
            State::MasterRxLowerPri => {
                Some(("notify_master_rx_lower_pri", &notify.notify_master_rx_lower_pri))
            }
            // As with keepalived, only the pipe hears of these.
            State::MasterPriority | State::BackupPriority => None,
        };
        let own = own.and_then(|(word, script)| {
            let script = script.clone()?;
            Some(Call { word, script, arguments: Vec::new() })
        });
        let every = notify.notify.clone().filter(|_| is_state(transition.state));
        let every = every.map(|script| {
            let (kind, state) = (transition.kind.word(), transition.state.word());
            let (name, priority) = (transition.name.clone(), transition.priority.to_string());
            let arguments = vec![kind.to_owned(), name, state.to_owned(), priority];
            Call { word: "notify", script, arguments }
        });
        own.into_iter().chain(every).collect()
    }

    fn env(&self) -> Vec<(String, String)> {
        let Transition { kind, name, state, priority, epoch, cause } = &self.transition;
        environment([
            ("EPOCH", epoch.0.to_string()),
            ("KIND", kind.word().to_owned()),
            ("INSTANCE", name.clone()),
            ("STATE", state.word().to_owned()),
            ("PRIORITY", priority.to_string()),
            ("NODE", self.node.clone()),
            ("CLUSTER", self.cluster.clone()),
            ("VIPS", self.addresses()),
            ("CAUSE", cause.clone()),
        ])
    }

    fn json(&self) -> String {
        let Transition { kind, name, state, priority, epoch, cause } = &self.transition;
        let post = Post {
            cluster: &self.cluster,
            node: &self.node,
            kind: kind.word(),
            name,
            state: state.word(),
            priority: *priority,
            epoch: epoch.0,
            vips: &self.vips,
            cause,
            unix_ms: self.unix_ms,
        };
        serde_json::to_string(&post).expect("words and numbers have a form in JSON")
    }

    /// With keepalived's subject.
    fn mail(&self, alerts: &Alerts) -> Option<Letter> {
        let Transition { kind, name, state, priority, epoch, cause } = &self.transition;
        let entering = entering(*state, alerts)?;
        if !self.notify.smtp_alert.unwrap_or(alerts.smtp_alert) {
            return None;
        }
        let what = match kind {
            Kind::Instance => "Instance",
            Kind::Group => "Group",
        };
        let body = format!(
            "{} \"{name}\" is {} at director {} of cluster {}.\r\n\
             Why: {cause}\r\nPriority: {priority}\r\nEpoch: {}\r\nAddresses: {}\r\n",
            kind.word(),
            state.word(),
            self.node,
            self.cluster,
            epoch.0,
            self.addresses(),
        );
        Some(Letter { subject: format!("VRRP {what} {name} - {entering}"), body })
    }

    fn addresses(&self) -> String {
        let vips: Vec<_> = self.vips.iter().map(ToString::to_string).collect();
        vips.join(" ")
    }
}

/// The others are news of something else.
fn is_state(state: State) -> bool {
    match state {
        State::Master | State::Backup | State::Fault | State::Stop | State::Deleted => true,
        State::MasterRxLowerPri | State::MasterPriority | State::BackupPriority => false,
    }
}

/// keepalived's words; none for what is not mailed.
fn entering(state: State, alerts: &Alerts) -> Option<&'static str> {
    match state {
        State::Master => Some("Entering MASTER state"),
        State::Backup => Some("Entering BACKUP state"),
        State::Fault => (!alerts.no_email_faults).then_some("Entering FAULT state"),
        State::Stop => Some("Stopping"),
        State::Deleted => Some("Deleted"),
        State::MasterRxLowerPri | State::MasterPriority | State::BackupPriority => None,
    }
}

/// Who is told of the instance or the group, and what its VIPs are.
fn described(
    config: &Config,
    transition: &Transition,
    director: &str,
) -> Option<(Notify, Vec<IpAddr>)> {
    let vips = |one: &Instance| one.vips().map(|vip| vip.address).collect::<Vec<_>>();
    match transition.kind {
        Kind::Instance => {
            let instance = config.instances.get(&transition.name)?;
            Some((instance.notify_at(director), vips(instance)))
        }
        Kind::Group => {
            let group = config.sync_groups.get(&transition.name)?;
            let members = group.members.iter().filter_map(|name| config.instances.get(name));
            Some((group.notify.clone(), members.flat_map(vips).collect()))
        }
    }
}
