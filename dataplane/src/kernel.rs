//! The whole data plane of a director, in the order that [`plan`](crate::plan) gives.
//!
//! It binds and unbinds, and does not open: deadlines are written by the thread that owns the
//! leases, through a [`Gate`] of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use leasehold_dataplane_core::plan::{AddressOp, Binding, Bound, diff};
use leasehold_model::GroupId;

use crate::DataplaneError;
use crate::address::Addresses;
use crate::announce::Announcer;
use crate::fence::{Fence, Gate};
use crate::macvlan::Macvlans;
use crate::route::Routes;

/// A director's kernel.
#[derive(Debug)]
pub struct Kernel {
    /// Absent with `fence = "address-lifetime"`.
    pub fence: Option<Fence>,
    pub addresses: Addresses,
    pub announcer: Announcer,
}

/// What [`Kernel::reconcile`] had to put right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub bound: Vec<IpAddr>,
    pub unbound: Vec<IpAddr>,
    /// Interfaces that the fence was not on.
    pub fenced: Vec<String>,
}

/// Rounds after which a difference that comes back is an error: an address that goes may take
/// others of its subnet with it, which takes a second round to see and a third to confirm.
const ROUNDS: usize = 3;

impl Kernel {
    /// Opens the fence pinned in `pin_dir` and hangs it everywhere; without `pin_dir`, none.
    ///
    /// # Errors
    /// Where the kernel gives no fence or no netlink socket.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(pin_dir: Option<&Path>) -> Result<Self, DataplaneError> {
        let mut fence = pin_dir.map(Fence::open).transpose()?;
        if let Some(fence) = &mut fence {
            fence.attach_all()?;
        }
        Ok(Self { fence, addresses: Addresses::open()?, announcer: Announcer })
    }

    /// Puts these VIPs, and no others, behind the fence; those that are new there are closed.
    ///
    /// Call it before any of them is bound, and with those that are to be unbound still among
    /// them.
    ///
    /// # Errors
    /// Where the fence can't hold them.
    pub fn fence_vips(&mut self, vips: &BTreeMap<IpAddr, GroupId>) -> Result<(), DataplaneError> {
        if let Some(fence) = &mut self.fence {
            fence.attach_all()?;
            fence.set_vips(vips)?;
        }
        Ok(())
    }

    /// Binds VIPs behind their fence, and reads back that they are there.
    ///
    /// # Errors
    /// Where one is not behind the fence, none is bound. Where one can't be bound, those that
    /// could be are: release them.
    pub async fn take(
        &mut self,
        bindings: &[Binding],
        valid_for: Duration,
    ) -> Result<(), DataplaneError> {
        self.reconcile(bindings, &BTreeSet::new(), valid_for).await.map(drop)
    }

    /// Sees that the fence is on every interface and has these addresses; the names of the
    /// interfaces that it was not on.
    fn guard(&mut self, bindings: &[Binding]) -> Result<Vec<String>, DataplaneError> {
        let Some(fence) = &mut self.fence else { return Ok(Vec::new()) };
        let seen_to = fence.attach_all()?;
        let fenced = fence.gate()?.vips()?;
        let bare = bindings.iter().find(|one| fenced.get(&one.address) != Some(&one.group));
        match bare {
            Some(Binding { address, group, .. }) => {
                Err(DataplaneError::Unfenced { address: *address, group: *group })
            }
            None => Ok(seen_to),
        }
    }

    /// Tells the neighbours. To be called once the fence is open, and again after any doubt.
    ///
    /// # Errors
    /// The first failure; the others have been tried all the same.
    pub async fn announce(&self, bindings: &[Binding]) -> Result<(), DataplaneError> {
        let vips = bindings.iter().map(|one| (one.interface.as_str(), one.address));
        self.announcer.announce(vips).await
    }

    /// Closes the groups of these bindings, then unbinds them.
    ///
    /// # Errors
    /// Where the kernel refuses. The fence is closed first, and what could be unbound is.
    pub async fn release(&mut self, bindings: &[Binding]) -> Result<(), DataplaneError> {
        if let Some(fence) = &self.fence {
            let mut gate = fence.gate()?;
            for group in bindings.iter().map(|one| one.group).collect::<BTreeSet<_>>() {
                gate.close(group)?;
            }
        }
        let owned = bindings.iter().map(|one| one.address).collect();
        self.converge(&[], &owned, None).await.map(drop)
    }

    /// Renews the lifetimes of bound VIPs, and binds any that is missing.
    ///
    /// # Errors
    /// The first failure; the others have been tried all the same.
    pub async fn refresh(
        &self,
        bindings: &[Binding],
        valid_for: Duration,
    ) -> Result<(), DataplaneError> {
        self.addresses.renew(bindings, valid_for).await
    }

    /// Makes the kernel what it should be: the fence on every interface, `desired` bound, and no
    /// other of `owned`.
    ///
    /// # Errors
    /// Where an address is not behind the fence, none is bound. Where the kernel refuses, or
    /// something keeps undoing it.
    pub async fn reconcile(
        &mut self,
        desired: &[Binding],
        owned: &BTreeSet<IpAddr>,
        valid_for: Duration,
    ) -> Result<Report, DataplaneError> {
        let fenced = self.guard(desired)?;
        let report = self.converge(desired, owned, Some(valid_for)).await?;
        Ok(Report { fenced, ..report })
    }

    async fn converge(
        &self,
        desired: &[Binding],
        owned: &BTreeSet<IpAddr>,
        valid_for: Option<Duration>,
    ) -> Result<Report, DataplaneError> {
        let mut report = Report::default();
        for _ in 0..ROUNDS {
            let ops = diff(desired, &self.addresses.read().await?, owned);
            if ops.is_empty() {
                return Ok(report);
            }
            for op in &ops {
                match op {
                    AddressOp::Bind(binding) => report.bound.push(binding.address),
                    AddressOp::Unbind(bound) => report.unbound.push(bound.address),
                }
            }
            self.addresses.apply(&ops, valid_for).await?;
        }
        let left = diff(desired, &self.addresses.read().await?, owned);
        match left.first() {
            None => Ok(report),
            Some(
                AddressOp::Bind(Binding { address, .. }) | AddressOp::Unbind(Bound { address, .. }),
            ) => Err(DataplaneError::NotBound { missing: left.len(), first: *address }),
        }
    }
}

/// What is left to do for a daemon that is gone: close its fence, then unbind its VIPs and remove
/// its routes, its rules and its macvlans.
///
/// The VIPs are those behind the fence that `gate` belongs to, and those in `vips`. The daemon
/// must be gone for good: one that wakes would open the fence again.
///
/// # Errors
/// Where the kernel refuses; all of it has been tried all the same.
///
/// # Panics
/// Outside a tokio runtime.
pub async fn strip(
    gate: Option<&mut Gate>,
    vips: &BTreeSet<IpAddr>,
) -> Result<BTreeSet<IpAddr>, DataplaneError> {
    let mut owned = vips.clone();
    let closed = match gate {
        None => Ok(()),
        Some(gate) => {
            let closed = gate.close_all();
            owned.extend(gate.vips().unwrap_or_default().into_keys());
            closed
        }
    };
    let routed = async { Routes::open()?.clear().await }.await;
    let addresses = Addresses::open()?;
    let stale = diff(&[], &addresses.read().await?, &owned);
    let unbound = addresses.apply(&stale, None).await;
    let cleared = Macvlans::new(addresses.handle().clone()).clear().await;
    unbound?;
    closed?;
    routed?;
    cleared?;
    Ok(owned)
}
