//! HTTP/1.0 and 1.1: one request, and its answer to the end.
//!
//! The request is text made beforehand, and the answer is read where it lies: of all checks this
//! is carried out most, and by the thousand each second.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::chunked::{self, Chunked};
use super::{HttpFault, Page};

/// A longer header is no page's: 64 KiB.
pub(super) const HEADER_LIMIT: usize = 64 << 10;

/// Lines that a header may have, as hyper's.
const LINES: usize = 100;

/// Read at once: most answers to a check fit.
const AT_ONCE: usize = 4 << 10;

/// Of a body that is read, and not only its header.
const BODY_AT_ONCE: usize = 32 << 10;

pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    request: &[u8],
    page: &Page,
) -> Result<(), HttpFault> {
    stream.write_all(request).await?;
    stream.flush().await?;
    let mut buffer = Vec::with_capacity(AT_ONCE);
    let head = header(stream, &mut buffer).await?;
    page.judge_status(head.status)?;
    let mut judge = page.body.judge();
    let mut framing = head.framing?;
    buffer.drain(..head.length);
    buffer.reserve(BODY_AT_ONCE);
    loop {
        let end = framing.take(&buffer, |piece| judge.take(piece))?;
        if end {
            return judge.end();
        }
        buffer.clear();
        match stream.read_buf(&mut buffer).await {
            Ok(0) => break,
            Ok(_) => {}
            // TLS that ends without a word: as many servers do, and for OpenSSL an end too.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error.into()),
        }
    }
    match framing {
        Framing::UntilClosed => judge.end(),
        Framing::Length(_) | Framing::Chunked(_) => Err(HttpFault::Truncated),
    }
}

/// What the header says.
struct Head {
    /// Of the header itself, in bytes.
    length: usize,
    status: u16,
    /// An error where a body can't be told from what follows it.
    framing: Result<Framing, HttpFault>,
}

/// Reads until the header is complete, and past interim answers (1xx).
async fn header<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> Result<Head, HttpFault> {
    loop {
        let before = buffer.len();
        if stream.read_buf(buffer).await? == 0 {
            return Err(HttpFault::Truncated);
        }
        // A header that trickles is not parsed again with each byte of it.
        let mut fresh = before == 0 || ends_header(&buffer[before.saturating_sub(2)..]);
        while fresh {
            match parse(buffer)? {
                Some(head) if (100..200).contains(&head.status) && head.status != 101 => {
                    buffer.drain(..head.length);
                    fresh = !buffer.is_empty();
                }
                Some(head) => return Ok(head),
                None => fresh = false,
            }
        }
        if buffer.len() >= HEADER_LIMIT {
            return Err(HttpFault::HeaderTooLong);
        }
        buffer.reserve(AT_ONCE.min(HEADER_LIMIT - buffer.len()));
    }
}

