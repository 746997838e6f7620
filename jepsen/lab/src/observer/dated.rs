//! A socket whose packets the kernel dates on arrival, so that they may be collected late.

use std::io::IoSliceMut;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBufForce, ReceiveTimestampns, RxqOvfl};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use nix::time::ClockId;

use crate::wait::clock_ns;
use crate::{LabError, Result, now_ns};

/// Room for seconds of answers, should the thread be held up.
const RECEIVE_BUFFER: usize = 8 << 20;

/// More than any packet that matters.
const PACKET_MAX: usize = 256;

#[derive(Debug)]
pub(super) struct Dated {
    pub(super) socket: OwnedFd,
    pub(super) frames_lost: u64,
}

/// A packet, whence and when it came.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    pub(super) packet: &'a [u8],
    pub(super) from: Option<IpAddr>,
    pub(super) received_ns: u64,
}

impl Dated {
    pub(super) fn new(socket: OwnedFd) -> Result<Dated> {
        setsockopt(&socket, ReceiveTimestampns, &true)
            .and_then(|()| setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER))
            .and_then(|()| setsockopt(&socket, RxqOvfl, &1))
            .map_err(LabError::errno("setting up the observer's socket"))?;
        Ok(Dated { socket, frames_lost: 0 })
    }

    /// Hands over every packet that has arrived since the last call.
    pub(super) fn drain(&mut self, mut take: impl FnMut(Arrival<'_>)) -> Result<()> {
        // The kernel dates packets by the wall clock; the difference to the lab's clock is taken
        // anew each time, so a step of the wall clock can misdate one tick's packets only.
        let ahead_ns = i128::from(clock_ns(ClockId::CLOCK_REALTIME)) - i128::from(now_ns());
        let mut control = nix::cmsg_space!(nix::libc::timespec, u32);
        let mut buffer = [0_u8; PACKET_MAX];
        loop {
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let received = recvmsg::<SockaddrStorage>(
                self.socket.as_raw_fd(),
                &mut slices,
                Some(&mut control),
                MsgFlags::MSG_DONTWAIT,
            );
            let message = match received {
                Ok(message) => message,
                Err(Errno::EAGAIN) => return Ok(()),
                // What an earlier question met with; its silence is on record already.
                Err(
                    Errno::EINTR
                    | Errno::ENETDOWN
                    | Errno::EHOSTUNREACH
                    | Errno::ENETUNREACH
                    | Errno::ECONNREFUSED,
                ) => continue,
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
            let from = message.address.as_ref().and_then(|address| {
                let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
                v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
            });
            let length = message.bytes.min(PACKET_MAX);
            take(Arrival { packet: &buffer[..length], from, received_ns });
        }
    }
}
