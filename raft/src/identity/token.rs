//! The join token: a secret that admits one machine, and the hash of the CA it may trust.
//!
//! `lh1.<secret>.<SHA-256 of the CA>.<CRC-32 of all before>`, all in hexadecimal. The checksum is
//! no protection, it tells a mistyped token from a used or expired one without asking anybody.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

const VERSION: &str = "lh1";

/// Who holds this text may join once, in the role and for the time that the cluster remembers.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    secret: [u8; 16],
    ca: Fingerprint,
}

/// SHA-256 of a certificate's DER.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error(
        "this is no join token: one begins with `{VERSION}.`; make one with `leasehold token create`"
    )]
    NoToken,
    #[error(
        "the token was made by another version of leasehold: install the version that the cluster runs"
    )]
    OtherVersion,
    #[error("the token is damaged: copy it again")]
    Damaged,
}

impl Token {
    /// A new secret for the cluster whose CA this is.
    #[must_use]
    pub fn new(ca: Fingerprint) -> Self {
        Self { secret: rand::random(), ca }
    }

    /// The token itself. For the operator's eyes: never for a log.
    #[must_use]
    pub fn reveal(&self) -> String {
        let body = format!("{VERSION}.{}.{}", hex(&self.secret), hex(&self.ca.0));
        let sum = crc32fast::hash(body.as_bytes());
        format!("{body}.{sum:08x}")
    }

    /// What the cluster remembers of the secret. A hash of 128 random bits cannot be turned back,
    /// so no slow hash is needed.
    #[must_use]
    pub fn secret_hash(&self) -> String {
        hex(&Sha256::digest(self.secret))
    }

    /// The CA of the cluster that made the token.
    #[must_use]
    pub fn ca(&self) -> Fingerprint {
        self.ca
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim().to_ascii_lowercase();
        let version = text.split('.').next().unwrap_or_default();
        if version != VERSION {
            let other = version.strip_prefix("lh").is_some_and(|rest| rest.parse::<u32>().is_ok());
            return Err(if other { TokenError::OtherVersion } else { TokenError::NoToken });
        }
        let (body, sum) = text.rsplit_once('.').ok_or(TokenError::Damaged)?;
        let sum = unhex::<4>(sum).ok_or(TokenError::Damaged)?;
        if u32::from_be_bytes(sum) != crc32fast::hash(body.as_bytes()) {
            return Err(TokenError::Damaged);
        }
        let mut parts = body.split('.').skip(1);
        let secret = parts.next().and_then(unhex).ok_or(TokenError::Damaged)?;
        let ca = parts.next().and_then(unhex).ok_or(TokenError::Damaged)?;
        if parts.next().is_some() {
            return Err(TokenError::Damaged);
        }
        Ok(Self { secret, ca: Fingerprint(ca) })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("ca", &self.ca).finish_non_exhaustive()
    }
}

impl Fingerprint {
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_token_is_read_back_whole() {
        let token = Token::new(Fingerprint::of(b"ca"));
        let text = token.reveal();
        assert_eq!(text.parse(), Ok(token.clone()));
        assert_eq!(format!("  {}\n", text.to_uppercase()).parse(), Ok(token));
    }

    /// Each character replaced, left out, doubled or swapped with the next.
    #[test]
    fn every_single_slip_is_noticed() {
        let token = Token::new(Fingerprint::of(b"ca"));
        let text = token.reveal();
        for at in 0..text.len() {
            let (head, tail) = text.split_at(at);
            let (one, rest) = tail.split_at(1);
            let other = if one == "0" { "1" } else { "0" };
            let mut swapped = text.clone().into_bytes();
            swapped.swap(at, (at + 1) % text.len());
            let slips = [
                format!("{head}{other}{rest}"),
                format!("{head}{rest}"),
                format!("{head}{one}{one}{rest}"),
                head.to_owned(),
                String::from_utf8(swapped).unwrap(),
            ];
            for slip in slips {
                assert!(slip == text || slip.parse::<Token>().is_err(), "{slip}");
            }
        }
    }

    #[test]
    fn each_mistake_has_its_own_words() {
        let text = Token::new(Fingerprint::of(b"ca")).reveal();
        assert_eq!("".parse::<Token>(), Err(TokenError::NoToken));
        assert_eq!("K10abcdef::server".parse::<Token>(), Err(TokenError::NoToken));
        assert_eq!(text.replace("lh1", "lh2").parse::<Token>(), Err(TokenError::OtherVersion));
        assert_eq!(text[..40].parse::<Token>(), Err(TokenError::Damaged));
        assert_eq!(TokenError::Damaged.to_string(), "the token is damaged: copy it again");
    }

    #[test]
    fn a_debugged_token_keeps_its_secret() {
        let token = Token::new(Fingerprint::of(b"ca"));
        let shown = format!("{token:?}");
        assert!(!shown.contains(&hex(&token.secret)) && !shown.contains(&token.secret_hash()));
    }
}
