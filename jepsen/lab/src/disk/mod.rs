//! A disk of its own: one that can be filled and stalled alone, and, where it is a layer of the
//! lab's, that is slow, fails, and loses what was not synced.

mod ext4;
mod image;
mod layer;
mod serve;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::mount::{MntFlags, umount2};

use crate::netns::run;
use crate::owner::Owner;
use crate::{LabError, Result};

use ext4::Ext4;
use layer::Layer;

pub use layer::{Syncs, Unsynced};

/// What a disk is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// The kernel's ext4 in a file.
    Ext4,
    /// In the memory of this process, by FUSE.
    Layer,
}

/// A mounted file system. Dropping it unmounts and removes it.
#[derive(Debug)]
pub struct Disk {
    made: Made,
    mib: u64,
    stalled: AtomicBool,
}

#[derive(Debug)]
enum Made {
    Ext4(Ext4),
    Layer(Layer),
}

impl Disk {
    /// Makes one of so many MiB and mounts it on `directory`, which need not exist yet.
    pub fn make(make: Make, directory: PathBuf, mib: u64) -> Result<Disk> {
        fs::create_dir_all(&directory)
            .map_err(LabError::system(directory.display().to_string()))?;
        let made = match make {
            Make::Ext4 => Made::Ext4(Ext4::make(directory, mib)?),
            Make::Layer => Made::Layer(Layer::mount(&directory, mib << 20)?),
        };
        Ok(Disk { made, mib, stalled: false.into() })
    }

    /// Takes all the room that is left. Undone by [`free`](Self::free).
    pub fn fill(&self) -> Result<()> {
        match &self.made {
            Made::Ext4(disk) => disk.fill(),
            Made::Layer(layer) => {
                layer.limit(None);
                Ok(())
            }
        }
    }

    /// Gives the room back.
    pub fn free(&self) -> Result<()> {
        match &self.made {
            Made::Ext4(disk) => disk.free(),
            Made::Layer(layer) => {
                layer.limit(Some(self.mib << 20));
                Ok(())
            }
        }
    }

    /// Whatever writes or syncs waits until [`thaw`](Self::thaw).
    pub fn stall(&self) -> Result<()> {
        match &self.made {
            Made::Ext4(disk) => disk.stall()?,
            Made::Layer(layer) => layer.stall(),
        }
        self.stalled.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Lets it go on.
    pub fn thaw(&self) -> Result<()> {
        match &self.made {
            Made::Ext4(disk) => disk.thaw()?,
            Made::Layer(layer) => layer.thaw(),
        }
        self.stalled.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Each sync takes so much longer; zero ends that.
    pub fn slow_syncs(&self, take: Duration) -> Result<()> {
        self.layer().map(|layer| layer.slow_syncs(take))
    }

    /// What syncs come to from now on. Says how many have failed so far.
    pub fn fail_syncs(&self, syncs: Syncs) -> Result<u64> {
        self.layer().map(|layer| layer.fail_syncs(syncs))
    }

    /// EIO from reads, or no more.
    pub fn fail_reads(&self, fail: bool) -> Result<()> {
        self.layer().map(|layer| layer.fail_reads(fail))
    }

    /// Holds syncs until one waits that has something to write; [`cut`](Self::cut) and
    /// [`thaw`](Self::thaw) end that.
    pub fn catch_a_sync(&self) -> Result<()> {
        self.layer()?.catch_a_sync()
    }

    /// The power goes: what was not synced is lost, or torn. Whoever uses the disk must have been
    /// sent SIGKILL. Says how many written bytes were at stake.
    pub fn cut(&self, unsynced: Unsynced) -> Result<usize> {
        self.layer().map(|layer| layer.cut(unsynced))
    }

    /// What is on it is kept, as if some time had passed.
    pub fn settle(&self) {
        if let Made::Layer(layer) = &self.made {
            layer.sync_all();
        }
    }

    /// Whether it does more than be full and stand still.
    pub fn is_layer(&self) -> bool {
        matches!(self.made, Made::Layer(_))
    }

    fn layer(&self) -> Result<&Layer> {
        match &self.made {
            Made::Layer(layer) => Ok(layer),
            Made::Ext4(_) => {
                Err(LabError::Argument("ext4 does not fail on demand: a layer does".to_owned()))
            }
        }
    }
}

/// Out of sight at once, also where somebody has files of it open still.
fn remove(directory: &Path) {
    // A stalled file system can't be unmounted; one that is not refuses to be thawed.
    let _ = run("fsfreeze", &["-u", &directory.display().to_string()]);
    let _ = umount2(directory, MntFlags::MNT_DETACH);
}

/// Unmounts and removes what owners that no longer live had mounted below `temporary`.
pub(crate) fn sweep(temporary: &Path) -> Vec<PathBuf> {
    let Ok(mounts) = fs::read_to_string("/proc/self/mounts") else { return Vec::new() };
    let mut swept = Vec::new();
    for line in mounts.lines() {
        let Some(at) = line.split(' ').nth(1).map(Path::new) else { continue };
        let Ok(below) = at.strip_prefix(temporary) else { continue };
        let top = below.components().next().map(|first| first.as_os_str().to_string_lossy());
        let Some(top) = top else { continue };
        let owner = top.strip_prefix("leasehold-lab-").and_then(Owner::parse);
        if owner.is_some_and(|(owner, _)| !owner.is_alive()) {
            remove(at);
            let _ = fs::remove_dir_all(temporary.join(top.as_ref()));
            swept.push(at.to_path_buf());
        }
    }
    swept
}
