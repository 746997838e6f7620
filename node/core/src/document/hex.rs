//! Bytes as text: digests, and what a UDP check sends and waits for.

use leasehold_model::Digest;

/// Hexadecimal digits in pairs, with blanks between them; `X` is any digit.
pub(crate) fn nibbles(text: &str) -> Option<Vec<Option<u8>>> {
    let mut all = Vec::new();
    for word in text.split_whitespace() {
        if word.chars().count() % 2 != 0 {
            return None;
        }
        all.extend(word.chars().map(nibble).collect::<Option<Vec<_>>>()?);
    }
    Some(all)
}

/// As keepalived's `read_hex_str`: also a digit that is left alone in a word is a byte.
pub(crate) fn loose_nibbles(text: &str) -> Option<Vec<Option<u8>>> {
    let mut all = Vec::new();
    for word in text.split_whitespace() {
        let digits = word.chars().map(nibble).collect::<Option<Vec<_>>>()?;
        for pair in digits.chunks(2) {
            match *pair {
                [high, low] => all.extend([high, low]),
                [low] => all.extend([Some(0), low]),
                _ => return None,
            }
        }
    }
    Some(all)
}

fn nibble(digit: char) -> Option<Option<u8>> {
    match digit {
        'x' | 'X' => Some(None),
        digit => Some(Some(u8::try_from(digit.to_digit(16)?).ok()?)),
    }
}

/// The bytes, where every digit is known.
pub(crate) fn bytes(nibbles: &[Option<u8>]) -> Option<Vec<u8>> {
    nibbles.chunks(2).map(|pair| Some((*pair.first()?)? << 4 | (*pair.get(1)?)?)).collect()
}

pub(crate) fn write_nibbles(nibbles: &[Option<u8>]) -> String {
    let digit = |nibble: &Option<u8>| match nibble {
        Some(value) => char::from_digit(u32::from(value & 15), 16).unwrap_or('0'),
        None => 'X',
    };
    nibbles.iter().map(digit).collect()
}

pub(crate) fn write_bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `md5:` and 32 digits, or `sha256:` and 64.
pub(crate) fn digest(text: &str) -> Option<Digest> {
    let (name, digits) = text.split_once(':')?;
    let bytes = bytes(&nibbles(digits).filter(|_| !digits.contains(char::is_whitespace))?)?;
    match name {
        "md5" => bytes.try_into().ok().map(Digest::Md5),
        "sha256" => bytes.try_into().ok().map(Digest::Sha256),
        _ => None,
    }
}

pub(crate) fn write_digest(digest: &Digest) -> String {
    match digest {
        Digest::Md5(bytes) => format!("md5:{}", write_bytes(bytes)),
        Digest::Sha256(bytes) => format!("sha256:{}", write_bytes(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_keepalived_reads_as_it_says() {
        let read = loose_nibbles("Ab12f 3 456 546443123").unwrap();
        let expected = [0xab, 0x12, 0x0f, 0x03, 0x45, 0x06, 0x54, 0x64, 0x43, 0x12, 0x03];
        assert_eq!(bytes(&read), Some(expected.to_vec()));
        assert_eq!(loose_nibbles("x1X"), Some(vec![None, Some(1), Some(0), None]));
    }

    #[test]
    fn digits_come_in_pairs() {
        assert_eq!(nibbles("0a XX"), Some(vec![Some(0), Some(10), None, None]));
        for broken in ["0", "0a b", "0g", "0x1"] {
            assert_eq!(nibbles(broken), None, "{broken}");
        }
        assert_eq!(bytes(&[Some(1), None]), None);
    }

    #[test]
    fn a_digest_has_the_length_of_its_kind() {
        let md5 = format!("md5:{}", "0f".repeat(16));
        assert_eq!(digest(&md5), Some(Digest::Md5([15; 16])));
        assert_eq!(digest(&md5.replace("md5", "sha256")), None);
        assert_eq!(digest(&md5.replace("0f0f", "0f 0f")), None);
        assert_eq!(digest(&md5.replace("0f0f", "0fXX")), None);
        assert_eq!(write_digest(&digest(&md5).unwrap()), md5);
    }
}
