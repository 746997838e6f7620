//! The maps of a fence that is already there: what opens, closes and counts.
//!
//! A gate loads and attaches nothing. So the guard can close a fence whose owner is dead, and the
//! thread that owns the leases can write deadlines while another looks after interfaces. Each
//! opens its own: the kernel's map is the one place where they meet.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray};

use crate::FenceError;
use crate::layout::{self, DEADLINES, DROPS, Key, SHAPES, VIPS};

/// What one lease is called in the fence. A slot belongs to one lease for good.
pub type Slot = u32;

/// A handle on the maps of one fence.
pub struct Gate {
    vips: HashMap<MapData, Key, u32>,
    deadlines: HashMap<MapData, u32, u64>,
    drops: PerCpuArray<MapData, u64>,
}

/// How many packets the fence has dropped since it was loaded, by direction and protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    pub ingress: DropsOf,
    pub egress: DropsOf,
}

/// One direction of [`Drops`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropsOf {
    pub arp: u64,
    pub ipv4: u64,
    pub ipv6: u64,
    pub neighbour_discovery: u64,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("vips", &self.vips).finish_non_exhaustive()
    }
}

impl Gate {
    /// Takes hold of the fence pinned in `pin_dir`.
    ///
    /// # Errors
    /// Where there is none, or where something else is in its place.
    pub fn adopt(pin_dir: &Path) -> Result<Self, FenceError> {
        let [vips, deadlines, drops] =
            adopt_maps(&pin_dir.join(layout::DIRECTORY)).map_err(|(_, error)| error)?;
        let typed = |map, source| FenceError::Map { action: "read", map, source };
        Ok(Self {
            vips: hash(vips).map_err(|error| typed(VIPS, error))?,
            deadlines: hash(deadlines).map_err(|error| typed(DEADLINES, error))?,
            drops: PerCpuArray::try_from(Map::PerCpuArray(drops))
                .map_err(|error| typed(DROPS, error))?,
        })
    }

    /// Lets the slot's traffic pass before `deadline_ns` of `CLOCK_BOOTTIME`, and not after.
    ///
    /// # Errors
    /// Where the kernel refuses the write; the slot keeps its earlier deadline.
    pub fn open_until(&mut self, slot: Slot, deadline_ns: u64) -> Result<(), FenceError> {
        self.deadlines.insert(slot, deadline_ns, 0).map_err(writing(DEADLINES))
    }

    /// Stops the slot's traffic now.
    ///
    /// # Errors
    /// Where the kernel refuses the write.
    pub fn close(&mut self, slot: Slot) -> Result<(), FenceError> {
        close_slot(&mut self.deadlines, slot)
    }

    /// Stops the traffic of every VIP in the fence now.
    ///
    /// # Errors
    /// Where the kernel refuses a write; the others have been tried all the same.
    pub fn close_all(&mut self) -> Result<(), FenceError> {
        close_every_slot(&mut self.deadlines)
    }

