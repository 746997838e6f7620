//! The socket: questions with their answers, and changes in batches.

use std::io::{self, Read};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::attribute::{self, Writer};
use crate::message::{self, Said};
use crate::request::{attr, command};
use crate::{
    DestinationStatus, Error, Refusal, Request, ServiceId, ServiceStatus, SyncDaemon, Timeouts,
    family,
};

const AF_NETLINK: i32 = 16;
const NETLINK_GENERIC: i32 = 16;

/// The kernel carries a request out while it is sent: this is for one that is stuck.
const ANSWERS_WITHIN: u64 = 30;

/// Bytes of requests in one system call: some 200 of them, whose refusals, were all refused, fit
/// in the socket's buffer.
const BATCH: usize = 32 * 1024;

/// As long as the kernel's longest datagram of a list.
const DATAGRAM: usize = 64 * 1024;

const RECEIVE_BUFFER: usize = 1 << 20;

/// A connection to the IPVS of the network namespace that it was opened in.
#[derive(Debug)]
pub struct Client {
    channel: Channel,
    family: u16,
}

/// What was sent and received so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests and questions.
    pub messages: u64,
    /// System calls that sent them.
    pub sends: u64,
    /// System calls that received.
    pub receives: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Major, minor and patch.
    pub version: (u8, u8, u8),
    /// Buckets of the connection table.
    pub table_size: u32,
}

/// Every service with its destinations, in the kernel's order.
pub type Table = Vec<(ServiceStatus, Vec<DestinationStatus>)>;

impl Client {
    /// Opens a socket, and finds IPVS; loads its module where it is missing.
    ///
    /// # Errors
    /// Where there is no IPVS to be had.
    pub fn open() -> Result<Self, Error> {
        let mut channel = Channel::open()?;
        let family = family::resolve(&mut channel)?;
        Ok(Self { channel, family })
    }

    #[must_use]
    pub fn counters(&self) -> Counters {
        self.channel.counters
    }

    /// Carries the requests out, in their order. One that is refused does not stop the others.
    ///
    /// # Errors
    /// Where the kernel can't be talked to: what was done is not known then.
    pub fn apply(&mut self, requests: &[Request]) -> Result<Vec<Refusal>, Error> {
        let mut refusals = Vec::new();
        let mut batch = Vec::with_capacity(BATCH);
        let mut first = 0;
        for (index, request) in requests.iter().enumerate() {
            let (command, attributes) = request.write();
            let start = batch.len();
            let sequence = self.channel.next();
            message::write(&mut batch, self.family, command, 0, sequence, &attributes);
            let last = index + 1 == requests.len();
            if last || batch.len() >= BATCH {
                message::acknowledge(&mut batch, start);
                let count = index + 1 - first;
                let refused = self.channel.carry_out(&batch, count, sequence)?;
                refusals.extend(refused.into_iter().map(|(nth, why)| {
                    let index = first + nth;
                    Refusal::new(index, &requests[index], why)
                }));
                batch.clear();
                first = index + 1;
            }
        }
        Ok(refusals)
    }

    /// Every service, without its destinations. One whose protocol or family is unknown here is
    /// left out.
    ///
    /// # Errors
    /// Where the kernel can't be talked to.
    pub fn services(&mut self) -> Result<Vec<ServiceStatus>, Error> {
        let mut services = Vec::new();
        let none = Writer::default();
        self.list(command::GET_SERVICE, &none, attr::SERVICE, |bytes| {
            services.extend(ServiceStatus::read(bytes)?);
            Ok(())
        })?;
        Ok(services)
    }

    /// The destinations of a service; none where there is no such service.
    ///
    /// # Errors
    /// Where the kernel can't be talked to.
    pub fn destinations(&mut self, of: &ServiceId) -> Result<Vec<DestinationStatus>, Error> {
        let mut destinations = Vec::new();
        let mut question = Writer::default();
        question.nested(attr::SERVICE, |to| of.write(to));
        self.list(command::GET_DEST, &question, attr::DEST, |bytes| {
            destinations.extend(DestinationStatus::read(bytes, of.family())?);
            Ok(())
        })?;
        Ok(destinations)
    }

    /// Everything. Others may change it meanwhile.
    ///
    /// # Errors
    /// Where the kernel can't be talked to.
    pub fn table(&mut self) -> Result<Table, Error> {
        let services = self.services()?;
        let with = |one: ServiceStatus| {
            let destinations = self.destinations(&one.service.id)?;
            Ok((one, destinations))
        };
        services.into_iter().map(with).collect()
    }

    /// The threads that copy connections: none, one, or one of each kind.
    ///
    /// # Errors
    /// Where the kernel can't be talked to.
    pub fn sync_daemons(&mut self) -> Result<Vec<SyncDaemon>, Error> {
        let mut daemons = Vec::new();
        let none = Writer::default();
        self.list(command::GET_DAEMON, &none, attr::DAEMON, |bytes| {
            daemons.push(SyncDaemon::read(bytes)?);
            Ok(())
        })?;
        Ok(daemons)
    }

