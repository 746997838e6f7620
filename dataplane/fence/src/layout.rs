//! What the programs in the kernel and this crate must agree on: names, shapes and sizes.
//!
//! Pins of one layout live in a directory of that layout's number, so two layouts never meet. One
//! rule holds for all of them, past and future: `deadlines` maps a u32 to a u64, and an entry's
//! absence closes. So every version can close every other version's fence.

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use aya::maps::{MapData, MapType};

use crate::FenceError;

/// The number of this layout: raise it with any change of a map.
pub(crate) const DIRECTORY: &str = "layout1";
/// Where the pinned links are, within a layout's directory.
pub(crate) const LINKS: &str = "links";

pub(crate) const VIPS: &str = "vips";
pub(crate) const DEADLINES: &str = "deadlines";
pub(crate) const DROPS: &str = "drops";

/// How many VIPs the fence has room for.
pub const MAX_VIPS: usize = 32768;
/// How many leases can be open at once.
pub const MAX_SLOTS: usize = 32768;
const DROP_COUNTERS: usize = 8;

pub(crate) const OBJECT: &[u8] = aya::include_bytes_aligned!("../bpf/fence.o");

/// A VIP as the map has it: IPv4 as `::ffff:a.b.c.d`.
pub(crate) type Key = [u8; 16];

pub(crate) fn key(address: IpAddr) -> Key {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

pub(crate) fn address(key: Key) -> IpAddr {
    Ipv6Addr::from(key).to_canonical()
}

/// The shape that a pinned map must have.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    kind: MapType,
    key_size: usize,
    value_size: usize,
    max_entries: usize,
}

pub(crate) const SHAPES: [Shape; 3] = [
    Shape {
        name: VIPS,
        kind: MapType::Hash,
        key_size: size_of::<Key>(),
        value_size: size_of::<u32>(),
        max_entries: MAX_VIPS,
    },
    Shape {
        name: DEADLINES,
        kind: MapType::Hash,
        key_size: size_of::<u32>(),
        value_size: size_of::<u64>(),
        max_entries: MAX_SLOTS,
    },
    Shape {
        name: DROPS,
        kind: MapType::PerCpuArray,
        key_size: size_of::<u32>(),
        value_size: size_of::<u64>(),
        max_entries: DROP_COUNTERS,
    },
];

impl Shape {
    /// Refuses a map that the programs and this crate would read differently.
    pub(crate) fn check(&self, map: &MapData, path: &Path) -> Result<(), FenceError> {
        let foreign = |reason: String| FenceError::Foreign { path: path.to_path_buf(), reason };
        let info = map.info().map_err(|error| foreign(error.to_string()))?;
        let kind = info.map_type().map_err(|error| foreign(error.to_string()))?;
        let is = (kind, info.key_size(), info.value_size(), info.max_entries());
        let wanted =
            (self.kind, size(self.key_size), size(self.value_size), size(self.max_entries));
        if is == wanted {
            return Ok(());
        }
        Err(foreign(format!("type, key, value, entries are {is:?} and should be {wanted:?}")))
    }
}

fn size(value: usize) -> u32 {
    u32::try_from(value).expect("the sizes above are small constants")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_address_and_back() {
        for text in ["10.1.2.3", "fd00::1", "::1", "255.255.255.255"] {
            let vip: IpAddr = text.parse().unwrap();
            assert_eq!(address(key(vip)), vip);
        }
        let v4: IpAddr = "10.1.2.3".parse().unwrap();
        assert_eq!(key(v4), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3]);
    }
}
