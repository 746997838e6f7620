//! What a director's fence lets pass, read by another's tool: its maps are pinned.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use leasehold_lab::{Host, LabError};
use serde_json::Value;

use crate::history::Gate;

/// Where the maps of this layout are, below a node's directory of pins.
const LAYOUT: &str = "layout1";

/// By VIP, until when its traffic passes; 0 where no lease is open.
///
/// # Errors
/// Where bpftool is missing, or a map is not there.
pub(super) fn gates(host: &Host, pins: &Path) -> Result<BTreeMap<IpAddr, Gate>, LabError> {
    let dump = |map: &str| {
        let path = pins.join(LAYOUT).join(map).display().to_string();
        let text = host.run("bpftool", &["-j", "map", "dump", "pinned", &path])?;
        entries(&text)
            .ok_or_else(|| LabError::Argument(format!("{path}: no map's entries: {text}")))
    };
    let deadlines: BTreeMap<Vec<u8>, Vec<u8>> = dump("deadlines")?.into_iter().collect();
    let mut gates = BTreeMap::new();
    for (vip, slot) in dump("vips")? {
        let Ok(octets) = <[u8; 16]>::try_from(vip) else { continue };
        let deadline = deadlines.get(&slot).and_then(|bytes| bytes.as_slice().try_into().ok());
        let deadline_ns = deadline.map_or(0, u64::from_ne_bytes);
        gates.insert(Ipv6Addr::from(octets).to_canonical(), Gate { deadline_ns });
    }
    Ok(gates)
}

/// Keys and values as bytes: `[{"key":["0x00",...],"value":["0x01",...]}, ...]`.
fn entries(json: &str) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let all: Value = serde_json::from_str(json).ok()?;
    let bytes = |value: &Value| -> Option<Vec<u8>> {
        let words = value.as_array()?.iter();
        words.map(|word| u8::from_str_radix(word.as_str()?.strip_prefix("0x")?, 16).ok()).collect()
    };
    all.as_array()?.iter().map(|one| Some((bytes(&one["key"])?, bytes(&one["value"])?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_bytes_and_anything_else_is_refused() {
        let text = r#"[{"key":["0x01","0xff"],"value":["0x00"]}]"#;
        assert_eq!(entries(text), Some(vec![(vec![1, 255], vec![0])]));
        assert_eq!(entries("[]"), Some(Vec::new()));
        assert_eq!(entries(r#"[{"key":7,"value":["0x00"]}]"#), None);
        assert_eq!(entries("no map"), None);
    }
}
