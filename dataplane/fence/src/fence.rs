//! The life of a fence: load or adopt it, hang it on the interfaces, see that it stays there.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use aya::EbpfLoader;

use crate::attach::{Hook, Programs};
use crate::gate::{self, Gate, Slot};
use crate::layout::{self, SHAPES};
use crate::{FenceError, attach, clock, interfaces, pins};

/// A fence that this process looks after.
///
/// Dropping it takes nothing down: that is what it is for.
#[derive(Debug)]
pub struct Fence {
    /// The maps: VIPs, deadlines, drop counters.
    pub gate: Gate,
    pin_dir: PathBuf,
    programs: Programs,
    /// Fences of other layouts, closed, and in place until this one knows its VIPs.
    predecessors: Vec<PathBuf>,
}

impl Fence {
    /// Adopts the fence pinned in `pin_dir`, or loads one and pins it there.
    ///
    /// Deadlines that an earlier process wrote stay as they are. The fence of another version
    /// with other maps is closed, and goes with the first [`set_vips`](Self::set_vips).
    ///
    /// # Errors
    /// Where the kernel has no BPF for us, or where something else is in the fence's place.
    pub fn open(pin_dir: &Path) -> Result<Self, FenceError> {
        Self::open_with(pin_dir, Hook::of_kernel())
    }

    /// [`open`](Self::open), with the kind of hook chosen by the caller.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_with(pin_dir: &Path, hook: Hook) -> Result<Self, FenceError> {
        clock::check()?;
        pins::prepare(pin_dir)?;
        let predecessors = pins::other_layouts(pin_dir)?;
        for other in &predecessors {
            gate::close_other_layout(other)?;
        }
        let directory = pin_dir.join(layout::DIRECTORY);
        match gate::adopt_maps(&directory) {
            // Some may be missing: a process that was killed while it pinned them.
            Ok(_) | Err((true, _)) => {}
            Err((false, error)) => return Err(error),
        }
        let mut loader = EbpfLoader::new();
        for shape in &SHAPES {
            loader.map_pin_path(shape.name, directory.join(shape.name));
        }
        let object = loader.load(layout::OBJECT).map_err(FenceError::load)?;
        let gate = Gate::adopt(pin_dir)?;
        let programs = Programs::load(object, hook, &directory)?;
        Ok(Self { gate, pin_dir: pin_dir.to_path_buf(), programs, predecessors })
    }

    /// Another handle on this fence's maps.
    ///
    /// # Errors
    /// Where the pins have been removed.
    pub fn gate(&self) -> Result<Gate, FenceError> {
        Gate::adopt(&self.pin_dir)
    }

    /// Hangs the fence on every interface but the loopback where it is not yet.
    ///
    /// Returns the names of those that had to be seen to. Call it again when one appears.
    ///
    /// # Errors
    /// Where the kernel refuses; the other interfaces have been tried all the same.
    pub fn attach_all(&mut self) -> Result<Vec<String>, FenceError> {
        let mut seen_to = Vec::new();
        let mut outcome = Ok(());
        for interface in interfaces::list()? {
            match self.programs.attach(&interface) {
                Ok(true) => seen_to.push(interface.name),
                Ok(false) => {}
                // An interface that went away meanwhile needs no fence.
                Err(_) if !interfaces::list()?.contains(&interface) => {}
                Err(error) => outcome = Err(error),
            }
        }
        outcome.map(|()| seen_to)
    }

    /// The interfaces, other than the loopback, that the fence does not guard on both sides.
    ///
    /// Asked of the kernel, not of memory: someone may have run `tc qdisc del`.
    ///
    /// # Errors
    /// Where the kernel does not say.
    pub fn unguarded(&self) -> Result<Vec<String>, FenceError> {
        let mut unguarded = Vec::new();
        for interface in interfaces::list()? {
            match self.programs.guards(&interface) {
                Ok(true) => {}
                Ok(false) => unguarded.push(interface.name),
                Err(_) if !interfaces::list()?.contains(&interface) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(unguarded)
    }

    /// Makes the fence's VIPs exactly `wanted`; see [`Gate::set_vips`].
    ///
    /// # Errors
    /// As there, or where the fence of another version can't be removed.
    pub fn set_vips(&mut self, wanted: &BTreeMap<IpAddr, Slot>) -> Result<(), FenceError> {
        self.gate.set_vips(wanted)?;
        // Now that this fence has the VIPs, an older one guards nothing that it doesn't.
        while let Some(other) = self.predecessors.last() {
            attach::detach_layout(other)?;
            pins::remove(other)?;
            self.predecessors.pop();
        }
        Ok(())
    }

    /// The other fences that hang on interfaces of this network namespace: those of other nodes, or
    /// left by ones that are no more. They are found beside `pin_dir`.
    ///
    /// # Errors
    /// Where the kernel does not say.
    pub fn others_beside(pin_dir: &Path) -> Result<Vec<PathBuf>, FenceError> {
        let mut others = Vec::new();
        for other in pins::entries(pin_dir.parent().unwrap_or(pin_dir))? {
            for layout in pins::entries(&other)? {
                if other != pin_dir && attach::is_hung(&layout)? {
                    others.push(other.clone());
                    break;
                }
            }
        }
        Ok(others)
    }

    /// Takes the fence pinned in `pin_dir` down, in this network namespace: detached and unpinned.
    ///
    /// # Errors
    /// Where the kernel refuses. A fence that is not there is taken down.
    pub fn remove(pin_dir: &Path) -> Result<(), FenceError> {
        for directory in pins::entries(pin_dir)? {
            attach::detach_layout(&directory)?;
        }
        pins::remove(pin_dir)
    }
}
