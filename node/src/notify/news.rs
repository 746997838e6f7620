//! One piece of news, as every way of telling needs it.
//!
//! Whatever it is about, an instance that changed its state or a real server that went down, it
//! becomes this before anybody is told of it: no way of telling knows what there is to tell of.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use leasehold_dataplane::checker::{Name, Subject};
use leasehold_model::{Config, Script};

/// What it is about. Its news is told in order, and no state of it twice in a row by mail; where
/// everything is told again, it is in the order of these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Instance(String),
    Group(String),
    Server(Name, Subject),
}

/// What runs, waits and is dropped apart: a thousand real servers that go down hold up no news of
/// an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    Vrrp,
    Lvs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lasting {
    /// So it is until there is other news of it.
    State,
    /// It happened, and changed no state.
    Moment,
    /// It is in the configuration no more.
    Last,
}

#[derive(Clone, Debug)]
pub(super) struct News {
    pub(super) key: Key,
    /// The new state in one word, as scripts are told.
    pub(super) state: &'static str,
    pub(super) lasting: Lasting,
    /// For pipes, without its end.
    pub(super) line: String,
    /// To be run one after the other.
    pub(super) scripts: Vec<Call>,
    /// For scripts.
    pub(super) env: Vec<(String, String)>,
    /// For webhooks.
    pub(super) json: String,
    /// Absent where the configuration wants none.
    pub(super) mail: Option<Letter>,
    /// The director that tells it.
    pub(super) node: String,
}

/// A script of the configuration, which calls it `word`, and what is added to its arguments.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) word: &'static str,
    pub(super) script: Script,
    pub(super) arguments: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Letter {
    /// What follows the router's name.
    pub(super) subject: String,
    pub(super) body: String,
}

impl Key {
    pub(super) fn field(&self) -> Field {
        match self {
            Self::Instance(_) | Self::Group(_) => Field::Vrrp,
            Self::Server(..) => Field::Lvs,
        }
    }
}

/// Everything that there can be news of.
pub(super) fn keys(config: &Config) -> BTreeSet<Key> {
    let instances = config.instances.keys().cloned().map(Key::Instance);
    let groups = config.sync_groups.keys().cloned().map(Key::Group);
    let servers = config.virtual_servers.iter().flat_map(|server| {
        let reals = server.real_servers.iter().map(|real| Subject::RealServer(real.address));
        reals.chain([Subject::VirtualServer]).map(|subject| Key::Server(server.key(), subject))
    });
    instances.chain(groups).chain(servers).collect()
}

/// Whether there can be more news of it, as far as the configuration is known.
pub(super) fn is_known(keys: Option<&BTreeSet<Key>>, key: &Key) -> bool {
    keys.is_none_or(|keys| keys.contains(key))
}

/// What a script's environment has of ours.
pub(super) fn environment<const N: usize>(set: [(&str, String); N]) -> Vec<(String, String)> {
    set.into_iter().map(|(key, value)| (format!("LEASEHOLD_{key}"), value)).collect()
}

/// The wall clock, for people.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
