//! The BPF filters that hang on an interface's clsact qdisc, and whether it has one.
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
/// Where `clsact` and `ingress` hang.
const TC_H_CLSACT: u32 = 0xffff_fff1;

const HEADER: usize = 16;
const TCMSG: usize = 20;
const RTM_NEWQDISC: u16 = 36;
const RTM_GETQDISC: u16 = 38;
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
    let mut filters = Vec::new();
    dump(RTM_GETTFILTER, ifindex, parent, |kind, body| {
        if kind == RTM_NEWTFILTER {
            filters.extend(filter(body)?);
        }
        Ok(())
    })?;
    Ok(filters)
}

/// Whether the qdisc of both directions is clsact. The kernel has `ingress` in the same place.
pub(crate) fn has_clsact(ifindex: u32) -> io::Result<bool> {
    let mut found = false;
    dump(RTM_GETQDISC, ifindex, 0, |kind, body| {
        let (index, parent) = (u32_at(body, 4)?, u32_at(body, 12)?);
        // The kernel tells of every interface, whatever it is asked.
        if kind == RTM_NEWQDISC && index == ifindex && parent == TC_H_CLSACT {
            let attributes = body.get(TCMSG..).unwrap_or_default();
            found |= attribute(attributes, TCA_KIND) == Some(b"clsact\0");
        }
        Ok(())
    })?;
    Ok(found)
}

/// Asks for a dump, and hands over the kind and body of each message.
fn dump(
    request: u16,
    ifindex: u32,
    parent: u32,
    mut each: impl FnMut(u16, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    let message = message(request, ifindex, parent);
    sendto(socket.as_raw_fd(), &message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut buffer = vec![0; 65536];
    for _ in 0..MAX_PARTS {
        let len = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        if parse(&buffer[..len], &mut each)? {
            return Ok(());
        }
    }
    Err(io::Error::other("the kernel's answer has no end"))
}

fn message(request: u16, ifindex: u32, parent: u32) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + TCMSG);
    message.extend(u32::try_from(HEADER + TCMSG).unwrap_or(u32::MAX).to_ne_bytes());
    message.extend(request.to_ne_bytes());
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
fn parse(mut rest: &[u8], each: &mut impl FnMut(u16, &[u8]) -> io::Result<()>) -> io::Result<bool> {
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
            kind => each(kind, body)?,
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

    fn answer(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(body.len() + HEADER).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes
    }

    fn tcmsg(handle: u32, info: u32) -> Vec<u8> {
        [0, 7, handle, INGRESS, info].iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    fn read(datagram: &[u8]) -> (Vec<Filter>, io::Result<bool>) {
        let mut filters = Vec::new();
        let done = parse(datagram, &mut |_, body| {
            filters.extend(filter(body)?);
            Ok(())
        });
        (filters, done)
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
            answer(RTM_NEWTFILTER, &other),
            answer(RTM_NEWTFILTER, &body),
            answer(NLMSG_DONE, &[0; 4]),
        ]
        .concat();

        let (filters, done) = read(&datagram);
        assert!(done.unwrap());
        assert_eq!(filters, [Filter { priority: 1, handle: 9, program: 42 }]);
    }

    #[test]
    fn no_cut_of_an_answer_is_misread() {
        let mut body = tcmsg(9, 1 << 16);
        body.extend(attr(TCA_KIND, b"bpf\0"));
        body.extend(attr(TCA_OPTIONS, &attr(TCA_BPF_ID, &42u32.to_ne_bytes())));
        let whole = answer(RTM_NEWTFILTER, &body);
        for len in 0..whole.len() {
            let (filters, _) = read(&whole[..len]);
            assert!(filters.is_empty(), "cut at {len}");
        }
    }
}
