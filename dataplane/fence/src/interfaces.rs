//! The interfaces of this thread's network namespace, as far as the fence must know them.

use std::collections::BTreeMap;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nameindex};

use crate::FenceError;

/// `ARPHRD_ETHER`: frames begin with an Ethernet header.
const ETHERNET: u16 = libc::ARPHRD_ETHER;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) ethernet: bool,
}

/// Every interface but the loopback.
pub(crate) fn list() -> Result<Vec<Interface>, FenceError> {
    let mut known = BTreeMap::new();
    for entry in getifaddrs().map_err(FenceError::Interfaces)? {
        let link = entry.address.as_ref().and_then(|address| address.as_link_addr());
        let known = known.entry(entry.interface_name).or_insert((false, false));
        known.0 |= entry.flags.contains(InterfaceFlags::IFF_LOOPBACK);
        known.1 |= link.is_some_and(|link| link.hatype() == ETHERNET);
    }
    let all = if_nameindex().map_err(FenceError::Interfaces)?;
    let interfaces = all.iter().filter_map(|interface| {
        let name = interface.name().to_string_lossy().into_owned();
        // One that appeared between the two lists is taken by the event that tells of it.
        let (loopback, ethernet) = *known.get(&name)?;
        (!loopback).then(|| Interface { name, index: interface.index(), ethernet })
    });
    Ok(interfaces.collect())
}
