//! Interfaces with a virtual router's MAC address: made before addresses are bound to them, deleted
//! after the lease.
//!
//! Ours are known by three things that no two programs choose alike: a macvlan, with a virtual
//! router's MAC address, in the interface group of our number.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use futures::TryStreamExt;
use leasehold_dataplane_core::frame::Mac;
use leasehold_dataplane_core::plan::Macvlan;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage, MacVlanMode};
use rtnetlink::{Handle, LinkMacVlan, LinkUnspec};

use crate::DataplaneError;
use crate::route::PROTOCOL;

/// `IFLA_GROUP`: the kernel gives it no meaning, and sets it as the interface is made.
const GROUP: u32 = PROTOCOL as u32;

/// As keepalived sets them. The client's packets come in here, and answers go out of the interface
/// below, which is no reason to refuse them.
const OWN: [(&str, &str); 4] = [
    ("arp_ignore", "1"),
    ("arp_announce", "2"),
    ("accept_local", "1"),
    ("promote_secondaries", "1"),
];
/// Or the interface below would answer for the VIPs, and ask in their name, with its own address.
const BELOW: [(&str, &str); 3] = [("arp_ignore", "1"), ("arp_announce", "2"), ("arp_filter", "1")];
/// It has the addresses it is given, and none by itself.
const OWN_V6: [(&str, &str); 3] = [("addr_gen_mode", "1"), ("accept_ra", "0"), ("autoconf", "0")];

/// The macvlans of this network namespace that are ours.
#[derive(Clone, Debug)]
pub struct Macvlans {
    handle: Handle,
}

/// One that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct There {
    index: u32,
    is: Macvlan,
    up: bool,
}

impl Macvlans {
    /// By the connection of others.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// Deletes those of ours that are not wanted, then makes those that are missing. Returns what
    /// could not be done.
    ///
    /// # Errors
    /// Where the kernel does not say what there is.
    pub async fn reconcile(
        &self,
        wanted: &[Macvlan],
    ) -> Result<Vec<DataplaneError>, DataplaneError> {
        let (there, indices) = self.read().await?;
        let (kept, stale): (Vec<There>, Vec<There>) =
            there.into_iter().partition(|one| wanted.contains(&one.is));
        let mut failed = Vec::new();
        for one in &stale {
            failed.extend(self.delete(one).await.err());
        }
        for one in wanted {
            let there = kept.iter().find(|it| it.is == *one);
            if there.is_none_or(|it| !it.up) {
                failed.extend(self.make(one, there, &indices).await.err());
            }
        }
        Ok(failed)
    }

    /// Deletes all of ours, and their addresses with them.
    ///
    /// # Errors
    /// The first that can't be deleted; the others have been tried all the same.
    pub async fn clear(&self) -> Result<(), DataplaneError> {
        let (there, _) = self.read().await?;
        let mut outcome = Ok(());
        for one in &there {
            outcome = outcome.and(self.delete(one).await);
        }
        outcome
    }

    async fn read(&self) -> Result<(Vec<There>, BTreeMap<String, u32>), DataplaneError> {
        let dump = self.handle.link().get().execute();
        let all: Vec<LinkMessage> = dump
            .try_collect()
            .await
            .map_err(|source| DataplaneError::Read { what: "interfaces", source })?;
        let named = all.iter().filter_map(|one| Some((name(one)?, one.header.index)));
        let indices: BTreeMap<String, u32> = named.collect();
        Ok((all.iter().filter_map(|one| ours(one, &indices)).collect(), indices))
    }

    async fn make(
        &self,
        wanted: &Macvlan,
        there: Option<&There>,
        indices: &BTreeMap<String, u32>,
    ) -> Result<(), DataplaneError> {
        let Some(parent) = indices.get(&wanted.parent) else {
            return Err(DataplaneError::NoInterface { name: wanted.parent.clone() });
        };
        let failed = |source| DataplaneError::Macvlan { name: wanted.name.clone(), source };
        if there.is_none() {
            let link = LinkMacVlan::new(&wanted.name, *parent, MacVlanMode::Private)
                .address(wanted.mac.0.to_vec())
                .link_group(GROUP);
            self.handle.link().add(link.build()).execute().await.map_err(failed)?;
        }
        // Before it is up: what would be done by itself must not begin.
        settle(wanted)
            .map_err(|source| DataplaneError::Settings { name: wanted.name.clone(), source })?;
        let up = LinkUnspec::new_with_name(&wanted.name).up().build();
        self.handle.link().change(up).execute().await.map_err(failed)
    }

    async fn delete(&self, one: &There) -> Result<(), DataplaneError> {
        match self.handle.link().del(one.index).execute().await {
            Err(rtnetlink::Error::NetlinkError(error)) if -error.raw_code() == libc::ENODEV => {
                Ok(())
            }
            outcome => outcome
                .map_err(|source| DataplaneError::Macvlan { name: one.is.name.clone(), source }),
        }
    }
}

/// The kernel's settings that it needs, there and below.
fn settle(one: &Macvlan) -> io::Result<()> {
    for (setting, value) in OWN {
        write("ipv4", &one.name, setting, value)?;
    }
    // The stricter of this and `all` counts, and 2 is less strict than 1.
    let all = std::fs::read_to_string(setting("ipv4", "all", "rp_filter"))?;
    write("ipv4", &one.name, "rp_filter", if all.trim() == "0" { "0" } else { "2" })?;
    for (name, value) in BELOW {
        let is = std::fs::read_to_string(setting("ipv4", &one.parent, name))?;
        // Whoever set it higher means that.
        if is.trim() < value {
            write("ipv4", &one.parent, name, value)?;
        }
    }
    for (name, value) in OWN_V6 {
        match write("ipv6", &one.name, name, value) {
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

fn setting(family: &str, interface: &str, name: &str) -> PathBuf {
    PathBuf::from("/proc/sys/net").join(family).join("conf").join(interface).join(name)
}

fn write(family: &str, interface: &str, name: &str, value: &str) -> io::Result<()> {
    std::fs::write(setting(family, interface, name), value)
}

fn name(message: &LinkMessage) -> Option<String> {
    message.attributes.iter().find_map(|one| {
        if let LinkAttribute::IfName(name) = one { Some(name.clone()) } else { None }
    })
}

/// `None` where it is not ours.
fn ours(message: &LinkMessage, indices: &BTreeMap<String, u32>) -> Option<There> {
    let (mut mac, mut parent, mut group, mut macvlan) = (None, None, 0, false);
    for attribute in &message.attributes {
        if let LinkAttribute::Address(value) = attribute {
            mac = value.as_slice().try_into().ok().map(Mac);
        } else if let LinkAttribute::Link(index) = attribute {
            parent = indices.iter().find(|(_, one)| *one == index).map(|(name, _)| name.clone());
        } else if let LinkAttribute::Group(number) = attribute {
            group = *number;
        } else if let LinkAttribute::LinkInfo(infos) = attribute {
            macvlan = infos.contains(&LinkInfo::Kind(InfoKind::MacVlan));
        }
    }
    let mac = mac.filter(|mac| macvlan && group == GROUP && Macvlan::is_virtual(*mac))?;
    let is = Macvlan { name: name(message)?, parent: parent.unwrap_or_default(), mac };
    let up = message.header.flags.contains(netlink_packet_route::link::LinkFlags::Up);
    Some(There { index: message.header.index, is, up })
}
