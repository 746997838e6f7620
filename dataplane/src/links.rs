//! Interfaces: which there are, and which can carry a VIP.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;
use leasehold_dataplane_core::frame::Mac;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::Handle;

use crate::DataplaneError;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    /// Set up by the operator, with carrier, and ready (`operstate`).
    pub up: bool,
    /// Of six bytes; others are not Ethernet's.
    pub mac: Option<Mac>,
}

/// Every interface of this network namespace, by name.
///
/// # Errors
/// Where the kernel does not say.
pub async fn list(handle: &Handle) -> Result<BTreeMap<String, Link>, DataplaneError> {
    let failed = |source| DataplaneError::Read { what: "interfaces", source };
    let mut links = BTreeMap::new();
    let mut dump = handle.link().get().execute();
    while let Some(message) = dump.try_next().await.map_err(failed)? {
        if let Some((name, link)) = link(&message) {
            links.insert(name, link);
        }
    }
    Ok(links)
}

/// The names of the interfaces that exist, are up and have carrier.
///
/// # Errors
/// Where the kernel does not say.
pub async fn interfaces_up(handle: &Handle) -> Result<BTreeSet<String>, DataplaneError> {
    let links = list(handle).await?;
    Ok(links.into_iter().filter(|(_, link)| link.up).map(|(name, _)| name).collect())
}

fn link(message: &LinkMessage) -> Option<(String, Link)> {
    let mut name = None;
    let mut mac = None;
    for attribute in &message.attributes {
        if let LinkAttribute::IfName(value) = attribute {
            name = Some(value.clone());
        } else if let LinkAttribute::Address(value) = attribute {
            mac = value.as_slice().try_into().ok().map(Mac);
        }
    }
    // The kernel sets RUNNING from `operstate`, and LOWER_UP from the carrier.
    let up = LinkFlags::Up | LinkFlags::Running | LinkFlags::LowerUp;
    let link = Link { index: message.header.index, up: message.header.flags.contains(up), mac };
    Some((name?, link))
}
