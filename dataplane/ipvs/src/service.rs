//! Services: what clients reach, and how a real server is chosen.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::attribute::{self, Writer};
use crate::{Error, Stats};

/// `IPVS_SVC_ATTR_*`.
mod attr {
    pub(super) const AF: u16 = 1;
    pub(super) const PROTOCOL: u16 = 2;
    pub(super) const ADDR: u16 = 3;
    pub(super) const PORT: u16 = 4;
    pub(super) const FWMARK: u16 = 5;
    pub(super) const SCHED_NAME: u16 = 6;
    pub(super) const FLAGS: u16 = 7;
    pub(super) const TIMEOUT: u16 = 8;
    pub(super) const NETMASK: u16 = 9;
    pub(super) const STATS: u16 = 10;
    pub(super) const PE_NAME: u16 = 11;
    pub(super) const STATS64: u16 = 12;
}

/// `IP_VS_SVC_F_*`.
mod flag {
    pub(super) const PERSISTENT: u32 = 0x01;
    pub(super) const ONE_PACKET: u32 = 0x04;
    pub(super) const SCHED_1: u32 = 0x08;
    pub(super) const SCHED_2: u32 = 0x10;
    pub(super) const SCHED_3: u32 = 0x20;
}

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    V4,
    V6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// What the kernel tells one service from another by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceId {
    /// Port 0 is every port; the kernel wants persistence with it.
    Address { protocol: Protocol, address: IpAddr, port: u16 },
    /// Packets that the firewall marked.
    Fwmark { mark: u32, family: Family },
}

/// A service without its real servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub id: ServiceId,
    /// The kernel's name: rr, wrr, lc, wlc, lblc, lblcr, sh, mh, dh, fo, ovf, sed, nq, twos.
    pub scheduler: String,
    pub flags: Flags,
    pub persistence: Option<Persistence>,
}

/// `sh` and `mh` give the first two a meaning: fall back to another real server where the chosen
/// one takes nothing, and count the client's port in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Each packet is scheduled alone. UDP.
    pub one_packet: bool,
    pub sched_1: bool,
    pub sched_2: bool,
    pub sched_3: bool,
}

/// A client that came once comes to the same real server again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// Seconds.
    pub timeout: u32,
    /// Clients that share a prefix of this length count as one: 32 or 128 for each alone.
    pub prefix: u8,
    /// A persistence engine, such as `sip`.
    pub engine: Option<String>,
}

/// A service as the kernel has it, and what went through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceStatus {
    pub service: Service,
    pub stats: Stats,
}

impl Family {
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    pub(crate) fn number(self) -> u16 {
        match self {
            Self::V4 => AF_INET,
            Self::V6 => AF_INET6,
        }
    }

    /// Absent: one that is unknown here.
    pub(crate) fn from_number(number: u16) -> Option<Self> {
        match number {
            AF_INET => Some(Self::V4),
            AF_INET6 => Some(Self::V6),
            _ => None,
        }
    }

    fn longest_prefix(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

impl Protocol {
    /// Of the IP header.
    fn number(self) -> u16 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// Absent: one that is unknown here.
    fn from_number(number: u16) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|one| one.number() == number)
    }
}

impl ServiceId {
    #[must_use]
    pub fn family(&self) -> Family {
        match self {
            Self::Address { address, .. } => Family::of(*address),
            Self::Fwmark { family, .. } => *family,
        }
    }

    pub(crate) fn write(&self, to: &mut Writer) {
        to.u16(attr::AF, self.family().number());
        match self {
            Self::Address { protocol, address, port } => {
                to.u16(attr::PROTOCOL, protocol.number());
                to.bytes(attr::ADDR, &address_bytes(*address));
                to.be16(attr::PORT, *port);
            }
            Self::Fwmark { mark, .. } => to.u32(attr::FWMARK, *mark),
        }
    }
}

/// The kernel has room for the longer address, and reads the first bytes.
pub(crate) fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(address) => address.octets(),
        IpAddr::V4(address) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.octets());
            bytes
        }
    }
}

pub(crate) fn address(family: Family, bytes: &[u8]) -> Result<IpAddr, Error> {
    let short = Error::Malformed("an address is cut short");
    match family {
        Family::V4 => {
            let bytes: [u8; 4] = bytes.get(..4).and_then(|b| b.try_into().ok()).ok_or(short)?;
            Ok(Ipv4Addr::from(bytes).into())
        }
        Family::V6 => {
            let bytes: [u8; 16] = bytes.get(..16).and_then(|b| b.try_into().ok()).ok_or(short)?;
            Ok(Ipv6Addr::from(bytes).into())
        }
    }
}

impl Service {
    /// Without flags and persistence.
    #[must_use]
    pub fn new(id: ServiceId, scheduler: &str) -> Self {
        let scheduler = scheduler.to_owned();
        Self { id, scheduler, flags: Flags::default(), persistence: None }
    }

