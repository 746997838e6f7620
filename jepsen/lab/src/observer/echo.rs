//! ICMP echoes through a host's own kernel: what a client of the address feels.
//!
//! An echo carries the instant of its sending, so a reply tells which one it answers.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU16, Ordering};

use nix::sys::socket::{MsgFlags, SockaddrStorage, sendto};
use socket2::{Domain, Protocol, Socket, Type};

use super::Settings;
use super::asking::{Event, Medium};
use super::dated::Dated;
use super::observation::Answer;
use crate::{LabError, Mac, Result, now_ns};

#[derive(Debug)]
pub(super) struct Echoes {
    v4: Option<Dated>,
    v6: Option<Dated>,
    identifier: u16,
}

impl Echoes {
    /// Opens sockets in the namespace of the calling thread.
    pub(super) fn open(settings: &Settings) -> Result<Echoes> {
        static NEXT: AtomicU16 = AtomicU16::new(1);
        let identifier = NEXT.fetch_add(1, Ordering::Relaxed) ^ std::process::id() as u16;
        let socket = |needed: bool, domain, protocol| -> Result<Option<Dated>> {
            let open = || {
                let socket = Socket::new(domain, Type::RAW, Some(protocol))
                    .map_err(LabError::system("opening an ICMP socket"))?;
                Dated::new(socket.into())
            };
            needed.then(open).transpose()
        };
        Ok(Echoes {
            v4: socket(settings.vips.iter().any(IpAddr::is_ipv4), Domain::IPV4, Protocol::ICMPV4)?,
            v6: socket(settings.vips.iter().any(IpAddr::is_ipv6), Domain::IPV6, Protocol::ICMPV6)?,
            identifier,
        })
    }
}

impl Medium for Echoes {
    fn ask(&mut self, vip: IpAddr) -> Result<Option<u64>> {
        let (dated, kind) = if vip.is_ipv4() { (&self.v4, 8) } else { (&self.v6, 128) };
        let Some(dated) = dated else { return Ok(None) };
        let sent_ns = now_ns();
        let echo = echo_request(kind, self.identifier, sent_ns);
        let to = SockaddrStorage::from(SocketAddr::new(vip, 0));
        // A refusal (no route, no neighbour, link down) is what a client would feel: silence.
        let _ = sendto(dated.socket.as_raw_fd(), &echo, &to, MsgFlags::MSG_DONTWAIT);
        Ok(Some(sent_ns))
    }

    fn listen(&mut self, heard: &mut Vec<(IpAddr, Event)>) -> Result<()> {
        let identifier = self.identifier;
        for (dated, reply) in [(&mut self.v4, 0), (&mut self.v6, 129)] {
            let Some(dated) = dated else { continue };
            dated.drain(|arrival| {
                // Raw IPv4 sockets deliver the IP header too.
                let header = if reply == 0 { header_length(arrival.packet) } else { 0 };
                let message = arrival.packet.get(header..).unwrap_or(&[]);
                let sent_ns = echoed(message, reply, identifier);
                if let (Some(from), Some(sent_ns)) = (arrival.from, sent_ns) {
                    let (received_ns, mac) = (arrival.received_ns, Mac([0; 6]));
                    heard.push((from, Event::Answered(Answer { sent_ns, received_ns, mac })));
                }
            })?;
        }
        Ok(())
    }

    fn frames_lost(&self) -> u64 {
        [&self.v4, &self.v6].into_iter().flatten().map(|dated| dated.frames_lost).sum()
    }
}

/// An echo whose payload is its own date. For IPv6 the kernel fills in the checksum.
fn echo_request(kind: u8, identifier: u16, sent_ns: u64) -> [u8; 16] {
    let mut message = [0; 16];
    message[0] = kind;
    message[4..6].copy_from_slice(&identifier.to_be_bytes());
    message[8..].copy_from_slice(&sent_ns.to_be_bytes());
    let sum: u32 = message.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

/// When the echo was sent that this message answers.
fn echoed(message: &[u8], reply: u8, identifier: u16) -> Option<u64> {
    let ours = *message.first()? == reply && message.get(4..6)? == identifier.to_be_bytes();
    let date = message.get(8..16)?.try_into().ok()?;
    ours.then(|| u64::from_be_bytes(date))
}

fn header_length(packet: &[u8]) -> usize {
    packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4)
}
