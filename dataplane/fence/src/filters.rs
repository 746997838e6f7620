//! The BPF filters that hang on an interface's clsact qdisc.
//!
//! Kernels before 6.6 have no tcx, and aya can attach a filter there but not list them. So this
//! asks `RTM_GETTFILTER` itself: a dump of one parent, of which the numbers of program, priority
//! and handle are read.

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

/// A filter of kind `bpf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) priority: u16,
    pub(crate) handle: u32,
    pub(crate) program: u32,
}

/// `TC_H_CLSACT` with `TC_H_MIN_INGRESS` or `TC_H_MIN_EGRESS`.
pub(crate) const INGRESS: u32 = 0xffff_fff2;
pub(crate) const EGRESS: u32 = 0xffff_fff3;

const HEADER: usize = 16;
const TCMSG: usize = 20;
const RTM_GETTFILTER: u16 = 46;
const RTM_NEWTFILTER: u16 = 44;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_ID: u16 = 11;
/// More parts than any interface has filters: a kernel that never says done is not waited for.
const MAX_PARTS: usize = 1024;

/// The filters on one side of the interface; none where it has no clsact qdisc.
pub(crate) fn list(ifindex: u32, parent: u32) -> io::Result<Vec<Filter>> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    sendto(
        socket.as_raw_fd(),
        &request(ifindex, parent),
        &NetlinkAddr::new(0, 0),
        MsgFlags::empty(),
    )?;
    let mut filters = Vec::new();
    let mut buffer = vec![0; 65536];
    for _ in 0..MAX_PARTS {
        let len = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        if parse(&buffer[..len], &mut filters)? {
            return Ok(filters);
        }
    }
    Err(io::Error::other("the kernel's answer has no end"))
}

fn request(ifindex: u32, parent: u32) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + TCMSG);
    message.extend(u32::try_from(HEADER + TCMSG).unwrap_or(u32::MAX).to_ne_bytes());
    message.extend(RTM_GETTFILTER.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    message.extend([0; 8]);
    // struct tcmsg: family and padding, interface, handle, parent, info.
    message.extend([0; 4]);
    message.extend(ifindex.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(parent.to_ne_bytes());
    message.extend([0; 4]);
    message
}

/// Reads one datagram of the dump; true once the dump is complete.
fn parse(mut rest: &[u8], filters: &mut Vec<Filter>) -> io::Result<bool> {
    while rest.len() >= HEADER {
        let len = u32_at(rest, 0)? as usize;
        if len < HEADER || len > rest.len() {
            return Err(io::Error::other("a netlink message is cut short"));
        }
        let body = &rest[HEADER..len];
        match u16_at(rest, 4)? {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let code = i32::from_ne_bytes(u32_at(body, 0)?.to_ne_bytes());
                return match -code {
                    0 => Ok(true),
                    code => Err(io::Error::from_raw_os_error(code)),
                };
            }
            RTM_NEWTFILTER => filters.extend(filter(body)?),
            _ => {}
        }
        rest = &rest[len.next_multiple_of(4).min(rest.len())..];
    }
    Ok(false)
}

/// A bpf filter that has a program; other kinds, and the head of a chain, are nothing to us.
fn filter(body: &[u8]) -> io::Result<Option<Filter>> {
    let handle = u32_at(body, 8)?;
    let priority = u16::try_from(u32_at(body, 16)? >> 16).unwrap_or(0);
    let attributes = body.get(TCMSG..).unwrap_or_default();
    if attribute(attributes, TCA_KIND) != Some(b"bpf\0") {
        return Ok(None);
    }
    let options = attribute(attributes, TCA_OPTIONS).unwrap_or_default();
    let Some(program) = attribute(options, TCA_BPF_ID) else { return Ok(None) };
    Ok(Some(Filter { priority, handle, program: u32_at(program, 0)? }))
}

fn attribute(mut rest: &[u8], wanted: u16) -> Option<&[u8]> {
    while let (Ok(len), Ok(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let len = usize::from(len);
        let value = rest.get(4..len)?;
        // The two highest bits say how the value is encoded, not what it is.
        if kind & 0x3fff == wanted {
            return Some(value);
        }
        rest = rest.get(len.next_multiple_of(4)..)?;
    }
    None
}

fn u32_at(bytes: &[u8], at: usize) -> io::Result<u32> {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    four.map(u32::from_ne_bytes).ok_or_else(|| io::Error::other("a netlink message is cut short"))
}

fn u16_at(bytes: &[u8], at: usize) -> io::Result<u16> {
    let two = bytes.get(at..at + 2).and_then(|two| two.try_into().ok());
    two.map(u16::from_ne_bytes).ok_or_else(|| io::Error::other("a netlink message is cut short"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attr(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(value.len() + 4).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(body.len() + HEADER).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes
    }

    fn tcmsg(handle: u32, info: u32) -> Vec<u8> {
        [0, 7, handle, INGRESS, info].iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn a_filter_is_read_and_the_end_is_seen() {
        let mut body = tcmsg(9, 1 << 16 | 3);
        body.extend(attr(TCA_KIND, b"bpf\0"));
        let options = [attr(7, b"name\0"), attr(TCA_BPF_ID, &42u32.to_ne_bytes())].concat();
        body.extend(attr(TCA_OPTIONS | 0x8000, &options));
        let mut other = tcmsg(1, 2 << 16);
        other.extend(attr(TCA_KIND, b"u32\0"));
        let datagram = [
            message(RTM_NEWTFILTER, &other),
            message(RTM_NEWTFILTER, &body),
            message(NLMSG_DONE, &[0; 4]),
        ]
        .concat();

        let mut filters = Vec::new();
        assert!(parse(&datagram, &mut filters).unwrap());
        assert_eq!(filters, [Filter { priority: 1, handle: 9, program: 42 }]);
    }

    #[test]
    fn no_cut_of_an_answer_is_misread() {
        let mut body = tcmsg(9, 1 << 16);
        body.extend(attr(TCA_KIND, b"bpf\0"));
        body.extend(attr(TCA_OPTIONS, &attr(TCA_BPF_ID, &42u32.to_ne_bytes())));
        let whole = message(RTM_NEWTFILTER, &body);
        for len in 0..whole.len() {
            let mut filters = Vec::new();
            let _ = parse(&whole[..len], &mut filters);
            assert!(filters.is_empty(), "cut at {len}");
        }
    }
}
