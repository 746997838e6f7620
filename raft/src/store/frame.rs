//! A record on disk: format version, length, CRC-32, then JSON. The same for the log
//! and the snapshot, so that a flipped bit is found whoever let it through.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of the records' layout and of what they hold.
pub(super) const FORMAT: u8 = 1;
const HEADER: usize = 9;

/// Why a frame does not open.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// Whole, but of another version.
    Version(u8),
    Damaged(String),
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, value)?;
    let length = u32::try_from(frame.len() - HEADER)
        .map_err(|_| serde::ser::Error::custom("a record is larger than 4 GiB"))?;
    frame[0] = FORMAT;
    frame[1..5].copy_from_slice(&length.to_le_bytes());
    seal(&mut frame);
    Ok(frame)
}

/// Puts the checksum in.
pub(super) fn seal(frame: &mut [u8]) {
    let crc = checksum(frame);
    frame[5..HEADER].copy_from_slice(&crc.to_le_bytes());
}

pub(super) fn decode<T: DeserializeOwned>(frame: &[u8]) -> Result<T, Broken> {
    let whole = total(frame)?;
    if frame.len() != whole {
        return Err(Broken::Damaged(format!("{} bytes long instead of {whole}", frame.len())));
    }
    let stored = u32::from_le_bytes([frame[5], frame[6], frame[7], frame[8]]);
    if stored != checksum(frame) {
        return Err(Broken::Damaged("its checksum is wrong".to_owned()));
    }
    if frame[0] != FORMAT {
        return Err(Broken::Version(frame[0]));
    }
    serde_json::from_slice(&frame[HEADER..])
        .map_err(|error| Broken::Damaged(format!("its content does not parse: {error}")))
}

/// The length of the whole frame, as its first bytes tell.
fn total(start: &[u8]) -> Result<usize, Broken> {
    if start.len() < HEADER {
        return Err(Broken::Damaged(format!("{} bytes long: shorter than a header", start.len())));
    }
    Ok(HEADER + u32::from_le_bytes([start[1], start[2], start[3], start[4]]) as usize)
}

fn checksum(frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame[..5]);
    hasher.update(&frame[HEADER..]);
    hasher.finalize()
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version(version) => {
                write!(f, "format {version}, and this version reads format {FORMAT} only")
            }
            Self::Damaged(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_is_found() {
        let frame = encode(&"a lease is a promise with an end").unwrap();
        assert_eq!(decode::<String>(&frame).unwrap(), "a lease is a promise with an end");
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(decode::<String>(&flipped), Err(Broken::Damaged(_))), "bit {bit}");
        }
    }

    #[test]
    fn a_newer_format_is_not_called_damage() {
        let mut frame = encode(&1).unwrap();
        frame[0] = FORMAT + 1;
        seal(&mut frame);
        assert_eq!(decode::<u8>(&frame), Err(Broken::Version(FORMAT + 1)));
    }

    #[test]
    fn a_torn_frame_is_found() {
        let frame = encode(&"torn").unwrap();
        for length in 0..frame.len() {
            assert!(matches!(decode::<String>(&frame[..length]), Err(Broken::Damaged(_))));
        }
    }
}
