//! An SMTP server's replies (RFC 5321, 4.2): lines as they come, whatever packets cut them.

/// The longest line, with its CRLF (RFC 5321, 4.5.3.1.5).
pub const LINE_MAX: usize = 512;
/// A reply that goes on for longer is no reply.
pub const LINES_MAX: usize = 100;

/// The reply that is being read. It holds at most one line.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    line: Vec<u8>,
    /// The status of the lines so far.
    status: Option<u16>,
    lines: usize,
    /// The text of the first line: what a person is told.
    text: String,
}

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Its first line, without the end.
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("`{0}`, which is no reply of SMTP")]
    NoReply(String),
    #[error("a line of more than {LINE_MAX} bytes: `{0}...`")]
    LongLine(String),
    #[error("more than {LINES_MAX} lines, the first of them `{0}`")]
    ManyLines(String),
    #[error("one reply with two statuses, {0} and {1}")]
    Statuses(u16, u16),
}

impl Reply {
    /// Takes in what came. None: there is more to come. What comes after a whole reply is not
    /// looked at: nobody asked yet.
    ///
    /// # Errors
    /// Where it can't become a reply any more.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<Option<Answer>, Malformed> {
        for byte in bytes {
            if *byte == b'\n' {
                if let Some(answer) = self.handle_line()? {
                    return Ok(Some(answer));
                }
                continue;
            }
            self.line.push(*byte);
            if self.line.len() >= LINE_MAX {
                return Err(Malformed::LongLine(shown(&self.line)));
            }
        }
        Ok(None)
    }

    /// What there is of a line that has not ended, for a person to see.
    #[must_use]
    pub fn unfinished(&self) -> Option<String> {
        (!self.line.is_empty()).then(|| shown(&self.line))
    }

    fn handle_line(&mut self) -> Result<Option<Answer>, Malformed> {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let Some((status, last)) = head(line) else {
            return Err(Malformed::NoReply(shown(line)));
        };
        match self.status {
            None => self.text = shown(line),
            Some(before) if before != status => return Err(Malformed::Statuses(before, status)),
            Some(_) => {}
        }
        self.status = Some(status);
        self.lines += 1;
        if last {
            let text = std::mem::take(&mut self.text);
            *self = Self::default();
            return Ok(Some(Answer { status, text }));
        }
        if self.lines >= LINES_MAX {
            return Err(Malformed::ManyLines(self.text.clone()));
        }
        Ok(None)
    }
}

/// The status, and whether the line is its reply's last.
fn head(line: &[u8]) -> Option<(u16, bool)> {
    let (digits, rest) = line.split_at_checked(3)?;
    let mut status = 0;
    for digit in digits {
        status = status * 10 + u16::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    match rest.first() {
        None | Some(b' ') => Some((status, true)),
        Some(b'-') => Some((status, false)),
        Some(_) => None,
    }
}

/// A server's words in a log: not too many, and none that move the cursor.
fn shown(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 80;
    String::from_utf8_lossy(bytes).chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Option<Answer>, Malformed> {
        Reply::default().handle_bytes(text.as_bytes())
    }

    fn answer(status: u16, text: &str) -> Result<Option<Answer>, Malformed> {
        Ok(Some(Answer { status, text: text.to_owned() }))
    }

    #[test]
    fn a_reply_ends_with_the_line_that_says_so() {
        assert_eq!(read("220 mx1 ESMTP\r\n"), answer(220, "220 mx1 ESMTP"));
        assert_eq!(read("220-mx1\r\n220-hello\r\n220 go on\r\n"), answer(220, "220-mx1"));
        assert_eq!(read("250\r\n"), answer(250, "250"), "a status alone");
        assert_eq!(read("250 ok\n"), answer(250, "250 ok"), "a line of an old server");
        assert_eq!(read("250 ok\r\nwhatever"), answer(250, "250 ok"));
        for unfinished in ["", "2", "220", "220 mx1", "220 mx1\r", "220-mx1\r\n", "220-a\r\n220"] {
            assert_eq!(read(unfinished), Ok(None), "{unfinished:?}");
        }
    }

    #[test]
    fn what_is_no_reply_is_told_at_its_first_line() {
        for (text, seen) in [
            ("HTTP/1.1 400 Bad Request\r\n", "HTTP/1.1 400 Bad Request"),
            ("\r\n", ""),
            ("22\r\n", "22"),
            ("2200 mx1\r\n", "2200 mx1"),
            ("22x mx1\r\n", "22x mx1"),
            ("\u{1b}[2J\r\n", "\\u{1b}[2J"),
        ] {
            assert_eq!(read(text), Err(Malformed::NoReply(seen.to_owned())), "{text:?}");
        }
        assert_eq!(read("220-mx1\r\n421 no\r\n"), Err(Malformed::Statuses(220, 421)));
    }

    #[test]
    fn nothing_grows_without_end() {
        let fits = format!("220 {}\r\n", "x".repeat(LINE_MAX - 6));
        assert!(matches!(read(&fits), Ok(Some(_))), "{} bytes", fits.len());
        let long = format!("220 {}\r\n", "x".repeat(LINE_MAX - 5));
        let seen = format!("220 {}", "x".repeat(76));
        assert_eq!(read(&long), Err(Malformed::LongLine(seen)));
        let many = "220-x\r\n".repeat(LINES_MAX - 1);
        assert!(matches!(read(&format!("{many}220 x\r\n")), Ok(Some(_))));
        let many = "220-x\r\n".repeat(LINES_MAX);
        assert_eq!(read(&many), Err(Malformed::ManyLines("220-x".to_owned())));
    }

    proptest! {
        #[test]
        fn packets_do_not_matter(
            status in 100u16..1000,
            texts in prop::collection::vec("[ -~]{0,40}", 1..6),
            cuts in prop::collection::vec(1usize..9, 1..200),
        ) {
            let last = texts.len() - 1;
            let line = |(at, text): (usize, &String)| {
                format!("{status}{}{text}\r\n", if at == last { ' ' } else { '-' })
            };
            let whole: String = texts.iter().enumerate().map(line).collect();
            let mut left = whole.as_bytes();
            let mut reply = Reply::default();
            let mut cuts = cuts.iter().cycle();
            while !left.is_empty() {
                let cut = cuts.next().copied().unwrap_or(1).min(left.len());
                let (packet, rest) = left.split_at(cut);
                left = rest;
                let found = reply.handle_bytes(packet);
                match found.expect("each line is one of a reply") {
                    Some(answer) => {
                        prop_assert_eq!(answer.status, status);
                        prop_assert!(left.is_empty() || left == b"\n");
                    }
                    None => prop_assert!(!left.is_empty()),
                }
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mut reply = Reply::default();
            let _ = reply.handle_bytes(&bytes);
            prop_assert!(reply.line.len() <= LINE_MAX);
        }
    }
}
