//! Requests that change something, and how they are written.

use std::fmt;
use std::net::SocketAddr;

use crate::attribute::Writer;
use crate::{Destination, Service, ServiceId, SyncDaemon, SyncState, Timeouts};

/// `IPVS_CMD_*`.
pub(crate) mod command {
    pub(crate) const NEW_SERVICE: u8 = 1;
    pub(crate) const SET_SERVICE: u8 = 2;
    pub(crate) const DEL_SERVICE: u8 = 3;
    pub(crate) const GET_SERVICE: u8 = 4;
    pub(crate) const NEW_DEST: u8 = 5;
    pub(crate) const SET_DEST: u8 = 6;
    pub(crate) const DEL_DEST: u8 = 7;
    pub(crate) const GET_DEST: u8 = 8;
    pub(crate) const NEW_DAEMON: u8 = 9;
    pub(crate) const DEL_DAEMON: u8 = 10;
    pub(crate) const GET_DAEMON: u8 = 11;
    pub(crate) const SET_CONFIG: u8 = 12;
    pub(crate) const GET_CONFIG: u8 = 13;
    pub(crate) const GET_INFO: u8 = 15;
    pub(crate) const ZERO: u8 = 16;
    pub(crate) const FLUSH: u8 = 17;
}

/// `IPVS_CMD_ATTR_*`.
pub(crate) mod attr {
    pub(crate) const SERVICE: u16 = 1;
    pub(crate) const DEST: u16 = 2;
    pub(crate) const DAEMON: u16 = 3;
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    AddService(Service),
    /// Everything of it but what it is told by, and its destinations.
    SetService(Service),
    /// With its destinations.
    DeleteService(ServiceId),
    AddDestination(ServiceId, Destination),
    SetDestination(ServiceId, Destination),
    DeleteDestination(ServiceId, SocketAddr),
    /// Every service of the network namespace goes.
    Flush,
    /// Counters of one service, or of all, begin anew.
    Zero(Option<ServiceId>),
    SetTimeouts(Timeouts),
    StartSync(SyncDaemon),
    StopSync(SyncState),
}

impl Request {
    /// The command, and its attributes.
    pub(crate) fn write(&self) -> (u8, Writer) {
        let mut to = Writer::default();
        let id = |to: &mut Writer, id: &ServiceId| to.nested(attr::SERVICE, |to| id.write(to));
        let command = match self {
            Self::AddService(service) => {
                to.nested(attr::SERVICE, |to| service.write(to));
                command::NEW_SERVICE
            }
            Self::SetService(service) => {
                to.nested(attr::SERVICE, |to| service.write(to));
                command::SET_SERVICE
            }
            Self::DeleteService(service) => {
                id(&mut to, service);
                command::DEL_SERVICE
            }
            Self::AddDestination(service, one) => {
                id(&mut to, service);
                to.nested(attr::DEST, |to| one.write(to));
                command::NEW_DEST
            }
            Self::SetDestination(service, one) => {
                id(&mut to, service);
                to.nested(attr::DEST, |to| one.write(to));
                command::SET_DEST
            }
            Self::DeleteDestination(service, address) => {
                id(&mut to, service);
                to.nested(attr::DEST, |to| Destination::write_id(*address, to));
                command::DEL_DEST
            }
            Self::Flush => command::FLUSH,
            Self::Zero(service) => {
                if let Some(service) = service {
                    id(&mut to, service);
                }
                command::ZERO
            }
            Self::SetTimeouts(timeouts) => {
                timeouts.write(&mut to);
                command::SET_CONFIG
            }
            Self::StartSync(daemon) => {
                to.nested(attr::DAEMON, |to| daemon.write(to));
                command::NEW_DAEMON
            }
            Self::StopSync(state) => {
                to.nested(attr::DAEMON, |to| state.write(to));
                command::DEL_DAEMON
            }
        };
        (command, to)
    }
}

/// As the words of `ipvsadm` that would ask for it, without its options.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddService(one) => write!(f, "-A {} -s {}", one.id, one.scheduler),
            Self::SetService(one) => write!(f, "-E {} -s {}", one.id, one.scheduler),
            Self::DeleteService(id) => write!(f, "-D {id}"),
            Self::AddDestination(id, one) => write!(f, "-a {id} -r {}", one.address),
            Self::SetDestination(id, one) => write!(f, "-e {id} -r {}", one.address),
            Self::DeleteDestination(id, address) => write!(f, "-d {id} -r {address}"),
            Self::Flush => f.write_str("-C"),
            Self::Zero(None) => f.write_str("-Z"),
            Self::Zero(Some(id)) => write!(f, "-Z {id}"),
            Self::SetTimeouts(_) => f.write_str("--set"),
            Self::StartSync(one) => {
                write!(f, "--start-daemon {} --mcast-interface {}", one.state, one.interface)
            }
            Self::StopSync(state) => write!(f, "--stop-daemon {state}"),
        }
    }
}

impl fmt::Display for SyncState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Master => "master",
            Self::Backup => "backup",
        })
    }
}
