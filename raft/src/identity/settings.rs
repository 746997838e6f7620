//! `node.json`: what a node knows of itself before it has read its log.

use std::net::IpAddr;
use std::path::Path;

use leasehold_raft_core::model::{NodeId, Role};
use serde::{Deserialize, Serialize};

use super::{Error, names};

/// The format that this version writes, and the newest that it reads.
pub(super) const FORMAT: u64 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub(super) format: u64,
    pub cluster: String,
    pub node: NodeId,
    pub name: String,
    /// host:port, where the node listens and its peers reach it.
    pub listen: String,
    pub role: Role,
    /// The cluster's timing, in a form that only its user reads.
    #[serde(default)]
    pub timing: serde_json::Value,
    /// How often the daemon was started on this directory: a number for each start.
    #[serde(default)]
    pub incarnation: u64,
    /// Where to look for the cluster after a start. May be out of date; the log is not.
    #[serde(default)]
    pub peers: Vec<KnownPeer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPeer {
    pub id: NodeId,
    pub name: String,
    pub address: String,
}

#[derive(Deserialize)]
struct Format {
    format: u64,
}

impl Settings {
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let Format { format } =
            serde_json::from_str(text).map_err(|error| Error::damaged(path, error))?;
        if format != FORMAT {
            let path = path.to_owned();
            return Err(Error::FutureFormat { path, found: format, known: FORMAT });
        }
        serde_json::from_str(text).map_err(|error| Error::damaged(path, error))
    }

    /// What the form alone does not tell.
    pub(super) fn check(&self) -> Result<(), String> {
        if !names::is_cluster(&self.cluster) {
            return Err(format!("`{}` names no cluster", self.cluster));
        }
        if self.node == NodeId(0) {
            return Err("there is no node 0".to_owned());
        }
        check_name(&self.name).map_err(|error| error.to_string())?;
        check_address(&self.listen).map_err(|error| error.to_string())
    }

    pub(super) fn to_text(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("strings, numbers and JSON are JSON");
        text.push('\n');
        text
    }
}

/// A node's name is a word in commands, in the configuration and in logs.
pub fn check_name(name: &str) -> Result<(), Error> {
    let fits = (1..=63).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if fits {
        return Ok(());
    }
    let rule = "1 to 63 letters, digits, `-`, `_` or `.`, the first a letter or digit";
    Err(Error::Name { what: "node", name: name.to_owned(), rule })
}

/// The listen address is also the one that peers dial, so it must mean one machine.
pub fn check_address(address: &str) -> Result<(), Error> {
    let refuse = |why| Err(Error::Address { address: address.to_owned(), why });
    let Some((host, port)) = address.rsplit_once(':') else {
        return refuse("it has no port");
    };
    if !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return refuse("its port is not a number from 1 to 65535");
    }
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if bare.is_none() && host.contains(':') {
        return refuse("an IPv6 address stands in brackets");
    }
    if let Ok(ip) = bare.unwrap_or(host).parse::<IpAddr>() {
        return if ip.is_unspecified() { refuse("it means every interface") } else { Ok(()) };
    }
    let word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if bare.is_some() || host.is_empty() || !host.chars().all(word) {
        return refuse("its host is neither an IP address nor a name");
    }
    Ok(())
}
