//! Announcements: gratuitous ARP and unsolicited advertisements for many VIPs at once.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use leasehold_dataplane_core::frame::{Mac, announcement};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, bind, send, socket};

use crate::DataplaneError;

/// How often a full device queue is waited for before the rest of a burst is given up.
const MAX_WAITS: u32 = 20;
const WAIT: Duration = Duration::from_millis(1);
/// Frames sent before others on the runtime get their turn.
const BURST: usize = 64;

/// Says where VIPs are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Announcer;

impl Announcer {
    /// Announces each of `vips`, by the interface that it is on, once.
    ///
    /// An interface without an Ethernet address has no neighbours to tell, and is passed over.
    /// Frames go out through the fence: what is closed is not announced.
    ///
    /// # Errors
    /// The first failure; the other interfaces have been tried all the same.
    pub async fn announce<'a>(
        &self,
        vips: impl IntoIterator<Item = (&'a str, IpAddr)>,
    ) -> Result<(), DataplaneError> {
        let mut by_interface: BTreeMap<&str, Vec<IpAddr>> = BTreeMap::new();
        for (interface, address) in vips {
            by_interface.entry(interface).or_default().push(address);
        }
        if by_interface.is_empty() {
            return Ok(());
        }
        let links = link_addresses().map_err(|source| DataplaneError::Announce {
            interface: "any interface".to_owned(),
            source,
        })?;
        let mut outcome = Ok(());
        for (interface, addresses) in by_interface {
            let Some(link) = links.get(interface) else { continue };
            let interface = interface.to_owned();
            match burst(link, &addresses).await {
                Ok(0) => {}
                Ok(unsent) => {
                    let wanted = addresses.len();
                    outcome = Err(DataplaneError::Unsent { interface, unsent, wanted });
                }
                Err(source) => outcome = Err(DataplaneError::Announce { interface, source }),
            }
        }
        outcome
    }
}

/// The hardware address of each Ethernet interface, in the form that a socket is bound to.
pub(crate) fn link_addresses() -> io::Result<BTreeMap<String, LinkAddr>> {
    let entries = getifaddrs()?.filter_map(|entry| {
        let link = *entry.address?.as_link_addr()?;
        (link.hatype() == libc::ARPHRD_ETHER).then_some((entry.interface_name, link))
    });
    Ok(entries.collect())
}

/// Sends one announcement of each; returns how many were not taken.
async fn burst(link: &LinkAddr, addresses: &[IpAddr]) -> io::Result<usize> {
    let mac = link.addr().map(Mac).ok_or_else(|| io::Error::other("no hardware address"))?;
    let socket = open(link)?;
    let (mut waits, mut unsent) = (0, 0);
    for (sent, address) in addresses.iter().enumerate() {
        if sent % BURST == BURST - 1 {
            tokio::task::yield_now().await;
        }
        let frame = announcement(*address, mac);
        while let Err(error) = send(socket.as_raw_fd(), &frame, MsgFlags::MSG_DONTWAIT) {
            // A full queue, or a closed fence: the kernel does not say which.
            if !matches!(error, Errno::EAGAIN | Errno::ENOBUFS) {
                return Err(error.into());
            }
            if waits == MAX_WAITS {
                unsent += 1;
                break;
            }
            waits += 1;
            tokio::time::sleep(WAIT).await;
        }
    }
    Ok(unsent)
}

fn open(link: &LinkAddr) -> io::Result<OwnedFd> {
    // No protocol: it sends and never hears.
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    bind(socket.as_raw_fd(), link)?;
    Ok(socket)
}
