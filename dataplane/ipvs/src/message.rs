//! Netlink messages: a header of 16 bytes, a generic one of 4, attributes (`linux/genetlink.h`).

use crate::Error;
use crate::attribute::{Writer, u16_at, u32_at};

const HEADER: usize = 16;
const GENERIC: usize = 4;

/// `nlmsg_flags`.
pub(crate) const REQUEST: u16 = 0x001;
pub(crate) const ACK: u16 = 0x004;
pub(crate) const DUMP: u16 = 0x300;

/// `nlmsg_type` of netlink itself.
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// Appends one message. Its acknowledgement can be asked for later.
pub(crate) fn write(
    to: &mut Vec<u8>,
    family: u16,
    command: u8,
    flags: u16,
    sequence: u32,
    attributes: &Writer,
) {
    let length = u32::try_from(HEADER + GENERIC + attributes.bytes.len()).unwrap_or(u32::MAX);
    to.extend_from_slice(&length.to_ne_bytes());
    to.extend_from_slice(&family.to_ne_bytes());
    to.extend_from_slice(&(REQUEST | flags).to_ne_bytes());
    to.extend_from_slice(&sequence.to_ne_bytes());
    // The kernel fills in who sends.
    to.extend_from_slice(&[0; 4]);
    to.extend_from_slice(&[command, 1, 0, 0]);
    to.extend_from_slice(&attributes.bytes);
}

/// Asks for the acknowledgement of the message that begins at `start`.
pub(crate) fn acknowledge(bytes: &mut [u8], start: usize) {
    let at = start + 6;
    let flags = u16_at(bytes, at).unwrap_or(0) | ACK;
    bytes[at..at + 2].copy_from_slice(&flags.to_ne_bytes());
}

/// What one message of the kernel's says.
#[derive(Debug)]
pub(crate) enum Said<'a> {
    /// Attributes.
    Data(&'a [u8]),
    /// 0 is an acknowledgement; else a number of `errno.h`.
    Outcome(i32),
    /// The end of a list.
    Done,
}

#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) sequence: u32,
    pub(crate) said: Said<'a>,
}

/// The messages in one datagram.
pub(crate) fn read(bytes: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Error>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let message = read_one(rest);
        rest = match &message {
            Ok((_, length)) => rest.get(length.next_multiple_of(4)..).unwrap_or_default(),
            Err(_) => &[],
        };
        Some(message.map(|(message, _)| message))
    })
}

fn read_one(bytes: &[u8]) -> Result<(Message<'_>, usize), Error> {
    const CUT: Error = Error::Malformed("a message is cut short");
    let length = usize::try_from(u32_at(bytes, 0).ok_or(CUT)?).map_err(|_| CUT)?;
    let kind = u16_at(bytes, 4).ok_or(CUT)?;
    let sequence = u32_at(bytes, 8).ok_or(CUT)?;
    let body = bytes.get(HEADER..length).ok_or(CUT)?;
    // The number is negative in `struct nlmsgerr`; `DONE` carries one too.
    let number = || u32_at(body, 0).map(|number| i32::from_ne_bytes(number.to_ne_bytes()));
    let said = match kind {
        ERROR => Said::Outcome(number().ok_or(CUT)?.saturating_neg()),
        DONE => match number() {
            Some(failed) if failed < 0 => Said::Outcome(failed.saturating_neg()),
            Some(_) | None => Said::Done,
        },
        _ => Said::Data(body.get(GENERIC..).ok_or(CUT)?),
    };
    Ok((Message { sequence, said }, length))
}
