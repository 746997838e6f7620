//! Questions of one datagram, and their answers.

use std::io::{ErrorKind, Result};
use std::net::{SocketAddrV4, UdpSocket};
use std::time::Duration;

use super::{Behaviour, Protocol, Shared};

/// How often it looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) fn open(address: SocketAddrV4) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_read_timeout(Some(LOOK_EVERY))?;
    Ok(socket)
}

pub(super) fn serve(socket: &UdpSocket, protocol: Protocol, shared: &Shared) {
    let mut buffer = [0; 1500];
    loop {
        let received = socket.recv_from(&mut buffer);
        let state = *shared.state();
        if state.ending {
            return;
        }
        match received {
            Ok((length, from)) => {
                if let Some(answer) = answer(&buffer[..length], protocol, state.behaviour) {
                    // An asker that is gone is its own affair.
                    let _ = socket.send_to(&answer, from);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // What an earlier answer met with.
            Err(_) => {}
        }
    }
}

/// `None`: silence.
fn answer(question: &[u8], protocol: Protocol, behaviour: Behaviour) -> Option<Vec<u8>> {
    let is_bad = match behaviour {
        Behaviour::Well => false,
        Behaviour::Refusing | Behaviour::Other => true,
        Behaviour::Deaf | Behaviour::Stalling | Behaviour::Trickling | Behaviour::Resetting => {
            return None;
        }
    };
    match protocol {
        Protocol::Dns => dns(question, is_bad),
        Protocol::Udp if is_bad => Some(b"something else".to_vec()),
        Protocol::Udp => Some(question.to_vec()),
        Protocol::Tcp | Protocol::Http | Protocol::Smtp | Protocol::Plain => None,
    }
}

/// The same question with one address as its answer, or with SERVFAIL (RFC 1035, section 4.1).
fn dns(question: &[u8], is_bad: bool) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    let name = question.get(HEADER..)?;
    let end = HEADER + name.iter().position(|byte| *byte == 0)? + 5;
    let mut answer = question.get(..end)?.to_vec();
    let (rcode, answers) = if is_bad { (2, 0) } else { (0, 1) };
    answer[2] = 0x80 | (question[2] & 0x01);
    answer[3] = 0x80 | rcode;
    answer[6..HEADER].copy_from_slice(&[0, answers, 0, 0, 0, 0]);
    if !is_bad {
        // The name of the question, A, IN, a minute, 192.0.2.1.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_questions_number_and_says_how_it_went() {
        let mut question = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        question.extend(b"\x02ab\x00\x00\x01\x00\x01and more");
        let well = dns(&question, false).expect("an answer");
        assert_eq!(well[..12], [0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!((&well[12..20], well.len()), (&question[12..20], 20 + 16));
        let bad = dns(&question, true).expect("an answer");
        assert_eq!((bad[3] & 0x0f, bad[7], bad.len()), (2, 0, 20));
        assert!((0..20).all(|length| dns(&question[..length], false).is_none()));
    }
}
