//! The one call to the kernel that has no safe wrapper: options of packet sockets.
#![expect(unsafe_code, reason = "no safe crate sets options of packet sockets")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::libc;

/// What a packet socket can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PacketOption {
    /// Frames carry the kernel's notes on checksums and segments before them.
    VirtualHeader,
    /// What others send out at this interface is not shown.
    IgnoreOutgoing,
}

/// Turns an option on.
pub(crate) fn turn_on(socket: BorrowedFd<'_>, option: PacketOption) -> io::Result<()> {
    let name = match option {
        PacketOption::VirtualHeader => libc::PACKET_VNET_HDR,
        PacketOption::IgnoreOutgoing => libc::PACKET_IGNORE_OUTGOING,
    };
    let on: libc::c_int = 1;
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open as long as it is borrowed; the kernel reads `size` bytes of
    // `on`, which outlives the call, and keeps no pointer to it.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, name, (&raw const on).cast(), size)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