    pub(crate) fn write(&self, to: &mut Writer) {
        self.id.write(to);
        to.string(attr::SCHED_NAME, &self.scheduler);
        let bits = [
            (self.persistence.is_some(), flag::PERSISTENT),
            (self.flags.one_packet, flag::ONE_PACKET),
            (self.flags.sched_1, flag::SCHED_1),
            (self.flags.sched_2, flag::SCHED_2),
            (self.flags.sched_3, flag::SCHED_3),
        ];
        let flags = bits.iter().filter(|(set, _)| *set).fold(0, |sum, (_, bit)| sum | bit);
        // `struct ip_vs_flags`: the bits, and which of them are meant.
        let mut both = [0; 8];
        both[..4].copy_from_slice(&u32::to_ne_bytes(flags));
        both[4..].copy_from_slice(&u32::MAX.to_ne_bytes());
        to.bytes(attr::FLAGS, &both);
        let family = self.id.family();
        let (timeout, prefix) = match &self.persistence {
            Some(one) => (one.timeout, one.prefix.min(family.longest_prefix())),
            None => (0, family.longest_prefix()),
        };
        to.u32(attr::TIMEOUT, timeout);
        match family {
            // A mask in the order of the wire, and a plain number.
            Family::V4 => to.bytes(attr::NETMASK, &mask(prefix).to_be_bytes()),
            Family::V6 => to.u32(attr::NETMASK, prefix.into()),
        }
        // Empty takes an engine away.
        let engine = self.persistence.as_ref().and_then(|one| one.engine.as_deref());
        to.string(attr::PE_NAME, engine.unwrap_or_default());
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)
}

impl ServiceStatus {
    /// From the attributes inside `IPVS_CMD_ATTR_SERVICE`. Absent: a service of a family or a
    /// protocol that is unknown here, and that nobody can have asked for from here.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, Error> {
        let (mut family, mut protocol, mut addressed) = (None, None, None);
        let (mut port, mut mark, mut flags, mut timeout, mut netmask) = (0, 0, 0, 0, None);
        let (mut scheduler, mut engine) = (String::new(), None);
        let (mut stats, mut stats64) = (None, None);
        for attribute in attribute::read(bytes) {
            let one = attribute?;
            match one.kind {
                attr::AF => family = Some(one.u16()?),
                attr::PROTOCOL => protocol = Some(one.u16()?),
                attr::ADDR => addressed = Some(one.value),
                attr::PORT => port = one.be16()?,
                attr::FWMARK => mark = one.u32()?,
                attr::SCHED_NAME => scheduler = one.string(),
                attr::FLAGS => flags = one.u32()?,
                attr::TIMEOUT => timeout = one.u32()?,
                attr::NETMASK => netmask = Some(one.u32()?),
                attr::PE_NAME => engine = Some(one.string()).filter(|name| !name.is_empty()),
                attr::STATS => stats = Some(Stats::read(one.value)?),
                attr::STATS64 => stats64 = Some(Stats::read(one.value)?),
                _ => {}
            }
        }
        let family = family.ok_or(Error::Malformed("a service has no address family"))?;
        let Some(family) = Family::from_number(family) else { return Ok(None) };
        let id = match (mark, addressed, protocol) {
            (0, Some(bytes), Some(protocol)) => {
                let Some(protocol) = Protocol::from_number(protocol) else { return Ok(None) };
                ServiceId::Address { protocol, address: address(family, bytes)?, port }
            }
            (0, _, _) => return Err(Error::Malformed("a service has no address")),
            (mark, _, _) => ServiceId::Fwmark { mark, family },
        };
        let has = |bit| flags & bit != 0;
        let prefix = match (family, netmask) {
            (_, None) => family.longest_prefix(),
            (Family::V4, Some(mask)) => {
                u8::try_from(mask.to_ne_bytes().map(u8::count_ones).iter().sum::<u32>())
                    .unwrap_or(32)
            }
            (Family::V6, Some(prefix)) => u8::try_from(prefix).unwrap_or(128),
        };
        let persistence = has(flag::PERSISTENT).then_some(Persistence { timeout, prefix, engine });
        let flags = Flags {
            one_packet: has(flag::ONE_PACKET),
            sched_1: has(flag::SCHED_1),
            sched_2: has(flag::SCHED_2),
            sched_3: has(flag::SCHED_3),
        };
        let service = Service { id, scheduler, flags, persistence };
        Ok(Some(Self { service, stats: stats64.or(stats).unwrap_or_default() }))
    }
}

/// As `ipvsadm` takes it.
impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { protocol, address, port } => {
                let flag = match protocol {
                    Protocol::Tcp => "-t",
                    Protocol::Udp => "-u",
                    Protocol::Sctp => "--sctp-service",
                };
                write!(f, "{flag} {}", SocketAddr::new(*address, *port))
            }
            Self::Fwmark { mark, family: Family::V4 } => write!(f, "-f {mark}"),
            Self::Fwmark { mark, family: Family::V6 } => write!(f, "-f {mark} -6"),
        }
    }
}

impl FromStr for ServiceId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let protocol = match words.first().copied() {
            Some("-t") => Some(Protocol::Tcp),
            Some("-u") => Some(Protocol::Udp),
            Some("--sctp-service") => Some(Protocol::Sctp),
            _ => None,
        };
        let unknown = || Error::NoService(text.to_owned());
        match (protocol, words.as_slice()) {
            (Some(protocol), [_, at]) => {
                let at: SocketAddr = at.parse().map_err(|_| unknown())?;
                Ok(Self::Address { protocol, address: at.ip(), port: at.port() })
            }
            (None, ["-f", mark, rest @ ..]) => {
                let mark = mark.parse().map_err(|_| unknown())?;
                match rest {
                    [] => Ok(Self::Fwmark { mark, family: Family::V4 }),
                    ["-6"] => Ok(Self::Fwmark { mark, family: Family::V6 }),
                    _ => Err(unknown()),
                }
            }
            _ => Err(unknown()),
        }
    }
}
