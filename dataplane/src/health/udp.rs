//! `UDP_CHECK`: a datagram, and its reply, or only that nobody says it can't be delivered.
//!
//! As keepalived: without a reply to wait for, the real server is well where `connect_timeout` goes
//! by without an ICMP error, or with any datagram back, which ends the wait. So a check that
//! passes takes the whole `connect_timeout`; an address that nobody has is told by the kernel after
//! about three seconds (`ucast_solicit` and `mcast_solicit`), and a shorter time does not see it.

use std::net::SocketAddr;

use leasehold_model::{UdpCheck, UdpReply};
use socket2::Type;

use super::datagram::Datagrams;
use super::{CheckError, Target, awake};

/// The longest datagram there is.
const LENGTH_MAX: usize = 0xffff;

/// What is sent where nothing is configured: as much as keepalived sends.
const NOTHING: [u8; 32] = [b'.'; 32];

/// What is wrong with a reply.
#[derive(Debug, thiserror::Error)]
pub enum UdpError {
    #[error("{0} replied with fewer than {1} bytes: {2}")]
    Short(SocketAddr, u32, usize),
    #[error("{0} replied with more than {1} bytes")]
    Long(SocketAddr, u32),
    #[error("{0} replied with {1}..., which is not how the reply is to begin")]
    Other(SocketAddr, String),
}

#[derive(Debug)]
pub(super) struct Question {
    payload: Vec<u8>,
    reply: Option<UdpReply>,
}

impl Question {
    pub(super) fn new(check: &UdpCheck) -> Self {
        let payload =
            if check.payload.is_empty() { NOTHING.to_vec() } else { check.payload.clone() };
        Self { payload, reply: check.reply.clone() }
    }

    pub(super) async fn ask(&self, target: &Target) -> Result<(), CheckError> {
        let failed = |error| target.failed(error);
        let socket = Datagrams::open(target, Type::DGRAM, None)?;
        socket.send(&self.payload).map_err(failed)?;
        let Some(reply) = &self.reply else {
            let mut any = [0];
            return match awake::within(target.limit, socket.receive(&mut any)).await {
                Some(Err(error)) => Err(failed(error)),
                Some(Ok(_)) | None => Ok(()),
            };
        };
        // One more than it may have shows that it has too many.
        let room = usize::try_from(reply.max_length).unwrap_or(LENGTH_MAX).min(LENGTH_MAX) + 1;
        let mut bytes = vec![0; room];
        let answer = async { socket.receive(&mut bytes).await.map_err(failed) };
        let length = target.within(answer).await?;
        judge(target.address, reply, &bytes[..length]).map_err(CheckError::from)
    }
}

/// The length is always looked at, and of the beginning, as in keepalived, as much as there is.
fn judge(from: SocketAddr, reply: &UdpReply, bytes: &[u8]) -> Result<(), UdpError> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    if length < reply.min_length {
        return Err(UdpError::Short(from, reply.min_length, bytes.len()));
    }
    if length > reply.max_length {
        return Err(UdpError::Long(from, reply.max_length));
    }
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    let wanted = |(wanted, found): (&Option<u8>, u8)| wanted.is_none_or(|one| one == found);
    if reply.begins.iter().zip(nibbles).all(wanted) {
        return Ok(());
    }
    let shown = bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    Err(UdpError::Other(from, shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins(pattern: &str) -> Vec<Option<u8>> {
        pattern.chars().map(|one| one.to_digit(16).and_then(|one| one.try_into().ok())).collect()
    }

    fn passes(pattern: &str, lengths: (u32, u32), bytes: &[u8]) -> bool {
        let reply =
            UdpReply { begins: begins(pattern), min_length: lengths.0, max_length: lengths.1 };
        judge("192.0.2.1:53".parse().unwrap(), &reply, bytes).is_ok()
    }

    #[test]
    fn each_nibble_is_compared_or_may_be_any() {
        let any = (0, 255);
        assert!(passes("", any, b"whatever"));
        assert!(passes("a1b2", any, &[0xa1, 0xb2]));
        assert!(!passes("a1b2", any, &[0xa1, 0xb3]));
        assert!(!passes("a1b2", any, &[0xb1, 0xb2]));
        assert!(passes("x1bx", any, &[0x51, 0xb7]));
        assert!(!passes("x1bx", any, &[0x52, 0xb7]));
        assert!(!passes("x1bx", any, &[0x51, 0xc7]));
        assert!(passes("a1", any, &[0xa1, 0xff]), "what follows may be anything");
        assert!(passes("a1b2", any, &[0xa1]), "as much as there is");
        assert!(passes("a1b", any, &[0xa1, 0xb9]), "half a byte");
        assert!(!passes("a1b", any, &[0xa1, 0xc9]));
    }

    #[test]
    fn both_lengths_are_included() {
        for (length, well) in [(1, false), (2, true), (4, true), (5, false)] {
            assert_eq!(passes("", (2, 4), &vec![0; length]), well, "{length} bytes");
        }
        assert!(passes("a1", (0, 4), &[]), "an empty one is one");
    }
}
