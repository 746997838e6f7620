//! One connection: what is said on it, well or as a fault wants it.

use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

use super::{Behaviour, PAGE, Protocol, Shared};

/// No checker takes longer to say what it wants, or to go away.
const PATIENCE: Duration = Duration::from_secs(60);

const TRICKLE_EVERY: Duration = Duration::from_millis(500);

pub(super) fn hold(
    stream: TcpStream,
    protocol: Protocol,
    behaviour: Behaviour,
    shared: &Shared,
) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut speaker = Speaker { stream, behaviour, shared };
    match protocol {
        Protocol::Http => speaker.http(),
        Protocol::Smtp => speaker.smtp(),
        Protocol::Plain => speaker.say("well met, and no more\r\n"),
        Protocol::Tcp | Protocol::Dns | Protocol::Udp => speaker.wait_for_the_end(),
    }
}

struct Speaker<'a> {
    stream: TcpStream,
    behaviour: Behaviour,
    shared: &'a Shared,
}

impl Speaker<'_> {
    fn http(&mut self) -> Result<()> {
        let mut lines = BufReader::new(self.stream.try_clone()?).lines();
        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        let (status, page) = match self.behaviour {
            Behaviour::Refusing => ("500 Internal Server Error", "No.\n"),
            Behaviour::Other => ("200 OK", "All is otherwise.\n"),
            Behaviour::Well
            | Behaviour::Deaf
            | Behaviour::Stalling
            | Behaviour::Trickling
            | Behaviour::Resetting => ("200 OK", PAGE),
        };
        let length = page.len();
        write!(
            self.stream,
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n"
        )?;
        self.say(page)
    }

    fn smtp(&mut self) -> Result<()> {
        if self.behaviour == Behaviour::Refusing {
            return self.say("421 lab closing\r\n");
        }
        self.say("220 lab ready\r\n")?;
        let mut lines = BufReader::new(self.stream.try_clone()?).lines();
        while let Some(line) = lines.next().transpose()? {
            if line.to_ascii_uppercase().starts_with("QUIT") {
                return self.say("221 lab closing\r\n");
            }
            self.say("250 lab\r\n")?;
        }
        Ok(())
    }

    /// Says it, or what the fault makes of it.
    fn say(&mut self, text: &str) -> Result<()> {
        let first = &text.as_bytes()[..text.len() / 2];
        match self.behaviour {
            Behaviour::Well | Behaviour::Deaf | Behaviour::Refusing | Behaviour::Other => {
                self.stream.write_all(text.as_bytes())
            }
            Behaviour::Stalling => {
                self.stream.write_all(first)?;
                self.wait_for_the_end()
            }
            Behaviour::Trickling => {
                for byte in text.as_bytes() {
                    self.stream.write_all(&[*byte])?;
                    if !self.shared.linger(TRICKLE_EVERY) {
                        return Ok(());
                    }
                }
                Ok(())
            }
            Behaviour::Resetting => {
                self.stream.write_all(first)?;
                // What was written is on its way before the reset is.
                self.shared.linger(Duration::from_millis(20));
                SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
            }
        }
    }

    /// Until the other side has closed.
    fn wait_for_the_end(&mut self) -> Result<()> {
        let mut buffer = [0; 512];
        while self.stream.read(&mut buffer)? > 0 {}
        Ok(())
    }
}