/// Whether an empty line ends in it.
fn ends_header(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|two| two == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

/// The header at the beginning of `buffer`; none yet where it goes on.
fn parse(buffer: &[u8]) -> Result<Option<Head>, HttpFault> {
    let mut lines = [httparse::EMPTY_HEADER; LINES];
    let mut response = httparse::Response::new(&mut lines);
    // keepalived reads the status and looks for lengths, and is strict with nothing else.
    let parsed = httparse::ParserConfig::default()
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .parse_response(&mut response, buffer);
    match parsed {
        Ok(httparse::Status::Complete(length)) => {
            let status = response.code.ok_or(HttpFault::Malformed)?;
            Ok(Some(Head { length, status, framing: framing(status, response.headers) }))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err(HttpFault::HeaderTooLong),
        Err(
            httparse::Error::HeaderName
            | httparse::Error::HeaderValue
            | httparse::Error::NewLine
            | httparse::Error::Status
            | httparse::Error::Token
            | httparse::Error::Version,
        ) => Err(HttpFault::Malformed),
    }
}

/// Where the body ends.
#[derive(Debug)]
enum Framing {
    Length(u64),
    Chunked(Chunked),
    UntilClosed,
}

/// RFC 9112 section 6.3, for the answer to a GET.
fn framing(status: u16, lines: &[httparse::Header<'_>]) -> Result<Framing, HttpFault> {
    if matches!(status, 204 | 304) {
        return Ok(Framing::Length(0));
    }
    let named = |name: &'static str| {
        lines.iter().filter(move |line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value)
    };
    if let Some(coding) = named("transfer-encoding").next_back() {
        let last = coding.rsplit(|byte| *byte == b',').next().unwrap_or_default();
        let chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        return Ok(if chunked { Framing::Chunked(Chunked::new()) } else { Framing::UntilClosed });
    }
    let mut lengths = named("content-length").map(|value| {
        let digits = value.trim_ascii();
        let number = digits.iter().all(u8::is_ascii_digit).then_some(digits);
        let number = number.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
        number.ok_or(HttpFault::Malformed)
    });
    let Some(length) = lengths.next().transpose()? else { return Ok(Framing::UntilClosed) };
    for other in lengths {
        if other? != length {
            return Err(HttpFault::Malformed);
        }
    }
    Ok(Framing::Length(length))
}

impl Framing {
    /// Hands on what of `input` is the body's. True where that was the end of it.
    fn take(
        &mut self,
        mut input: &[u8],
        mut hand_on: impl FnMut(&[u8]) -> Result<(), HttpFault>,
    ) -> Result<bool, HttpFault> {
        match self {
            Self::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= length as u64;
                hand_on(&input[..length])?;
                Ok(*left == 0)
            }
            Self::Chunked(decoder) => {
                while !input.is_empty() {
                    let (piece, rest) =
                        decoder.next(input).map_err(|chunked::Malformed| HttpFault::Malformed)?;
                    hand_on(piece)?;
                    input = rest;
                }
                Ok(decoder.is_end())
            }
            Self::UntilClosed => hand_on(input).map(|()| false),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::net::SocketAddr;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use leasehold_model::{HttpCheck, Pattern, Url};
    use tokio::io::ReadBuf;

    use super::*;

    /// A server that says these pieces, and then ends as it says.
    struct Script(VecDeque<&'static [u8]>, Option<io::ErrorKind>);

    impl AsyncRead for Script {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            match (self.0.pop_front(), self.1) {
                (Some(piece), _) => buffer.put_slice(piece),
                (None, Some(kind)) => return Poll::Ready(Err(kind.into())),
                (None, None) => {}
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Script {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn ask(
        pieces: impl IntoIterator<Item = &'static [u8]>,
        end: Option<io::ErrorKind>,
    ) -> Result<(), HttpFault> {
        let pattern = Pattern {
            regex: "^all is well$".to_owned(),
            no_match: false,
            min_offset: 0,
            max_offset: 0,
        };
        let url = Url { path: "/".to_owned(), regex: Some(pattern), ..Url::default() };
        let address = SocketAddr::from(([192, 0, 2, 1], 80));
        let page = Page::new(&url, &HttpCheck::default(), address, None);
        let mut script = Script(pieces.into_iter().collect(), end);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(exchange(&mut script, b"GET", &page))
    }

    const ANSWERS: [&[u8]; 4] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nall is well",
        b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200\nTransfer-Encoding: chunked\n\n\
          b\nall is well\n0\n\n",
        b"HTTP/1.0 200 OK\r\nX: \r\n\r\nall is well",
        b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nall is well",
    ];

    #[test]
    fn an_answer_is_the_same_wherever_it_is_cut() {
        for answer in ANSWERS {
            for cut in 1..answer.len() {
                let (one, two) = answer.split_at(cut);
                let asked = ask([one, two], None);
                assert!(asked.is_ok(), "{cut} of {answer:?}: {asked:?}");
            }
            ask(answer.chunks(1), None).expect("byte for byte");
        }
    }

    /// As TLS servers do that close without a word.
    #[test]
    fn a_body_until_the_end_may_end_without_a_word_and_no_other() {
        let eof = Some(io::ErrorKind::UnexpectedEof);
        ask([ANSWERS[2]], eof).expect("it is all there");
        let cut = ask([&ANSWERS[0][..45]], eof).expect_err("it is not");
        assert!(matches!(cut, HttpFault::Truncated), "{cut:?}");
        let reset = ask([ANSWERS[2]], Some(io::ErrorKind::ConnectionReset)).expect_err("broken");
        assert!(matches!(reset, HttpFault::Broken(_)), "{reset:?}");
    }
}
