//! Connection sync, and how long idle connections are remembered.

use std::net::IpAddr;

use crate::Error;
use crate::attribute::{self, Attribute, Writer};
use crate::service::{Family, address};

/// `IPVS_DAEMON_ATTR_*`.
mod attr {
    pub(super) const STATE: u16 = 1;
    pub(super) const MCAST_IFN: u16 = 2;
    pub(super) const SYNC_ID: u16 = 3;
    pub(super) const SYNC_MAXLEN: u16 = 4;
    pub(super) const MCAST_GROUP: u16 = 5;
    pub(super) const MCAST_GROUP6: u16 = 6;
    pub(super) const MCAST_PORT: u16 = 7;
    pub(super) const MCAST_TTL: u16 = 8;
}

/// `IPVS_CMD_ATTR_TIMEOUT_*`.
mod timeout {
    pub(super) const TCP: u16 = 4;
    pub(super) const TCP_FIN: u16 = 5;
    pub(super) const UDP: u16 = 6;
}

/// A network namespace may have one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SyncState {
    /// It sends its connections to others.
    Master,
    /// It takes in those of others.
    Backup,
}

/// A thread of the kernel that copies connections between directors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncDaemon {
    pub state: SyncState,
    pub interface: String,
    /// 0 to 255; a backup takes in what has its own number, or everything with 0.
    pub sync_id: u32,
    /// Bytes of a message. Absent: what the interface takes.
    pub max_length: Option<u16>,
    /// Absent: 224.0.0.81.
    pub group: Option<IpAddr>,
    /// Absent: 8848.
    pub port: Option<u16>,
    /// Absent: 1.
    pub ttl: Option<u8>,
}

/// Seconds; absent: as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    pub tcp: Option<u32>,
    pub tcp_fin: Option<u32>,
    pub udp: Option<u32>,
}

impl SyncState {
    fn number(self) -> u32 {
        match self {
            Self::Master => 1,
            Self::Backup => 2,
        }
    }

    pub(crate) fn write(self, to: &mut Writer) {
        to.u32(attr::STATE, self.number());
    }
}

impl SyncDaemon {
    pub(crate) fn write(&self, to: &mut Writer) {
        self.state.write(to);
        to.string(attr::MCAST_IFN, &self.interface);
        to.u32(attr::SYNC_ID, self.sync_id);
        if let Some(length) = self.max_length {
            to.u16(attr::SYNC_MAXLEN, length);
        }
        match self.group {
            Some(IpAddr::V4(group)) => to.bytes(attr::MCAST_GROUP, &group.octets()),
            Some(IpAddr::V6(group)) => to.bytes(attr::MCAST_GROUP6, &group.octets()),
            None => {}
        }
        if let Some(port) = self.port {
            to.u16(attr::MCAST_PORT, port);
        }
        if let Some(ttl) = self.ttl {
            to.u8(attr::MCAST_TTL, ttl);
        }
    }

    /// From the attributes inside `IPVS_CMD_ATTR_DAEMON`.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut daemon = Self {
            state: SyncState::Backup,
            interface: String::new(),
            sync_id: 0,
            max_length: None,
            group: None,
            port: None,
            ttl: None,
        };
        let mut state = None;
        for attribute in attribute::read(bytes) {
            let one = attribute?;
            match one.kind {
                attr::STATE => state = Some(one.u32()?),
                attr::MCAST_IFN => daemon.interface = one.string(),
                attr::SYNC_ID => daemon.sync_id = one.u32()?,
                attr::SYNC_MAXLEN => daemon.max_length = Some(one.u16()?),
                attr::MCAST_GROUP => daemon.group = Some(address(Family::V4, one.value)?),
                attr::MCAST_GROUP6 => daemon.group = Some(address(Family::V6, one.value)?),
                attr::MCAST_PORT => daemon.port = Some(one.u16()?),
                attr::MCAST_TTL => daemon.ttl = Some(one.u8()?),
                _ => {}
            }
        }
        daemon.state = match state {
            Some(1) => SyncState::Master,
            Some(2) => SyncState::Backup,
            Some(_) | None => return Err(Error::Malformed("a sync daemon has no known state")),
        };
        Ok(daemon)
    }
}

impl Timeouts {
    pub(crate) fn write(&self, to: &mut Writer) {
        let all =
            [(timeout::TCP, self.tcp), (timeout::TCP_FIN, self.tcp_fin), (timeout::UDP, self.udp)];
        for (kind, seconds) in all {
            if let Some(seconds) = seconds {
                to.u32(kind, seconds);
            }
        }
    }

    pub(crate) fn take(&mut self, one: &Attribute<'_>) -> Result<(), Error> {
        match one.kind {
            timeout::TCP => self.tcp = Some(one.u32()?),
            timeout::TCP_FIN => self.tcp_fin = Some(one.u32()?),
            timeout::UDP => self.udp = Some(one.u32()?),
            _ => {}
        }
        Ok(())
    }
}