    /// Until when the slot is open; `None` where it is closed for want of a deadline.
    ///
    /// # Errors
    /// Where the kernel refuses the read.
    pub fn deadline(&self, slot: Slot) -> Result<Option<u64>, FenceError> {
        match self.deadlines.get(&slot, 0) {
            Ok(deadline) => Ok(Some(deadline)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(source) => Err(reading(DEADLINES)(source)),
        }
    }

    /// The VIPs in the fence, and the slot of each.
    ///
    /// # Errors
    /// Where the kernel refuses the read.
    pub fn vips(&self) -> Result<BTreeMap<IpAddr, Slot>, FenceError> {
        self.vips
            .iter()
            .map(|entry| entry.map(|(key, slot)| (layout::address(key), slot)))
            .collect::<Result<_, _>>()
            .map_err(reading(VIPS))
    }

    /// Makes the fence's VIPs exactly `wanted`, touching only what differs.
    ///
    /// A VIP that is new here is closed unless its slot is open. One that goes is no longer
    /// fenced: unbind it first.
    ///
    /// # Errors
    /// Where there are more than [`MAX_VIPS`](crate::MAX_VIPS), or the kernel refuses a write.
    pub fn set_vips(&mut self, wanted: &BTreeMap<IpAddr, Slot>) -> Result<(), FenceError> {
        if wanted.len() > layout::MAX_VIPS {
            return Err(FenceError::TooManyVips { wanted: wanted.len() });
        }
        let actual = self.vips()?;
        // Going first makes room: the map may be full.
        for address in actual.keys().filter(|address| !wanted.contains_key(*address)) {
            match self.vips.remove(&layout::key(*address)) {
                Ok(()) => {}
                Err(source) if is_absent(&source) => {}
                Err(source) => return Err(writing(VIPS)(source)),
            }
        }
        for (address, slot) in wanted {
            if actual.get(address) != Some(slot) {
                self.vips.insert(layout::key(*address), slot, 0).map_err(writing(VIPS))?;
            }
        }
        Ok(())
    }

    /// What the fence has dropped so far.
    ///
    /// # Errors
    /// Where the kernel refuses the read.
    pub fn drops(&self) -> Result<Drops, FenceError> {
        let count = |index: u32| {
            let per_cpu = self.drops.get(&index, 0).map_err(reading(DROPS))?;
            Ok::<u64, FenceError>(per_cpu.iter().sum())
        };
        let of = |first: u32| {
            Ok::<DropsOf, FenceError>(DropsOf {
                arp: count(first)?,
                ipv4: count(first + 1)?,
                ipv6: count(first + 2)?,
                neighbour_discovery: count(first + 3)?,
            })
        };
        Ok(Drops { ingress: of(0)?, egress: of(4)? })
    }
}

/// The number of the map pinned at `path`.
pub(crate) fn map_id(path: &Path) -> Result<u32, FenceError> {
    let absent = |source| FenceError::Absent { path: path.to_path_buf(), source };
    let map = MapData::from_pin(path).map_err(absent)?;
    Ok(map.info().map_err(absent)?.id())
}

/// Closes the fence of another layout: its `deadlines` are of the shape that all layouts share.
pub(crate) fn close_other_layout(directory: &Path) -> Result<(), FenceError> {
    let path = directory.join(DEADLINES);
    let map = MapData::from_pin(&path)
        .map_err(|source| FenceError::Absent { path: path.clone(), source })?;
    let mut deadlines = hash::<u32, u64>(map)
        .map_err(|error| FenceError::Foreign { path, reason: error.to_string() })?;
    close_every_slot(&mut deadlines)
}

/// The maps pinned in `directory`, in the order of [`SHAPES`]; with an error, whether the map was
/// simply not there.
pub(crate) fn adopt_maps(directory: &Path) -> Result<[MapData; 3], (bool, FenceError)> {
    let adopt = |shape: &layout::Shape| {
        let path = directory.join(shape.name);
        let map = MapData::from_pin(&path).map_err(|source| {
            let absent = crate::error::os_error(&source) == Some(libc::ENOENT);
            (absent, FenceError::Absent { path: path.clone(), source })
        })?;
        shape.check(&map, &path).map_err(|error| (false, error))?;
        Ok(map)
    };
    let [vips, deadlines, drops] = &SHAPES;
    Ok([adopt(vips)?, adopt(deadlines)?, adopt(drops)?])
}

fn hash<K: aya::Pod, V: aya::Pod>(map: MapData) -> Result<HashMap<MapData, K, V>, MapError> {
    // By way of the kernel's word on the type: a map of another type is refused, not misread.
    HashMap::try_from(Map::from_map_data(map)?)
}

/// aya says it in either way, depending on the call.
fn is_absent(error: &MapError) -> bool {
    matches!(error, MapError::KeyNotFound) || crate::error::os_error(error) == Some(libc::ENOENT)
}

fn close_slot(deadlines: &mut HashMap<MapData, u32, u64>, slot: Slot) -> Result<(), FenceError> {
    match deadlines.remove(&slot) {
        Ok(()) => Ok(()),
        Err(source) if is_absent(&source) => Ok(()),
        Err(source) => Err(writing(DEADLINES)(source)),
    }
}

fn close_every_slot(deadlines: &mut HashMap<MapData, u32, u64>) -> Result<(), FenceError> {
    // A walk over a hash that shrinks under it starts again from the top; a list does not.
    let slots: Vec<u32> = deadlines.keys().collect::<Result<_, _>>().map_err(reading(DEADLINES))?;
    let mut outcome = Ok(());
    for slot in slots {
        if let Err(error) = close_slot(deadlines, slot) {
            outcome = Err(error);
        }
    }
    outcome
}

fn reading(map: &'static str) -> impl Fn(MapError) -> FenceError {
    move |source| FenceError::Map { action: "read", map, source }
}

fn writing(map: &'static str) -> impl Fn(MapError) -> FenceError {
    move |source| FenceError::Map { action: "write", map, source }
}
