//! Address plans of a LAN: the n-th address of a subnet, and addresses nobody uses.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::LabError;

/// An IPv4 subnet such as `10.77.0.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subnet4 {
    pub(crate) base: Ipv4Addr,
    pub(crate) length: u8,
}

/// An IPv6 subnet such as `fd77::/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subnet6 {
    pub(crate) base: Ipv6Addr,
    pub(crate) length: u8,
}

impl Subnet4 {
    /// The n-th address, counted from the subnet's own.
    pub(crate) fn nth(self, n: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + n)
    }

    /// Host addresses from the top of the subnet down.
    pub(crate) fn top_down(self) -> impl Iterator<Item = Ipv4Addr> {
        let size = 1_u32 << (32 - u32::from(self.length));
        (1..size - 1).rev().map(move |n| self.nth(n))
    }
}

impl Subnet6 {
    pub(crate) fn nth(self, n: u32) -> Ipv6Addr {
        Ipv6Addr::from(u128::from(self.base) + u128::from(n))
    }
}

impl FromStr for Subnet4 {
    type Err = LabError;

    fn from_str(text: &str) -> Result<Self, LabError> {
        let (base, length) = split(text, 8..=29)?;
        Ok(Self { base, length })
    }
}

impl FromStr for Subnet6 {
    type Err = LabError;

    fn from_str(text: &str) -> Result<Self, LabError> {
        let (base, length) = split(text, 16..=112)?;
        Ok(Self { base, length })
    }
}

fn split<A: FromStr>(
    text: &str,
    lengths: std::ops::RangeInclusive<u8>,
) -> Result<(A, u8), LabError> {
    let wrong = || {
        LabError::Argument(format!(
            "`{text}` is no subnet: ADDRESS/LENGTH with a length of {} to {} is needed",
            lengths.start(),
            lengths.end()
        ))
    };
    let (base, length) = text.split_once('/').ok_or_else(wrong)?;
    let length = length.parse().map_err(|_| wrong())?;
    if !lengths.contains(&length) {
        return Err(wrong());
    }
    Ok((base.parse().map_err(|_| wrong())?, length))
}

impl fmt::Display for Subnet4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.length)
    }
}
