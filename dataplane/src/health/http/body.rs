//! What a body must be, judged as it comes.

use leasehold_model::{Digest, Pattern, Url};
use md5::Md5;
use regex::bytes::Regex;
use sha2::{Digest as _, Sha256};

use super::HttpFault;

/// Of a body that is matched against a pattern, so much is held: 256 KiB. A digest needs no room.
/// Thousands of pages may be held at a time, and one is matched while others wait.
pub(super) const BODY_LIMIT: usize = 256 << 10;

/// What is wanted of a body. Where that is nothing, it has to come to its end all the same, as
/// with keepalived.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    digest: Option<Digest>,
    pattern: Option<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    regex: Regex,
    no_match: bool,
    min_offset: usize,
    /// No match begins here or later.
    before: usize,
}

impl Wanted {
    /// # Errors
    /// Where the pattern is none.
    pub(super) fn new(url: &Url) -> Result<Self, regex::Error> {
        let pattern = url.regex.as_ref().map(Compiled::new).transpose()?;
        Ok(Self { digest: url.digest, pattern })
    }

    pub(super) fn judge(&self) -> Judge<'_> {
        let sum = self.digest.map(|digest| match digest {
            Digest::Md5(wanted) => Sum::Md5(Md5::new(), wanted),
            Digest::Sha256(wanted) => Sum::Sha256(Sha256::new(), wanted),
        });
        Judge { sum, pattern: self.pattern.as_ref(), held: Vec::new() }
    }
}

impl Compiled {
    fn new(pattern: &Pattern) -> Result<Self, regex::Error> {
        let offset = |bytes: u32| usize::try_from(bytes).unwrap_or(usize::MAX);
        let before = if pattern.max_offset == 0 { usize::MAX } else { offset(pattern.max_offset) };
        Ok(Self {
            regex: Regex::new(&pattern.regex)?,
            no_match: pattern.no_match,
            min_offset: offset(pattern.min_offset),
            before,
        })
    }

    fn matches(&self, body: &[u8]) -> bool {
        // The leftmost match from there on: where it begins too late, every other does.
        let from = (self.min_offset <= body.len()).then_some(self.min_offset);
        let found = from.and_then(|from| self.regex.find_at(body, from));
        found.is_some_and(|found| found.start() < self.before)
    }
}

enum Sum {
    Md5(Md5, [u8; 16]),
    Sha256(Sha256, [u8; 32]),
}

/// One body on its way.
pub(super) struct Judge<'a> {
    sum: Option<Sum>,
    pattern: Option<&'a Compiled>,
    held: Vec<u8>,
}

impl Judge<'_> {
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<(), HttpFault> {
        match &mut self.sum {
            Some(Sum::Md5(sum, _)) => sum.update(piece),
            Some(Sum::Sha256(sum, _)) => sum.update(piece),
            None => {}
        }
        if self.pattern.is_some() {
            if self.held.len() + piece.len() > BODY_LIMIT {
                return Err(HttpFault::BodyTooLong);
            }
            self.held.extend_from_slice(piece);
        }
        Ok(())
    }

    /// Once all of it has come.
    pub(super) fn end(self) -> Result<(), HttpFault> {
        match self.sum {
            Some(Sum::Md5(sum, wanted)) => compare(&sum.finalize(), &wanted)?,
            Some(Sum::Sha256(sum, wanted)) => compare(&sum.finalize(), &wanted)?,
            None => {}
        }
        let Some(pattern) = self.pattern else { return Ok(()) };
        match (pattern.matches(&self.held), pattern.no_match) {
            (true, false) | (false, true) => Ok(()),
            (false, false) => Err(HttpFault::NoMatch),
            (true, true) => Err(HttpFault::Match),
        }
    }
}

fn compare(sum: &[u8], wanted: &[u8]) -> Result<(), HttpFault> {
    if sum == wanted {
        return Ok(());
    }
    let hex = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    Err(HttpFault::Digest(hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(url: &Url, pieces: &[&[u8]]) -> Result<(), HttpFault> {
        let wanted = Wanted::new(url).expect("a pattern");
        let mut judge = wanted.judge();
        pieces.iter().try_for_each(|piece| judge.take(piece))?;
        judge.end()
    }

    fn pattern(regex: &str, no_match: bool, min_offset: u32, max_offset: u32) -> Url {
        let regex = Some(Pattern { regex: regex.to_owned(), no_match, min_offset, max_offset });
        Url { regex, ..Url::default() }
    }

    #[test]
    fn a_digest_is_of_the_whole_body() {
        // From RFC 1321 and FIPS 180-4: "abc".
        let md5 = "900150983cd24fb0d6963f7d28e17f72";
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let bytes = |hex: &str, nth: usize| {
            u8::from_str_radix(&hex[2 * nth..2 * nth + 2], 16).expect("hexadecimal")
        };
        for digest in [
            Digest::Md5(std::array::from_fn(|nth| bytes(md5, nth))),
            Digest::Sha256(std::array::from_fn(|nth| bytes(sha256, nth))),
        ] {
            let url = Url { digest: Some(digest), ..Url::default() };
            judged(&url, &[b"a", b"", b"bc"]).expect("it is abc");
            let error = judged(&url, &[b"ab"]).expect_err("it is not");
            assert!(matches!(error, HttpFault::Digest(_)), "{error}");
        }
        let url = Url { digest: Some(Digest::Md5([0; 16])), ..Url::default() };
        let error = judged(&url, &[b"abc"]).expect_err("another").to_string();
        assert!(error.contains(md5), "{error}");
    }

    #[test]
    fn a_pattern_matches_over_the_seams_and_from_where_it_may() {
        let body: &[&[u8]] = &[b"one O", b"K two OK"];
        for (regex, min, max, found) in [
            ("OK", 0, 0, true),
            ("ok", 0, 0, false),
            ("(?i)ok", 0, 0, true),
            ("OK", 0, 4, false),
            ("OK", 0, 5, true),
            ("OK", 4, 5, true),
            ("OK", 5, 11, false),
            ("OK", 5, 12, true),
            ("OK", 11, 0, true),
            ("OK", 12, 0, false),
            ("$", 13, 0, true),
            ("", 14, 0, false),
            ("^one", 0, 0, true),
            ("^one", 1, 0, false),
        ] {
            for no_match in [false, true] {
                let good = judged(&pattern(regex, no_match, min, max), body);
                let case = format!("{regex} {min} {max} {no_match}: {good:?}");
                match good {
                    Ok(()) => assert_ne!(found, no_match, "{case}"),
                    Err(HttpFault::Match) => assert!(found && no_match, "{case}"),
                    Err(HttpFault::NoMatch) => assert!(!found && !no_match, "{case}"),
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    #[test]
    fn a_pattern_is_matched_against_no_more_than_the_limit() {
        let (most, url) = (vec![b'x'; BODY_LIMIT], pattern("x", false, 0, 0));
        judged(&url, &[&most]).expect("it is full");
        let error = judged(&url, &[&most, b"x"]).expect_err("one more");
        assert!(matches!(error, HttpFault::BodyTooLong), "{error}");
        let url = Url { digest: Some(Digest::Md5([0; 16])), ..Url::default() };
        let error = judged(&url, &[&most, b"x"]).expect_err("another digest");
        assert!(matches!(error, HttpFault::Digest(_)), "{error}");
    }

    #[test]
    fn where_nothing_is_wanted_anything_will_do() {
        let most = vec![b'x'; BODY_LIMIT];
        judged(&Url::default(), &[&most, b"y"]).expect("it has an end");
        assert!(Wanted::new(&pattern("(", false, 0, 0)).is_err());
    }
}
