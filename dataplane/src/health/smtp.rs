//! `SMTP_CHECK`: a mail server that greets with 220, takes HELO with 250, and answers QUIT.
//!
//! As keepalived, whatever it answers to QUIT is well; and every host of the check must pass, one
//! after the other. Beyond keepalived, replies may have several lines, and the time is for a
//! whole reply, not for each packet of it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use leasehold_dataplane_core::health::wire::smtp::{Answer, Malformed, Reply};
use leasehold_model::{SmtpCheck, SmtpHost};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{CheckError, Target, awake, is_local, tcp};

/// A part of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Greeting,
    Helo,
    Quit,
}

impl Step {
    /// The status that is wanted. Absent: any.
    fn wanted(self) -> Option<u16> {
        match self {
            Self::Greeting => Some(220),
            Self::Helo => Some(250),
            Self::Quit => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Greeting => "greeting",
            Self::Helo => "reply to HELO",
            Self::Quit => "reply to QUIT",
        })
    }
}

/// What is wrong with a mail server, and where in the conversation.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    #[error("{0}: its {1} is `{2}`, and {3} is wanted")]
    Status(SocketAddr, Step, String, u16),
    #[error("{0}: its {1} is {2}")]
    Malformed(SocketAddr, Step, Malformed),
    #[error("{0}: no whole {1} within {2:?}{3}")]
    Silent(SocketAddr, Step, Duration, Said),
    #[error("{0}: it closed the connection before its {1} was whole{2}")]
    Closed(SocketAddr, Step, Said),
    #[error("{0}: no {1}: {2}")]
    Broken(SocketAddr, Step, io::Error),
}

/// What there was of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said(Option<String>);

impl fmt::Display for Said {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(said) => write!(to, ", only `{said}`"),
            None => Ok(()),
        }
    }
}

#[derive(Debug)]
pub(super) struct Hosts {
    helo: String,
    hosts: Vec<SmtpHost>,
}

impl Hosts {
    pub(super) fn new(check: &SmtpCheck) -> Self {
        Self { helo: format!("HELO {}\r\n", check.helo_name), hosts: check.hosts.clone() }
    }

    pub(super) async fn ask(&self, target: &Target) -> Result<(), CheckError> {
        if self.hosts.is_empty() {
            return self.converse(target).await;
        }
        for SmtpHost { connect, source } in &self.hosts {
            let host = Target { address: *connect, source: source.clone(), limit: target.limit };
            self.converse(&host).await?;
        }
        Ok(())
    }

    async fn converse(&self, host: &Target) -> Result<(), CheckError> {
        let mut talk = Talk { host, stream: tcp::connect(host).await? };
        talk.step(Step::Greeting, "").await?;
        talk.step(Step::Helo, &self.helo).await?;
        talk.step(Step::Quit, "QUIT\r\n").await
    }
}

struct Talk<'a> {
    host: &'a Target,
    stream: TcpStream,
}

impl Talk<'_> {
    /// Says `command`, and hears its reply.
    async fn step(&mut self, step: Step, command: &str) -> Result<(), CheckError> {
        let Target { address, limit, .. } = *self.host;
        let mut reply = Reply::default();
        let heard = awake::within(limit, self.reply(step, command, &mut reply)).await;
        let late = || SmtpError::Silent(address, step, limit, Said(reply.unfinished()));
        let Answer { status, text } = heard.unwrap_or_else(|| Err(late().into()))?;
        match step.wanted() {
            Some(wanted) if wanted != status => {
                Err(SmtpError::Status(address, step, text, wanted).into())
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn reply(
        &mut self,
        step: Step,
        command: &str,
        reply: &mut Reply,
    ) -> Result<Answer, CheckError> {
        let address = self.host.address;
        let broken = |error| {
            if is_local(&error) {
                return CheckError::Unknown(address, error);
            }
            SmtpError::Broken(address, step, error).into()
        };
        self.stream.write_all(command.as_bytes()).await.map_err(broken)?;
        let mut packet = [0; 512];
        loop {
            let length = self.stream.read(&mut packet).await.map_err(broken)?;
            if length == 0 {
                return Err(SmtpError::Closed(address, step, Said(reply.unfinished())).into());
            }
            let answer = reply.handle_bytes(&packet[..length]);
            if let Some(answer) = answer.map_err(|why| SmtpError::Malformed(address, step, why))? {
                return Ok(answer);
            }
        }
    }
}
