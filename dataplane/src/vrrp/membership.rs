//! Which groups are listened to on which interface.
//!
//! A membership is the interface's: whichever socket asked for it, every socket of the namespace
//! hears the group. So sockets that hear nothing themselves ask, as many as it takes: one may
//! hold only so many (`net.ipv4.igmp_max_memberships` is 20).

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use socket2::{Domain, InterfaceIndexOrAddress, Socket, Type};

use super::{VrrpError, index_of};

/// The groups that are wanted, and where they were joined.
#[derive(Debug, Default)]
pub(super) struct Memberships {
    /// By interface and group. `None`: wanted, and not joined.
    wanted: BTreeMap<(String, IpAddr), Option<Joined>>,
    v4: Vec<Socket>,
    v6: Vec<Socket>,
}

#[derive(Clone, Copy, Debug)]
struct Joined {
    index: u32,
    /// Which of the family's sockets holds it.
    holder: usize,
}

impl Memberships {
    /// Wants a group on an interface from now on, and joins it if the interface is there.
    pub(super) fn join(&mut self, interface: &str, group: IpAddr) -> Result<(), VrrpError> {
        let key = (interface.to_owned(), group);
        self.forget(&key);
        if matches!(self.wanted.get(&key), Some(Some(_))) {
            return Ok(());
        }
        self.wanted.insert(key.clone(), None);
        let index = index_of(interface)?;
        let failed = |source| VrrpError::Join { interface: interface.to_owned(), group, source };
        let holder = self.hold(index, group).map_err(failed)?;
        self.wanted.insert(key, Some(Joined { index, holder }));
        Ok(())
    }

    /// Wants it no more.
    pub(super) fn leave(&mut self, interface: &str, group: IpAddr) {
        if let Some(Some(joined)) = self.wanted.remove(&(interface.to_owned(), group)) {
            self.drop_out(group, joined);
        }
    }

    /// Joins again where the interface came, or came back as another.
    pub(super) fn refresh(&mut self) -> Vec<VrrpError> {
        let keys: Vec<_> = self.wanted.keys().cloned().collect();
        // First all of these: an interface that was given another name would lose by its old
        // name what it has joined by its new one.
        for key in &keys {
            self.forget(key);
        }
        keys.iter().filter_map(|(interface, group)| self.join(interface, *group).err()).collect()
    }

    /// Leaves what was joined on an interface that is gone: the socket still counts it.
    fn forget(&mut self, key: &(String, IpAddr)) {
        let Some(Some(joined)) = self.wanted.get(key).copied() else { return };
        if !matches!(index_of(&key.0), Ok(index) if index == joined.index) {
            self.drop_out(key.1, joined);
            self.wanted.insert(key.clone(), None);
        }
    }

    fn hold(&mut self, index: u32, group: IpAddr) -> io::Result<usize> {
        let (domain, holders) = match group {
            IpAddr::V4(_) => (Domain::IPV4, &mut self.v4),
            IpAddr::V6(_) => (Domain::IPV6, &mut self.v6),
        };
        for (holder, socket) in holders.iter().enumerate() {
            match ask(socket, index, group) {
                // This one is full: by the count of IPv4, by the option memory of IPv6.
                Err(error) if is_full(&error) => {}
                outcome => return outcome.map(|()| holder),
            }
        }
        // Bound to no port it hears nothing.
        let socket = Socket::new(domain, Type::DGRAM, None)?;
        ask(&socket, index, group)?;
        holders.push(socket);
        Ok(holders.len() - 1)
    }

    fn drop_out(&self, group: IpAddr, joined: Joined) {
        let holders = match group {
            IpAddr::V4(_) => &self.v4,
            IpAddr::V6(_) => &self.v6,
        };
        // The kernel may have forgotten it with the interface: it is left either way.
        let _ = holders.get(joined.holder).map(|socket| unask(socket, joined.index, group));
    }
}

fn ask(socket: &Socket, index: u32, group: IpAddr) -> io::Result<()> {
    let once = || match group {
        IpAddr::V4(group) => {
            socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))
        }
        IpAddr::V6(group) => socket.join_multicast_v6(&group, index),
    };
    match once() {
        // Joined on an interface of the same number that is gone.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            unask(socket, index, group)?;
            once()
        }
        outcome => outcome,
    }
}

fn unask(socket: &Socket, index: u32, group: IpAddr) -> io::Result<()> {
    match group {
        IpAddr::V4(group) => {
            socket.leave_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))
        }
        IpAddr::V6(group) => socket.leave_multicast_v6(&group, index),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM))
}

#[cfg(test)]
mod tests {
    use leasehold_dataplane_core::vrrp::{GROUP4, GROUP6};
    use leasehold_lab::Host;

    use super::*;

    /// Twenty fit one socket of IPv4: what was joined on interfaces that are gone is left, and
    /// one that goes on under another name keeps what it joined by that.
    #[test]
    fn interfaces_that_went_leave_no_trace() {
        let host = Host::new("memberships").expect("a namespace");
        let inside = || {
            let mut memberships = Memberships::default();
            for _ in 0..30 {
                host.ip("link add eth0 type veth peer name eth1").expect("a pair");
                for group in [GROUP4.into(), GROUP6.into()] {
                    memberships.join("eth0", group).expect("joined");
                }
                host.ip("link del eth0").expect("gone");
                assert_eq!(memberships.refresh().len(), 2);
            }
            assert_eq!((memberships.v4.len(), memberships.v6.len()), (1, 1));

            host.ip("link add wan0 type veth peer name eth1").expect("a pair");
            memberships.join("wan0", GROUP4.into()).expect("joined");
            host.ip("link set wan0 name eth0").expect("renamed");
            let missing = memberships.refresh();
            assert!(
                matches!(&missing[..], [VrrpError::NoInterface { name }] if name == "wan0"),
                "{missing:?}"
            );
            let shown = host.run("cat", &["/proc/net/igmp"]).expect("the kernel's table");
            // 224.0.0.18, as the table writes it.
            assert_eq!(shown.matches("120000E0").count(), 1, "{shown}");
        };
        host.enter(inside).expect("a thread in the host");
    }
}