    /// All three.
    ///
    /// # Errors
    /// Where the kernel can't be talked to.
    pub fn timeouts(&mut self) -> Result<Timeouts, Error> {
        let mut timeouts = Timeouts::default();
        let none = Writer::default();
        self.channel.ask(self.family, command::GET_CONFIG, 0, &none, |answer| {
            attribute::read(answer).try_for_each(|one| timeouts.take(&one?))
        })?;
        Ok(timeouts)
    }

    /// # Errors
    /// Where the kernel can't be talked to.
    pub fn info(&mut self) -> Result<Info, Error> {
        let mut info = Info::default();
        let none = Writer::default();
        self.channel.ask(self.family, command::GET_INFO, 0, &none, |answer| {
            for attribute in attribute::read(answer) {
                let one = attribute?;
                match one.kind {
                    1 => {
                        let [_, major, minor, patch] = one.u32()?.to_be_bytes();
                        info.version = (major, minor, patch);
                    }
                    2 => info.table_size = one.u32()?,
                    _ => {}
                }
            }
            Ok(())
        })?;
        Ok(info)
    }

    /// Calls `each` with what is inside every attribute `kind` of the answer.
    fn list(
        &mut self,
        command: u8,
        question: &Writer,
        kind: u16,
        mut each: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.channel.ask(self.family, command, message::DUMP, question, |answer| {
            for attribute in attribute::read(answer) {
                let one = attribute?;
                if one.kind == kind {
                    each(one.value)?;
                }
            }
            Ok(())
        })
    }
}

/// Generic netlink, whatever is talked about.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
    counters: Counters,
}

impl Channel {
    pub(crate) fn open() -> Result<Self, Error> {
        let protocol = Some(Protocol::from(NETLINK_GENERIC));
        let socket = Socket::new(Domain::from(AF_NETLINK), Type::RAW, protocol);
        let socket = socket.map_err(Error::Socket)?;
        let limit = Some(Duration::from_secs(ANSWERS_WITHIN));
        socket.set_read_timeout(limit).map_err(Error::Socket)?;
        // As much as the system's limit gives.
        socket.set_recv_buffer_size(RECEIVE_BUFFER).map_err(Error::Socket)?;
        let buffer = vec![0; DATAGRAM];
        Ok(Self { socket, sequence: 0, buffer, counters: Counters::default() })
    }

    fn next(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.counters.messages += 1;
        self.sequence
    }

    /// A socket that is not connected sends to the kernel.
    fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.counters.sends += 1;
        self.socket.send(bytes).map_err(Error::Socket).map(drop)
    }

    fn receive(&mut self) -> Result<usize, Error> {
        loop {
            self.counters.receives += 1;
            return match (&self.socket).read(&mut self.buffer) {
                Ok(length) => Ok(length),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    Err(Error::Silent(ANSWERS_WITHIN))
                }
                Err(error) => Err(Error::Socket(error)),
            };
        }
    }

    /// Asks one question, and hands over the attributes of each message of its answer.
    pub(crate) fn ask(
        &mut self,
        family: u16,
        command: u8,
        flags: u16,
        question: &Writer,
        mut each: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let sequence = self.next();
        // A list ends by itself; a single answer is followed by its acknowledgement.
        let flags = if flags == 0 { message::ACK } else { flags };
        let mut bytes = Vec::new();
        message::write(&mut bytes, family, command, flags, sequence, question);
        self.send(&bytes)?;
        loop {
            let length = self.receive()?;
            for message in message::read(&self.buffer[..length]) {
                let message = message?;
                if message.sequence != sequence {
                    continue;
                }
                match message.said {
                    Said::Data(attributes) => each(attributes)?,
                    Said::Outcome(0) | Said::Done => return Ok(()),
                    Said::Outcome(number) => {
                        return Err(Error::Refused(io::Error::from_raw_os_error(number)));
                    }
                }
            }
        }
    }

    /// Sends `count` requests, the last of which has this number and asks to be acknowledged.
    /// What is not refused before that is done.
    fn carry_out(
        &mut self,
        batch: &[u8],
        count: usize,
        last: u32,
    ) -> Result<Vec<(usize, io::Error)>, Error> {
        self.send(batch)?;
        let mut refused = Vec::new();
        loop {
            let length = self.receive()?;
            for message in message::read(&self.buffer[..length]) {
                let message = message?;
                // Older ones are of a question that was given up.
                let ago = usize::try_from(last.wrapping_sub(message.sequence)).ok();
                let Some(ago) = ago.filter(|ago| *ago < count) else { continue };
                if let Said::Outcome(number) = message.said {
                    if number != 0 {
                        let why = io::Error::from_raw_os_error(number);
                        refused.push((count - 1 - ago, why));
                    }
                    if ago == 0 {
                        return Ok(refused);
                    }
                }
            }
        }
    }
}
