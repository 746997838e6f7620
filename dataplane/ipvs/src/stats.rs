//! What went through a service or a real server.

use crate::Error;
use crate::attribute;

/// Totals since it was made or zeroed, and rates per second as the kernel averages them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub connections: u64,
    pub in_packets: u64,
    pub out_packets: u64,
    pub in_bytes: u64,
    pub out_bytes: u64,
    pub connections_per_second: u64,
    pub in_packets_per_second: u64,
    pub out_packets_per_second: u64,
    pub in_bytes_per_second: u64,
    pub out_bytes_per_second: u64,
}

impl Stats {
    /// From the attributes inside `*_ATTR_STATS` or `*_ATTR_STATS64`: `IPVS_STATS_ATTR_*`.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut stats = Self::default();
        for attribute in attribute::read(bytes) {
            let one = attribute?;
            let field = match one.kind {
                1 => &mut stats.connections,
                2 => &mut stats.in_packets,
                3 => &mut stats.out_packets,
                4 => &mut stats.in_bytes,
                5 => &mut stats.out_bytes,
                6 => &mut stats.connections_per_second,
                7 => &mut stats.in_packets_per_second,
                8 => &mut stats.out_packets_per_second,
                9 => &mut stats.in_bytes_per_second,
                10 => &mut stats.out_bytes_per_second,
                _ => continue,
            };
            *field = one.number()?;
        }
        Ok(stats)
    }
}
