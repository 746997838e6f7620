//! What can go wrong with the data plane, and what to do about it.

use std::io;
use std::net::IpAddr;

use leasehold_fence::FenceError;
use leasehold_model::GroupId;

/// Why the kernel was not brought to where it should be.
#[derive(Debug, thiserror::Error)]
pub enum DataplaneError {
    #[error(transparent)]
    Fence(#[from] FenceError),

    #[error("cannot reach the kernel by netlink: {0}; run as root with CAP_NET_ADMIN")]
    Netlink(#[source] io::Error),

    #[error("there is no interface {name}; create it or name another for the VIP")]
    NoInterface { name: String },

    #[error("cannot read the kernel's {what}: {source}")]
    Read { what: &'static str, source: rtnetlink::Error },

    #[error("cannot bind {address} to {interface}: {source}")]
    Bind { address: IpAddr, interface: String, source: rtnetlink::Error },

    #[error("cannot unbind {address} from {interface}: {source}")]
    Unbind { address: IpAddr, interface: String, source: rtnetlink::Error },

    #[error(
        "{address} of group {group} is not behind the fence; give the fence its VIPs before any \
         is bound"
    )]
    Unfenced { address: IpAddr, group: GroupId },

    #[error(
        "{} was bound and is not there: {first} first; something else on this machine removes \
         addresses", count(*.missing)
    )]
    NotBound { missing: usize, first: IpAddr },

    #[error("cannot {what} {words}: {source}")]
    Route { what: &'static str, words: String, source: rtnetlink::Error },

    #[error("cannot make or delete the macvlan {name}: {source}; is the name another's?")]
    Macvlan { name: String, source: rtnetlink::Error },

    #[error("cannot set what {name} needs in /proc/sys/net: {source}")]
    Settings { name: String, source: io::Error },

    #[error("cannot announce on {interface}: {source}")]
    Announce { interface: String, source: io::Error },

    #[error(
        "{unsent} of {wanted} announcements on {interface} were not taken: the fence is closed, or \
         the device's queue stays full; announce again"
    )]
    Unsent { interface: String, unsent: usize, wanted: usize },
}

fn count(addresses: usize) -> String {
    if addresses == 1 { "an address".to_owned() } else { format!("{addresses} addresses") }
}
