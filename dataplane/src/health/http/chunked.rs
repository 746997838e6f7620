//! Chunked transfer coding (RFC 9112 section 7.1), taken apart as it arrives.

/// It is not chunked as the RFC says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Where in the coding the next byte is.
#[derive(Debug, PartialEq, Eq)]
enum At {
    /// In the hexadecimal length of a chunk.
    Size {
        length: u64,
        digits: u8,
    },
    /// Behind the length, in what nobody needs.
    Extension {
        length: u64,
    },
    Data {
        left: u64,
    },
    /// At the line end behind the data.
    DataEnd,
    /// In a trailer line that has so many bytes yet.
    Trailer {
        bytes: usize,
    },
    End,
}

/// A decoder that keeps nothing but its place.
#[derive(Debug)]
pub(super) struct Chunked(At);

impl Chunked {
    pub(super) fn new() -> Self {
        Self(At::Size { length: 0, digits: 0 })
    }

    /// Whether the last chunk and the trailer have come.
    pub(super) fn is_end(&self) -> bool {
        self.0 == At::End
    }

    /// The next piece of the body in `input`, and what of `input` is left behind it. An empty
    /// piece with nothing left asks for more input.
    pub(super) fn next<'a>(
        &mut self,
        mut input: &'a [u8],
    ) -> Result<(&'a [u8], &'a [u8]), Malformed> {
        loop {
            if let At::Data { left } = self.0 {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                let (piece, rest) = input.split_at(length);
                let left = left - length as u64;
                self.0 = if left == 0 { At::DataEnd } else { At::Data { left } };
                return Ok((piece, rest));
            }
            let (false, [byte, rest @ ..]) = (self.is_end(), input) else {
                return Ok((&[], &[]));
            };
            self.0 = after(&self.0, *byte)?;
            input = rest;
        }
    }
}

/// The place behind one byte of the framing.
fn after(at: &At, byte: u8) -> Result<At, Malformed> {
    match *at {
        At::Size { length, digits } => match (byte, char::from(byte).to_digit(16)) {
            // Sixteen digits are all that a length can have.
            (_, Some(digit)) if digits < 16 => {
                Ok(At::Size { length: length << 4 | u64::from(digit), digits: digits + 1 })
            }
            (b';' | b' ' | b'\t' | b'\r', None) if digits > 0 => Ok(At::Extension { length }),
            (b'\n', None) if digits > 0 => Ok(begin(length)),
            (_, Some(_) | None) => Err(Malformed),
        },
        At::Extension { length } if byte == b'\n' => Ok(begin(length)),
        At::Extension { length } => Ok(At::Extension { length }),
        At::DataEnd => match byte {
            b'\r' => Ok(At::DataEnd),
            b'\n' => Ok(At::Size { length: 0, digits: 0 }),
            _ => Err(Malformed),
        },
        At::Trailer { bytes: 0 } if byte == b'\n' => Ok(At::End),
        At::Trailer { .. } if byte == b'\n' => Ok(At::Trailer { bytes: 0 }),
        At::Trailer { bytes } if byte == b'\r' => Ok(At::Trailer { bytes }),
        At::Trailer { bytes } => Ok(At::Trailer { bytes: bytes.saturating_add(1) }),
        // No byte of the framing: the caller takes these for itself.
        At::Data { left } => Ok(At::Data { left }),
        At::End => Ok(At::End),
    }
}

fn begin(length: u64) -> At {
    if length == 0 { At::Trailer { bytes: 0 } } else { At::Data { left: length } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(Vec<u8>, bool), Malformed> {
        let mut decoder = Chunked::new();
        let mut body = Vec::new();
        for mut piece in pieces {
            while !piece.is_empty() {
                let (data, rest) = decoder.next(piece)?;
                body.extend_from_slice(data);
                piece = rest;
            }
        }
        Ok((body, decoder.is_end()))
    }

    const CODED: &[u8] = b"5\r\nhello\r\n1;x=\"y\"\r\n,\r\n0000\r\n0B \n wide world\r\n";

    #[test]
    fn a_body_is_the_same_wherever_it_is_cut() {
        let coded = b"5\r\nhello\r\n1;x=\"y\"\r\n,\r\nB \n wide world\n00\r\nTrailer: 1\r\n\r\n";
        for cut in 0..=coded.len() {
            let (one, two) = coded.split_at(cut);
            assert_eq!(decode([one, two]), Ok((b"hello, wide world".to_vec(), true)), "{cut}");
        }
        let single = decode(coded.chunks(1));
        assert_eq!(single, Ok((b"hello, wide world".to_vec(), true)));
    }

    #[test]
    fn the_end_is_the_last_chunk_and_not_the_last_byte() {
        // Its zero chunk ends the body; what comes behind is a trailer that does not end.
        assert_eq!(decode([CODED]), Ok((b"hello,".to_vec(), false)));
        assert_eq!(decode([b"5\r\nhel".as_slice()]), Ok((b"hel".to_vec(), false)));
    }

    #[test]
    fn what_is_no_length_is_refused() {
        let hostile: [&[u8]; 5] =
            [b"x\r\n", b"\r\n", b"5\r\nhello5\r\n", b"-1\r\n", b"00000000000000001\r\n"];
        for coded in hostile {
            assert_eq!(decode([coded]), Err(Malformed), "{coded:?}");
        }
        let longest = decode([b"ffffffffffffffff\r\nx".as_slice()]);
        assert_eq!(longest, Ok((b"x".to_vec(), false)));
    }
}
