//! Checks of real servers, carried out: keepalived's network checkers.
//!
//! A [`Prober`] is made once for each check, and holds what its questions have in common. What a
//! failure means is decided by the pure [`crate::checker`].

mod awake;
mod datagram;
mod dns;
mod http;
mod ping;
mod smtp;
mod source;
mod tcp;
mod tls;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use leasehold_model::{Check, CheckKind, FileCheck, MiscCheck, Source};

pub use dns::DnsError;
pub use http::{HttpError, HttpFault};
pub use smtp::SmtpError;
pub use tls::TlsFault;
pub use udp::UdpError;

/// Why a real server did not pass, or could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// This machine could not ask: no verdict about the real server.
    #[error("{0} could not be asked, which says nothing of it: {1}")]
    Unknown(SocketAddr, io::Error),
    #[error("no connection to {0}: {1}")]
    Connect(SocketAddr, io::Error),
    #[error("no answer of {0} within {1:?}")]
    Silent(SocketAddr, Duration),
    #[error("no TLS with {0}: {1}")]
    Tls(SocketAddr, TlsFault),
    #[error(transparent)]
    Http(#[from] http::HttpError),
    #[error(transparent)]
    Smtp(#[from] smtp::SmtpError),
    #[error(transparent)]
    Dns(#[from] dns::DnsError),
    #[error(transparent)]
    Udp(#[from] udp::UdpError),
}

impl CheckError {
    /// Whether it says something of the real server.
    #[must_use]
    pub fn is_verdict(&self) -> bool {
        !matches!(self, Self::Unknown(..))
    }
}

/// What is asked somewhere else than over the network.
#[derive(Clone, Copy, Debug)]
pub enum Elsewhere<'a> {
    Program(&'a MiscCheck),
    File(&'a FileCheck),
}

/// One check of one real server, ready to be carried out again and again.
#[derive(Debug)]
pub struct Prober {
    target: Target,
    question: Question,
}

#[derive(Debug)]
enum Question {
    Tcp,
    Http(http::Pages),
    Smtp(smtp::Hosts),
    Dns(dns::Question),
    Udp(udp::Question),
    Ping,
}

impl Prober {
    /// `virtualhost` is what to call the server where a page does not.
    ///
    /// # Errors
    /// For checks that ask no network.
    pub fn new<'a>(
        check: &'a Check,
        real: SocketAddr,
        virtualhost: Option<&str>,
    ) -> Result<Self, Elsewhere<'a>> {
        let address = check.connect.unwrap_or(real);
        let question = match &check.kind {
            CheckKind::Tcp => Question::Tcp,
            CheckKind::Http(one) => Question::Http(http::Pages::new(one, address, virtualhost)),
            CheckKind::Smtp(one) => Question::Smtp(smtp::Hosts::new(one)),
            CheckKind::Dns(one) => Question::Dns(dns::Question::new(one)),
            CheckKind::Udp(one) => Question::Udp(udp::Question::new(one)),
            CheckKind::Ping => Question::Ping,
            CheckKind::Misc(one) => return Err(Elsewhere::Program(one)),
            CheckKind::File(one) => return Err(Elsewhere::File(one)),
        };
        let target = Target {
            address,
            source: check.source.clone(),
            limit: Duration::from_millis(u64::from(check.connect_timeout_ms)),
        };
        Ok(Self { target, question })
    }

    /// Asks once. Each connection, and each answer, has the check's `connect_timeout`, as
    /// keepalived counts, but of time that this machine was awake for.
    ///
    /// # Errors
    /// Where it does not answer as it should, in time; [`CheckError::Unknown`] where this machine
    /// could not ask.
    pub async fn ask(&self) -> Result<(), CheckError> {
        match &self.question {
            Question::Tcp => tcp::ask(&self.target).await,
            Question::Http(pages) => pages.ask(&self.target).await,
            Question::Smtp(hosts) => hosts.ask(&self.target).await,
            Question::Dns(question) => question.ask(&self.target).await,
            Question::Udp(question) => question.ask(&self.target).await,
            Question::Ping => ping::ask(&self.target).await,
        }
    }
}

/// Who is asked, from where, and how long each step may take.
#[derive(Clone, Debug)]
struct Target {
    address: SocketAddr,
    source: Source,
    limit: Duration,
}

impl Target {
    /// One step of the conversation.
    async fn within<T>(
        &self,
        step: impl Future<Output = Result<T, CheckError>>,
    ) -> Result<T, CheckError> {
        let late = Err(CheckError::Silent(self.address, self.limit));
        awake::within(self.limit, step).await.unwrap_or(late)
    }

    /// A failure of this machine before a word was said to it, whatever its kind.
    fn unknown(&self, error: io::Error) -> CheckError {
        CheckError::Unknown(self.address, error)
    }

    /// A failure of the network or of this machine while talking to it.
    fn failed(&self, error: io::Error) -> CheckError {
        if is_local(&error) {
            CheckError::Unknown(self.address, error)
        } else {
            CheckError::Connect(self.address, error)
        }
    }
}

/// What this machine lacks says nothing of another.
fn is_local(error: &io::Error) -> bool {
    let lacks = [
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOBUFS,
        libc::ENOMEM,
        libc::EADDRNOTAVAIL,
        libc::EPERM,
        libc::ENODEV,
    ];
    error.raw_os_error().is_some_and(|number| lacks.contains(&number))
}
