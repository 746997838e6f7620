//! Netlink attributes: type, length, value, each aligned to four bytes (`linux/netlink.h`).

use crate::Error;

/// The flag of an attribute that holds attributes (`NLA_F_NESTED`), and that of byte order.
const FLAGS: u16 = 0xc000;
const NESTED: u16 = 0x8000;
const HEADER: usize = 4;

/// Attributes being written.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.header(kind, value.len());
        self.bytes.extend_from_slice(value);
        self.align();
    }

    pub(crate) fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    pub(crate) fn u16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    pub(crate) fn be16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// With the byte that ends it.
    pub(crate) fn string(&mut self, kind: u16, value: &str) {
        self.header(kind, value.len() + 1);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.align();
    }

    pub(crate) fn nested(&mut self, kind: u16, inner: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.header(kind | NESTED, 0);
        inner(self);
        let length = length(self.bytes.len() - start);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    fn header(&mut self, kind: u16, value: usize) {
        self.bytes.extend_from_slice(&length(HEADER + value).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Names, addresses and numbers: nothing here comes near the limit.
fn length(bytes: usize) -> u16 {
    u16::try_from(bytes).unwrap_or(u16::MAX)
}

/// One attribute that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute<'a> {
    pub(crate) kind: u16,
    pub(crate) value: &'a [u8],
}

/// The attributes in `bytes`; ends with an error where they make no sense.
pub(crate) fn read(bytes: &[u8]) -> impl Iterator<Item = Result<Attribute<'_>, Error>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (Some(length), Some(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) else {
            rest = &[];
            return Some(Err(Error::Malformed("an attribute is cut short")));
        };
        let length = usize::from(length);
        let Some(value) = rest.get(HEADER..length) else {
            rest = &[];
            return Some(Err(Error::Malformed("an attribute's length is wrong")));
        };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(Attribute { kind: kind & !FLAGS, value }))
    })
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

impl Attribute<'_> {
    pub(crate) fn u8(&self) -> Result<u8, Error> {
        self.value.first().copied().ok_or(SHORT)
    }

    pub(crate) fn u16(&self) -> Result<u16, Error> {
        u16_at(self.value, 0).ok_or(SHORT)
    }

    pub(crate) fn be16(&self) -> Result<u16, Error> {
        self.u16().map(u16::to_be)
    }

    pub(crate) fn u32(&self) -> Result<u32, Error> {
        u32_at(self.value, 0).ok_or(SHORT)
    }

    /// A number of 32 or of 64 bits.
    pub(crate) fn number(&self) -> Result<u64, Error> {
        match <[u8; 8]>::try_from(self.value) {
            Ok(bytes) => Ok(u64::from_ne_bytes(bytes)),
            Err(_) => self.u32().map(u64::from),
        }
    }

    pub(crate) fn string(&self) -> String {
        let end = self.value.iter().position(|byte| *byte == 0).unwrap_or(self.value.len());
        String::from_utf8_lossy(&self.value[..end]).into_owned()
    }
}

const SHORT: Error = Error::Malformed("an attribute is shorter than its type");
