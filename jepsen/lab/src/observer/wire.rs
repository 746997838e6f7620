//! Packet sockets of the witness: frames out, sayings in, dated by the kernel.

use std::io::IoSliceMut;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::sockopt::{RcvBufForce, ReceiveTimestampns, RxqOvfl};
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, bind, recvmsg, send, setsockopt};
use nix::time::ClockId;

use super::frame::{ETHERTYPE_ARP, ETHERTYPE_IPV6, Saying, parse};
use crate::wait::clock_ns;
use crate::{LabError, Mac, Result, now_ns};

/// Room for seconds of answers, should the thread be held up.
const RECEIVE_BUFFER: usize = 8 << 20;

/// One packet socket per family that is asked for.
#[derive(Debug)]
pub(super) struct Wire {
    mac: Mac,
    v4: Option<Channel>,
    v6: Option<Channel>,
}

#[derive(Debug)]
struct Channel {
    socket: OwnedFd,
    frames_lost: u64,
}

impl Wire {
    /// Opens sockets in the namespace of the calling thread.
    pub(super) fn open(interface: &str, vips: &[IpAddr]) -> Result<Wire> {
        let address = link_address(interface)?;
        let mac = address.addr().map(Mac).ok_or_else(|| {
            LabError::Argument(format!("{interface} has no Ethernet address to ask from"))
        })?;
        let channel = |needed: bool, ethertype| {
            needed.then(|| Channel::open(&address, ethertype)).transpose()
        };
        Ok(Wire {
            mac,
            v4: channel(vips.iter().any(IpAddr::is_ipv4), ETHERTYPE_ARP)?,
            v6: channel(vips.iter().any(IpAddr::is_ipv6), ETHERTYPE_IPV6)?,
        })
    }

    pub(super) fn mac(&self) -> Mac {
        self.mac
    }

    /// Sends a frame about `vip`; false if the link is down.
    pub(super) fn send(&self, vip: IpAddr, frame: &[u8]) -> Result<bool> {
        let channel = if vip.is_ipv4() { &self.v4 } else { &self.v6 };
        let Some(channel) = channel else { return Ok(false) };
        match send(channel.socket.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT) {
            Ok(_) => Ok(true),
            Err(Errno::ENETDOWN | Errno::ENXIO | Errno::ENOBUFS | Errno::EAGAIN) => Ok(false),
            Err(errno) => Err(LabError::errno("sending a question")(errno)),
        }
    }

    /// Everything that was heard since the last call, with the instant of its arrival.
    pub(super) fn drain(&mut self) -> Result<Vec<(Saying, u64)>> {
        let mut heard = Vec::new();
        for channel in [&mut self.v4, &mut self.v6].into_iter().flatten() {
            channel.drain(self.mac, &mut heard)?;
        }
        Ok(heard)
    }

    pub(super) fn frames_lost(&self) -> u64 {
        [&self.v4, &self.v6].into_iter().flatten().map(|channel| channel.frames_lost).sum()
    }
}

impl Channel {
    fn open(address: &LinkAddr, ethertype: u16) -> Result<Channel> {
        let socket = socket2::Socket::new(
            socket2::Domain::PACKET,
            socket2::Type::RAW,
            Some(socket2::Protocol::from(i32::from(ethertype.to_be()))),
        )
        .map_err(LabError::system("opening a packet socket"))?;
        let socket = OwnedFd::from(socket);
        // The address of an interface carries no protocol, so the bind keeps the socket's own.
        bind(socket.as_raw_fd(), address).map_err(LabError::errno("binding a packet socket"))?;
        setsockopt(&socket, ReceiveTimestampns, &true)
            .and_then(|()| setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER))
            .and_then(|()| setsockopt(&socket, RxqOvfl, &1))
            .map_err(LabError::errno("setting up a packet socket"))?;
        Ok(Channel { socket, frames_lost: 0 })
    }

    fn drain(&mut self, own: Mac, heard: &mut Vec<(Saying, u64)>) -> Result<()> {
        // The kernel dates frames by the wall clock; the difference to the lab's clock is taken
        // anew each time, so a step of the wall clock can misdate one tick's frames only.
        let ahead_ns = i128::from(clock_ns(ClockId::CLOCK_REALTIME)) - i128::from(now_ns());
        let mut control = nix::cmsg_space!(nix::libc::timespec, u32);
        let mut buffer = [0_u8; 256];
        loop {
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let received = recvmsg::<()>(
                self.socket.as_raw_fd(),
                &mut slices,
                Some(&mut control),
                MsgFlags::MSG_DONTWAIT,
            );
            let message = match received {
                Ok(message) => message,
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR | Errno::ENETDOWN) => continue,
                Err(errno) => return Err(LabError::errno("receiving an answer")(errno)),
            };
            let mut received_ns = now_ns();
            for control in message.cmsgs().map_err(LabError::errno("reading a timestamp"))? {
                if let ControlMessageOwned::ScmTimestampns(at) = control {
                    let at_ns = i128::from(at.tv_sec()) * 1_000_000_000 + i128::from(at.tv_nsec());
                    received_ns = u64::try_from(at_ns - ahead_ns).unwrap_or(0);
                } else if let ControlMessageOwned::RxqOvfl(lost) = control {
                    self.frames_lost = lost.into();
                }
            }
            let length = message.bytes.min(256);
            let saying = parse(&buffer[..length]).filter(|saying| saying.mac != own);
            heard.extend(saying.map(|saying| (saying, received_ns)));
        }
    }
}

/// Real-time priority keeps the ticks even on a busy machine; without it the figures are as
/// honest, since lateness is recorded, only coarser.
pub(super) fn ask_for_priority() {
    let thread = nix::unistd::gettid().to_string();
    let _ = crate::netns::run("chrt", &["-f", "-p", "1", &thread]);
}

fn link_address(interface: &str) -> Result<LinkAddr> {
    let index = if_nametoindex(interface)
        .map_err(LabError::errno(format!("looking up the interface {interface}")))?;
    getifaddrs()
        .map_err(LabError::errno("listing the interfaces"))?
        .filter_map(|entry| entry.address?.as_link_addr().copied())
        .find(|address| address.ifindex() == index as usize)
        .ok_or_else(|| LabError::Argument(format!("{interface} has no link-layer address")))
}
