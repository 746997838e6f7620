//! The names that certificates carry: `node-<id>.<cluster>.leasehold` and
//! `client-<name>.<cluster>.leasehold`.

use std::fmt;

use leasehold_raft_core::model::NodeId;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Error;

const ZONE: &str = "leasehold";

/// Whom a certificate names. It is worth something only once its signature is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) cluster: String,
    pub(super) who: Who,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Node(NodeId),
    Client(String),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {node}"),
            Self::Client(name) => write!(f, "client {name}"),
        }
    }
}

/// A new cluster's name for itself: random, and fit for a DNS label.
pub(super) fn new_cluster() -> String {
    format!("{:016x}", rand::random::<u64>())
}

pub(super) fn is_cluster(text: &str) -> bool {
    text.len() == 16 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
}

pub(super) fn node(cluster: &str, node: NodeId) -> String {
    format!("node-{node}.{cluster}.{ZONE}")
}

pub(super) fn node_uri(cluster: &str, node: NodeId) -> String {
    format!("{ZONE}://{cluster}/node/{node}")
}

pub(super) fn client(cluster: &str, name: &str) -> String {
    format!("client-{name}.{cluster}.{ZONE}")
}

/// A client's name is part of a DNS label.
pub(super) fn check_client(name: &str) -> Result<(), Error> {
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = (1..=56).contains(&name.len())
        && name.starts_with(lower)
        && name.ends_with(lower)
        && name.chars().all(|c| lower(c) || c == '-');
    if fits {
        return Ok(());
    }
    let rule = "1 to 56 lower-case letters, digits or `-`, none of them first or last";
    Err(Error::Name { what: "client", name: name.to_owned(), rule })
}

pub(super) fn of_certificate(der: &CertificateDer<'_>) -> Option<Subject> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let mut dns =
        names.value.general_names.iter().filter_map(|name| {
            if let GeneralName::DNSName(text) = name { Some(*text) } else { None }
        });
    let only = dns.next()?;
    if dns.next().is_some() {
        return None;
    }
    parse(only)
}

fn parse(text: &str) -> Option<Subject> {
    let (label, rest) = text.split_once('.')?;
    let cluster = rest.strip_suffix(ZONE)?.strip_suffix('.')?;
    if !is_cluster(cluster) {
        return None;
    }
    let who = match label.split_once('-')? {
        ("node", id) => {
            Who::Node(NodeId(id.parse().ok().filter(|parsed: &u64| parsed.to_string() == id)?))
        }
        ("client", name) => {
            check_client(name).ok()?;
            Who::Client(name.to_owned())
        }
        _ => return None,
    };
    Some(Subject { cluster: cluster.to_owned(), who })
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn only_the_exact_form_names_anybody() {
        let cluster = "0123456789abcdef";
        let node7 = Subject { cluster: cluster.into(), who: Who::Node(NodeId(7)) };
        assert_eq!(parse(&node(cluster, NodeId(7))), Some(node7));
        let ops = Subject { cluster: cluster.into(), who: Who::Client("ops-1".into()) };
        assert_eq!(parse(&client(cluster, "ops-1")), Some(ops));
        for wrong in [
            "node-7.leasehold",
            "node-07.0123456789abcdef.leasehold",
            "node-+7.0123456789abcdef.leasehold",
            "node-.0123456789abcdef.leasehold",
            "client-.0123456789abcdef.leasehold",
            "client-A.0123456789abcdef.leasehold",
            "node-7.0123456789ABCDEF.leasehold",
            "node-7.0123456789abcdef.leasehold.example",
            "node-7.x.0123456789abcdef.leasehold",
            "*.0123456789abcdef.leasehold",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
