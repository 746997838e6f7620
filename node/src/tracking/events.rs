//! The kernel's news of processes: the proc connector (`linux/cn_proc.h`).
//!
//! ```text
//!  0                       16                    36      40     44         52
//! +-----------------------+---------------------+-------+------+----------+----------------+
//! | nlmsghdr              | cn_msg: idx, val,   | what  | cpu  | time     | by kind        |
//! |                       | seq, ack, len, flags|       |      |          |                |
//! +-----------------------+---------------------+-------+------+----------+----------------+
//! ```
//!
//! Only root in the machine's first network namespace hears it; elsewhere nothing ever comes.

use std::future::pending;
use std::io;

use netlink_sys::protocols::NETLINK_CONNECTOR;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

/// `CN_IDX_PROC` and `CN_VAL_PROC`.
const INDEX: u32 = 1;
const VALUE: u32 = 1;
/// `PROC_CN_MCAST_LISTEN`.
const LISTEN: u32 = 1;
/// `NLMSG_DONE`: what a message of the connector is typed as.
const DONE: u16 = 3;

const HEADERS: usize = 16 + 20;
const KIND: usize = HEADERS + 16;

/// Room for any one message.
const MESSAGE_MAX: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Forked {
        parent: u32,
    },
    /// It runs another program, or calls itself otherwise.
    Renamed {
        pid: u32,
    },
    Ended {
        pid: u32,
    },
    /// There were more than the socket holds.
    Lost,
}

pub(super) struct Events {
    /// Absent: nothing is to be heard here.
    socket: Option<TokioSocket>,
}

impl Events {
    pub(super) fn open() -> Self {
        let socket = listen().inspect_err(|error| {
            tracing::info!(%error, "the kernel tells nothing of processes: looking every second");
        });
        Self { socket: socket.ok() }
    }

    /// The next one. May be dropped at any time: what was not returned is not lost.
    pub(super) async fn next(&mut self) -> Event {
        while let Some(socket) = &self.socket {
            let mut message = Vec::with_capacity(MESSAGE_MAX);
            match socket.recv(&mut message).await {
                Ok(()) => {
                    if let Some(event) = parse(&message) {
                        return event;
                    }
                }
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Event::Lost,
                Err(error) => {
                    tracing::warn!(%error, "no more news of processes: looking every second");
                    self.socket = None;
                }
            }
        }
        pending().await
    }
}

fn listen() -> io::Result<TokioSocket> {
    let mut socket = <TokioSocket as AsyncSocket>::new(NETLINK_CONNECTOR)?;
    socket.socket_mut().bind(&SocketAddr::new(0, INDEX))?;
    let kernel = SocketAddr::new(0, 0);
    socket.socket_ref().send_to(&request(), &kernel, 0)?;
    Ok(socket)
}

fn request() -> Vec<u8> {
    let payload = LISTEN.to_ne_bytes();
    let length = HEADERS + payload.len();
    let mut message = Vec::with_capacity(length);
    // nlmsghdr: length, type, flags, sequence, port.
    message.extend(u32::try_from(length).unwrap_or(0).to_ne_bytes());
    message.extend(DONE.to_ne_bytes());
    message.extend([0; 10]);
    // cn_msg: index, value, sequence, ack, length, flags.
    message.extend(INDEX.to_ne_bytes());
    message.extend(VALUE.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(u16::try_from(payload.len()).unwrap_or(0).to_ne_bytes());
    message.extend([0; 2]);
    message.extend(payload);
    message
}

/// None: it is about nothing that we follow, threads among it.
fn parse(message: &[u8]) -> Option<Event> {
    let word = |at: usize| {
        let bytes = message.get(at..at + 4)?;
        bytes.try_into().ok().map(u32::from_ne_bytes)
    };
    let (pid, tgid) = (word(KIND)?, word(KIND + 4)?);
    match word(HEADERS)? {
        // FORK: parent pid and tgid, child pid and tgid.
        0x1 => {
            let (child, group) = (word(KIND + 8)?, word(KIND + 12)?);
            (child == group).then_some(Event::Forked { parent: tgid })
        }
        // EXEC and COMM. Of the threads, the first has the process's name.
        0x2 | 0x200 if pid == tgid => Some(Event::Renamed { pid }),
        // EXIT.
        0x8000_0000 if pid == tgid => Some(Event::Ended { pid }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(what: u32, words: &[u32]) -> Vec<u8> {
        let mut message = vec![0; HEADERS];
        message.extend(what.to_ne_bytes());
        message.extend([0; 12]);
        message.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        message
    }

    #[test]
    fn processes_are_told_from_threads_and_the_rest_is_passed_over() {
        assert_eq!(parse(&message(1, &[7, 6, 9, 9])), Some(Event::Forked { parent: 6 }));
        assert_eq!(parse(&message(1, &[6, 6, 9, 6])), None, "a thread");
        assert_eq!(parse(&message(2, &[9, 9])), Some(Event::Renamed { pid: 9 }));
        assert_eq!(parse(&message(0x200, &[9, 9, 0, 0])), Some(Event::Renamed { pid: 9 }));
        assert_eq!(parse(&message(0x200, &[9, 8, 0, 0])), None, "a thread's name");
        assert_eq!(parse(&message(0x8000_0000, &[9, 9])), Some(Event::Ended { pid: 9 }));
        assert_eq!(parse(&message(0x8000_0000, &[9, 8])), None);
        assert_eq!(parse(&message(0, &[0, 0])), None, "the acknowledgement");
        assert_eq!(parse(&message(4, &[9, 9])), None, "a change of user");
        for length in 0..KIND + 8 {
            assert_eq!(parse(&message(2, &[9, 9])[..length]), None, "cut at {length}");
        }
    }

    #[test]
    fn the_request_is_as_long_as_it_says() {
        let request = request();
        assert_eq!(request.len(), 40);
        assert_eq!(request[..4], 40u32.to_ne_bytes());
        assert_eq!(request[32..34], 4u16.to_ne_bytes());
    }
}
