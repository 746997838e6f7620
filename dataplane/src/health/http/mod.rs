//! `HTTP_GET` and `SSL_GET`: pages, and what they must be.
//!
//! Each page has a connection of its own, and a question that is made once: what is asked again
//! and again is only sent. A connection is closed as soon as enough of the answer is known.

mod body;
mod chunked;
mod one;
mod two;

use std::io;
use std::net::SocketAddr;

use leasehold_model::{HttpCheck, HttpVersion, Url};
use tokio::io::{AsyncRead, AsyncWrite};

use super::tls::Tls;
use super::{CheckError, Target, is_local, tcp};

const USER_AGENT: &str = "leasehold";

/// What is wrong with a page.
#[derive(Debug, thiserror::Error)]
#[error("{server}{path}: {fault}")]
pub struct HttpError {
    pub server: SocketAddr,
    pub path: String,
    pub fault: HttpFault,
}

#[derive(Debug, thiserror::Error)]
pub enum HttpFault {
    #[error("it answered {0}")]
    Status(u16),
    #[error("the body has the digest {0}, which is not the one that is wanted")]
    Digest(String),
    #[error("the body does not match the regex")]
    NoMatch,
    #[error("the body matches the regex that it must not match")]
    Match,
    #[error(
        "the body is longer than the {} bytes that a regex can be matched against",
        body::BODY_LIMIT
    )]
    BodyTooLong,
    #[error("the header is longer than {} bytes or 100 lines", one::HEADER_LIMIT)]
    HeaderTooLong,
    #[error("what it says is not HTTP")]
    Malformed,
    #[error("the connection ended before the answer did")]
    Truncated,
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("HTTP/2 failed: {0}")]
    Http2(h2::Error),
}

impl From<h2::Error> for HttpFault {
    fn from(error: h2::Error) -> Self {
        if !error.is_io() {
            return Self::Http2(error);
        }
        match error.into_io() {
            Some(error) => Self::Broken(error),
            None => Self::Truncated,
        }
    }
}

#[derive(Debug)]
pub(super) struct Pages {
    pages: Vec<Page>,
    tls: Option<Tls>,
}

/// One page, ready to be asked for.
#[derive(Debug)]
struct Page {
    path: String,
    /// What it is called to the server; absent: by its address.
    virtualhost: Option<String>,
    /// Absent where there is nothing that can be asked, with the reason.
    question: Result<Question, String>,
    /// Ranges of good status codes; empty: 200 to 299.
    status: Vec<(u16, u16)>,
    body: body::Wanted,
}

#[derive(Debug)]
enum Question {
    One(Box<[u8]>),
    Two(http::Uri),
}

impl Pages {
    /// A page that can't be asked for is no error yet: each question says why.
    pub(super) fn new(check: &HttpCheck, address: SocketAddr, virtualhost: Option<&str>) -> Self {
        let tls = check.tls.as_ref().map(|tls| Tls::new(tls, check.version));
        let page = |url: &Url| Page::new(url, check, address, virtualhost);
        Self { pages: check.urls.iter().map(page).collect(), tls }
    }

    pub(super) async fn ask(&self, target: &Target) -> Result<(), CheckError> {
        for page in &self.pages {
            let question = page.question.as_ref().map_err(|reason| {
                let reason = io::Error::new(io::ErrorKind::InvalidInput, reason.clone());
                CheckError::Unknown(target.address, reason)
            })?;
            let stream = tcp::connect(target).await?;
            match &self.tls {
                None => target.within(page.ask(target, question, stream)).await?,
                Some(tls) => {
                    let stream = tls.handshake(target, stream, page.virtualhost.as_deref()).await?;
                    target.within(page.ask(target, question, stream)).await?;
                }
            }
        }
        Ok(())
    }
}

impl Page {
    fn new(url: &Url, check: &HttpCheck, address: SocketAddr, virtualhost: Option<&str>) -> Self {
        let virtualhost = url.virtualhost.as_deref().or(virtualhost);
        let (body, fault) = match body::Wanted::new(url) {
            Ok(body) => (body, None),
            Err(error) => {
                (body::Wanted::default(), Some(format!("the regex of {}: {error}", url.path)))
            }
        };
        let question = Question::new(url, check, address, virtualhost);
        Self {
            path: url.path.clone(),
            virtualhost: virtualhost.map(str::to_owned),
            question: fault.map_or(question, Err),
            status: url.status_code.clone(),
            body,
        }
    }

