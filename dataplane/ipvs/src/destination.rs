//! Destinations: the real servers of a service.

use std::net::SocketAddr;

use crate::attribute::{self, Writer};
use crate::service::{Family, address, address_bytes};
use crate::{Error, Stats};

/// `IPVS_DEST_ATTR_*`.
mod attr {
    pub(super) const ADDR: u16 = 1;
    pub(super) const PORT: u16 = 2;
    pub(super) const FWD_METHOD: u16 = 3;
    pub(super) const WEIGHT: u16 = 4;
    pub(super) const U_THRESH: u16 = 5;
    pub(super) const L_THRESH: u16 = 6;
    pub(super) const ACTIVE_CONNS: u16 = 7;
    pub(super) const INACT_CONNS: u16 = 8;
    pub(super) const PERSIST_CONNS: u16 = 9;
    pub(super) const STATS: u16 = 10;
    pub(super) const ADDR_FAMILY: u16 = 11;
    pub(super) const STATS64: u16 = 12;
    pub(super) const TUN_TYPE: u16 = 13;
    pub(super) const TUN_PORT: u16 = 14;
    pub(super) const TUN_FLAGS: u16 = 15;
}

/// `IP_VS_CONN_F_FWD_MASK` and the methods in it.
const METHODS: u32 = 7;
const MASQUERADE: u32 = 0;
const LOCAL: u32 = 1;
const TUNNEL: u32 = 2;
const DIRECT: u32 = 3;
const BYPASS: u32 = 4;

/// How packets reach a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// Addresses are rewritten, there and back (NAT).
    Masquerade,
    /// The frame is sent on to the real server's hardware address (DR).
    Direct,
    /// The packet is sent inside another one (TUN).
    Tunnel(Encapsulation, Checksum),
    /// It is this machine. The kernel says so; nobody may ask for it.
    Local,
    /// Past the real servers, to where it was going.
    Bypass,
    /// A way, or a tunnel, that is unknown here, by the kernel's numbers.
    Other { method: u32, tunnel: u8 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encapsulation {
    Ipip,
    /// Generic UDP encapsulation, to this port.
    Gue(u16),
    Gre,
}

/// Of the packet around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    None,
    Full,
    /// Remote checksum offload. GUE only.
    Remote,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    pub address: SocketAddr,
    pub forward: Forward,
    /// 0 takes no new connection.
    pub weight: u32,
    /// Connections above which it takes no new one; 0: no limit.
    pub upper: u32,
    /// Connections below which it takes new ones again.
    pub lower: u32,
}

/// A destination as the kernel has it, and what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DestinationStatus {
    pub destination: Destination,
    pub active: u32,
    pub inactive: u32,
    pub persistent: u32,
    pub stats: Stats,
}

impl Destination {
    /// Of weight 1, without limits.
    #[must_use]
    pub fn new(address: SocketAddr, forward: Forward) -> Self {
        Self { address, forward, weight: 1, upper: 0, lower: 0 }
    }

    pub(crate) fn write_id(address: SocketAddr, to: &mut Writer) {
        to.bytes(attr::ADDR, &address_bytes(address.ip()));
        to.be16(attr::PORT, address.port());
        to.u16(attr::ADDR_FAMILY, Family::of(address.ip()).number());
    }

    pub(crate) fn write(&self, to: &mut Writer) {
        Self::write_id(self.address, to);
        let method = match self.forward {
            Forward::Masquerade => MASQUERADE,
            Forward::Local => LOCAL,
            Forward::Tunnel(..) => TUNNEL,
            Forward::Direct => DIRECT,
            Forward::Bypass => BYPASS,
            Forward::Other { method, .. } => method,
        };
        to.u32(attr::FWD_METHOD, method);
        to.u32(attr::WEIGHT, self.weight);
        to.u32(attr::U_THRESH, self.upper);
        to.u32(attr::L_THRESH, self.lower);
        if let Forward::Tunnel(encapsulation, checksum) = self.forward {
            let (kind, port) = match encapsulation {
                Encapsulation::Ipip => (0, 0),
                Encapsulation::Gue(port) => (1, port),
                Encapsulation::Gre => (2, 0),
            };
            let flags = match checksum {
                Checksum::None => 0,
                Checksum::Full => 1,
                Checksum::Remote => 2,
            };
            to.u8(attr::TUN_TYPE, kind);
            to.be16(attr::TUN_PORT, port);
            to.u16(attr::TUN_FLAGS, flags);
        }
    }
}

impl DestinationStatus {
    /// From the attributes inside `IPVS_CMD_ATTR_DEST`, of a service of this family. Absent: its
    /// own family is unknown here.
    pub(crate) fn read(bytes: &[u8], family: Family) -> Result<Option<Self>, Error> {
        let mut family = family.number();
        let (mut ip, mut port, mut method, mut tunnel) = (None, 0, MASQUERADE, (0, 0, 0));
        let (mut weight, mut upper, mut lower) = (0, 0, 0);
        let (mut active, mut inactive, mut persistent) = (0, 0, 0);
        let (mut stats, mut stats64) = (None, None);
        for attribute in attribute::read(bytes) {
            let one = attribute?;
            match one.kind {
                attr::ADDR => ip = Some(one.value),
                attr::PORT => port = one.be16()?,
                attr::FWD_METHOD => method = one.u32()? & METHODS,
                attr::WEIGHT => weight = one.u32()?,
                attr::U_THRESH => upper = one.u32()?,
                attr::L_THRESH => lower = one.u32()?,
                attr::ACTIVE_CONNS => active = one.u32()?,
                attr::INACT_CONNS => inactive = one.u32()?,
                attr::PERSIST_CONNS => persistent = one.u32()?,
                attr::STATS => stats = Some(Stats::read(one.value)?),
                attr::ADDR_FAMILY => family = one.u16()?,
                attr::STATS64 => stats64 = Some(Stats::read(one.value)?),
                attr::TUN_TYPE => tunnel.0 = one.u8()?,
                attr::TUN_PORT => tunnel.1 = one.be16()?,
                attr::TUN_FLAGS => tunnel.2 = one.u16()?,
                _ => {}
            }
        }
        let Some(family) = Family::from_number(family) else { return Ok(None) };
        let ip = address(family, ip.ok_or(Error::Malformed("a destination has no address"))?)?;
        let forward = match method {
            MASQUERADE => Forward::Masquerade,
            LOCAL => Forward::Local,
            TUNNEL => read_tunnel(tunnel),
            DIRECT => Forward::Direct,
            BYPASS => Forward::Bypass,
            _ => Forward::Other { method, tunnel: 0 },
        };
        let address = SocketAddr::new(ip, port);
        let destination = Destination { address, forward, weight, upper, lower };
        let stats = stats64.or(stats).unwrap_or_default();
        Ok(Some(Self { destination, active, inactive, persistent, stats }))
    }
}

fn read_tunnel((kind, port, flags): (u8, u16, u16)) -> Forward {
    let encapsulation = match kind {
        0 => Encapsulation::Ipip,
        1 => Encapsulation::Gue(port),
        2 => Encapsulation::Gre,
        _ => return Forward::Other { method: TUNNEL, tunnel: kind },
    };
    let checksum = match flags & 3 {
        0 => Checksum::None,
        1 => Checksum::Full,
        _ => Checksum::Remote,
    };
    Forward::Tunnel(encapsulation, checksum)
}
