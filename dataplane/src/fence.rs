//! The fence in the words of the rest: groups and instants instead of slots and numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use leasehold_fence as raw;
pub use leasehold_fence::{Drops, DropsOf, FenceError, Hook};
use leasehold_model::{BootNanos, GroupId};

/// Now, on the clock of every deadline.
#[must_use]
pub fn boot_now() -> BootNanos {
    BootNanos(raw::boot_now_ns())
}

/// A handle on a fence's maps: opens, closes, counts. See [`raw::Gate`].
#[derive(Debug)]
pub struct Gate(raw::Gate);

/// A fence that this process looks after. See [`raw::Fence`].
#[derive(Debug)]
pub struct Fence(raw::Fence);

impl Gate {
    /// Takes hold of the fence pinned in `pin_dir`, and neither loads nor attaches anything.
    ///
    /// # Errors
    /// Where there is none, or something else in its place.
    pub fn adopt(pin_dir: &Path) -> Result<Self, FenceError> {
        raw::Gate::adopt(pin_dir).map(Self)
    }

    /// Lets the group's traffic pass before `deadline`, and not after.
    ///
    /// # Errors
    /// Where the kernel refuses the write; the earlier deadline stands.
    pub fn open_until(&mut self, group: GroupId, deadline: BootNanos) -> Result<(), FenceError> {
        self.0.open_until(group.0, deadline.0)
    }

    /// Stops the group's traffic now.
    ///
    /// # Errors
    /// Where the kernel refuses the write.
    pub fn close(&mut self, group: GroupId) -> Result<(), FenceError> {
        self.0.close(group.0)
    }

    /// Stops all traffic of all VIPs now.
    ///
    /// # Errors
    /// Where the kernel refuses a write; the others have been tried all the same.
    pub fn close_all(&mut self) -> Result<(), FenceError> {
        self.0.close_all()
    }

    /// Until when the group is open; `None` where it has no deadline, and so is closed.
    ///
    /// # Errors
    /// Where the kernel refuses the read.
    pub fn deadline(&self, group: GroupId) -> Result<Option<BootNanos>, FenceError> {
        Ok(self.0.deadline(group.0)?.map(BootNanos))
    }

    /// The VIPs behind the fence, and the group of each.
    ///
    /// # Errors
    /// Where the kernel refuses the read.
    pub fn vips(&self) -> Result<BTreeMap<IpAddr, GroupId>, FenceError> {
        Ok(self.0.vips()?.into_iter().map(|(address, slot)| (address, GroupId(slot))).collect())
    }

    /// Packets dropped since the fence was loaded.
    ///
    /// # Errors
    /// Where the kernel refuses the read.
    pub fn drops(&self) -> Result<Drops, FenceError> {
        self.0.drops()
    }
}

impl Fence {
    /// Adopts the fence pinned in `pin_dir`, or loads one and pins it there. See
    /// [`raw::Fence::open`].
    ///
    /// # Errors
    /// Where the kernel has no BPF for us, or something else is in the fence's place.
    pub fn open(pin_dir: &Path) -> Result<Self, FenceError> {
        raw::Fence::open(pin_dir).map(Self)
    }

    /// A handle on this fence's maps, for the thread that owns the leases.
    ///
    /// # Errors
    /// Where the pins have been removed.
    pub fn gate(&self) -> Result<Gate, FenceError> {
        self.0.gate().map(Gate)
    }

    /// Hangs the fence on every interface but the loopback; the names of those it was not on.
    ///
    /// # Errors
    /// Where the kernel refuses; the others have been tried all the same.
    pub fn attach_all(&mut self) -> Result<Vec<String>, FenceError> {
        self.0.attach_all()
    }

    /// Interfaces that the fence does not guard on both sides, as the kernel has it now.
    ///
    /// # Errors
    /// Where the kernel does not say.
    pub fn unguarded(&self) -> Result<Vec<String>, FenceError> {
        self.0.unguarded()
    }

    /// Makes the VIPs behind the fence exactly `wanted`.
    ///
    /// # Errors
    /// Where there are too many, or the kernel refuses a write.
    pub fn set_vips(&mut self, wanted: &BTreeMap<IpAddr, GroupId>) -> Result<(), FenceError> {
        let wanted = wanted.iter().map(|(address, group)| (*address, group.0)).collect();
        self.0.set_vips(&wanted)
    }

    /// Other nodes' fences that hang on interfaces of this network namespace and guard some of
    /// `vips`: a packet must pass them all.
    ///
    /// # Errors
    /// Where the kernel does not say.
    pub fn obstructing(
        pin_dir: &Path,
        vips: &BTreeSet<IpAddr>,
    ) -> Result<Vec<(PathBuf, Vec<IpAddr>)>, FenceError> {
        let mut found = Vec::new();
        for other in raw::Fence::others_beside(pin_dir)? {
            // A fence of another layout can't be read: what it guards is not known.
            let Ok(gate) = raw::Gate::adopt(&other) else { continue };
            let guarded: Vec<_> =
                gate.vips()?.into_keys().filter(|vip| vips.contains(vip)).collect();
            if !guarded.is_empty() {
                found.push((other, guarded));
            }
        }
        Ok(found)
    }

    /// Takes the fence pinned in `pin_dir` down, in this network namespace.
    ///
    /// # Errors
    /// Where the kernel refuses. A fence that is not there is taken down.
    pub fn remove(pin_dir: &Path) -> Result<(), FenceError> {
        raw::Fence::remove(pin_dir)
    }
}