    async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        target: &Target,
        question: &Question,
        mut stream: S,
    ) -> Result<(), CheckError> {
        let answer = match question {
            Question::One(request) => one::exchange(&mut stream, request, self).await,
            Question::Two(uri) => two::exchange(stream, uri, self).await,
        };
        answer.map_err(|fault| self.failed(target, fault))
    }

    fn judge_status(&self, status: u16) -> Result<(), HttpFault> {
        let good = match self.status.as_slice() {
            [] => (200..300).contains(&status),
            some => some.iter().any(|(first, last)| (*first..=*last).contains(&status)),
        };
        if good { Ok(()) } else { Err(HttpFault::Status(status)) }
    }

    fn failed(&self, target: &Target, fault: HttpFault) -> CheckError {
        let wrong =
            |fault| HttpError { server: target.address, path: self.path.clone(), fault }.into();
        let HttpFault::Broken(error) = fault else { return wrong(fault) };
        if is_local(&error) {
            CheckError::Unknown(target.address, error)
        } else {
            wrong(HttpFault::Broken(error))
        }
    }
}

impl Question {
    fn new(
        url: &Url,
        check: &HttpCheck,
        address: SocketAddr,
        virtualhost: Option<&str>,
    ) -> Result<Self, String> {
        let path = &url.path;
        // SocketAddr writes the zone of a link-local address, which is this machine's word only.
        let host = virtualhost.map_or_else(
            || match address {
                SocketAddr::V4(address) => address.to_string(),
                SocketAddr::V6(address) => format!("[{}]:{}", address.ip(), address.port()),
            },
            str::to_owned,
        );
        let odd = |text: &str| text.bytes().any(|byte| byte <= b' ' || byte == 0x7f);
        if path.is_empty() || odd(path) {
            return Err(format!("no page can be asked for as {path:?}: write spaces as %20"));
        }
        if odd(&host) {
            return Err(format!("{host:?} is no virtual host: it has a space in it"));
        }
        let (version, close) = match check.version {
            HttpVersion::Http10 => ("1.0", ""),
            HttpVersion::Http10Close => ("1.0", "Connection: close\r\n"),
            HttpVersion::Http11 => ("1.1", "Connection: close\r\n"),
            HttpVersion::Http2 => {
                let uri = http::Uri::builder()
                    .scheme(if check.tls.is_some() { "https" } else { "http" })
                    .authority(host)
                    .path_and_query(path);
                let odd = |error| format!("{path} can't be asked for by HTTP/2: {error}");
                return uri.build().map(Self::Two).map_err(odd);
            }
        };
        let request = format!(
            "GET {path} HTTP/{version}\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\n{close}\r\n"
        );
        Ok(Self::One(request.into_bytes().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(version: HttpVersion, address: &str, virtualhost: Option<&str>) -> String {
        let check = HttpCheck { version, ..HttpCheck::default() };
        let url = Url { path: "/x?y".to_owned(), ..Url::default() };
        let address = address.parse().expect("an address");
        match Question::new(&url, &check, address, virtualhost).expect("it can be asked") {
            Question::One(request) => String::from_utf8(request.into()).expect("text"),
            Question::Two(uri) => uri.to_string(),
        }
    }

    #[test]
    fn a_server_without_a_virtual_host_is_called_by_its_address() {
        let host = |address, virtualhost| {
            let request = asked(HttpVersion::Http11, address, virtualhost);
            request.lines().nth(1).expect("Host").to_owned()
        };
        assert_eq!(host("192.0.2.1:80", None), "Host: 192.0.2.1:80");
        assert_eq!(host("[2001:db8::1]:80", None), "Host: [2001:db8::1]:80");
        assert_eq!(host("[fe80::1%3]:80", None), "Host: [fe80::1]:80", "the zone is ours");
        assert_eq!(host("[fe80::1%3]:80", Some("a.example")), "Host: a.example");
        let two = asked(HttpVersion::Http2, "[fe80::1%3]:80", None);
        assert_eq!(two, "http://[fe80::1]:80/x?y");
    }
}
