//! The address that adverts come from.

use std::collections::BTreeSet;
use std::net::IpAddr;

use leasehold_model::Family;
use nix::ifaddrs::getifaddrs;

/// The address of `interface` that adverts of this family come from: the first of IPv4, the
/// link-local one of IPv6 (RFC 9568, 5.1.2.1). Never one of `exclude`, the VIPs: those come and go.
///
/// It reads every address of this namespace: ask when the interface has changed, not each time.
#[must_use]
pub fn source_of(interface: &str, family: Family, exclude: &BTreeSet<IpAddr>) -> Option<IpAddr> {
    let fits = |address: &IpAddr| match (family, address) {
        (Family::Inet, IpAddr::V4(_)) => true,
        (Family::Inet6, IpAddr::V6(address)) => address.is_unicast_link_local(),
        (Family::Inet, IpAddr::V6(_)) | (Family::Inet6, IpAddr::V4(_)) => false,
    };
    let mut addresses = getifaddrs().ok()?.filter(|entry| entry.interface_name == interface);
    addresses.find_map(|entry| {
        let storage = entry.address?;
        let v4 = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let address = v4.or_else(|| storage.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))?;
        (fits(&address) && !exclude.contains(&address)).then_some(address)
    })
}
