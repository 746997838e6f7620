//! A listener on the side of real servers: every connection that is asked for, dated by the kernel.
//!
//! Only the first packet of a handshake passes the filter, so ten thousand checks a second cost
//! ten thousand packets here, and none is dated by when a busy server came to accept it.

use std::net::{Ipv4Addr, SocketAddrV4};

use socket2::{SockFilter, SockRef};

use super::dated::Dated;
use super::listener::Listener;
use super::wire::{link_address, packet_socket};
use crate::{Host, LabError, Result};

const ETHERTYPE_IPV4: u16 = 0x0800;

/// Minutes of ten thousand checks a second; more are counted as lost.
const QUESTIONS_MAX: usize = 8_000_000;

/// A connection that somebody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Whom.
    pub to: SocketAddrV4,
    /// The asker's port: the same again is the same packet again.
    pub from_port: u16,
    /// Nanoseconds of CLOCK_BOOTTIME.
    pub received_ns: u64,
}

/// What was heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Questions {
    pub all: Vec<Question>,
    /// Frames that the kernel dropped because nobody collected them in time: must be zero.
    pub frames_lost: u64,
}

/// A listener at work. Dropping it ends it.
#[derive(Debug)]
pub struct QuestionWatch(Listener<Question>);

impl QuestionWatch {
    /// Listens on an interface of `host`; returns when it hears.
    pub fn start(host: &Host, interface: &str) -> Result<QuestionWatch> {
        let interface = interface.to_owned();
        let open = move || Ok(vec![open(&interface)?]);
        Listener::start(host, open, parse, QUESTIONS_MAX).map(QuestionWatch)
    }

    /// How many were heard so far.
    pub fn count(&self) -> usize {
        self.0.collected().all.len()
    }

    /// What was heard from an instant on, so far.
    pub fn since(&self, from_ns: u64) -> Vec<Question> {
        let heard = self.0.collected();
        let first = heard.all.partition_point(|one| one.received_ns < from_ns);
        heard.all[first..].to_vec()
    }

    /// Stops listening and returns all that was heard.
    pub fn stop(self) -> Result<Questions> {
        let heard = self.0.stop()?;
        Ok(Questions { all: heard.all, frames_lost: heard.frames_lost })
    }
}

/// IPv4, TCP, no later fragment, and of the flags SYN without ACK (RFC 9293, section 3.1).
const FIRST_PACKETS: [SockFilter; 10] = {
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HALF: u16 = 0x28;
    const LOAD_BYTE_INDEXED: u16 = 0x50;
    const HEADER_LENGTH: u16 = 0xb1;
    const IF_EQUAL: u16 = 0x15;
    const IF_ANY_BIT: u16 = 0x45;
    const AND: u16 = 0x54;
    const RETURN: u16 = 0x06;
    [
        SockFilter::new(LOAD_BYTE, 0, 0, 23),
        SockFilter::new(IF_EQUAL, 0, 7, 6),
        SockFilter::new(LOAD_HALF, 0, 0, 20),
        SockFilter::new(IF_ANY_BIT, 5, 0, 0x1fff),
        SockFilter::new(HEADER_LENGTH, 0, 0, 14),
        SockFilter::new(LOAD_BYTE_INDEXED, 0, 0, 14 + 13),
        SockFilter::new(AND, 0, 0, 0x12),
        SockFilter::new(IF_EQUAL, 0, 1, 0x02),
        SockFilter::new(RETURN, 0, 0, 128),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
};

fn open(interface: &str) -> Result<Dated> {
    let socket = packet_socket(&link_address(interface)?, ETHERTYPE_IPV4)?;
    SockRef::from(&socket)
        .attach_filter(&FIRST_PACKETS)
        .map_err(LabError::system("attaching a packet filter"))?;
    Dated::new(socket)
}

/// The addresses of a frame that the filter has passed.
fn parse(_: usize, frame: &[u8], received_ns: u64) -> Option<Question> {
    let packet = frame.get(14..)?;
    let header = usize::from(*packet.first()? & 0x0f) * 4;
    let to: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    let &[a, b, c, d] = packet.get(header..header + 4)? else { return None };
    let to = SocketAddrV4::new(Ipv4Addr::from(to), u16::from_be_bytes([c, d]));
    Some(Question { to, from_port: u16::from_be_bytes([a, b]), received_ns })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;
    use crate::now_ns;

    #[test]
    fn only_the_first_packet_of_a_connection_is_heard_and_names_both_ports() -> Result<()> {
        let lan = crate::Lan::new("questions", "10.78.0.0/24", None)?;
        let (asker, server) = (Host::new("asker")?, Host::new("server")?);
        lan.attach(&asker, "eth0", 1)?;
        lan.attach(&server, "eth0", 2)?;
        let to = SocketAddrV4::new([10, 78, 0, 2].into(), 81);
        let _listener = server.enter(|| TcpListener::bind(to))?.map_err(LabError::system("81"))?;
        let watch = QuestionWatch::start(&server, "eth0")?;
        let from = now_ns();
        let port = asker.enter(|| -> std::io::Result<u16> {
            let mut stream = TcpStream::connect(to)?;
            stream.write_all(b"more packets of the same connection")?;
            Ok(stream.local_addr()?.port())
        })?;
        let port = port.map_err(LabError::system("connecting"))?;
        crate::until("the question", Duration::from_secs(5), || (watch.count() > 0).then_some(()))?;
        let heard = watch.stop()?;
        let &[one] = heard.all.as_slice() else { panic!("one question, not {heard:?}") };
        assert_eq!((one.to, one.from_port, heard.frames_lost), (to, port, 0));
        assert!((from..=now_ns()).contains(&one.received_ns));
        Ok(())
    }
}
