//! The addresses of VIPs: what should be bound, what is, and the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use leasehold_model::{GroupId, Scope};

/// A VIP as it should be bound on this director.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    pub address: IpAddr,
    pub prefix: u8,
    pub interface: String,
    /// IPv4 only. Absent: the interface's name, as the kernel has it.
    pub label: Option<String>,
    /// IPv4 only. Absent: none.
    pub broadcast: Option<Ipv4Addr>,
    pub scope: Scope,
    /// The lease that it is held on.
    pub group: GroupId,
}

/// An address as the kernel has it, whoever bound it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bound {
    pub address: IpAddr,
    pub prefix: u8,
    pub interface: String,
    /// `None` where it is the interface's name.
    pub label: Option<String>,
    pub broadcast: Option<Ipv4Addr>,
    /// `rt_scope_t`, as the kernel says it: others than [`Scope`] exist.
    pub scope: u8,
}

/// One request to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressOp {
    Unbind(Bound),
    Bind(Binding),
}

/// The kernel's number of a scope (`rt_scope_t`).
#[must_use]
pub fn scope_number(scope: Scope) -> u8 {
    match scope {
        Scope::Global => 0,
        Scope::Site => 200,
        Scope::Link => 253,
        Scope::Host => 254,
    }
}

impl Binding {
    /// Whether `bound` is this binding, and nothing about it is to be changed.
    #[must_use]
    pub fn is(&self, bound: &Bound) -> bool {
        let label = self.label.as_ref().filter(|label| **label != self.interface);
        let wanted = (self.address, self.prefix, &self.interface);
        let same = wanted == (bound.address, bound.prefix, &bound.interface);
        match self.address {
            // The kernel derives an IPv6 address's scope from the address, and knows no label.
            IpAddr::V6(_) => same,
            IpAddr::V4(_) => {
                same && label == bound.label.as_ref()
                    && self.broadcast == bound.broadcast
                    && scope_number(self.scope) == bound.scope
            }
        }
    }
}

/// The requests that make `actual` what `desired` says, for the VIPs in `owned` or in `desired`.
///
/// An address that is neither is someone else's, and is not touched. One that is ours and differs
/// in anything is unbound and bound again. What goes, goes before anything comes: a VIP that
/// moves between interfaces is never on both.
#[must_use]
pub fn diff(desired: &[Binding], actual: &[Bound], owned: &BTreeSet<IpAddr>) -> Vec<AddressOp> {
    // A VIP is wanted in one place: the first that asks for it.
    let mut wanted: BTreeMap<IpAddr, &Binding> = BTreeMap::new();
    for binding in desired {
        wanted.entry(binding.address).or_insert(binding);
    }
    let mut ops = Vec::new();
    let mut present = BTreeSet::new();
    for bound in actual {
        match wanted.get(&bound.address) {
            Some(binding) if binding.is(bound) => {
                present.insert(bound.address);
            }
            Some(_) => ops.push(AddressOp::Unbind(bound.clone())),
            None if owned.contains(&bound.address) => ops.push(AddressOp::Unbind(bound.clone())),
            None => {}
        }
    }
    // In the order of the configuration: the first VIP of a subnet is its primary.
    let missing = desired.iter().filter(|binding| present.insert(binding.address));
    ops.extend(missing.cloned().map(AddressOp::Bind));
    ops
}
