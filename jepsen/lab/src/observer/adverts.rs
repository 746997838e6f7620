//! A listener that asks nothing: every VRRP advert on the wire, dated by the kernel on arrival.

use std::net::Ipv4Addr;

use super::dated::Dated;
use super::listener::{COLLECT_EVERY, Listener};
use super::wire::{link_address, packet_socket};
use crate::{Host, Mac, Result};

const ETHERTYPE_IPV4: u16 = 0x0800;
const VRRP: u8 = 112;

/// Some hours of 255 routers' adverts; more are counted as lost.
const ADVERTS_MAX: usize = 4_000_000;

/// An advert over IPv4, as far as anybody needs to know it who speaks no VRRP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert {
    /// On which of the interfaces that were named.
    pub interface: usize,
    /// The frame's source.
    pub mac: Mac,
    /// The packet's source.
    pub source: Ipv4Addr,
    pub version: u8,
    pub vrid: u8,
    pub priority: u8,
    /// Nanoseconds of CLOCK_BOOTTIME.
    pub received_ns: u64,
}

/// What was heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    pub adverts: Vec<Advert>,
    /// Frames that the kernel dropped because nobody collected them in time: must be zero.
    pub frames_lost: u64,
}

/// A listener at work. Dropping it ends it.
#[derive(Debug)]
pub struct AdvertWatch(Listener<Advert>);

impl AdvertWatch {
    /// Listens on these interfaces of `host`; returns when it hears.
    pub fn start(host: &Host, interfaces: &[String]) -> Result<AdvertWatch> {
        let interfaces = interfaces.to_vec();
        Listener::start(host, move || open(&interfaces), parse, ADVERTS_MAX).map(AdvertWatch)
    }

    /// What was heard from an instant on, so far.
    pub fn since(&self, from_ns: u64) -> Vec<Advert> {
        let heard = self.0.collected();
        // Nearly in the order of arrival: interfaces are collected one after the other.
        let fresh = heard.all.iter().rev();
        let slack = COLLECT_EVERY.as_nanos() as u64 * 100;
        let mut found: Vec<Advert> = fresh
            .take_while(|one| one.received_ns + slack >= from_ns)
            .filter(|one| one.received_ns >= from_ns)
            .copied()
            .collect();
        found.reverse();
        found
    }

    /// Stops listening and returns all that was heard.
    pub fn stop(self) -> Result<Heard> {
        let heard = self.0.stop()?;
        Ok(Heard { adverts: heard.all, frames_lost: heard.frames_lost })
    }
}

fn open(interfaces: &[String]) -> Result<Vec<Dated>> {
    let one = |name: &String| Dated::new(packet_socket(&link_address(name)?, ETHERTYPE_IPV4)?);
    interfaces.iter().map(one).collect()
}

/// The advert that a frame is, if it is one (RFC 3768, section 5.1; RFC 9568, section 5.1).
fn parse(interface: usize, frame: &[u8], received_ns: u64) -> Option<Advert> {
    let mac = Mac(frame.get(6..12)?.try_into().ok()?);
    let packet = frame.get(14..)?;
    let header = usize::from(*packet.first()? & 0x0f) * 4;
    let is_ipv4 = packet[0] >> 4 == 4 && frame[12..14] == ETHERTYPE_IPV4.to_be_bytes();
    if !is_ipv4 || *packet.get(9)? != VRRP {
        return None;
    }
    let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    let &[kind, vrid, priority] = packet.get(header..header + 3)? else { return None };
    let (version, is_advert) = (kind >> 4, kind & 0x0f == 1);
    is_advert.then_some(Advert {
        interface,
        mac,
        source: source.into(),
        version,
        vrid,
        priority,
        received_ns,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{LabError, now_ns};

    /// Ethernet, IPv4 with so many words of header, VRRPv2 of router 51 with priority 150.
    fn frame(words: u8) -> Vec<u8> {
        let mut frame = vec![0x01, 0, 0x5e, 0, 0, 18, 2, 0, 0, 0, 0, 9, 8, 0];
        let mut header = vec![0; usize::from(words) * 4];
        header[0] = 0x40 | words;
        header[3] = words * 4 + 8;
        header[8] = 255;
        header[9] = VRRP;
        header[12..16].copy_from_slice(&[10, 0, 0, 7]);
        header[16..20].copy_from_slice(&[224, 0, 0, 18]);
        // A machine that filters what its bridges pass lets no broken header through.
        let sum: u32 = header.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1])).sum();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        frame.extend(header);
        frame.extend([0x21, 51, 150, 1, 0, 1, 0, 0]);
        frame
    }

    #[test]
    fn an_advert_is_read_behind_a_header_with_and_without_options() {
        for words in [5, 6] {
            let wanted = Advert {
                interface: 1,
                mac: Mac([2, 0, 0, 0, 0, 9]),
                source: [10, 0, 0, 7].into(),
                version: 2,
                vrid: 51,
                priority: 150,
                received_ns: 99,
            };
            assert_eq!(parse(1, &frame(words), 99), Some(wanted));
        }
    }

    #[test]
    fn what_is_no_advert_and_what_is_cut_short_is_none() {
        let good = frame(5);
        for (at, value) in [(12, 0x86), (14, 0x65), (23, 6), (34, 0x22)] {
            let mut other = good.clone();
            other[at] = value;
            assert_eq!(parse(0, &other, 0), None, "byte {at}");
        }
        assert!((0..37).all(|length| parse(0, &good[..length], 0).is_none()));
    }

    #[test]
    fn an_advert_on_the_wire_is_heard_and_dated() -> Result<()> {
        let lan = crate::Lan::new("adverts", "10.77.0.0/24", None)?;
        let (speaker, listener) = (Host::new("speaker")?, Host::new("listener")?);
        let port = lan.attach(&speaker, "eth0", 1)?;
        lan.attach(&listener, "eth7", 2)?;
        let watch = AdvertWatch::start(&listener, &["eth7".to_owned()])?;
        let from = now_ns();
        speaker.enter(|| -> Result<()> {
            let address = link_address("eth0")?;
            let socket = packet_socket(&address, ETHERTYPE_IPV4)?;
            let mut frame = frame(5);
            frame[6..12].copy_from_slice(&port.mac.0);
            let flags = nix::sys::socket::MsgFlags::empty();
            nix::sys::socket::send(std::os::fd::AsRawFd::as_raw_fd(&socket), &frame, flags)
                .map(drop)
                .map_err(LabError::errno("sending an advert"))
        })??;
        let limit = Duration::from_secs(5);
        let one = crate::until("the advert", limit, || watch.since(from).first().copied())?;
        assert_eq!((one.mac, one.vrid, one.priority), (port.mac, 51, 150));
        assert!((from..=now_ns()).contains(&one.received_ns));
        assert_eq!(watch.stop()?, Heard { adverts: vec![one], frames_lost: 0 });
        Ok(())
    }
}
